#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { METRICS_MAX = 4096, US_PER_S = 1000000 };

typedef enum metric_type { COUNTER, GAUGE, HISTOGRAM } metric_type;
static const char *const TYPE_NAMES[] = {"counter", "gauge", "histogram"};

// Upper bounds in microseconds, with their texts for Prometheus.
static const struct {
    int64_t us;
    const char *le;
} BUCKETS[] = {
    {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
    {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};
enum { N_BUCKETS = sizeof(BUCKETS) / sizeof(BUCKETS[0]) };

typedef struct histogram {
    _Atomic int64_t counts[N_BUCKETS + 1]; // the last one: above every bound
    _Atomic int64_t sum_us;
} histogram;

struct metric {
    char *name, *labels, *help;
    metric_type type;
    _Atomic int64_t value;
    histogram *histogram;       // HISTOGRAM only
    bool has_read;              // made by metric_gauge_fn
    int64_t (*read)(void *arg); // NULL: removed, not shown
    void *arg;
};

// Lock order: scrape_lock, then registry_lock.
static pthread_mutex_t scrape_lock = PTHREAD_MUTEX_INITIALIZER;   // guards read and arg
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; // guards the next two
static metric *registry[METRICS_MAX];                             // sorted by name and labels
static size_t n_registered;

// --- Names -----------------------------------------------------------------------------------------------------------

static bool is_name_char(char c, bool first, bool colon) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (colon && c == ':') || (!first && c >= '0' && c <= '9');
}

static bool is_name(const char *name) {
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (!is_name_char(name[i], i == 0, true)) {
            return false;
        }
    }
    return name[0] != '\0';
}

// Accepts name="value"[,…], with values escaped for Prometheus: one wrong label would make every scrape unreadable.
static bool is_labels(const char *at) {
    if (*at == '\0') {
        return true;
    }
    for (;;) {
        bool first = true;
        while (is_name_char(*at, first, false)) {
            first = false;
            at++;
        }
        if (first || at[0] != '=' || at[1] != '"') {
            return false;
        }
        for (at += 2; *at != '"'; at++) {
            if (*at == '\\') {
                at++;
                if (*at != '\\' && *at != '"' && *at != 'n') {
                    return false;
                }
            } else if (*at == '\0' || *at == '\n') {
                return false;
            }
        }
        at++;
        if (*at == '\0') {
            return true;
        }
        if (*at++ != ',') {
            return false;
        }
    }
}

// --- The registry ----------------------------------------------------------------------------------------------------

static int compare(const metric *m, const char *name, const char *labels) {
    int by_name = strcmp(m->name, name);
    return by_name != 0 ? by_name : strcmp(m->labels, labels);
}

static char *copy(const char *text) {
    char *owned = strdup(text);
    ASSERT(owned != NULL);
    return owned;
}

static metric *metric_create(metric_type type, const char *name, const char *labels,
                             const char *help) {
    metric *m = calloc(1, sizeof(*m));
    ASSERT(m != NULL);
    m->type = type;
    m->name = copy(name);
    m->labels = copy(labels);
    m->help = copy(help);
    if (type == HISTOGRAM) {
        m->histogram = calloc(1, sizeof(*m->histogram));
        ASSERT(m->histogram != NULL);
    }
    return m;
}

static metric *find_or_create(metric_type type, const char *name, const char *labels,
                              const char *help) {
    ASSERT(is_name(name));
    ASSERT(is_labels(labels));
    pthread_mutex_lock(&registry_lock);
    size_t low = 0;
    size_t high = n_registered;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(registry[middle], name, labels) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == n_registered || compare(registry[low], name, labels) != 0) {
        ASSERT(n_registered < METRICS_MAX); // labels are closed sets
        memmove(&registry[low + 1], &registry[low], (n_registered - low) * sizeof(registry[0]));
        registry[low] = metric_create(type, name, labels, help);
        n_registered++;
    }
    metric *m = registry[low];
    pthread_mutex_unlock(&registry_lock);
    ASSERT(m->type == type);
    return m;
}

metric *metric_counter(const char *name, const char *labels, const char *help) {
    return find_or_create(COUNTER, name, labels, help);
}

metric *metric_gauge(const char *name, const char *labels, const char *help) {
    return find_or_create(GAUGE, name, labels, help);
}

metric *metric_histogram(const char *name, const char *labels, const char *help) {
    return find_or_create(HISTOGRAM, name, labels, help);
}

