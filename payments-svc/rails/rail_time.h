// Times in the banks' spelling.
#ifndef RAILS_RAIL_TIME_H
#define RAILS_RAIL_TIME_H

#include "base/err.h"
#include "base/str.h"

// RFC 3339 with 'T', seconds, up to 9 digits of fraction, and 'Z' or an offset. False on anything else.
bool rail_time_parse(str s, int64_t *wall_us) WARN_UNUSED;

#endif
