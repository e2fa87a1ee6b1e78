// Shared by deadlines.c and gauges.c.
#ifndef JOBS_DEADLINES_INTERNAL_H
#define JOBS_DEADLINES_INTERNAL_H

#include "cases/cases.h"
#include "jobs/deadlines.h"
#include "jobs/jobs_sql.h"

typedef struct gauges gauges;

// The steps at which a payout may wait: all except DONE.
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

// Opens cases; rows are sorted by their first column, the book, and each book's cases are opened together.
bool deadlines_open(db_conn *c, const db_rows *rows, const case_new *cases, int64_t now_us,
                    arena *a, err *e);
// Closes cases whose reason is gone. The statement takes the limit, and returns (book, subject) sorted by book.
typedef struct deadlines_closing {
    jobs_sql_id statement;
    const char *const *kinds; // kinds to close; ends with NULL
    const char *subject_type, *why;
} deadlines_closing;
bool deadlines_close(db_conn *c, const deadlines_closing *what, int64_t now_us, arena *a, err *e);

// Overdue items of the inbox (waiting.c).
bool deadlines_inbox(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e);

// Undecided deposits (waiting.c).
bool deadlines_deposits(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e);
// Connections whose bank was not looked at (waiting.c).
bool deadlines_unheard(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e);

bool deadlines_no_memory(err *e); // sets RESOURCE_EXHAUSTED, returns false
// "ach"; "connection 7" for an unknown one. @arena, or as long as the registry
const char *deadlines_connection_name(const deadlines *d, int id, arena *a);

#endif
