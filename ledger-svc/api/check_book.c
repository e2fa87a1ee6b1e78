// CheckBook: the check of audit/check.h on the stream's own thread, one at a time in a process.
#include <stdatomic.h>
#include <stdlib.h>

#include "api/api_internal.h"
#include "audit/check.h"
#include "base/assert.h"

enum { CHECK_ACCOUNTS_MAX = 1 << 19 }; // at a time, in memory: about 60 MB

static atomic_flag check_runs = ATOMIC_FLAG_INIT;

typedef struct check_texts {
    char ids[CHECK_FINDINGS_MAX][UUID_TEXT_LEN + 1];
    Ledger__V1__AccountCheck differences[CHECK_FINDINGS_MAX];
    Ledger__V1__Balances kept[CHECK_FINDINGS_MAX], recomputed[CHECK_FINDINGS_MAX];
    Ledger__V1__BookFinding findings[CHECK_FINDINGS_MAX];
    Ledger__V1__AccountCheck *difference_list[CHECK_FINDINGS_MAX];
    Ledger__V1__BookFinding *finding_list[CHECK_FINDINGS_MAX];
} check_texts;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static void difference_encode(const check_difference *d, check_texts *t, size_t i) {
    Ledger__V1__AccountCheck *m = t->difference_list[i] = &t->differences[i];
    ledger__v1__account_check__init(m);
    uuid_format(d->account_id, t->ids[i]);
    t->kept[i] = api_balances(&d->kept);
    t->recomputed[i] = api_balances(&d->recomputed);
    m->id = t->ids[i];
    m->kept = &t->kept[i];
    m->recomputed = &t->recomputed[i];
    m->entries = d->entries;
}

static bool send(rpc_call *call, const check_result *r) {
    Ledger__V1__CheckBookResponse m = LEDGER__V1__CHECK_BOOK_RESPONSE__INIT;
    check_texts *t = calloc(1, sizeof *t);
    ASSERT(t != NULL);
    m.done = r->done;
    m.ok = r->ok;
    m.sequence = r->sequence;
    m.rows = r->rows;
    m.accounts = r->accounts;
    m.tree_heads = r->heads;
    m.unsealed_rows = r->unsealed_rows;
    m.n_account_differences = least(r->n_differences, CHECK_FINDINGS_MAX);
    m.account_differences = t->difference_list;
    for (size_t i = 0; i < m.n_account_differences; i++) {
        difference_encode(&r->differences[i], t, i);
    }
    m.n_findings = least(r->n_findings, CHECK_FINDINGS_MAX);
    m.findings = t->finding_list;
    for (size_t i = 0; i < m.n_findings; i++) {
        Ledger__V1__BookFinding *f = t->finding_list[i] = &t->findings[i];
        ledger__v1__book_finding__init(f);
        // Strings of a message are not const, but packing only reads them.
        f->reason = (char *)(uintptr_t)r->findings[i].reason;
        f->message = (char *)(uintptr_t)r->findings[i].message;
        f->sequence = r->findings[i].sequence;
    }
    const bool ok = rpc_write(call, &m.base);
    free(t);
    return ok;
}

static bool on_progress(void *arg, const check_result *so_far) {
    rpc_call *call = arg;
    return !rpc_cancelled(call) && send(call, so_far);
}

void api_check_book(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__CheckBookRequest *r = (const Ledger__V1__CheckBookRequest *)request;
    const ledger_api *api = service;
    err e = {0};
    if (!api_book_id_check(r->book_id, &e)) {
        rpc_fail(call, &e);
        return;
    }
    if (atomic_flag_test_and_set(&check_runs)) {
        (void)err_set(&e, ERR_RESOURCE_EXHAUSTED, "CHECK_RUNS", "another book is being checked");
        rpc_fail(call, &e);
        return;
    }
    check_result *result = calloc(1, sizeof *result);
    ASSERT(result != NULL);
    const check_options options = {
        .pool = api->pool,
        .clock = api->clock,
        .keys = api->audit_keys,
        .book_id = r->book_id,
        .deadline_mono_ms = rpc_deadline_mono_ms(call),
        .accounts_max = CHECK_ACCOUNTS_MAX,
        .progress = on_progress,
        .arg = call,
    };
    const bool ok = check_book(&options, result, &e);
    atomic_flag_clear(&check_runs);
    if (!ok) {
        rpc_fail(call, &e);
    } else {
        const bool sent = send(call, result);
        (void)sent; // if not sent, the end of the stream says why
        rpc_stream_end(call);
    }
    free(result);
}
