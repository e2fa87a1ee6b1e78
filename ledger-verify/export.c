// ledger-export: writes a book's journal and tree heads to files for ledger-verify. It asks the ledger's API, so it needs no database
// credentials.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/head.h"
#include "audit/journal_file.h"
#include "base/assert.h"
#include "base/clock.h"
#include "ledger/v1/ledger.pb-c.h"
#include "rpc/rpc.h"

enum {
    HEADS_MAX = 4000000,
    CALL_TIMEOUT_MS = 10000,
    STREAM_TIMEOUT_MS = 24 * 3600 * 1000,
    MESSAGE_MAX = 64 << 20,
    ARENA_MAX = 1 << 20,
    BATCH = 1000,
};

static const char USAGE[] =
    "ledger-export --server HOST:PORT --ca FILE --cert FILE --key FILE --book N --journal FILE "
    "[--heads FILE]\n"
    "\n"
    "Writes the journal of a book up to its latest signed tree head, for ledger-verify.\n"
    "\n"
    "  --server HOST:PORT  ledger-svc        (or PAYCTL_LEDGER)\n"
    "  --server-name NAME  in its certificate (or PAYCTL_SERVER_NAME)\n"
    "  --ca, --cert, --key FILE  PEM         (or PAYCTL_CA_FILE, PAYCTL_CERT_FILE, "
    "PAYCTL_KEY_FILE)\n"
    "  --book N            the book\n"
    "  --journal FILE      made anew\n"
    "  --heads FILE        made anew: all heads that the ledger tells now. To trust in more than "
    "the ledger of today,\n"
    "                      verify against a copy of the sealer's heads file that you have kept\n"
    "  --unsealed          rows after the latest head too\n"
    "\n"
    "Exit codes: 0 done; 1 the ledger or a file failed; 2 wrong command line.\n";

typedef struct export {
    rpc_client *client;
    int64_t book_id, last_sequence; // last row to export; INT64_MAX for all
    FILE *journal;
    int64_t next_sequence;
    bool broken; // *e says why
    err e;
}
export;

// --- Messages to rows --------------------------------------------------------------------------------------------------

static bool id_of(const char *text, uuid *out) {
    *out = (uuid){{0}};
    return text[0] == '\0' || uuid_parse(str_of(text), out);
}

static ledger_balances balances_of(const Ledger__V1__Balances *m) {
    return m == NULL ? (ledger_balances){0}
                     : (ledger_balances){m->debits_pending, m->debits_posted, m->credits_pending,
                                         m->credits_posted};
}

static uint8_t state_of(bool closed, bool over_limit) {
    return (uint8_t)((closed ? LEDGER_STATE_CLOSED : 0u) |
                     (over_limit ? LEDGER_STATE_OVER_LIMIT : 0u));
}

static bool metadata_of(const Ledger__V1__Transfer *m, char *out, str *metadata) {
    ledger_metadata_entry entries[LEDGER_METADATA_ENTRIES_MAX];
    size_t len = 0;
    if (m->n_metadata > LEDGER_METADATA_ENTRIES_MAX) {
        return false;
    }
    for (size_t i = 0; i < m->n_metadata; i++) {
        entries[i] =
            (ledger_metadata_entry){str_of(m->metadata[i]->key), str_of(m->metadata[i]->value)};
        if (entries[i].key.len > LEDGER_METADATA_KEY_MAX ||
            entries[i].value.len > LEDGER_METADATA_VALUE_MAX) {
            return false;
        }
    }
    if (!ledger_metadata_encode(entries, m->n_metadata, out, &len)) {
        return false;
    }
    *metadata = (str){out, len};
    return true;
}

// texts has room for LEDGER_METADATA_MAX bytes. The row borrows from texts and from the message.
static bool row_of(const Ledger__V1__Transfer *m, char *texts, ledger_row *row) {
    *row = (ledger_row){
        .kind = (ledger_kind)m->kind,
        .user_data_64 = m->user_data_64,
        .user_data_32 = m->user_data_32,
        .timeout_s = m->timeout_s,
        .code = m->code,
        .flags = m->flags,
        .currency = ledger_currency_pack(str_of(m->currency)),
        .amount = m->amount,
        .released = m->released,
        .expires_us = m->expires_us,
        .sequence = m->sequence,
        .timestamp_us = m->timestamp_us,
        .effective_us = m->effective_us,
        .debit_after = balances_of(m->debit_balances),
        .credit_after = balances_of(m->credit_balances),
        .debit_state_after = state_of(m->debit_closed, m->debit_over_limit),
        .credit_state_after = state_of(m->credit_closed, m->credit_over_limit),
        .external_reference = str_of(m->external_reference),
    };
    return row->currency != 0 && row->external_reference.len <= LEDGER_EXTERNAL_REFERENCE_MAX &&
           metadata_of(m, texts, &row->metadata) && id_of(m->id, &row->id) &&
           id_of(m->debit_account_id, &row->debit_account_id) &&
           id_of(m->credit_account_id, &row->credit_account_id) &&
           id_of(m->pending_id, &row->pending_id) && id_of(m->reverses_id, &row->reverses_id) &&
           id_of(m->user_data_128, &row->user_data_128);
}

