// A command that notes a text for a merchant, once for each key.
#ifndef EXAMPLE_COMMAND_H
#define EXAMPLE_COMMAND_H

#include "command/idempotency.h"

typedef struct example_note {
    str merchant_id, key, text;
    int64_t book_id;
} example_note;

// *answer: the first answer to this key. ALREADY_EXISTS when the key stands for another text. @arena
bool example_note_take(db_pool *pool, const crypto_keyring *keys, const example_note *note,
                       str *answer, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

#endif
