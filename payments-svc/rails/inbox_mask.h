// What a bank wrote, for people's eyes. Pure.
#ifndef RAILS_INBOX_MASK_H
#define RAILS_INBOX_MASK_H

#include <stddef.h>

// Overwrites account numbers but for their last four characters, whatever form the bytes have: also those of a file that nobody could
// read. Of lines that do not have their form, more is hidden rather than less. What is not printable becomes '?'.
void inbox_mask(char *bytes, size_t len);

#endif
