#include "rpc/tls_internal.h"

#include <grpc/grpc.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/str.h"

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

// Certificates are public, so anybody may read the file.
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

struct tls_files {
    char *ca_file, *cert_file, *key_file;
    bool insecure;
    atomic_bool wanted; // the next handshake reads them
};

static char *copy_of(const char *path) {
    char *copy = strdup(path != NULL ? path : "");
    ASSERT(copy != NULL);
    return copy;
}

tls_files *tls_files_create(const rpc_tls *tls) {
    tls_files *f = calloc(1, sizeof(*f));
    ASSERT(f != NULL);
    f->ca_file = copy_of(tls->ca_file);
    f->cert_file = copy_of(tls->cert_file);
    f->key_file = copy_of(tls->key_file);
    f->insecure = tls->insecure;
    atomic_init(&f->wanted, true);
    return f;
}

void tls_files_destroy(tls_files *f) {
    if (f != NULL) {
        free(f->ca_file);
        free(f->cert_file);
        free(f->key_file);
        free(f);
    }
}

void tls_files_read_again(tls_files *f) {
    atomic_store(&f->wanted, true);
}

static bool read_config(const tls_files *f, grpc_ssl_server_certificate_config **config, err *e) {
    const rpc_tls tls = {f->ca_file, f->cert_file, f->key_file, false};
    pem_set p = {0};
    const bool ok = pem_set_read(&tls, &p, e);
    if (ok) {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = p.key.text, .cert_chain = p.cert.text};
        *config = grpc_ssl_server_certificate_config_create(p.ca.text, &pair, 1);
    }
    pem_set_wipe(&p);
    return ok;
}

// By core, under a lock of its own, before each handshake. When it fails, core goes on with what it had.
static grpc_ssl_certificate_config_reload_status
on_handshake(void *arg, grpc_ssl_server_certificate_config **config) {
    tls_files *f = arg;
    err e = {0};
    if (!atomic_exchange(&f->wanted, false)) {
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    if (!read_config(f, config, &e)) {
        static log_gate gate;
        atomic_store(&f->wanted, true); // the next handshake tries once more
        if (log_gate_pass(&gate, "rpc.tls.refused", clock_mono_ms(clock_system()))) {
            log_err(LOG_ERROR, "rpc.tls.refused", &e);
        }
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    }
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

grpc_server_credentials *tls_server_credentials(tls_files *f, err *e) {
    if (f->insecure) {
        return grpc_insecure_server_credentials_create();
    }
    // Core would say less.
    grpc_ssl_server_certificate_config *tried = NULL;
    if (!read_config(f, &tried, e)) {
        return NULL;
    }
    grpc_ssl_server_certificate_config_destroy(tried);
    // The call below takes the options over.
    grpc_ssl_server_credentials_options *options =
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, on_handshake, f);
    grpc_server_credentials *creds = grpc_ssl_server_credentials_create_with_options(options);
    if (creds == NULL) {
        err_set(e, ERR_FAILED_PRECONDITION, "TLS_INVALID",
                "the server's certificate or key is not usable");
    }
    return creds;
}

// --- The server's name -------------------------------------------------------------------------------------------------

static bool names_only(X509 *cert, str identity) {
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int n = 0, fit = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
            const str text = {(const char *)ASN1_STRING_get0_data(uri),
                              (size_t)ASN1_STRING_length(uri)};
            n++;
            fit += str_eq(text, identity) ? 1 : 0;
        }
    }
    GENERAL_NAMES_free(names);
    return n == 1 && fit == 1;
}

// By core, after it has found that the certificate is of the authority and for the host. 0: it will do.
static int check_server(const char *host, const char *peer_pem, void *identity) {
    BIO *in = BIO_new_mem_buf(peer_pem, -1);
    ASSERT(in != NULL);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    const bool ok = cert != NULL && names_only(cert, str_of(identity));
    X509_free(cert);
    BIO_free(in);
    ERR_clear_error();
    static log_gate gate;
    if (!ok && log_gate_pass(&gate, "rpc.server_is_another", clock_mono_ms(clock_system()))) {
        log_error("rpc.server_is_another", F_STR("host", host), F_STR("expected", identity));
    }
    return ok ? 0 : 1;
}

grpc_channel_credentials *tls_channel_credentials(const rpc_tls *tls, const char *server_identity,
                                                  err *e) {
    if (tls->insecure) {
        return grpc_insecure_credentials_create();
    }
    grpc_channel_credentials *creds = NULL;
    pem_set p = {0};
    if (!pem_set_read(tls, &p, e)) {
        goto out;
    }
    grpc_ssl_pem_key_cert_pair pair = {.private_key = p.key.text, .cert_chain = p.cert.text};
    const bool named = server_identity != NULL && server_identity[0] != '\0';
    grpc_ssl_verify_peer_options verify = {.verify_peer_callback = check_server,
                                           .verify_peer_destruct = free};
    if (named) {
        verify.verify_peer_callback_userdata = strdup(server_identity); // core frees it
        ASSERT(verify.verify_peer_callback_userdata != NULL);
    }
    creds = grpc_ssl_credentials_create_ex(p.ca.text, &pair, named ? &verify : NULL, NULL);
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

static bool not_after(const X509 *cert, int64_t *unix_s) {
    struct tm end;
    if (cert == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1) {
        return false;
    }
    *unix_s = timegm(&end);
    return true;
}

bool rpc_tls_expiry(const rpc_tls *tls, int64_t *unix_s, err *e) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    ASSERT(ctx != NULL);
    const bool ok = SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) == 1 &&
                    not_after(SSL_CTX_get0_certificate(ctx), unix_s);
    SSL_CTX_free(ctx);
    return ok || unusable(e, "there is no certificate that can be used in", tls->cert_file);
}
