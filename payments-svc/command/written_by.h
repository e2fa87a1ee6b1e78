// Who wrote a row, in the row itself: its columns actor, request_id and trace_id.
#ifndef COMMAND_WRITTEN_BY_H
#define COMMAND_WRITTEN_BY_H

#include "authz/actor.h"
#include "db/db.h"

// The three values, in this order, as parameters or as values of a COPY.
void written_by_params(db_params *p, const actor_info *by, arena *a);
// actor: actor_text of who. Many rows of one call share it.
void written_by_copy(db_copy *w, const actor_info *by, str actor);

#endif
