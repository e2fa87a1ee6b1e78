// What a bank wrote, for people's eyes. Pure.
#ifndef RAILS_INBOX_MASK_H
#define RAILS_INBOX_MASK_H

#include <stddef.h>

// Overwrites account numbers but for their last four characters. What is shown whole are the fields that the parsers read, each at its
// own place and in its own form; everywhere else, and in what nobody could read, each run of five and more digits is hidden. So
// a number that is none of an account may be hidden, too. In JSON an escape is the one sign that it stands for. What is
// not printable becomes '?'. bytes: a whole file or message, or the lines of one that were set aside.
void inbox_mask(char *bytes, size_t len);

// In a bank's own words, which are kept: each run of five and more digits becomes '*', but for the last four of a long one. A run may be
// in groups with up to three bytes between two of them that are neither letters nor digits nor the end of a line. Dates, times and
// amounts in their usual form stay.
void inbox_hide_digits(char *text, size_t len);

#endif
