#ifndef CONTROL_RECIPIENT_SQL_H
#define CONTROL_RECIPIENT_SQL_H

#include "db/db.h"

extern const db_stmt RECIPIENT_CHECK; // id, merchant and currency of each existing recipient

#endif
