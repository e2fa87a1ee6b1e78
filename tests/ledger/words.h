// Translates the model's words into the ledger's and back: a request of the model into one for the posting rules, and a comparison of both
// results. For the subjects.
#ifndef LEDGER_WORDS_H
#define LEDGER_WORDS_H

#include "base/arena.h"
#include "domain/apply.h"
#include "model.h"

uuid words_id(uint64_t n);
int64_t words_number(uuid id); // an id as a number again
ledger_currency words_currency(int c);

// Texts are the arena's.
ledger_account_event words_account_event(arena *a, const model_event *e);
ledger_transfer_event words_transfer_event(arena *a, const model_event *e);

// A sentence about one field, for a person. Valid until the next call, as are the answers of the two functions below.
const char *words_differ(const char *what, uint64_t where, const char *field, int64_t wanted,
                         int64_t got);
// NULL when all is equal. row: with its later fate (resolution, reversal). at: the sequence that it must have.
const char *words_row_differs(const ledger_row *row, const model_row *want, uint64_t at);
const char *words_account_differs(const ledger_account *got, const model_account *want);

#endif
