// `payments-svc maintain`: moves rows into files when they are finished for longer than they are kept. Runs as the owner of the tables, as
// `migrate` does; the services may run meanwhile.
#ifndef MAINTAIN_MAINTAIN_H
#define MAINTAIN_MAINTAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"

typedef struct maintain_settings {
    const char *dir; // folder of the files
    int64_t payouts_days, step_log_days, deposits_days, submissions_days, inbox_days, cases_days,
        imports_days, feed_days, audit_days;
} maintain_settings;
extern const config_part MAINTAIN_SETTINGS;

extern const char MAINTAIN_HELP[];

// Checks that the archive folder, if one is set, is a folder.
bool maintain_check(const maintain_settings *s, err *e) WARN_UNUSED;

// words: the command line after `maintain`, without --config. conninfo: the owner's. Prints its progress. Returns the exit code: 0 done, 1
// failed, 2 wrong use.
int maintain_main(const maintain_settings *settings, const char *conninfo, int n_words,
                  char **words);

#endif