void metric_gauge_fn(const char *name, const char *labels, const char *help,
                     int64_t (*read)(void *), void *arg) {
    metric *m = find_or_create(GAUGE, name, labels, help);
    pthread_mutex_lock(&scrape_lock);
    m->has_read = true;
    m->read = read;
    m->arg = arg;
    pthread_mutex_unlock(&scrape_lock);
}

// --- Values ----------------------------------------------------------------------------------------------------------

void metric_add(metric *m, int64_t n) {
    ASSERT(m->type == GAUGE || (m->type == COUNTER && n >= 0));
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(metric *m, int64_t value) {
    ASSERT(m->type == GAUGE);
    atomic_store_explicit(&m->value, value, memory_order_relaxed);
}

void metric_observe_us(metric *m, int64_t us) {
    ASSERT(m->type == HISTOGRAM);
    us = us < 0 ? 0 : us;
    size_t i = 0;
    while (i < N_BUCKETS && us > BUCKETS[i].us) {
        i++;
    }
    atomic_fetch_add_explicit(&m->histogram->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->histogram->sum_us, us, memory_order_relaxed);
}

int64_t metric_value(const metric *m) {
    if (m->type != HISTOGRAM) {
        return atomic_load_explicit(&m->value, memory_order_relaxed);
    }
    int64_t count = 0;
    for (size_t i = 0; i <= N_BUCKETS; i++) {
        count += atomic_load_explicit(&m->histogram->counts[i], memory_order_relaxed);
    }
    return count;
}

// --- Exposition ------------------------------------------------------------------------------------------------------

static void render_head(const metric *m, strbuf *out) {
    strbuf_printf(out, "# HELP %s ", m->name);
    for (const char *at = m->help; *at != '\0';) {
        const size_t plain = strcspn(at, "\n\\");
        strbuf_add(out, at, plain);
        at += plain;
        if (*at != '\0') {
            strbuf_add_c(out, *at == '\n' ? "\\n" : "\\\\");
            at++;
        }
    }
    strbuf_printf(out, "\n# TYPE %s %s\n", m->name, TYPE_NAMES[m->type]);
}

static void render_histogram(const metric *m, strbuf *out) {
    const char *comma = m->labels[0] == '\0' ? "" : ",";
    int64_t count = 0;
    for (size_t i = 0; i <= N_BUCKETS; i++) {
        count += atomic_load_explicit(&m->histogram->counts[i], memory_order_relaxed);
        strbuf_printf(out, "%s_bucket{%s%sle=\"%s\"} %lld\n", m->name, m->labels, comma,
                      i < N_BUCKETS ? BUCKETS[i].le : "+Inf", (long long)count);
    }
    int64_t sum_us = atomic_load_explicit(&m->histogram->sum_us, memory_order_relaxed);
    const char *open = m->labels[0] == '\0' ? "" : "{";
    const char *close = m->labels[0] == '\0' ? "" : "}";
    strbuf_printf(out, "%s_sum%s%s%s %lld.%06lld\n", m->name, open, m->labels, close,
                  (long long)(sum_us / US_PER_S), (long long)(sum_us % US_PER_S));
    strbuf_printf(out, "%s_count%s%s%s %lld\n", m->name, open, m->labels, close, (long long)count);
}

static void render_value(const metric *m, int64_t value, strbuf *out) {
    if (m->labels[0] == '\0') {
        strbuf_printf(out, "%s %lld\n", m->name, (long long)value);
    } else {
        strbuf_printf(out, "%s{%s} %lld\n", m->name, m->labels, (long long)value);
    }
}

void metrics_render(strbuf *out) {
    metric **all = calloc(METRICS_MAX, sizeof(metric *));
    ASSERT(all != NULL);
    pthread_mutex_lock(&scrape_lock);
    // Readers run without the registry's lock, so they may look metrics up.
    pthread_mutex_lock(&registry_lock);
    size_t n = n_registered;
    memcpy(all, registry, n * sizeof(metric *));
    pthread_mutex_unlock(&registry_lock);
    const char *last_name = "";
    for (size_t i = 0; i < n; i++) {
        metric *m = all[i];
        if (m->has_read && m->read == NULL) {
            continue;
        }
        if (strcmp(m->name, last_name) != 0) {
            render_head(m, out);
            last_name = m->name;
        }
        if (m->type == HISTOGRAM) {
            render_histogram(m, out);
        } else {
            render_value(m, m->has_read ? m->read(m->arg) : metric_value(m), out);
        }
    }
    pthread_mutex_unlock(&scrape_lock);
    free(all);
}
