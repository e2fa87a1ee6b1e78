// Every SQL string of this room in one table, so that a test can check each for what Citus cannot do.
#ifndef RECON_RECON_SQL_H
#define RECON_RECON_SQL_H

#include "db/db.h"

typedef enum recon_sql {
    RECON_SQL_PAGE,
    RECON_SQL_SAGAS,
    RECON_SQL_ARCHIVED,
    RECON_SQL_COUNT
} recon_sql;

const db_stmt *recon_stmt(recon_sql which);

#endif
