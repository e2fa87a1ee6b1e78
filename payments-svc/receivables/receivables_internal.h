// What the files of this room share. Not for anybody else.
#ifndef RECEIVABLES_RECEIVABLES_INTERNAL_H
#define RECEIVABLES_RECEIVABLES_INTERNAL_H

#include "receivables/receivables.h"

#define RECEIVABLE_KIND "MERCHANT_OWES"
#define RECEIVABLE_SUBJECT "merchant"

// What the case is about: a merchant and a currency. @arena; empty when there is no memory.
str receivable_subject(arena *a, str merchant_id, str currency);

#endif
