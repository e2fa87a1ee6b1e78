// The instant rail: one HTTPS request a payout, with our idempotency key; the outcome comes in the answer, by query, or by
// a signed webhook.
#ifndef INSTANT_INSTANT_RAIL_H
#define INSTANT_INSTANT_RAIL_H

#include "base/clock.h"
#include "rails/rail.h"
#include "rails/rails_settings.h"

// Reads the API key and the webhook secret. pool, settings and clock must outlive the rail. NULL with *e naming the setting
// at fault. @owned
rail *instant_rail_create(const instant_settings *settings, db_pool *pool,
                          const clock_source *clock, err *e);
// Starts the listener for POST /webhooks/instant on 127.0.0.1, with TLS when the files are given (both or none). At most
// once. wake is called after each commit, on a thread of the listener.
bool instant_rail_start_webhook(rail *r, const char *cert_file, const char *key_file,
                                rail_wake wake, void *arg, err *e) WARN_UNUSED;
int instant_rail_webhook_port(const rail *r); // 0 before the start
// Stops the listener after the requests at hand. Calls of the rail's functions must be over. Accepts NULL.
void instant_rail_destroy(rail *r);

#endif
