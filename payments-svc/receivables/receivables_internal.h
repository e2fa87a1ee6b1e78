// Shared by the files of this room only.
#ifndef RECEIVABLES_RECEIVABLES_INTERNAL_H
#define RECEIVABLES_RECEIVABLES_INTERNAL_H

#include "receivables/receivables.h"

#define RECEIVABLE_KIND "MERCHANT_OWES"
#define RECEIVABLE_SUBJECT "merchant"

// The subject of the case: a merchant and a currency. @arena; empty when out of memory.
str receivable_subject(arena *a, str merchant_id, str currency);

#endif
