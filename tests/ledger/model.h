// A reference model of the ledger, to compare the real one with. Written from docs/ledger-semantics.md and TigerBeetle's documentation, not
// from ledger-svc: they share no line. It is as plain as possible: arrays searched from end to end, and a copy of the whole state where the
// ledger undoes. Ids are small numbers: 0 is nil, MODEL_ID_MAX all ones.
#ifndef LEDGER_MODEL_H
#define LEDGER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_ID_MAX UINT64_MAX
#define MODEL_AMOUNT_MAX INT64_MAX

enum {
    MODEL_ACCOUNTS_MAX = 256,
    MODEL_ROWS_MAX = 2048,
    MODEL_BURNED_MAX = 2048,
    MODEL_EVENTS_MAX = 16, // in one step
};

enum model_account_flag {
    A_LINKED = 1,
    A_NO_OVERDRAFT = 2,  // debits must not exceed credits
    A_NO_OVERCREDIT = 4, // credits must not exceed debits
    A_HISTORY = 8,
    A_IMPORTED = 16,
    A_CLOSED = 32,
};

enum model_transfer_flag {
    T_LINKED = 1,
    T_PENDING = 2,
    T_POST = 4,
    T_VOID = 8,
    T_BALANCING_DEBIT = 16,
    T_BALANCING_CREDIT = 32,
    T_CLOSING_DEBIT = 64,
    T_CLOSING_CREDIT = 128,
    T_IMPORTED = 256,
    T_FORCED = 512, // of reversals only
};

// The numbers stand for texts: 0 for none.
enum model_currency { C_NONE, C_USD, C_EUR, C_UNKNOWN };

typedef struct model_balances {
    int64_t debits_pending, debits_posted, credits_pending, credits_posted;
} model_balances;

// A request for an account or a transfer, field by field as it came. Each kind uses the fields that it has.
typedef struct model_event {
    uint64_t id;
    uint64_t debit, credit, pending, reverses;
    uint64_t user_data_128, user_data_64;
    uint32_t user_data_32;
    uint32_t timeout_s, code, flags;
    int currency;
    int64_t amount;
    int64_t timestamp_us;
    int64_t lowest_balance;
    model_balances balances; // in the request for an account: must be 0
    int reference, metadata; // texts, by number; 0 for none
} model_event;

typedef enum model_step_kind {
    STEP_ACCOUNTS,
    STEP_TRANSFERS,
    STEP_REVERSALS, // transfers with `reverses`; T_FORCED in all events or in none
} model_step_kind;

// One request, and the time since the one before.
typedef struct model_step {
    model_step_kind kind;
    int64_t advance_us;
    size_t n;
    model_event events[MODEL_EVENTS_MAX];
} model_step;

typedef enum model_row_kind {
    ROW_SINGLE = 1,
    ROW_PENDING,
    ROW_POST,
    ROW_VOID,
    ROW_EXPIRE
} model_row_kind;

typedef struct model_row {
    model_row_kind kind;
    model_row_kind ended_by; // of a pending: 0 while it is open
    bool reversed;
    size_t reversed_by; // index of the reversal's row
    model_event asked;  // what is stored of the request, with what was left out filled in
    int64_t amount, released;
    int64_t expires_us; // 0 for never
    int64_t timestamp_us, effective_us;
    model_balances debit_after, credit_after;
    bool debit_closed, credit_closed;
} model_row;

typedef struct model_account {
    model_event asked;
    model_balances balances;
    bool closed;
    int64_t timestamp_us, effective_us;
} model_account;

// A book. The sequence of rows[i] is i + 1.
typedef struct model {
    model_account accounts[MODEL_ACCOUNTS_MAX];
    size_t n_accounts;
    model_row rows[MODEL_ROWS_MAX];
    size_t n_rows;
    uint64_t burned[MODEL_BURNED_MAX];
    size_t n_burned;
    int64_t last_us;            // of the last change that has a time
    int64_t imported_us;        // of the last event that the running request imported
    struct model *before_chain; // a copy to return to
} model;

// status: its name, without a prefix. row: for CREATED, EXISTS and ALREADY_REVERSED, the sequence; else 0.
typedef struct model_result {
    const char *status;
    size_t sequence;
    int64_t timestamp_us; // of an account
} model_result;

model *model_create(void); // empty
void model_destroy(model *m);
// One request at the time now_us. First releases what has run out. results: one per event.
void model_apply(model *m, const model_step *step, int64_t now_us, model_result *results);
// True when the account is beyond its limit.
bool model_over_limit(const model_account *account);
model_account *model_account_find(model *m, uint64_t id);
// NULL when there is none; expiries have no id.
model_row *model_row_find(model *m, uint64_t id);

#endif
