#include "who/who.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "crypto/crypto.h"

enum { KEY_LEN = 32, TEXT_MAX = 512 };

struct who {
    char key[KEY_LEN];
};

static bool os_failed(err *e, const char *what, const char *path) {
    int why = errno;
    (void)err_set(e, ERR_UNAVAILABLE, "WHO_KEY", "the bank's own key could not be used");
    return err_detail(e, "%s %s: %s", what, path, strerror(why));
}

static bool make_key(who *w, const char *path, err *e) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return os_failed(e, "create", path);
    }
    bool ok =
        getentropy(w->key, KEY_LEN) == 0 && write(fd, w->key, KEY_LEN) == KEY_LEN && fsync(fd) == 0;
    ok = ok || os_failed(e, "write", path);
    (void)close(fd);
    if (!ok) {
        (void)unlink(path);
    }
    return ok;
}

static bool read_key(who *w, const char *path, err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? make_key(w, path, e) : os_failed(e, "open", path);
    }
    bool ok = read(fd, w->key, KEY_LEN) == KEY_LEN ||
              err_set(e, ERR_FAILED_PRECONDITION, "WHO_KEY", "the bank's own key is damaged");
    (void)close(fd);
    return ok;
}

who *who_open(const char *key_path, err *e) {
    who *w = calloc(1, sizeof(*w));
    ASSERT(w != NULL);
    if (!read_key(w, key_path, e)) {
        who_close(w);
        return NULL;
    }
    return w;
}

void who_close(who *w) {
    if (w != NULL) {
        explicit_bzero(w, sizeof(*w));
        free(w);
    }
}

void who_hash(const who *w, str routing, str account, str name, uint8_t out[WHO_LEN]) {
    char memory[TEXT_MAX];
    strbuf text;
    strbuf_init_fixed(&text, memory, sizeof(memory));
    // Puts lengths before the parts, so that no two creditors have the same text.
    strbuf_printf(&text, "%zu:%zu:%zu:", routing.len, account.len, name.len);
    strbuf_add(&text, routing.ptr, routing.len);
    strbuf_add(&text, account.ptr, account.len);
    strbuf_add(&text, name.ptr, name.len);
    ASSERT(strbuf_ok(&text)); // the readers bound each part
    crypto_hmac_sha256((str){w->key, KEY_LEN}, strbuf_str(&text), out);
    explicit_bzero(memory, sizeof(memory));
}
