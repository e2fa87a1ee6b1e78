// Tables that grow with payouts and are only inserted into are partitioned by time, through payout_id, whose first bits are a time.
#ifndef MAINTAIN_PARTITIONS_H
#define MAINTAIN_PARTITIONS_H

#include "base/err.h"

// Makes step_log and rail_event partitioned when they are not: the table that is there becomes the first partition, without a copy, and
// services that run wait for milliseconds only. Then makes the partitions of the coming months. Prints what it does. conninfo: the owner's.
bool partitions_keep(const char *conninfo, err *e) WARN_UNUSED;
// Drops partitions of months that ended that many days ago, when maintain has emptied them.
bool partitions_drop_empty(const char *conninfo, int64_t days, err *e) WARN_UNUSED;

#endif
