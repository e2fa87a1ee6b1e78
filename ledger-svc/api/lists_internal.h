// Shared between the files of the api that answer lists, balances as of a moment, and statements.
#ifndef API_LISTS_INTERNAL_H
#define API_LISTS_INTERNAL_H

#include "api/api_internal.h"
#include "query/query.h"

enum { LIST_PAGE_DEFAULT = 100 };

// --- pages.c: page sizes and tokens ----------------------------------------------------------------------------------

bool api_page_size(uint32_t asked, size_t *out, err *e) WARN_UNUSED;
bool api_order(Ledger__V1__ListOrder order, bool *newest_first, err *e) WARN_UNUSED;

enum { PAGE_PLACE_MAX = 8 }; // numbers

typedef struct page_range {
    int64_t lowest, highest;
} page_range;

// The range of a sequence or time that a list continues from: adding or subtracting one must not overflow.
#define PAGE_POSITION                                                                              \
    { 1, INT64_MAX - 1 }

// The end of a page, in numbers, and the page's list: the call, and its request without page_size and page_token.
typedef struct page_token {
    const ProtobufCMessage *request;   // with page_size 0 and page_token ""
    page_range ranges[PAGE_PLACE_MAX]; // the allowed values of a place's numbers
    int64_t place[PAGE_PLACE_MAX];
    size_t n;
} page_token;

// Makes the token's text. NULL: the arena is full, *e says so.
char *api_page_token_make(arena *a, const page_token *t, err *e);
// Fills place. Refuses a token that api_page_token_make did not make for this request. Also refuses a place at which no page can end: the
// checksum is no secret, so anyone can make a token.
bool api_page_token_read(arena *a, const char *text, page_token *t, err *e) WARN_UNUSED;

// --- filters.c -------------------------------------------------------------------------------------------------------

// filter NULL is the empty one. False names the field: "filter.code".
bool api_transfer_filter_decode(const Ledger__V1__TransferFilter *filter, query_transfers *q,
                                err *e) WARN_UNUSED;
bool api_account_filter_decode(const Ledger__V1__AccountFilter *filter, query_accounts *q,
                               err *e) WARN_UNUSED;
// Checks the times of a range; 0 is open.
bool api_times_check(int64_t from_us, int64_t to_us, const char *from_field, const char *to_field,
                     err *e) WARN_UNUSED;
bool api_refuse_field(err *e, const char *reason, const char *field, const char *what);

// --- The common answer of all calls when book or account is missing; true when both exist ----------------------------

bool api_found(bool book_exists, bool account_exists, const char *account_field,
               err *e) WARN_UNUSED;

#endif
