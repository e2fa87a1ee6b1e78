#include "maintain/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/assert.h"

enum {
    PATH_LEN = 1200,
    LINE_MAX_BYTES = 64 << 20, // a bank's file is one row
    MANIFEST_MAX = 16384,
    BLOCK = 65536,
    FORMAT = 1,
    ARCHIVES_MAX = 1000000
};

static const char ENDING[] = ".jsonl.gz", MANIFEST[] = ".manifest.json", PARTIAL[] = ".partial";
static const char LINE_BEGIN[] = "{\"table\":\"", LINE_ROW[] = "\",\"row\":", LINE_END[] = "}\n";

struct archive_writer {
    char folder[PATH_LEN - ARCHIVE_NAME_MAX - 32];
    archive_info info;
    char partial[PATH_LEN];
    int fd; // of the file, for its fsync
    gzFile gz;
    EVP_MD_CTX *content;
};

static bool failed(err *e, const char *what, const char *path) {
    return err_set(e, ERR_INTERNAL, "ARCHIVE", "%s %s: %s", what, path, strerror(errno));
}

static bool damaged(err *e, const char *path, const char *what) {
    return err_set(e, ERR_FAILED_PRECONDITION, "ARCHIVE_DAMAGED", "%s: %s", path, what);
}

static void hex_of(EVP_MD_CTX *sum, char out[ARCHIVE_HASH_HEX]) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    MUST(EVP_DigestFinal_ex(sum, bytes, &len) == 1 && len == 32);
    for (unsigned i = 0; i < len; i++) {
        (void)snprintf(out + 2 * (size_t)i, 3, "%02x", bytes[i]);
    }
}

static EVP_MD_CTX *sum_begin(void) {
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    MUST(sum != NULL && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1);
    return sum;
}

static void sum_add(EVP_MD_CTX *sum, const void *bytes, size_t n) {
    MUST(EVP_DigestUpdate(sum, bytes, n) == 1);
}

// --- Writing ---------------------------------------------------------------------------------------------------------

static void close_writer(archive_writer *w) {
    if (w->gz != NULL) {
        (void)gzclose(w->gz);
    }
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    EVP_MD_CTX_free(w->content);
    free(w);
}

void archive_drop(archive_writer *w) {
    if (w != NULL) {
        (void)unlink(w->partial);
        close_writer(w);
    }
}

