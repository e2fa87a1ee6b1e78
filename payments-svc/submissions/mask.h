// Files for people's eyes. Pure.
#ifndef SUBMISSIONS_MASK_H
#define SUBMISSIONS_MASK_H

#include <stdbool.h>
#include <stddef.h>

// Overwrites the account numbers of a NACHA file except for their last four characters. False, with nothing changed, when the bytes have
// another form: then the places of account numbers are unknown, and the bytes must not be shown.
bool submission_mask_nacha(char *bytes, size_t len);

#endif
