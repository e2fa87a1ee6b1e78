// Who may call what. One row for each method of the public services: without it the service does not start.
//
// What can be asked for without a merchant (a case, a file, a submission, a connection) may be about any of them, so it takes a caller who
// has all. docs/operating/policy.md says the same for people.
#include "api/service.h"

enum {
    // Callers that send payouts, and callers that look at payouts.
    SENDS = AUTHZ_PAYER | AUTHZ_MAKER,
    LOOKS_AT_PAYOUTS = SENDS | AUTHZ_CHECKER | AUTHZ_OPERATOR | AUTHZ_COMPLIANCE | AUTHZ_AUDITOR,
    LOOKS_AT_MERCHANTS = LOOKS_AT_PAYOUTS | AUTHZ_PLATFORM,
    LOOKS_AT_CASES = AUTHZ_OPERATOR | AUTHZ_COMPLIANCE | AUTHZ_AUDITOR,
    LOOKS_AT_BANKS = AUTHZ_OPERATOR | AUTHZ_AUDITOR,
    EVERYBODY = LOOKS_AT_MERCHANTS | AUTHZ_GATEWAY | AUTHZ_BOOKKEEPER
};

#define MERCHANTS "payments.v1.MerchantService/"
#define RECIPIENTS "payments.v1.RecipientService/"
#define PAYOUTS "payments.v1.PayoutService/"
#define CASES "payments.v1.CaseService/"
#define RECONCILIATION "payments.v1.ReconciliationService/"
#define CONNECTIONS "payments.v1.ConnectionService/"
#define SUBMISSIONS "payments.v1.SubmissionService/"
#define INBOX "payments.v1.InboxService/"
#define IMPORTS "payments.v1.ImportService/"
#define FEED "payments.v1.FeedService/"
#define AUDIT "payments.v1.AuditService/"
#define KEYS "payments.v1.KeyService/"
#define IDENTITY "payments.v1.IdentityService/"

