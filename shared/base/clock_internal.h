// Shared between the files of the clock only.
#ifndef BASE_CLOCK_INTERNAL_H
#define BASE_CLOCK_INTERNAL_H

#include <stdint.h>

// Test builds only (DISBURSE_CRASH_POINTS): the distance of the wall clock from the machine's, so that a test can step a running service's
// clock, also back. The file named by DISBURSE_CLOCK_SHIFT_FILE has it in its first eight bytes: microseconds, in the machine's byte order,
// read at each call. 0 without the variable. Any thread.
int64_t clock_shift_us(void);

#endif
