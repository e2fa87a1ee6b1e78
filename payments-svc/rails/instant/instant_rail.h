// The instant rail: one HTTPS request per payout, with our idempotency key. The outcome comes in the answer, by query, or by a signed
// webhook.
#ifndef INSTANT_INSTANT_RAIL_H
#define INSTANT_INSTANT_RAIL_H

#include "base/clock.h"
#include "rails/inbox.h"
#include "rails/instant/instant_settings.h"
#include "rails/rail.h"
#include "rails/scheme.h"

extern const rail_scheme INSTANT_SCHEME;

// One connection, of this number and name. Reads the API key and the webhook secret. All arguments must outlive the rail. NULL with *e
// naming the bad setting. @owned
rail *instant_rail_create(int number, const char *name, const instant_settings *settings,
                          db_pool *pool, const clock_source *clock, err *e);
// The bank's own words go through box, which must outlive the rail. Once, before the starts below.
void instant_rail_use_inbox(rail *r, inbox *box);
// Starts the listener for POST /webhooks/instant on 127.0.0.1, with TLS if the files are given (both or none). At most once.
bool instant_rail_start_webhook(rail *r, const char *cert_file, const char *key_file,
                                err *e) WARN_UNUSED;
// Starts the thread that applies recorded items and asks again for settled payouts. At most once.
bool instant_rail_start_sweep(rail *r, err *e) WARN_UNUSED;
bool instant_rail_webhook_certificate(rail *base, const char *cert_file, const char *key_file,
                                      err *e) WARN_UNUSED; // see http_server_certificate
int instant_rail_webhook_port(const rail *r);              // 0 before the start
// Stops the listener after the current requests. Calls of the rail's functions must be over. Accepts NULL.
void instant_rail_destroy(rail *r);

#endif
