"""The faults that are put in on purpose, and the test that must turn red at each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    old: str  # once in the file
    new: str
    unit: str = ""  # a test of CTest, or
    tests: tuple[str, ...] = ()  # tests of pytest


RECORD = ("tests/support/test_bank_record.py::test_it_agrees_with_what_was_asked",)
NEIGHBOURS = ("tests/payouts/test_same_book.py",)

FAULTS = [
    Fault("an entry of another payout's account", "payments-svc/rails/ach/ach_build.c",
          "        credits[i] = credit_of(item);\n",
          "        credits[i] = credit_of(item);\n        credits[i].account = p->items[f->entries[0].item].account_number;\n",
          tests=RECORD),
    Fault("an effective date a day early", "payments-svc/rails/ach/ach_build.c",
          "fed_add_banking_days(created, 1)", "fed_add_banking_days(created, 0)", tests=RECORD),
    Fault("a renewal that ends the lease", "payments-svc/saga/saga_sql.c",
          '"UPDATE saga_lease SET ends_at = statement_timestamp() + $4 * interval \'1 ms\' "',
          '"UPDATE saga_lease SET ends_at = statement_timestamp() + $4 * interval \'0 ms\' "', unit="payments_saga_store_test"),
    Fault("a take-over of a renewed lease", "payments-svc/saga/saga_sql.c",
          '"AND ends_at <= statement_timestamp() FOR UPDATE SKIP LOCKED"',
          '"FOR UPDATE SKIP LOCKED"', unit="payments_saga_store_test"),
    Fault("a list of heard payouts that leaves out who does more than wait", "payments-svc/saga/heard.c",
          "return !*told || tell_others(", "return true || tell_others(", unit="payments_saga_heard_test"),
    Fault("a taken-over saga that forgets the messages of its list", "payments-svc/saga/takeover.c",
          "item->uncounted = db_get_i32(rows, row, k + 9);", "item->uncounted = 0;", unit="payments_saga_heard_test"),
    Fault("a message of a list that comes while its saga has a worker", "payments-svc/saga/saga_sql.c",
          "CASE WHEN s.events + h.uncounted > h.events_seen ", "CASE WHEN s.events > h.events_seen ", unit="payments_saga_heard_test"),
    Fault("a file matched against another connection's entries", "payments-svc/rails/ach/ach_read.c",
          "submission_find_numbers(c, s->r->base.id, sequences", "submission_find_numbers(c, RAIL_ACH, sequences",
          tests=("tests/rails/test_connections_of_one_scheme.py::test_NO_DOUBLE_connections_that_count_traces_alike_hear_only_their_own_bank",)),
    Fault("a message matched against another connection's payouts", "payments-svc/rails/instant/instant_read.c",
          "db_get_i16(rows, 0, 3) == x->r->base.id", "db_get_i16(rows, 0, 3) >= RAIL_INSTANT",
          tests=("tests/rails/test_connections_of_one_scheme.py::test_a_webhook_of_another_bank_says_nothing_about_a_payout",)),
    Fault("a CONFIRM without its link", "payments-svc/saga/act.c",
          "LEDGER_FLAG(POST_PENDING_TRANSFER) | linked", "LEDGER_FLAG(POST_PENDING_TRANSFER) | (linked & 0)",
          unit="payments_saga_engine_test"),
    Fault("a fee without its link", "payments-svc/saga/act.c",
          "out[last - 1].flags |= LEDGER_FLAG(LINKED);", "out[last - 1].flags |= 0;",
          tests=("tests/payouts/test_fees.py::test_a_balance_that_does_not_suffice_for_the_fee_refuses_the_payout",)),
    Fault("a deposit that misses the bank account", "payments-svc/deposits/deposits.c",
          ".debit = account_bank(book_id, STR(BANK_ACCOUNT_MAIN), made->currency)", ".debit = account_suspense(book_id, made->currency)", tests=("tests/payouts/test_deposit_posting.py",)),
    Fault("a payout shown without looking whose it is", "payments-svc/payouts/payouts_sql.c",
          '"WHERE p.book_id = $1 AND p.payout_id = $2 AND p.merchant_id = $3"},',
          '"WHERE p.book_id = $1 AND p.payout_id = $2 AND $3::text IS NOT NULL"},', tests=NEIGHBOURS),
    Fault("a merchant of the request that nobody looks at", "shared/authz/decide.c",
          "    return authz_who_has(w, merchant_id) ? AUTHZ_ALLOWED : AUTHZ_MERCHANT_FOREIGN;", "    return AUTHZ_ALLOWED;",
          tests=("tests/operations/test_permissions.py::test_TENANT_who_may_call[PayoutService.GetPayout]",)),
    Fault("a gateway that gives more than it may act in", "shared/authz/decide.c",
          "w->person->roles & w->program->roles", "w->person->roles | w->program->roles", unit="authz_test"),
    Fault("a withdrawn right that is forgotten", "shared/rpc/permission.c",
          "    if (c->withdrawn != AUTHZ_ALLOWED) {\n        return false;", "    if (c->withdrawn != AUTHZ_ALLOWED) {\n        return true;",
          unit="rpc_permission_test"),
    Fault("a server of any name", "shared/rpc/tls.c", "return n == 1 && fit == 1;", "return n >= fit;", unit="rpc_tls_test"),
    Fault("a key for hashes that opens as well", "shared/crypto/keyring.c", "if (d == NULL || !d->opens) {", "if (d == NULL) {",
          unit="crypto_test"),
    Fault("an entry of the feed where nothing changed", "payments-svc/feed/feed_write.c",
          "        n_changed += entries[i].from != entries[i].to ? 1 : 0;", "        n_changed += 1;", unit="payments_feed_test"),
    Fault("positions that leave one out", "payments-svc/feed/feed_sql.c",
          ") + $2::int4, $2::int4, greatest(", ") + $2::int4 + 1, $2::int4, greatest(", unit="payments_feed_test"),
    Fault("a page of the feed that begins too late", "payments-svc/feed/feed_sql.c",
          '"AND f.position - f.n + u.nth > $2 "', '"AND f.position - f.n + u.nth > $2 + 1 "',
          tests=("tests/events/test_feed.py::test_TOLD_each_part_of_the_feed_can_be_read",)),
    Fault("an engine that tells nobody who waits", "payments-svc/saga/batch.c",
          "    tell_awaits(b);\n    result.n_moved", "    (void)tell_awaits;\n    result.n_moved",
          tests=("tests/payouts/test_await.py::test_told_by_the_engine",)),
    Fault("a wait for a payout of somebody else", "payments-svc/api/await.c",
          "if (at != NULL && str_eq(at->view.merchant_id, str_of(x->m->id))) {", "if (at != NULL) {",
          tests=NEIGHBOURS),
    Fault("a refused payout that will still be sent", "payments-svc/domain/milestone.c",
          "s->step == STEP_CANCEL || (s->step == STEP_VOID && s->outlook == STATE_FAILED);", "s->step == STEP_CANCEL;",
          unit="payments_milestone_test"),
    Fault("an import that forgets where it stands", "payments-svc/imports/import_job.c",
          "for (size_t at = (size_t)j->row.handed;", "for (size_t at = 0;",
          tests=("tests/payouts/test_imports.py::test_NO_DOUBLE_killed_and_gone_on_by_another_instance[import.payouts.taken-2]",)),
    Fault("a row that is another request than by a call", "payments-svc/api/import_calls.c",
          "    p.external_reference = (char *)row->reference;\n", "", tests=("tests/payouts/test_imports.py::test_payctl_import",)),
    Fault("a file that is kept when its import ends", "payments-svc/imports/imports.c",
          "return db_exec(c, imports_sql(IMPORTS_SQL_MOVE), p, a, NULL, NULL, e) &&\n           (!ends ||",
          "return db_exec(c, imports_sql(IMPORTS_SQL_MOVE), p, a, NULL, NULL, e) &&\n           (!ends || true ||",
          tests=("tests/payouts/test_imports.py::test_a_file_is_checked_and_paid",)),
    Fault("a payout in another currency than its recipient's", "payments-svc/control/recipient/rules.c",
          "    } else if (!str_eq_c(f->currency, p->currency)) {",
          "    } else if (false) {", tests=NEIGHBOURS),
    Fault("a repeat of a change of a case that is answered anew", "payments-svc/cases/cases_change.c",
          "        out->answer = one.kept_answer;\n", "", tests=("tests/payouts/test_cases.py::test_DEFINITE_ERRORS_a_repeat_gets_the_bytes_of_the_first_answer",)),
    Fault("a person who repeats for another", "payments-svc/api/cases.c",
          "    *person = pb_text(rpc_arena(call), by->person);\n", "    *person = pb_text(rpc_arena(call), STR(\"\"));\n",
          tests=("tests/payouts/test_cases.py::test_DEFINITE_ERRORS_a_repeat_gets_the_bytes_of_the_first_answer",)),
    Fault("any bytes over what is sealed", "migrations/payments/0039_reseal.sql",
          "AND substring(u.v FROM 1 FOR octet_length(mark)) = mark AND octet_length(u.v)", "AND octet_length(u.v)",
          tests=("tests/operations/test_keys.py::test_APPEND_ONLY_what_is_sealed_changes_only_with_its_key",)),
    Fault("a webhook in another currency than its payout", "payments-svc/rails/instant/instant_read.c",
          "    if (!str_eq_c(x->currency, p->currency)) {", "    if (false) {",
          tests=("tests/rails/test_unkind_bank.py::test_an_odd_outcome[webhook with another currency]",)),
]
