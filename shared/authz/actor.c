#include "authz/actor.h"

const char *actor_text(const actor_info *who, arena *a) {
    return who->person.len == 0
               ? arena_strndup(a, who->program.ptr, who->program.len)
               : arena_printf(a, "%.*s for %.*s", (int)who->program.len, who->program.ptr,
                              (int)who->person.len, who->person.ptr);
}
