// The ledger accounts between which a batch moves money.
#include "domain/ids.h"
#include "saga/saga_internal.h"

str saga_bank_account(const saga_batch *b) {
    const char *label = b->from.rail->bank_account;
    return str_of(label != NULL ? label : BANK_ACCOUNT_MAIN);
}
