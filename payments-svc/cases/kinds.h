// The kinds of cases, the allowed resolutions of each, and a person's next step: one table. A test checks the lists, the help of payctl and
// docs/payments/cases.md against it.
#ifndef CASES_KINDS_H
#define CASES_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

// The ways a case may end. X(NAME, kind of its event of a person or 0, moves money, meaning)
#define CASE_RESOLUTIONS(X)                                                                        \
    X(RELEASE, 20, false, "let the payout go on from the step at which it was held")               \
    X(RETRY, 21, false,                                                                            \
      "the attempt is dead (not sent, or rejected): let the payout be sent as a new one")          \
    X(SEND_AGAIN, 21, true,                                                                        \
      "the bank may have the attempt and says that it has not: send the payout once more")         \
    X(MARK_PAID, 22, true, "the bank has paid it: book it as settled")                             \
    X(GIVE_BACK, 23, true, "the bank has not paid it and will not: give the money back")           \
    X(WRITE_OFF, 24, true, "leave it as it stands, for good: what is missing is booked elsewhere") \
    X(CANCEL, 25, false, "cancel the payout before it is sent")                                    \
    X(BANK_HAS_IT, 0, true, "the bank has the submission: its payouts wait for the bank's word")   \
    X(BANK_HAS_IT_NOT, 0, true,                                                                    \
      "the bank has not got the submission: its payouts are sent in another one")                  \
    X(DONE, 0, false,                                                                              \
      "it was dealt with elsewhere, the comment says how; a line of the inbox is dismissed")       \
    X(IGNORE, 0, false,                                                                            \
      "it means nothing, nothing needs to follow from it; a line of the inbox is dismissed")

// Bits for the allowed resolutions of a kind.
#define CASE_ORDERS_OF_A_HOLD                                                                      \
    (CASE_BIT(RELEASE) | CASE_BIT(RETRY) | CASE_BIT(SEND_AGAIN) | CASE_BIT(MARK_PAID) |            \
     CASE_BIT(GIVE_BACK) | CASE_BIT(WRITE_OFF) | CASE_BIT(CANCEL))
// A payout that waits for its bank is not dead, so it is not retried.
#define CASE_ORDERS_OF_A_WAIT ((CASE_ORDERS_OF_A_HOLD & ~CASE_BIT(RETRY)) | CASE_NOTES_ONLY)
#define CASE_NOTES_ONLY (CASE_BIT(DONE) | CASE_BIT(IGNORE))
#define CASE_WHERE_IT_IS (CASE_BIT(BANK_HAS_IT) | CASE_BIT(BANK_HAS_IT_NOT) | CASE_NOTES_ONLY)
#define CASE_BIT(name) (1u << CASE_##name)

