// Credentials from PEM files.
#ifndef RPC_TLS_INTERNAL_H
#define RPC_TLS_INTERNAL_H

#include <grpc/grpc_security.h>

#include "rpc/rpc.h"

// NULL with *e. The private key's buffer is wiped before they return. @owned: grpc_*_credentials_release.
grpc_server_credentials *tls_server_credentials(const rpc_tls *tls, err *e);
grpc_channel_credentials *tls_channel_credentials(const rpc_tls *tls, err *e);

#endif
