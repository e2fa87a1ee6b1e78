#include "command/written_by.h"

void written_by_params(db_params *p, const actor_info *by, arena *a) {
    const char *actor = actor_text(by, a);
    const uuid trace = actor_trace(by);
    // Where the arena is full, the other parameters fail the statement as well.
    db_text(p, actor == NULL ? by->program : str_of(actor));
    db_text(p, by->request_id);
    if (uuid_is_nil(trace)) {
        db_null(p, OID_UUID);
    } else {
        db_uuid(p, trace);
    }
}

void written_by_copy(db_copy *w, const actor_info *by, str actor) {
    const uuid trace = actor_trace(by);
    db_copy_text(w, actor);
    db_copy_text(w, by->request_id);
    if (uuid_is_nil(trace)) {
        db_copy_null(w);
    } else {
        db_copy_uuid(w, trace);
    }
}