// --- The journal -------------------------------------------------------------------------------------------------------

static bool stop_with(export *x, const char *what, int64_t sequence) {
    x->broken = true;
    return err_set(&x->e, ERR_DATA_LOSS, "BAD_ROW", "sequence %lld: %s", (long long)sequence, what);
}

// Writes the ledger's answer without judging it: ledger-verify finds faults.
static bool put_row(export *x, const Ledger__V1__Transfer *m) {
    char texts[LEDGER_METADATA_MAX];
    uint8_t form[LEDGER_LEAF_LEN_MAX];
    ledger_row row;
    merkle_hash leaf;
    if (!row_of(m, texts, &row) || m->leaf_hash.len != sizeof leaf.b) {
        return stop_with(x, "the ledger sent what is no row", m->sequence);
    }
    memcpy(leaf.b, m->leaf_hash.data, sizeof leaf.b);
    journal_file_put(x->journal, form, ledger_leaf_encode(x->book_id, &row, form), &leaf);
    x->next_sequence = m->sequence + 1;
    return true;
}

static bool on_rows(void *arg, const ProtobufCMessage *message) {
    export *x = arg;
    const Ledger__V1__ReadJournalResponse *m = (const Ledger__V1__ReadJournalResponse *)message;
    for (size_t i = 0; i < m->n_transfers; i++) {
        if (m->transfers[i]->sequence > x->last_sequence) {
            return false;
        }
        if (!put_row(x, m->transfers[i])) {
            return false;
        }
    }
    return x->next_sequence <= x->last_sequence;
}

static bool export_journal(export *x, const char *path, err *e) {
    x->journal = fopen(path, "we");
    if (x->journal == NULL) {
        return err_set(e, ERR_UNAVAILABLE, "FILE_FAILED", "cannot write %.128s", path);
    }
    Ledger__V1__ReadJournalRequest request = LEDGER__V1__READ_JOURNAL_REQUEST__INIT;
    request.book_id = x->book_id;
    request.from_sequence = 1;
    request.batch_max = BATCH;
    journal_file_begin(x->journal, x->book_id);
    x->next_sequence = 1;
    bool ok = x->last_sequence == 0 ||
              rpc_client_stream(x->client, "/ledger.v1.LedgerService/ReadJournal", &request.base,
                                &ledger__v1__read_journal_response__descriptor,
                                clock_mono_ms(clock_system()) + STREAM_TIMEOUT_MS, on_rows, x, e);
    if (x->broken) {
        *e = x->e;
        ok = false;
    }
    const bool written = ferror(x->journal) == 0;
    if ((fclose(x->journal) != 0 || !written) && ok) {
        ok = err_set(e, ERR_UNAVAILABLE, "FILE_FAILED", "cannot write %.128s", path);
    }
    return ok;
}

// --- Heads: from the latest back to the first -------------------------------------------------------------------------------

static bool bytes_of(ProtobufCBinaryData m, void *out, size_t len) {
    if (m.len == len) {
        memcpy(out, m.data, len);
    }
    return m.len == len;
}

// size 0: the latest. *exists is false when there is no head.
static bool get_head(export *x, uint64_t size, arena *a, bool *exists, tree_head *h, err *e) {
    Ledger__V1__GetTreeHeadRequest request = LEDGER__V1__GET_TREE_HEAD_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    request.book_id = x->book_id;
    request.tree_size = (int64_t)size;
    *exists = false;
    if (!rpc_client_call(x->client, "/ledger.v1.LedgerService/GetTreeHead", &request.base,
                         &ledger__v1__get_tree_head_response__descriptor,
                         clock_mono_ms(clock_system()) + CALL_TIMEOUT_MS, a, &answer, e)) {
        return e->code == ERR_NOT_FOUND && size == 0;
    }
    const Ledger__V1__TreeHead *m = ((const Ledger__V1__GetTreeHeadResponse *)answer)->head;
    *h = (tree_head){.book_id = x->book_id};
    *exists = true;
    if (m == NULL || !bytes_of(m->root_hash, h->root.b, sizeof h->root.b) ||
        !bytes_of(m->previous_root_hash, h->previous_root.b, sizeof h->previous_root.b) ||
        !bytes_of(m->key_id, h->key_id, sizeof h->key_id) ||
        !bytes_of(m->signature, h->signature, sizeof h->signature) || m->tree_size < 1 ||
        m->previous_tree_size < 0 || m->previous_tree_size >= m->tree_size) {
        return err_set(e, ERR_DATA_LOSS, "BAD_HEAD", "the ledger sent what is no tree head");
    }
    h->size = (uint64_t)m->tree_size;
    h->previous_size = (uint64_t)m->previous_tree_size;
    h->time_us = m->timestamp_us;
    return true;
}

