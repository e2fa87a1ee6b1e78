// What deadlines.c and gauges.c share.
#ifndef JOBS_DEADLINES_INTERNAL_H
#define JOBS_DEADLINES_INTERNAL_H

#include "cases/cases.h"
#include "jobs/deadlines.h"
#include "jobs/jobs_sql.h"

typedef struct gauges gauges;

// The steps at which a payout may wait: all but DONE.
enum { DEADLINES_STEPS = 9 };
extern const int16_t DEADLINES_STEP[DEADLINES_STEPS];

struct deadlines {
    deadlines_settings settings;
    connections *connections;
    gauges *gauges;
};

gauges *gauges_create(void);
void gauges_destroy(gauges *g);
// The job: reads the database, and sets this process's gauges.
bool gauges_read(db_conn *c, int64_t now_us, arena *a, void *arg, err *e);

// The rows come sorted by their first column, the book: each book's cases are opened together.
bool deadlines_open(db_conn *c, const db_rows *rows, const case_new *cases, int64_t now_us,
                    arena *a, err *e);
// Closes cases whose reason is gone. The statement takes how many at most, and gives (book, subject) sorted by book.
typedef struct deadlines_closing {
    jobs_sql_id statement;
    const char *const *kinds; // that are closed; NULL ends them
    const char *subject_type, *why;
} deadlines_closing;
bool deadlines_close(db_conn *c, const deadlines_closing *what, int64_t now_us, arena *a, err *e);

// What waits in the inbox (waiting.c).
bool deadlines_inbox(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e);

// Deposits that nobody could end (waiting.c).
bool deadlines_deposits(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e);
// Connections whose bank's folder was not looked through (waiting.c).
bool deadlines_unheard(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e);

bool deadlines_no_memory(err *e); // sets RESOURCE_EXHAUSTED, returns false
// "ach"; "connection 7" of one that is not known here. @arena, or as long as the registry
const char *deadlines_connection_name(const deadlines *d, int id, arena *a);

#endif
