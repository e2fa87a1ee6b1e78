// A registry of counters, gauges and histograms with C11 atomics, and Prometheus text exposition of it.
// Metrics are created at start (or once for each label value of a closed set) and live until the process ends.
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include "base/str.h"

typedef struct metric metric;

// labels: rendered pairs without braces, such as grpc_method="Check",grpc_code="OK", or "" for none. The same name
// and labels return the same metric. Thread-safe, with a lock: look metrics up once and keep the pointer.
metric *metric_counter(const char *name, const char *labels, const char *help);
metric *metric_gauge(const char *name, const char *labels, const char *help);
// Latency in seconds with the buckets of reference dashboards, 100 us … 10 s.
metric *metric_histogram(const char *name, const char *labels, const char *help);
// A gauge that is read at scrape time. A second call replaces the reader. read NULL removes the gauge, and returns
// only when no scrape uses the old reader: do so before arg is freed. The reader must not call metric_gauge_fn.
void metric_gauge_fn(const char *name, const char *labels, const char *help,
                     int64_t (*read)(void *), void *arg);

void metric_add(metric *m, int64_t n);         // counter or gauge
void metric_set(metric *m, int64_t value);     // gauge
void metric_observe_us(metric *m, int64_t us); // histogram
int64_t metric_value(const metric *m);         // for tests; histograms give the count

void metrics_render(strbuf *out); // text/plain; version=0.0.4

#endif
