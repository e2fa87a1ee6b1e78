// Credentials from PEM files.
#ifndef RPC_TLS_INTERNAL_H
#define RPC_TLS_INTERNAL_H

#include <grpc/grpc_security.h>

#include "rpc/rpc.h"

// Certificates of a server, which are read again for the next handshake after they were asked for. Strings are copies.
typedef struct tls_files tls_files;
tls_files *tls_files_create(const rpc_tls *tls);
void tls_files_destroy(tls_files *f);    // when no handshake can come any more
void tls_files_read_again(tls_files *f); // @thread any

// NULL with *e. The private key's buffer is wiped before they return. @owned: grpc_*_credentials_release.
grpc_server_credentials *tls_server_credentials(tls_files *f, err *e);
// server_identity: the one URI that the server's certificate must have; NULL or empty: any.
grpc_channel_credentials *tls_channel_credentials(const rpc_tls *tls, const char *server_identity,
                                                  err *e);

#endif
