// Shared between the files of the domain only.
#ifndef DOMAIN_APPLY_INTERNAL_H
#define DOMAIN_APPLY_INTERNAL_H

#include "domain/apply.h"

// Checks one event against everything before it. On CREATED *row is filled, except for what appending it sets: sequence,
// timestamp, balances after. On EXISTS *existing is the first one. Changes nothing else.
ledger_transfer_status ledger_transfer_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                             ledger_row *row, ledger_row **existing);

// EXISTS, or the first field in which the repeat differs.
ledger_transfer_status ledger_transfer_compare(const ledger_tx *tx, const ledger_transfer_event *t,
                                               const ledger_row *existing);

// True for a currency of ISO 4217.
bool ledger_currency_known(ledger_currency c);

#endif