// clang-format off
const authz_permission PAYMENTS_PERMISSIONS[] = {
    {MERCHANTS "CreateMerchant", AUTHZ_PLATFORM, AUTHZ_ON_MERCHANT},
    {MERCHANTS "UpdateMerchant", AUTHZ_PLATFORM, AUTHZ_ON_MERCHANT},
    {MERCHANTS "GetMerchant", LOOKS_AT_MERCHANTS, AUTHZ_ON_MERCHANT},
    {MERCHANTS "ListMerchants", LOOKS_AT_MERCHANTS, AUTHZ_ON_ALL},
    {MERCHANTS "CreateDeposit", AUTHZ_PLATFORM, AUTHZ_ON_MERCHANT},
    {MERCHANTS "GetDeposit", LOOKS_AT_MERCHANTS, AUTHZ_ON_MERCHANT},
    {MERCHANTS "ListDeposits", LOOKS_AT_MERCHANTS, AUTHZ_ON_MERCHANT},
    {MERCHANTS "TakeBackDeposit", AUTHZ_PLATFORM, AUTHZ_ON_MERCHANT},
    {MERCHANTS "GetBalance", LOOKS_AT_MERCHANTS, AUTHZ_ON_MERCHANT},

    {RECIPIENTS "CreateRecipient", SENDS, AUTHZ_ON_MERCHANT},
    {RECIPIENTS "BulkCreateRecipients", SENDS, AUTHZ_ON_MERCHANT},
    {RECIPIENTS "GetRecipient", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {RECIPIENTS "ListRecipients", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},

    {PAYOUTS "CreatePayout", SENDS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "BulkCreatePayouts", SENDS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "ValidatePayouts", SENDS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "GetPayout", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "ListPayouts", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "SummarizePayouts", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "GetPayoutTimeline", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "CancelPayout", SENDS | AUTHZ_OPERATOR, AUTHZ_ON_MERCHANT},
    {PAYOUTS "AwaitPayout", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {PAYOUTS "WatchPayouts", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},

    {CASES "ListCases", LOOKS_AT_CASES, AUTHZ_ON_MERCHANT_OR_ALL},
    {CASES "GetCase", LOOKS_AT_CASES, AUTHZ_ON_ALL},
    {CASES "AssignCase", AUTHZ_OPERATOR | AUTHZ_COMPLIANCE, AUTHZ_ON_ALL},
    {CASES "CommentCase", AUTHZ_OPERATOR | AUTHZ_COMPLIANCE, AUTHZ_ON_ALL},
    {CASES "ResolveCase", AUTHZ_OPERATOR, AUTHZ_ON_ALL},

    // The proof shows the accounts and differences of a whole book, which other merchants share.
    {RECONCILIATION "ProveBook", LOOKS_AT_BANKS, AUTHZ_ON_ALL},

    {CONNECTIONS "ListConnections", LOOKS_AT_BANKS, AUTHZ_ON_ALL},
    {CONNECTIONS "PauseConnection", AUTHZ_OPERATOR, AUTHZ_ON_MERCHANT_OR_ALL},
    {CONNECTIONS "ResumeConnection", AUTHZ_OPERATOR, AUTHZ_ON_MERCHANT_OR_ALL},
    {CONNECTIONS "GetCapabilities", LOOKS_AT_MERCHANTS, AUTHZ_ON_NOTHING},
    {CONNECTIONS "GetRecovery", LOOKS_AT_MERCHANTS, AUTHZ_ON_NOTHING},

    // A file has payouts of many merchants.
    {SUBMISSIONS "ListSubmissions", LOOKS_AT_BANKS, AUTHZ_ON_ALL},
    {SUBMISSIONS "GetSubmission", LOOKS_AT_BANKS, AUTHZ_ON_ALL},

    {INBOX "ListInbox", LOOKS_AT_BANKS, AUTHZ_ON_ALL},
    {INBOX "GetInbox", LOOKS_AT_BANKS, AUTHZ_ON_ALL},
    {INBOX "ListExceptions", LOOKS_AT_BANKS, AUTHZ_ON_ALL},
    {INBOX "ApplyInbox", AUTHZ_OPERATOR, AUTHZ_ON_ALL},
    {INBOX "DismissException", AUTHZ_OPERATOR, AUTHZ_ON_ALL},
    {INBOX "RepairInbox", AUTHZ_OPERATOR, AUTHZ_ON_ALL},

    {IMPORTS "CreateImport", SENDS, AUTHZ_ON_MERCHANT},
    {IMPORTS "UploadImport", SENDS, AUTHZ_ON_MERCHANT},
    {IMPORTS "FinishImport", SENDS, AUTHZ_ON_MERCHANT},
    {IMPORTS "StartImport", SENDS, AUTHZ_ON_MERCHANT},
    {IMPORTS "CancelImport", SENDS | AUTHZ_OPERATOR, AUTHZ_ON_MERCHANT},
    {IMPORTS "GetImport", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {IMPORTS "ListImports", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {IMPORTS "ListImportFaults", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},
    {IMPORTS "ListImportResults", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT},

    {FEED "Read", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT_OR_ALL},
    {FEED "GetFeed", LOOKS_AT_PAYOUTS, AUTHZ_ON_MERCHANT_OR_ALL},

    {AUDIT "ListAudit", LOOKS_AT_BANKS, AUTHZ_ON_MERCHANT_OR_ALL},

    {KEYS "ListKeys", LOOKS_AT_BANKS, AUTHZ_ON_ALL},
    {KEYS "RotateKeys", AUTHZ_OPERATOR, AUTHZ_ON_ALL},

    {IDENTITY "WhoAmI", EVERYBODY, AUTHZ_ON_NOTHING},
};
// clang-format on
const size_t N_PAYMENTS_PERMISSIONS = sizeof PAYMENTS_PERMISSIONS / sizeof PAYMENTS_PERMISSIONS[0];
