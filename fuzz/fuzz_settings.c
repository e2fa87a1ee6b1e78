// The reader of settings files. An accepted value can be written so that it reads back the same.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"
#include "fuzz.h"

static bool read_back(void *arg, const char *where, const char *section, const char *key,
                      const char *value, err *e) {
    (void)where, (void)section, (void)key, (void)e;
    ASSERT(strcmp(value, arg) == 0);
    return true;
}

static bool take(void *arg, const char *where, const char *section, const char *key,
                 const char *value, err *e) {
    (void)arg, (void)where, (void)section, (void)key, (void)e;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    ASSERT(out != NULL);
    (void)fprintf(out, "[s]\nk = ");
    config_ini_print_value(value, out);
    (void)fprintf(out, "\n");
    MUST(fclose(out) == 0);
    FILE *in = fmemopen(text, len, "rb");
    ASSERT(in != NULL);
    err again = {0};
    // Escaping may make a line too long to read back. No other failure is allowed.
    MUST(config_ini_parse(in, "again", read_back, (void *)(uintptr_t)value, &again) ||
         len > CONFIG_LINE_MAX);
    MUST(fclose(in) == 0);
    free(text);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    FILE *in = fmemopen((void *)(uintptr_t)data, size, "rb");
    ASSERT(in != NULL);
    err e = {0};
    if (!config_ini_parse(in, "fuzz.ini", take, NULL, &e)) {
        fuzz_check_refusal(&e);
    }
    MUST(fclose(in) == 0);
    return 0;
}