static bool write_heads(const char *path, const tree_head *heads, size_t n, err *e) {
    FILE *f = fopen(path, "we");
    char line[HEAD_LINE_MAX];
    bool ok = f != NULL;
    for (size_t i = n; ok && i > 0; i--) {
        const size_t len = head_line_write(&heads[i - 1], line);
        ok = fwrite(line, 1, len, f) == len;
    }
    ok = f != NULL && fclose(f) == 0 && ok;
    return ok || err_set(e, ERR_UNAVAILABLE, "FILE_FAILED", "cannot write %.128s", path);
}

static bool export_heads(export *x, const tree_head *latest, const char *path, err *e) {
    size_t n = 0, room = 1024;
    arena *a = arena_create(ARENA_MAX);
    tree_head *heads = calloc(room, sizeof *heads);
    ASSERT(heads != NULL);
    bool ok = true, exists = latest != NULL;
    tree_head head = exists ? *latest : (tree_head){0};
    while (ok && exists) {
        if (n == room) {
            room *= 2;
            heads = room > HEADS_MAX ? NULL : reallocarray(heads, room, sizeof *heads);
            ASSERT(heads != NULL);
        }
        heads[n++] = head;
        arena_reset(a);
        exists = head.previous_size != 0;
        ok = !exists || get_head(x, head.previous_size, a, &exists, &head, e);
    }
    ok = ok && write_heads(path, heads, n, e);
    free(heads);
    arena_destroy(a);
    return ok;
}

// --- The program -------------------------------------------------------------------------------------------------------

typedef struct arguments {
    const char *server, *server_name, *ca, *cert, *key, *journal, *heads;
    int64_t book_id;
    bool unsealed;
} arguments;

static bool parse(int argc, char **argv, arguments *a) {
    static const struct option OPTIONS[] = {
        {"server", required_argument, NULL, 's'},  {"server-name", required_argument, NULL, 'n'},
        {"ca", required_argument, NULL, 'a'},      {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},     {"book", required_argument, NULL, 'b'},
        {"journal", required_argument, NULL, 'j'}, {"heads", required_argument, NULL, 'h'},
        {"unsealed", no_argument, NULL, 'u'},      {NULL, 0, NULL, 0}};
    *a = (arguments){.server = getenv("PAYCTL_LEDGER"),
                     .server_name = getenv("PAYCTL_SERVER_NAME"),
                     .ca = getenv("PAYCTL_CA_FILE"),
                     .cert = getenv("PAYCTL_CERT_FILE"),
                     .key = getenv("PAYCTL_KEY_FILE")};
    for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 's': a->server = optarg; break;
        case 'n': a->server_name = optarg; break;
        case 'a': a->ca = optarg; break;
        case 'c': a->cert = optarg; break;
        case 'k': a->key = optarg; break;
        case 'j': a->journal = optarg; break;
        case 'h': a->heads = optarg; break;
        case 'u': a->unsealed = true; break;
        case 'b':
            if (!str_to_i64(str_of(optarg), 1, INT64_MAX, &a->book_id)) {
                return false;
            }
            break;
        default: return false;
        }
    }
    return optind == argc && a->server != NULL && a->ca != NULL && a->cert != NULL &&
           a->key != NULL && a->journal != NULL && a->book_id != 0;
}

static bool run(const arguments *args, err *e) {
    const rpc_client_options options = {.target = args->server,
                                        .tls = {args->ca, args->cert, args->key, false},
                                        .tls_server_name = args->server_name,
                                        .message_max = MESSAGE_MAX,
                                        .retries_max = 5};
    export x = {.client = rpc_client_create(&options, e), .book_id = args->book_id};
    if (x.client == NULL) {
        return false;
    }
    arena *a = arena_create(ARENA_MAX);
    tree_head latest;
    bool sealed = false;
    bool ok = get_head(&x, 0, a, &sealed, &latest, e);
    x.last_sequence = args->unsealed ? INT64_MAX : sealed ? (int64_t)latest.size : 0;
    ok = ok && export_journal(&x, args->journal, e) &&
         (args->heads == NULL || export_heads(&x, sealed ? &latest : NULL, args->heads, e));
    if (ok) {
        (void)printf("book %lld: %lld rows, sealed up to %lld\n", (long long)x.book_id,
                     (long long)x.next_sequence - 1, sealed ? (long long)latest.size : 0LL);
    }
    arena_destroy(a);
    rpc_client_destroy(x.client);
    return ok;
}

int main(int argc, char **argv) {
    arguments args;
    err e = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(USAGE, stdout);
        return 0;
    }
    if (!parse(argc, argv, &args)) {
        (void)fputs(USAGE, stderr);
        return 2;
    }
    (void)umask(077); // nobody else may read a journal
    rpc_init();
    const bool ok = run(&args, &e);
    rpc_shutdown();
    if (!ok) {
        (void)fprintf(stderr, "ledger-export: %s (%s)\n", e.message, e.reason);
    }
    return ok ? 0 : 1;
}
