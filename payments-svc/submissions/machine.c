#include "submissions/machine.h"

submission_task submission_next(submission_state state, const submission_evidence *known,
                                bool readable, int64_t now_us, int64_t stale_us) {
    switch (state) {
    case SUBMISSION_PREPARED:
        if (known->finished || known->accepted || known->items_heard) {
            return TASK_RECORD_SENT; // a database that has forgotten learns of its own file
        }
        if (known->at_risk > 0) {
            return TASK_ASK; // impossible, but a database may say so
        }
        if (!readable || now_us >= stale_us) {
            return TASK_WITHDRAW;
        }
        return TASK_SEND;
    case SUBMISSION_SENDING:
    case SUBMISSION_UNKNOWN:
        return known->finished || known->accepted || known->items_heard ? TASK_RECORD_SENT
               : readable                                               ? TASK_ASK
                                                                        : TASK_WAIT_READ;
    case SUBMISSION_SENT:
    case SUBMISSION_ACKED:
    case SUBMISSION_REJECTED:
    case SUBMISSION_WITHDRAWN:
    case SUBMISSION_DISPUTED: break;
    }
    return TASK_NONE;
}

bool submission_absence_counts(const submission_evidence *known, bool archive_complete,
                               int64_t lag_ms) {
    return archive_complete && known->absent_ms > lag_ms;
}

submission_finding submission_judge(const submission_evidence *known, submission_look look,
                                    bool taken_back, bool absence_counts) {
    if (known->finished || known->accepted || known->items_heard) {
        return FINDING_SENT;
    }
    // A file that is still there under its temporary name was not taken under this name.
    const bool exposed = known->exposed && !taken_back;
    switch (look) {
    case LOOK_THERE: return FINDING_SENT;
    case LOOK_SAME_SIZE:
        // Where the bank prescribes names, a forgotten file may have the same name and size.
        return known->at_risk > 0 ? FINDING_SENT : exposed ? FINDING_UNKNOWN : FINDING_NAME_TAKEN;
    case LOOK_FAILED: return FINDING_UNKNOWN;
    case LOOK_OTHER:
        // The other file may have replaced ours, or may have come after the bank took ours.
        return known->at_risk == 0 && !exposed ? FINDING_NAME_TAKEN : FINDING_UNKNOWN;
    case LOOK_UNPROVEN: absence_counts = false; break; // whatever the settings say of its archive
    case LOOK_ABSENT: break;
    }
    if (known->at_risk == 0 && !exposed) {
        return FINDING_NOT_SENT;
    }
    // If more than one last step was begun, a temporary file proves nothing about the other steps.
    if (taken_back && known->at_risk == 1) {
        return FINDING_NOT_SENT;
    }
    return absence_counts ? FINDING_NOT_SENT : FINDING_UNKNOWN;
}

submission_word submission_hear(submission_state state, const submission_evidence *known,
                                bool accepted, bool sure) {
    if (accepted) {
        switch (state) {
        // PREPARED: a forgotten upload has sent it. The bank has it, so it must not go again.
        case SUBMISSION_PREPARED:
        case SUBMISSION_SENDING:
        case SUBMISSION_SENT:
        case SUBMISSION_UNKNOWN: return WORD_ACCEPT;
        case SUBMISSION_ACKED: return WORD_REPEAT;
        case SUBMISSION_REJECTED:
        case SUBMISSION_WITHDRAWN:
        case SUBMISSION_DISPUTED: break;
        }
        return WORD_CONTRARY;
    }
    if (state == SUBMISSION_REJECTED || state == SUBMISSION_DISPUTED) {
        return WORD_REPEAT;
    }
    if (state == SUBMISSION_WITHDRAWN || known->items_heard) {
        return WORD_CONTRARY;
    }
    // A rejection speaks of one upload. There may have been two, or the bank may have taken the file twice by itself. Then the rejection
    // may mean the copy, and the original may be paid.
    const bool under_way =
        state == SUBMISSION_SENDING || state == SUBMISSION_SENT || state == SUBMISSION_UNKNOWN;
    const bool once = known->at_risk <= 1 && known->possible <= 1;
    return under_way && sure && once && !known->accepted ? WORD_REJECT : WORD_DISPUTE;
}

const char *submission_state_name(int state) {
    switch (state) {
#define SUBMISSION_NAME(name, number)                                                              \
    case number: return #name;
        SUBMISSION_STATES(SUBMISSION_NAME)
    default: return "?";
    }
}

const char *submission_evidence_name(int kind) {
    switch (kind) {
        SUBMISSION_EVIDENCE(SUBMISSION_NAME)
#undef SUBMISSION_NAME
    default: return "?";
    }
}
