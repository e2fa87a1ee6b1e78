// The ACH rail: payouts become entries of NACHA files, which are uploaded to the bank by SFTP; their outcomes come back as files.
#ifndef ACH_ACH_RAIL_H
#define ACH_ACH_RAIL_H

#include "base/clock.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "guard/guard.h"
#include "rails/ach/ach_settings.h"
#include "rails/inbox.h"
#include "rails/rail.h"
#include "rails/scheme.h"

extern const rail_scheme ACH_SCHEME;

// One connection, of this number and name. Checks the settings and loads the keys; connects on first use. All arguments must outlive the
// rail. NULL with *e naming the bad setting. @owned
rail *ach_rail_create(int number, const char *name, const ach_settings *settings, db_pool *pool,
                      crypto_keyring *keys, const clock_source *clock, err *e);
// The bank's files go through box, which must outlive the rail. Once, before the threads start.
void ach_rail_use_inbox(rail *r, inbox *box);
// No file is made or sent while g forbids it. Once, before the threads start; g must outlive them.
void ach_rail_use_guard(rail *r, guard *g);
// Starts the thread that sends submissions, and the thread that fetches the bank's files every settings->poll_ms. At most once.
bool ach_rail_start_inbound(rail *r, err *e) WARN_UNUSED;
// Stops the threads (they finish the current file); from then on the guard is not used. Accepts NULL.
void ach_rail_stop(rail *r);
// Stops and frees the rail. Calls of its functions must be over. Accepts NULL.
void ach_rail_destroy(rail *r);

#endif