archive_writer *archive_begin(const char *folder, const archive_info *info, err *e) {
    archive_writer *w = calloc(1, sizeof *w);
    ASSERT(w != NULL);
    w->fd = -1;
    w->content = sum_begin();
    w->info = *info;
    char id[UUID_TEXT_LEN + 1];
    uuid_format(info->archive_id, id);
    (void)snprintf(w->info.file, sizeof w->info.file, "%s-%" PRId64 "-%s%s", info->kind,
                   info->book_id, id, ENDING);
    if (strlen(folder) >= sizeof w->folder) {
        (void)err_set(e, ERR_INVALID_ARGUMENT, "ARCHIVE", "the folder's name is too long");
        close_writer(w);
        return NULL;
    }
    memcpy(w->folder, folder, strlen(folder) + 1);
    (void)snprintf(w->partial, sizeof w->partial, "%s/%s%s", w->folder, w->info.file, PARTIAL);
    w->fd = open(w->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const int copy = w->fd < 0 ? -1 : dup(w->fd);
    w->gz = copy < 0 ? NULL : gzdopen(copy, "wb6");
    if (w->gz == NULL) {
        (void)failed(e, "cannot make", w->partial);
        archive_drop(w);
        return NULL;
    }
    return w;
}

static archive_rows *rows_of(archive_info *info, str table) {
    for (size_t i = 0; i < info->n_tables; i++) {
        if (str_eq_c(table, info->tables[i].table)) {
            return &info->tables[i];
        }
    }
    if (info->n_tables == ARCHIVE_TABLES_MAX || table.len >= sizeof info->tables[0].table) {
        return NULL;
    }
    archive_rows *made = &info->tables[info->n_tables++];
    *made = (archive_rows){.n = 0};
    memcpy(made->table, table.ptr, table.len);
    return made;
}

int64_t archive_count(const archive_writer *w, const char *table) {
    archive_info copy = w->info;
    const archive_rows *rows = rows_of(&copy, str_of(table));
    return rows == NULL ? 0 : rows->n;
}

static bool put(archive_writer *w, const char *bytes, size_t n) {
    sum_add(w->content, bytes, n);
    while (n > 0) {
        const unsigned part = n < BLOCK ? (unsigned)n : BLOCK;
        if (gzwrite(w->gz, bytes, part) != (int)part) {
            return false;
        }
        bytes += part;
        n -= part;
    }
    return true;
}

bool archive_add(archive_writer *w, const char *table, str json, err *e) {
    archive_rows *rows = rows_of(&w->info, str_of(table));
    ASSERT(rows != NULL); // the table is ours
    rows->n++;
    if (json.len > LINE_MAX_BYTES - BLOCK) {
        return err_set(e, ERR_OUT_OF_RANGE, "ARCHIVE", "a row of %s has %zu bytes", table,
                       json.len);
    }
    return (put(w, LINE_BEGIN, sizeof LINE_BEGIN - 1) && put(w, table, strlen(table)) &&
            put(w, LINE_ROW, sizeof LINE_ROW - 1) && put(w, json.ptr, json.len) &&
            put(w, LINE_END, sizeof LINE_END - 1)) ||
           failed(e, "cannot write", w->partial);
}

static bool hash_file(const char *path, char out[ARCHIVE_HASH_HEX], int64_t *bytes, err *e) {
    static _Thread_local char block[BLOCK];
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        return failed(e, "cannot read", path);
    }
    EVP_MD_CTX *sum = sum_begin();
    *bytes = 0;
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) {
        sum_add(sum, block, n);
        *bytes += (int64_t)n;
    }
    const bool ok = ferror(f) == 0;
    hex_of(sum, out);
    EVP_MD_CTX_free(sum);
    (void)fclose(f);
    return ok || failed(e, "cannot read", path);
}

static bool sync_folder(const char *folder, err *e) {
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok || failed(e, "cannot sync", folder);
}

static bool write_manifest(const archive_writer *w, const char *path, err *e) {
    const archive_info *i = &w->info;
    char id[UUID_TEXT_LEN + 1];
    uuid_format(i->archive_id, id);
    strbuf b;
    strbuf_init(&b, MANIFEST_MAX);
    strbuf_printf(&b,
                  "{\"format\":%d,\"file\":\"%s\",\"kind\":\"%s\",\"book_id\":%" PRId64
                  ",\"archive_id\":\"%s\",\"before\":\"%s\",\"made_at\":\"%s\",\"bytes\":%" PRId64
                  ",\"sha256\":\"%s\",\"content_sha256\":\"%s\",\"rows\":{",
                  FORMAT, i->file, i->kind, i->book_id, id, i->before, i->made_at, i->bytes,
                  i->sha256, i->content);
    for (size_t t = 0; t < i->n_tables; t++) {
        strbuf_printf(&b, "%s\"%s\":%" PRId64, t == 0 ? "" : ",", i->tables[t].table,
                      i->tables[t].n);
    }
    strbuf_add_c(&b, "}}\n");
    ASSERT(strbuf_ok(&b));
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool ok = fd >= 0 && write(fd, b.ptr, b.len) == (ssize_t)b.len && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    strbuf_deinit(&b);
    return ok || failed(e, "cannot write", path);
}

// The manifest goes first: a file with its final name has a manifest.
static bool give_names(archive_writer *w, err *e) {
    char manifest[PATH_LEN + 32], named[PATH_LEN];
    (void)snprintf(named, sizeof named, "%s/%s", w->folder, w->info.file);
    (void)snprintf(manifest, sizeof manifest, "%s%s", named, MANIFEST);
    if (!write_manifest(w, manifest, e)) {
        (void)unlink(manifest);
        return false;
    }
    if (rename(w->partial, named) != 0) {
        (void)failed(e, "cannot rename", w->partial);
        (void)unlink(manifest);
        return false;
    }
    return sync_folder(w->folder, e);
}

