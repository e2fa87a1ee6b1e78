// The ACH rail: payouts become entries of NACHA files, which are uploaded to the bank by SFTP; what became of them comes
// back as files.
#ifndef ACH_ACH_RAIL_H
#define ACH_ACH_RAIL_H

#include "base/clock.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "rails/rail.h"
#include "rails/rails_settings.h"

// Tells the saga engine that events of a book were committed. Must be cheap and thread-safe.
typedef void (*rail_wake)(void *arg, int64_t book_id);

// Checks the settings and loads the keys; connects on first use. pool, keys, settings and clock must outlive the rail.
// NULL with *e naming the setting at fault. @owned
rail *ach_rail_create(const ach_settings *settings, db_pool *pool, crypto_keyring *keys,
                      const clock_source *clock, err *e);
// Starts the thread that fetches the bank's files every settings->poll_ms. At most once.
bool ach_rail_start_inbound(rail *r, rail_wake wake, void *arg, err *e) WARN_UNUSED;
// Stops the thread (which finishes the file at hand). Calls of the rail's functions must be over. Accepts NULL.
void ach_rail_destroy(rail *r);

#endif
