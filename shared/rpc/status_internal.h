// err ↔ google.rpc.Status, the content of the trailing metadata grpc-status-details-bin.
#ifndef RPC_STATUS_INTERNAL_H
#define RPC_STATUS_INTERNAL_H

#include <grpc/slice.h>

#include "base/err.h"
#include "base/str.h"

#define STATUS_DETAILS_KEY "grpc-status-details-bin"

// Packs code, message, ErrorInfo, and RetryInfo, BadRequest and RequestInfo where they apply. @owned: grpc_slice_unref.
grpc_slice status_pack(const err *e, const char *domain, const char *request_id);
// Reads reason, field and retry delay into *e, whose code and message are already set. Ignores bytes that are not a Status: then the code
// alone counts.
void status_parse(str bytes, err *e);
// Makes the message safe for a protobuf string: each byte that is not UTF-8 becomes '?'.
void status_clean_text(const char *in, char *out, size_t out_len);

#endif