bool archive_finish(archive_writer *w, archive_info *info, err *e) {
    const bool closed = gzclose(w->gz) == Z_OK;
    w->gz = NULL;
    hex_of(w->content, w->info.content);
    const bool ok = ((closed && fsync(w->fd) == 0) || failed(e, "cannot write", w->partial)) &&
                    hash_file(w->partial, w->info.sha256, &w->info.bytes, e) &&
                    archive_read(w->partial, &w->info, NULL, NULL, e) && give_names(w, e);
    *info = w->info;
    if (!ok) {
        (void)unlink(w->partial);
    }
    close_writer(w);
    return ok;
}

// --- Reading ---------------------------------------------------------------------------------------------------------

static bool text_of(const json_t *o, const char *name, char *out, size_t size) {
    const char *text = json_string_value(json_object_get(o, name));
    if (text == NULL || strlen(text) >= size) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool take_manifest(const json_t *o, archive_info *out) {
    char id[UUID_TEXT_LEN + 1];
    const json_t *rows = json_object_get(o, "rows");
    const json_t *n = NULL;
    const char *table = NULL;
    *out = (archive_info){.book_id = json_integer_value(json_object_get(o, "book_id")),
                          .bytes = json_integer_value(json_object_get(o, "bytes"))};
    if (json_integer_value(json_object_get(o, "format")) != FORMAT ||
        !text_of(o, "file", out->file, sizeof out->file) || strchr(out->file, '/') != NULL ||
        !text_of(o, "kind", out->kind, sizeof out->kind) ||
        !text_of(o, "archive_id", id, sizeof id) || !uuid_parse(str_of(id), &out->archive_id) ||
        !text_of(o, "before", out->before, sizeof out->before) ||
        !text_of(o, "made_at", out->made_at, sizeof out->made_at) ||
        !text_of(o, "sha256", out->sha256, sizeof out->sha256) ||
        !text_of(o, "content_sha256", out->content, sizeof out->content) || !json_is_object(rows)) {
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)rows, table, n) {
        archive_rows *r = rows_of(out, str_of(table));
        if (r == NULL || !json_is_integer(n)) {
            return false;
        }
        r->n = json_integer_value(n);
    }
    return true;
}

bool archive_read_manifest(const char *path, archive_info *out, err *e) {
    char manifest[PATH_LEN];
    (void)snprintf(manifest, sizeof manifest, "%s%s", path, MANIFEST);
    json_t *o = json_load_file(manifest, 0, NULL);
    const bool ok = o != NULL && take_manifest(o, out);
    json_decref(o);
    return ok || damaged(e, manifest, "there is no such manifest, or it cannot be read");
}

// Splits a line into table and row. False when archive_add did not write it.
static bool split_line(str line, str *table, str *json) {
    const size_t begin = sizeof LINE_BEGIN - 1, mid = sizeof LINE_ROW - 1;
    if (line.len < begin + mid + 2 || memcmp(line.ptr, LINE_BEGIN, begin) != 0 ||
        line.ptr[line.len - 1] != '}') {
        return false;
    }
    const char *quote = memchr(line.ptr + begin, '"', line.len - begin);
    if (quote == NULL || (size_t)(line.ptr + line.len - quote) < mid + 1 ||
        memcmp(quote, LINE_ROW, mid) != 0) {
        return false;
    }
    *table = (str){line.ptr + begin, (size_t)(quote - line.ptr) - begin};
    *json = (str){quote + mid, (size_t)(line.ptr + line.len - 1 - quote) - mid};
    return true;
}

typedef struct reading {
    gzFile gz;
    EVP_MD_CTX *content;
    char *line;
    size_t cap;
} reading;

