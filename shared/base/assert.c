#include "base/assert.h"

#include <stdlib.h>

#include "base/log_internal.h"

_Noreturn void assert_failed(const char *condition, const char *site) {
    log_panic("assert.failed", condition, site);
    abort();
}
