// The ACH rail: payouts become entries of NACHA files, which are uploaded to the bank by SFTP; what became of them comes
// back as files.
#ifndef ACH_ACH_RAIL_H
#define ACH_ACH_RAIL_H

#include "base/clock.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "guard/guard.h"
#include "rails/inbox.h"
#include "rails/rail.h"
#include "rails/rails_settings.h"
#include "rails/scheme.h"

extern const rail_scheme ACH_SCHEME;

// One connection, of this number and name. Checks the settings and loads the keys; connects on first use. All that is given must
// outlive the rail. NULL with *e naming the setting at fault. @owned
rail *ach_rail_create(int number, const char *name, const ach_settings *settings, db_pool *pool,
                      crypto_keyring *keys, const clock_source *clock, err *e);
// What the bank's files say goes through box, which must outlive the rail. Once, before the start of the threads.
void ach_rail_use_inbox(rail *r, inbox *box);
// No file is made or sent while g forbids it. Once, before the start of the threads; g must outlive them.
void ach_rail_use_guard(rail *r, guard *g);
// Starts the thread that sends submissions, and the one that fetches the bank's files every settings->poll_ms. At most once.
bool ach_rail_start_inbound(rail *r, err *e) WARN_UNUSED;
// Stops the threads (which finish the file at hand); from then on the guard is not used. Accepts NULL.
void ach_rail_stop(rail *r);
// Stops it, and frees it. Calls of the rail's functions must be over. Accepts NULL.
void ach_rail_destroy(rail *r);

#endif
