// The real posting rules (ledger-svc/domain), given the model's requests and compared with the model.
#ifndef LEDGER_SUBJECT_H
#define LEDGER_SUBJECT_H

#include "generate.h"

typedef struct subject subject;

subject *subject_create(void);
void subject_destroy(subject *s);

// Applies the events [first, end) of a step at a time. releases: first releases what has run out.
void subject_apply(subject *s, const model_step *step, size_t first, size_t end, int64_t now_us,
                   bool releases);
// The status of event i of the last subject_apply whose range held it.
const char *subject_status(const subject *s, size_t i);

// Each answers NULL when all is equal, else the difference, for a person.
const char *subject_differs_from_results(const subject *s, const model *m, const model_step *step,
                                         const model_result *results);
const char *subject_differs_from_rows(const subject *s, const model *m);
const char *subject_differs_from_accounts(const subject *s, const model *m);
const char *subject_differs_from(const subject *s, const subject *other, size_t n_events);
// Debits equal credits in each currency, and the journal replays to the balances.
const char *subject_out_of_balance(const subject *s);

#endif
