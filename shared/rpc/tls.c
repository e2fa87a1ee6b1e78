#include "rpc/tls_internal.h"

#include <grpc/grpc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/config.h"

enum { PEM_MAX = 256 * 1024 };

typedef struct pem {
    char *text;
    size_t len;
} pem;

typedef struct pem_set {
    pem ca, cert, key;
} pem_set;

static void pem_set_wipe(pem_set *p) {
    config_wipe(p->ca.text, p->ca.len);
    config_wipe(p->cert.text, p->cert.len);
    config_wipe(p->key.text, p->key.len);
}

// Certificates are public: whoever may read the file may.
static bool read_public(const char *what, const char *path, pem *out, err *e) {
    FILE *in = fopen(path, "rbe");
    if (in == NULL) {
        return err_set(e, ERR_FAILED_PRECONDITION, "TLS_FILE_MISSING", "cannot open the %s %s",
                       what, path);
    }
    out->text = calloc(1, PEM_MAX + 1);
    ASSERT(out->text != NULL);
    out->len = fread(out->text, 1, PEM_MAX, in);
    bool ok = !ferror(in) && out->len < PEM_MAX;
    fclose(in);
    return ok || err_set(e, ERR_FAILED_PRECONDITION, "TLS_FILE_INVALID", "cannot read the %s %s",
                         what, path);
}

static bool pem_read(const char *what, const char *path, bool secret, pem *out, err *e) {
    if (path == NULL || path[0] == '\0') {
        return err_set(e, ERR_FAILED_PRECONDITION, "TLS_FILE_MISSING", "no %s is configured", what);
    }
    bool ok = secret ? config_read_secret(path, PEM_MAX, &out->text, &out->len, e)
                     : read_public(what, path, out, e);
    if (!ok) {
        return false;
    }
    ASSERT(out->text != NULL);
    // Core hands the text to OpenSSL, whose complaint would come much later and without the file's name.
    if (memchr(out->text, '\0', out->len) != NULL || strstr(out->text, "-----BEGIN ") == NULL) {
        return err_set(e, ERR_FAILED_PRECONDITION, "TLS_FILE_INVALID", "the %s is not PEM", what);
    }
    return true;
}

static bool pem_set_read(const rpc_tls *tls, pem_set *out, err *e) {
    return pem_read("CA file", tls->ca_file, false, &out->ca, e) &&
           pem_read("certificate file", tls->cert_file, false, &out->cert, e) &&
           pem_read("private key file", tls->key_file, true, &out->key, e);
}

grpc_server_credentials *tls_server_credentials(const rpc_tls *tls, err *e) {
    if (tls->insecure) {
        return grpc_insecure_server_credentials_create();
    }
    grpc_server_credentials *creds = NULL;
    pem_set p = {0};
    if (!pem_set_read(tls, &p, e)) {
        goto out;
    }
    grpc_ssl_pem_key_cert_pair pair = {.private_key = p.key.text, .cert_chain = p.cert.text};
    grpc_ssl_server_certificate_config *config =
        grpc_ssl_server_certificate_config_create(p.ca.text, &pair, 1);
    // Both calls below take over what they are given.
    grpc_ssl_server_credentials_options *options =
        grpc_ssl_server_credentials_create_options_using_config(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, config);
    creds = grpc_ssl_server_credentials_create_with_options(options);
    if (creds == NULL) {
        err_set(e, ERR_FAILED_PRECONDITION, "TLS_INVALID",
                "the server's certificate or key is not usable");
    }
out:
    pem_set_wipe(&p);
    return creds;
}

grpc_channel_credentials *tls_channel_credentials(const rpc_tls *tls, err *e) {
    if (tls->insecure) {
        return grpc_insecure_credentials_create();
    }
    grpc_channel_credentials *creds = NULL;
    pem_set p = {0};
    if (!pem_set_read(tls, &p, e)) {
        goto out;
    }
    grpc_ssl_pem_key_cert_pair pair = {.private_key = p.key.text, .cert_chain = p.cert.text};
    creds = grpc_ssl_credentials_create_ex(p.ca.text, &pair, NULL, NULL);
    if (creds == NULL) {
        err_set(e, ERR_FAILED_PRECONDITION, "TLS_INVALID",
                "the client's certificate or key is not usable");
    }
out:
    pem_set_wipe(&p);
    return creds;
}

// --- Before anything is started --------------------------------------------------------------------------------------

static bool unusable(err *e, const char *what, const char *path) {
    ERR_clear_error(); // of this thread: nobody is to find it later
    return err_set(e, ERR_FAILED_PRECONDITION, "TLS_INVALID", "%s %.150s", what, path);
}

// gRPC finds out with the first connection, and says so to the peer alone.
static bool fit_together(const rpc_tls *tls, SSL_CTX *ctx, err *e) {
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1) {
        return unusable(e, "there is no certificate that can be used in", tls->cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return unusable(e, "the key of the certificate is not the one in", tls->key_file);
    }
    return SSL_CTX_load_verify_locations(ctx, tls->ca_file, NULL) == 1 ||
           unusable(e, "there is no authority's certificate in", tls->ca_file);
}

bool rpc_tls_check(const rpc_tls *tls, err *e) {
    if (tls->insecure) {
        return true;
    }
    pem_set p = {0};
    bool ok = pem_set_read(tls, &p, e);
    pem_set_wipe(&p);
    if (ok) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_method());
        ASSERT(ctx != NULL);
        ok = fit_together(tls, ctx, e);
        SSL_CTX_free(ctx);
    }
    return ok;
}
