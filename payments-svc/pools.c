#include "pools.h"

#include "saga/engine.h"

// All that intake asks is found by key, one by one, so that its plans do not depend on how much there is, and are kept: planning would
// take as long as the answer.
#define BY_KEY_SESSION                                                                             \
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off "        \
    "-c jit=off"

// Streams find what they read by key, also where a plan was made and kept while the tables were small.
#define STREAM_SESSION "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off"

enum { KEEPER_SIZE = 2, LOOK_SIZE = 6 };

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(pools_settings, "db.intake_pool_size", CONFIG_INT, intake_size, "4", 2, 256, "further connections, for payouts that come in"),
    CONFIG_ROW(pools_settings, "db.stream_pool_size", CONFIG_INT, stream_size, "4", 1, 256, "further connections, for WatchPayouts"),
    CONFIG_ROW(pools_settings, "db.inbound_pool_size", CONFIG_INT, inbound_size, "6", 2, 256, "further connections, for what banks say"),
};
// clang-format on

const config_part POOLS_SETTINGS = CONFIG_PART(ROWS);

static bool open_pool(db_pool **pool, const daemon_common *c, const char *name, int64_t size,
                      const char *session, err *e) {
    const db_pool_options o = {
        .conninfo = c->db_conninfo,
        .application_name = "payments-svc",
        .size = (int)size,
        .statement_timeout_ms = c->db_statement_timeout_ms,
        .metrics_prefix = name,
        .session_options = session,
    };
    *pool = db_pool_create(&o, e);
    return *pool != NULL;
}

bool pools_open(pools *p, const daemon_common *c, const pools_settings *settings, int64_t engine,
                err *e) {
    *p = (pools){0};
    const bool ok =
        open_pool(&p->engine, c, "engine", engine, NULL, e) &&
        open_pool(&p->keeper, c, "keeper", KEEPER_SIZE, NULL, e) &&
        open_pool(&p->look, c, "look", LOOK_SIZE, SAGA_LOOK_SESSION, e) &&
        open_pool(&p->intake, c, "intake", settings->intake_size, BY_KEY_SESSION, e) &&
        open_pool(&p->streams, c, "streams", settings->stream_size, STREAM_SESSION, e) &&
        open_pool(&p->inbound, c, "inbound", settings->inbound_size, NULL, e);
    if (!ok) {
        pools_close(p);
    }
    return ok;
}

void pools_close(pools *p) {
    db_pool *all[] = {p->engine, p->keeper, p->look, p->intake, p->streams, p->inbound};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i] != NULL) {
            db_pool_destroy(all[i]);
        }
    }
    *p = (pools){0};
}
