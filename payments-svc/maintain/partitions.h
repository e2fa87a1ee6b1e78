// Partitions the tables that grow with payouts and are only inserted into. The key is payout_id: its first bits are a time.
#ifndef MAINTAIN_PARTITIONS_H
#define MAINTAIN_PARTITIONS_H

#include "base/err.h"

// Makes step_log and rail_event partitioned if they are not. The existing table becomes the first partition, without a copy; running
// services wait only for milliseconds. Then makes the partitions of the coming months. Prints its progress. conninfo: the owner's.
bool partitions_keep(const char *conninfo, err *e) WARN_UNUSED;
// Drops partitions that maintain has emptied and whose month ended so many days ago.
bool partitions_drop_empty(const char *conninfo, int64_t days, err *e) WARN_UNUSED;

#endif
