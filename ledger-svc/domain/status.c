#include "domain/status.h"

#include <stddef.h>

static const char *const TRANSFER_NAMES[] = {
#define NAME_ROW(name, number, burns) [number] = #name,
    LEDGER_TRANSFER_STATUSES(NAME_ROW)
#undef NAME_ROW
};

static const char *const ACCOUNT_NAMES[] = {
#define NAME_ROW(name, number) [number] = #name,
    LEDGER_ACCOUNT_STATUSES(NAME_ROW)
#undef NAME_ROW
};

static const bool TRANSFER_BURNS[] = {
#define BURNS_ROW(name, number, burns) [number] = (burns) == BURNS,
    LEDGER_TRANSFER_STATUSES(BURNS_ROW)
#undef BURNS_ROW
};

const char *ledger_transfer_status_name(ledger_transfer_status status) {
    const size_t i = (size_t)status;
    return i < LEDGER_TRANSFER_STATUS_COUNT && TRANSFER_NAMES[i] != NULL ? TRANSFER_NAMES[i] : "?";
}

const char *ledger_account_status_name(ledger_account_status status) {
    const size_t i = (size_t)status;
    return i < LEDGER_ACCOUNT_STATUS_COUNT && ACCOUNT_NAMES[i] != NULL ? ACCOUNT_NAMES[i] : "?";
}

bool ledger_transfer_status_burns(ledger_transfer_status status) {
    const size_t i = (size_t)status;
    return i < LEDGER_TRANSFER_STATUS_COUNT && TRANSFER_BURNS[i];
}