// X(KIND, subject type, hours until it is due, allowed resolutions, meaning, next step)
#define CASE_KINDS(X)                                                                              \
    X(PAYOUT_HELD, "payout", 4, CASE_ORDERS_OF_A_HOLD,                                             \
      "The payout stands still, for the reason that the case names.",                              \
      "Read the payout's timeline and ask the bank what became of it. Then release it, send it "   \
      "again, mark it as paid, give the money back or write it off.")                              \
    X(PAYOUT_CONTRADICTION, "payout", 4, CASE_ORDERS_OF_A_HOLD,                                    \
      "What the bank says of the payout does not agree with what the ledger says.",                \
      "Compare the bank's statement with the payout's timeline. Mark it as paid if the bank "      \
      "has paid it, give the money back if the bank has not, or write off what cannot be "         \
      "cleared up.")                                                                               \
    X(PAYOUT_UNREADABLE, "payout", 4, CASE_ORDERS_OF_A_HOLD,                                       \
      "The recipient's bank details cannot be opened, so the payout cannot be sent.",              \
      "Put the missing key back into the key ring and release the payout, or give the money "      \
      "back.")                                                                                     \
    X(PAYOUT_LEDGER, "payout", 4, CASE_ORDERS_OF_A_HOLD,                                           \
      "The ledger refused a step of the payout.",                                                  \
      "Look why the ledger refused it (an account that is closed is opened again there), and "     \
      "release the payout; the step is tried with a new id.")                                      \
    X(PAYOUT_OVERDUE, "payout", 8, CASE_ORDERS_OF_A_WAIT,                                          \
      "The payout has stood at one step for longer than its connection allows.",                   \
      "Ask the bank what became of the payout. The case closes by itself when the payout moves "   \
      "on.")                                                                                       \
    X(SUBMISSION_UNKNOWN, "submission", 2, CASE_WHERE_IT_IS,                                       \
      "It is not known whether the bank has the submission.",                                      \
      "Ask the bank for the file by its name, size and total, and say here whether it has it. "    \
      "Do not send it again by hand. If the bank has taken two files with the same payouts, ask "  \
      "it to reverse one of them.")                                                                \
    X(SUBMISSION_REJECTED, "submission", 4, CASE_WHERE_IT_IS,                                      \
      "The bank rejected the submission as a whole.",                                              \
      "Read the bank's reason and correct its cause. If the submission is DISPUTED, the bank may " \
      "have rejected a copy of what it has taken: ask the bank whether it has the file, and say "  \
      "so here. Otherwise the payouts are sent again in a new submission by themselves.")          \
    X(SUBMISSION_OVERDUE, "submission", 4, CASE_NOTES_ONLY,                                        \
      "The submission was prepared but has not been sent for longer than allowed.",                \
      "Look whether the bank can be reached and whether the connection is paused.")                \
    X(INBOX_FILE, "inbox", 4, CASE_NOTES_ONLY,                                                     \
      "A file or message of the bank could not be read as a whole.",                               \
      "Show the file with payctl inbox, repair it or ask the bank for a new one, and apply it "    \
      "again.")                                                                                    \
    X(INBOX_WAITING, "inbox", 2, CASE_NOTES_ONLY,                                                  \
      "A file or message of the bank was recorded and could not be applied for longer than "       \
      "allowed.",                                                                                  \
      "Look into the log why it could not be applied. It is tried again by itself, and the case "  \
      "closes when that succeeds.")                                                                \
    X(INBOX_LINE, "inbox", 24, CASE_NOTES_ONLY,                                                    \
      "A line of the bank matches no payout of ours, does not agree with it, or says what is "     \
      "not known here.",                                                                           \
      "Show the line with payctl inbox, and find what it is about with the bank. End the case "    \
      "with DONE and a comment if its reason says that the line is booked; else apply it again, "  \
      "or ignore it with a comment.")                                                              \
    X(INBOX_NOTICE, "inbox", 72, CASE_NOTES_ONLY,                                                  \
      "The bank tells of a change that needs no money to move, such as a corrected account.",      \
      "Correct the recipient's details within six banking days.")                                  \
    X(DEPOSIT_OVERDUE, "deposit", 4, CASE_NOTES_ONLY,                                              \
      "A deposit has waited for the ledger for longer than allowed, or for being taken back.",     \
      "Look into the log why (deposit.not_finished). It is tried again by itself, and the case "   \
      "closes when the ledger has it or refuses it.")                                              \
    X(DEPOSIT_REFUSED, "deposit", 4, CASE_NOTES_ONLY,                                              \
      "The ledger refused a deposit for good after its call had ended, so nobody was told.",       \
      "Read the reason (an account may be closed), and tell whoever sent the money. Once the "     \
      "cause is gone, credit it with a new key.")                                                  \
    X(FORGOTTEN_FILE, "inbox", 4, CASE_NOTES_ONLY,                                                 \
      "The bank has a file of ours that the database does not know: it was sent before a restore " \
      "or a failover.",                                                                            \
      "Show the file with payctl inbox. Have the clients repeat the payouts that are in it: each " \
      "is then held in a case of its own, and not sent again.")                                    \
    X(CONNECTION_OFF, "connection", 4, CASE_NOTES_ONLY,                                            \
      "Payouts wait for a connection that is switched off.",                                       \
      "Switch the connection on again, or cancel the payouts that wait for it.")                   \
    X(CONNECTION_DOWN, "connection", 2, CASE_NOTES_ONLY,                                           \
      "The bank of a connection does not answer, so nothing is sent to it.",                       \
      "Ask the bank; the connection goes on by itself when the bank answers.")                     \
    X(CONNECTION_UNHEARD, "connection", 2, CASE_NOTES_ONLY,                                        \
      "What the bank of a connection says has not been looked for with success for longer than "   \
      "allowed.",                                                                                  \
      "Look into the log why (ach.inbound.down, instant.sweep_failed); a high "                    \
      "instant_asked_late_seconds says that more is to be asked for again than is managed. "       \
      "Check that the bank's "                                                                     \
      "server is there, that it takes our key, and that its folder can be listed and does not "    \
      "hold too many files. The case closes by itself when a look succeeds.")                      \
    X(CONNECTION_NUMBERS, "connection", 4, CASE_NOTES_ONLY,                                        \
      "The numbers that the scheme allows in a day or cycle run low.",                             \
      "Send fewer, larger submissions, or agree on more numbers with the bank.")                   \
    X(MERCHANT_OWES, "merchant", 24, CASE_NOTES_ONLY,                                              \
      "A bank has paid, or taken back, more than a merchant had, so the merchant owes the "        \
      "difference.",                                                                               \
      "Ask the merchant for the money. Whatever comes in repays it first, and the case closes "    \
      "when nothing is owed any more.")                                                            \
    X(RECOVERY, "book", 1, CASE_NOTES_ONLY,                                                        \
      "The database has forgotten commits, so nothing is sent until all was compared with the "    \
      "banks.",                                                                                    \
      "Compare what is open with each bank, then end the recovery mode.")                          \
    X(CLOCK, "book", 1, CASE_NOTES_ONLY,                                                           \
      "The clock of this machine and the database's disagree by more than allowed.",               \
      "Set the clock right; work goes on by itself afterwards.")

typedef enum case_resolution {
#define CASE_ENUM(name, event, moves_money, meaning) CASE_##name,
    CASE_RESOLUTIONS(CASE_ENUM)
#undef CASE_ENUM
        CASE_N_RESOLUTIONS
} case_resolution;

typedef struct case_kind {
    const char *name;
    const char *subject_type;
    int64_t due_us;   // the time a person has for it
    uint32_t allowed; // CASE_BIT of each resolution
    const char *meaning, *next_step;
} case_kind;

typedef struct case_order {
    const char *name;
    int16_t event_kind; // kind of the resulting event of the person; 0: only a note
    bool moves_money;   // needs evidence
    const char *meaning;
} case_order;

// Never NULL: a kind unknown to this version has a general text and allows only notes.
const case_kind *case_kind_of(str name);
// NULL when no resolution has this name.
const case_order *case_order_of(str name);
const char *case_order_names(void);
// "PAYOUT_HELD, …": all kinds of this version. Static.
const char *case_kind_names(void);
bool case_kind_is_known(str name); // "RELEASE, RETRY ...". Static.
const case_order *case_order_at(case_resolution which);
uint32_t case_order_bit(const case_order *o); // CASE_BIT of an order of the table
// The kinds in the order of the table; NULL at its end.
const case_kind *case_kind_at(size_t index);

#endif
