// Texts of settings that live until the process ends, and names of variables of the environment.
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/config_internal.h"
#include "base/str.h"

typedef struct owned owned;
struct owned {
    owned *next;
    char text[];
};
static pthread_mutex_t owned_lock = PTHREAD_MUTEX_INITIALIZER; // guards the list
static owned *owned_list; // keeps them reachable for the leak checker

const char *config_own(const char *text) {
    size_t len = strlen(text);
    owned *o = malloc(sizeof(*o) + len + 1);
    ASSERT(o != NULL);
    memcpy(o->text, text, len + 1);
    pthread_mutex_lock(&owned_lock);
    o->next = owned_list;
    owned_list = o;
    pthread_mutex_unlock(&owned_lock);
    return o->text;
}

void config_env_name(const config_table *t, const config_setting *s, char *out, size_t out_len) {
    strbuf b;
    strbuf_init_fixed(&b, out, out_len);
    strbuf_printf(&b, "%s_%s", t->env_prefix, s->name);
    ASSERT(strbuf_ok(&b));
    for (char *at = out; *at != '\0'; at++) {
        bool word = isalnum((unsigned char)*at);
        *at = word ? (char)toupper((unsigned char)*at) : '_';
    }
}