// The next line, without its end. False at the end of the file, and for a broken line.
static bool next_line(reading *r, str *line, bool *bad) {
    size_t n = 0;
    *bad = false;
    for (;;) {
        if (r->cap - n < BLOCK) {
            if (r->cap >= LINE_MAX_BYTES) {
                *bad = true;
                return false;
            }
            r->cap = r->cap == 0 ? 2 * BLOCK : 2 * r->cap;
            r->line = realloc(r->line, r->cap);
            ASSERT(r->line != NULL);
        }
        if (gzgets(r->gz, r->line + n, BLOCK) == NULL) {
            int code = Z_OK;
            (void)gzerror(r->gz, &code);
            *bad = n > 0 || code < 0 || !gzeof(r->gz);
            return false;
        }
        n += strlen(r->line + n);
        if (n > 0 && r->line[n - 1] == '\n') {
            sum_add(r->content, r->line, n);
            *line = (str){r->line, n - 1};
            return true;
        }
    }
}

static bool read_lines(reading *r, const char *path, archive_info *found, archive_on_row on_row,
                       void *arg, err *e) {
    str line, table, json;
    bool bad = false;
    while (next_line(r, &line, &bad)) {
        archive_rows *rows = split_line(line, &table, &json) ? rows_of(found, table) : NULL;
        if (rows == NULL) {
            return damaged(e, path, "a line is not a row");
        }
        rows->n++;
        if (on_row != NULL && !on_row(arg, table, json, e)) {
            return false;
        }
    }
    return !bad || damaged(e, path, "it cannot be unpacked to its end");
}

static bool same_rows(const archive_info *a, const archive_info *b) {
    archive_info other = *b;
    for (size_t i = 0; i < a->n_tables; i++) {
        const archive_rows *rows = rows_of(&other, str_of(a->tables[i].table));
        if (rows == NULL || rows->n != a->tables[i].n) {
            return false;
        }
    }
    return other.n_tables == a->n_tables;
}

bool archive_read(const char *path, const archive_info *info, archive_on_row on_row, void *arg,
                  err *e) {
    archive_info found = {.bytes = 0};
    if (!hash_file(path, found.sha256, &found.bytes, e)) {
        return false;
    }
    if (strcmp(found.sha256, info->sha256) != 0) {
        return damaged(e, path, "its SHA-256 is not that of its manifest");
    }
    reading r = {.gz = gzopen(path, "rbe"), .content = sum_begin()};
    bool ok = r.gz != NULL ? read_lines(&r, path, &found, on_row, arg, e)
                           : failed(e, "cannot open", path);
    hex_of(r.content, found.content);
    if (ok && (strcmp(found.content, info->content) != 0 || !same_rows(&found, info))) {
        ok = damaged(e, path, "what is in it is not what its manifest says");
    }
    if (r.gz != NULL) {
        (void)gzclose(r.gz);
    }
    EVP_MD_CTX_free(r.content);
    free(r.line);
    return ok;
}

static int is_manifest(const struct dirent *d) {
    const size_t n = strlen(d->d_name), ending = sizeof MANIFEST - 1;
    return n > ending && strcmp(d->d_name + n - ending, MANIFEST) == 0;
}

bool archive_list(const char *folder, archive_info **out, size_t *n, arena *a, err *e) {
    struct dirent **names = NULL;
    const int found = scandir(folder, &names, is_manifest, alphasort);
    if (found < 0 || found > ARCHIVES_MAX) {
        return failed(e, "cannot list", folder);
    }
    *out = ARENA_ARRAY(a, archive_info, (size_t)found + 1);
    *n = 0;
    bool ok =
        *out != NULL || err_set(e, ERR_RESOURCE_EXHAUSTED, "ARCHIVE", "there are too many files");
    for (int i = 0; i < found; i++) {
        char path[PATH_LEN];
        const size_t len = strlen(names[i]->d_name) - (sizeof MANIFEST - 1);
        (void)snprintf(path, sizeof path, "%s/%.*s", folder, (int)len, names[i]->d_name);
        ok = ok && archive_read_manifest(path, &(*out)[*n], e);
        *n += ok ? 1 : 0;
        free(names[i]);
    }
    free(names);
    return ok;
}
