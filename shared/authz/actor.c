#include "authz/actor.h"

#include <string.h>

static const char KNOWN[] = " for ", STATED[] = " says for ";

const char *actor_text(const actor_info *who, arena *a) {
    return who->person.len == 0
               ? arena_strndup(a, who->program.ptr, who->program.len)
               : arena_printf(a, "%.*s%s%.*s", (int)who->program.len, who->program.ptr,
                              who->stated ? STATED : KNOWN, (int)who->person.len, who->person.ptr);
}

static bool read_person(str rest, const char *link, str *person) {
    const size_t n = strlen(link);
    if (rest.len <= n || memcmp(rest.ptr, link, n) != 0) {
        return false;
    }
    *person = (str){rest.ptr + n, rest.len - n};
    return true;
}

void actor_read(str text, actor_info *who) {
    const char *blank = text.len == 0 ? NULL : memchr(text.ptr, ' ', text.len);
    const size_t len = blank == NULL ? text.len : (size_t)(blank - text.ptr);
    const str rest = {text.ptr + len, text.len - len};
    who->program = (str){text.ptr, len};
    who->person = STR("");
    who->stated = read_person(rest, STATED, &who->person);
    (void)(who->stated || read_person(rest, KNOWN, &who->person));
}

uuid actor_trace(const actor_info *who) {
    uuid trace = {{0}};
    if (who->trace_id.len != 2 * sizeof trace.b ||
        !str_unhex(who->trace_id, trace.b, sizeof trace.b)) {
        trace = (uuid){{0}};
    }
    return trace;
}
