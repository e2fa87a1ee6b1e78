// A line of the heads file: an accepted line is exactly what we would have written.
#include <string.h>

#include "audit/head.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char line[HEAD_LINE_MAX];
    tree_head head;
    if (head_line_read(fuzz_str(data, size), &head)) {
        const size_t len = head_line_write(&head, line);
        ASSERT(len == size + 1 && line[size] == '\n' && memcmp(line, data, size) == 0);
        (void)head_follows(&head, NULL);
    }
    return 0;
}
