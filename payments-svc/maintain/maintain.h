// `payments-svc maintain`: what is finished for longer than it is kept goes into files, and out of the tables. Runs as the owner of the
// tables, as `migrate` does; the services may run meanwhile.
#ifndef MAINTAIN_MAINTAIN_H
#define MAINTAIN_MAINTAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct maintain_settings {
    const char *dir; // of the files
    int64_t payouts_days, step_log_days, deposits_days, submissions_days, inbox_days, cases_days,
        imports_days, feed_days;
} maintain_settings;

extern const char MAINTAIN_HELP[];

// Whether the folder for the archives, if one is set, is one.
bool maintain_check(const maintain_settings *s, err *e) WARN_UNUSED;

// words: what stands on the command line behind `maintain`, without --config. conninfo: the owner's. Prints what it does.
// The exit code: 0 done, 1 failed, 2 wrong use.
int maintain_main(const maintain_settings *settings, const char *conninfo, int n_words,
                  char **words);

#endif
