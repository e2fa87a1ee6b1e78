// Shared between the files of the clock only.
#ifndef BASE_CLOCK_INTERNAL_H
#define BASE_CLOCK_INTERNAL_H

#include <stdint.h>

// Test builds only (DISBURSE_CRASH_POINTS): how far the wall clock stands from the machine's, so that a test can step the clock
// of a running service, back too. The first eight bytes of the file that DISBURSE_CLOCK_SHIFT_FILE names, in the machine's byte
// order, microseconds; read anew each time. 0 without the variable. Any thread.
int64_t clock_shift_us(void);

#endif
