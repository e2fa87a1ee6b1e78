#ifndef CONTROL_RECIPIENT_SQL_H
#define CONTROL_RECIPIENT_SQL_H

#include "db/db.h"

extern const db_stmt RECIPIENT_CHECK; // id, merchant, currency of each that there is

#endif
