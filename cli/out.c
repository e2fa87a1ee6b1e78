#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/money.h"
#include "cli/cli.h"

enum { BAR_WIDTH = 30, PROGRESS_US = 100000, PROGRESS_LINES_US = 2000000 };

static void print_list(FILE *to, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void print_list(FILE *to, const char *fmt, va_list args) {
    char *text = NULL;
    const int n = vasprintf(&text, fmt, args);
    ASSERT(n >= 0 && text != NULL);
    (void)fwrite(text, 1, str_make_plain(text, (size_t)n, "\n\t"), to);
    free(text);
}

void cli_print(FILE *to, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    print_list(to, fmt, args);
    va_end(args);
}

int cli_failed(const cli *c, const char *doing, const err *e) {
    const bool reached = e->code != ERR_UNAVAILABLE && e->code != ERR_DEADLINE_EXCEEDED;
    cli_print(stderr, "payctl: could not %s: %s", doing,
              e->message[0] != '\0' ? e->message : "no answer");
    if (e->reason[0] != '\0') {
        cli_print(stderr, " (%s%s%s)", e->reason, e->field[0] != '\0' ? ", " : "", e->field);
    }
    (void)fputc('\n', stderr);
    if (!reached) {
        cli_print(stderr,
                  "  Is the service running at %s? What was accepted before is safe; run the "
                  "same command again.\n",
                  c->payments != NULL ? c->payments : "?");
    }
    return EXIT_SERVICE;
}

int cli_usage(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)fputs("payctl: ", stderr);
    print_list(stderr, fmt, args);
    (void)fputs("\n  `payctl --help` explains the commands.\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

bool cli_output_ok(void) {
    return fflush(stdout) == 0 && ferror(stdout) == 0;
}

int cli_close_output(int code) {
    errno = 0;
    const bool written = cli_output_ok();
    const int why = errno;
    if (written && fclose(stdout) == 0) {
        return code;
    }
    cli_print(stderr, "payctl: stdout could not be written: %s\n",
              strerror(why != 0 ? why : errno));
    // These two codes say more: the command was not done.
    return code == EXIT_USAGE || code == EXIT_SERVICE ? code : EXIT_OUTPUT;
}

const char *cli_money_text(cli *c, const char *minor, const char *currency_code) {
    const currency *ccy = currency_find(str_of(currency_code));
    const size_t exponent = ccy != NULL ? (size_t)ccy->exponent : 0;
    const bool negative = minor[0] == '-';
    const char *digits = minor + (negative ? 1 : 0);
    const size_t len = strlen(digits);
    // at least one digit before the point
    const size_t padded = len > exponent ? len : exponent + 1;
    char *out = arena_must(c->arena, 2 * padded + 16);
    size_t n = 0;
    if (negative) {
        out[n++] = '-';
    }
    for (size_t i = 0; i < padded; i++) {
        const size_t left = padded - i; // digits still to come, with this one
        if (left == exponent && exponent > 0) {
            out[n++] = '.';
        } else if (i > 0 && left > exponent && (left - exponent) % 3 == 0) {
            out[n++] = ',';
        }
        out[n++] = i + len < padded ? '0' : digits[i + len - padded];
    }
    (void)snprintf(out + n, 8, " %.3s", currency_code);
    return out;
}

const char *cli_money(cli *c, int64_t minor, const char *currency_code) {
    return cli_money_text(c, arena_printf(c->arena, "%lld", (long long)minor), currency_code);
}

const char *cli_time(cli *c, int64_t seconds, int32_t nanos) {
    struct tm tm;
    const time_t t = (time_t)seconds;
    char text[32];
    if (localtime_r(&t, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        return "?";
    }
    return arena_printf(c->arena, "%s.%03d", text, (int)(nanos / 1000000));
}

bool cli_split_id(cli *c, const char *text, const char **merchant, const char **id) {
    const char *slash = strchr(text, '/');
    if (slash == NULL || slash == text || slash[1] == '\0') {
        return false;
    }
    *merchant = arena_strndup(c->arena, text, (size_t)(slash - text));
    *id = slash + 1;
    return true;
}

// --- progress --------------------------------------------------------------------------------------------------------------

static void progress_draw(const progress *p, const char *note) {
    const size_t filled = p->total == 0 ? BAR_WIDTH : p->done * BAR_WIDTH / p->total;
    char bar[BAR_WIDTH + 1];
    for (size_t i = 0; i < BAR_WIDTH; i++) {
        bar[i] = i < filled ? '#' : '.';
    }
    bar[BAR_WIDTH] = '\0';
    if (p->terminal) {
        (void)fputc('\r', stderr);
        cli_print(stderr, "%-10s [%s] %zu/%zu %-44.44s", p->label, bar, p->done, p->total, note);
    } else {
        cli_print(stderr, "%s: %zu/%zu %s\n", p->label, p->done, p->total, note);
    }
    (void)fflush(stderr);
}

void progress_begin(progress *p, const cli *c, const char *label, size_t total) {
    *p = (progress){.label = label, .total = total, .terminal = isatty(STDERR_FILENO) == 1};
    p->quiet = c->json || (!p->terminal && !c->progress);
    p->last_us = clock_mono_us(clock_system());
    if (!p->quiet && p->terminal) {
        progress_draw(p, "");
    }
}

void progress_set(progress *p, size_t done, const char *note) {
    const int64_t now = clock_mono_us(clock_system());
    p->done = done;
    if (!p->quiet && now - p->last_us >= (p->terminal ? PROGRESS_US : PROGRESS_LINES_US)) {
        p->last_us = now;
        progress_draw(p, note);
    }
}

void progress_end(progress *p, const char *note) {
    if (!p->quiet) {
        progress_draw(p, note);
        if (p->terminal) {
            (void)fputc('\n', stderr);
        }
    }
}

// --- tables ----------------------------------------------------------------------------------------------------------------

void table_begin(table *t, size_t columns, uint32_t right_aligned, const char *const *titles) {
    *t = (table){.columns = columns, .right_aligned = right_aligned};
    table_row(t, titles);
}

// A cell is one line: characters that would end the line are removed before the columns are measured.
static const char *plain_cell(table *t, const char *cell) {
    if (str_is_plain(cell, strlen(cell))) {
        return cell;
    }
    char *copy = strdup(cell);
    t->made = realloc(t->made, (t->n_made + 1) * sizeof *t->made);
    ASSERT(copy != NULL && t->made != NULL);
    copy[str_make_plain(copy, strlen(copy), "")] = '\0';
    t->made[t->n_made++] = copy;
    return copy;
}

void table_row(table *t, const char *const *cells) {
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 64 : t->cap * 2;
        t->cells = realloc(t->cells, t->cap * t->columns * sizeof *t->cells);
        ASSERT(t->cells != NULL);
    }
    for (size_t i = 0; i < t->columns; i++) {
        t->cells[t->n * t->columns + i] = plain_cell(t, cells[i]);
    }
    t->n++;
}

// Counts characters, not bytes: continuation bytes of UTF-8 have no width.
static size_t width_of(const char *s) {
    size_t n = 0;
    for (; *s != '\0'; s++) {
        n += ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

static void print_cell(const char *cell, size_t width, bool right, bool last) {
    const int pad = (int)(width - width_of(cell));
    if (right) {
        cli_print(stdout, "%*s%s", pad, "", cell);
    } else {
        cli_print(stdout, "%s%*s", cell, last ? 0 : pad, "");
    }
    (void)fputs(last ? "\n" : "  ", stdout);
}

void table_drop(table *t) {
    for (size_t i = 0; i < t->n_made; i++) {
        free(t->made[i]);
    }
    free(t->made);
    free(t->cells);
    t->made = NULL;
    t->cells = NULL;
    t->n_made = 0;
}

void table_print(table *t) {
    for (size_t row = 0; row < t->n; row++) {
        for (size_t col = 0; col < t->columns; col++) {
            size_t width = 0;
            for (size_t i = 0; i < t->n; i++) {
                const size_t w = width_of(t->cells[i * t->columns + col]);
                width = w > width ? w : width;
            }
            print_cell(t->cells[row * t->columns + col], width, (t->right_aligned >> col & 1u) != 0,
                       col + 1 == t->columns);
        }
    }
    table_drop(t);
}
