// Masks a bank's bytes for people. Pure.
#ifndef RAILS_INBOX_MASK_H
#define RAILS_INBOX_MASK_H

#include <stddef.h>

// Overwrites account numbers except for their last four characters. Fields that the parsers read are shown whole, at their own place and in
// their own form. Everywhere else, and in unreadable bytes, each run of five or more digits is hidden, so a harmless number may be hidden,
// too. In JSON an escape counts as the sign that it stands for. Unprintable characters become '?'. bytes: a whole file or message, or lines
// that were set aside.
void inbox_mask(char *bytes, size_t len);

// Hides digits in a bank's words, which are kept: each run of five or more becomes '*', except for the last four of a long one. A run may
// be in groups with up to three bytes between that are no letters, digits or line ends. Dates, times and amounts in their usual form stay.
void inbox_hide_digits(char *text, size_t len);

#endif
