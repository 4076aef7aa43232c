/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/metrics_page.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "wire/answer.h"

struct sotto_metrics {
    const char *data;
    DIR *fds;  /* /proc/self/fd; NULL: there is no /proc */
    int statm; /* /proc/self/statm or -1 */
};

struct sotto_metrics *sotto_metrics_new(const char *data)
{
    struct sotto_metrics *m = calloc(1, sizeof *m);

    if (m == NULL)
        return NULL;
    m->data = data;
    m->fds = opendir("/proc/self/fd");
    m->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    return m;
}

void sotto_metrics_free(struct sotto_metrics *m)
{
    if (m == NULL)
        return;
    if (m->fds != NULL)
        closedir(m->fds);
    if (m->statm >= 0)
        close(m->statm);
    free(m);
}

/* --- lines --- */

struct page {
    struct sotto_buf *buf;
    enum sotto_err e; /* the first one */
};

static __attribute__((format(printf, 2, 3))) void line(struct page *p, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (p->e == 0 && (n < 0 || (size_t)n >= sizeof text))
        p->e = SOTTO_ERR_TOO_LARGE;
    if (p->e == 0)
        p->e = sotto_buf_add(p->buf, text, (size_t)n);
}

static void head(struct page *p, const char *metric, const char *type, const char *help)
{
    if (type[0] != '\0')
        line(p, "# HELP sottod_%s %s\n# TYPE sottod_%s %s\n", metric, help, metric, type);
}

static void value(struct page *p, const char *metric, const char *labels, uint64_t v)
{
    bool has = labels[0] != '\0';

    line(p, "sottod_%s%s%s%s %" PRIu64 "\n", metric, has ? "{" : "", labels, has ? "}" : "", v);
}

static void gauge(struct page *p, const char *metric, const char *help, uint64_t v)
{
    head(p, metric, "gauge", help);
    value(p, metric, "", v);
}

/* --- the relay's own --- */

static const struct {
    const char *metric, *labels, *type, *help;
} table[] = {
#define X(name, metric, labels, type, help) {metric, labels, type, help},
    SOTTO_COUNTER_LIST(X)
#undef X
};

static const char *const refusals[SOTTO_REFUSALS] = {
    [SOTTO_RELAY_BAD_REQUEST] = "bad request",
    [SOTTO_RELAY_NOT_SIGNED_IN] = "not signed in",
    [SOTTO_RELAY_DENIED] = "denied",
    [SOTTO_RELAY_NAME_TAKEN] = "name taken",
    [SOTTO_RELAY_NAME_INVALID] = "name not valid",
    [SOTTO_RELAY_NAME_GONE] = "name gone",
    [SOTTO_RELAY_INVITE_UNKNOWN] = "invite unknown",
    [SOTTO_RELAY_INVITE_USED] = "invite used",
    [SOTTO_RELAY_INVITE_EXPIRED] = "invite expired",
    [SOTTO_RELAY_REGISTRATION_CLOSED] = "registration closed",
    [SOTTO_RELAY_NOT_CONFIGURED] = "not configured",
    [SOTTO_RELAY_UNKNOWN_ACCOUNT] = "unknown account",
    [SOTTO_RELAY_UNKNOWN_DEVICE] = "unknown device",
    [SOTTO_RELAY_REVOKED] = "revoked",
    [SOTTO_RELAY_BAD_PROOF] = "bad proof",
    [SOTTO_RELAY_WRONG_PASSWORD] = "wrong password",
    [SOTTO_RELAY_CERTIFICATE] = "certificate",
    [SOTTO_RELAY_LIST_CHANGED] = "list changed",
    [SOTTO_RELAY_CONFLICT] = "conflict",
    [SOTTO_RELAY_TOO_MANY] = "too many",
    [SOTTO_RELAY_UNAVAILABLE] = "unavailable",
    [SOTTO_RELAY_TOO_LARGE] = "too large",
};

static uint64_t read_one(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

/* offset: of the number within struct sotto_counters. */
static uint64_t sum(const struct sotto_counters *const *counters, size_t count, size_t offset)
{
    uint64_t v = 0;

    for (size_t i = 0; i < count; i++)
        v += read_one((const _Atomic uint64_t *)((const char *)counters[i] + offset));
    return v;
}

static void print_refusals(struct page *p, const struct sotto_counters *const *counters,
                           size_t count)
{
    char labels[64];

    head(p, "refusals_total", "counter", "Requests that were refused, by reason");
    for (size_t i = 0; i < SOTTO_REFUSALS; i++) {
        uint64_t v = sum(counters, count,
                         offsetof(struct sotto_counters, refused) + i * sizeof(_Atomic uint64_t));

        if (refusals[i] == NULL && v == 0)
            continue;
        snprintf(labels, sizeof labels, "reason=\"%s\"",
                 refusals[i] != NULL ? refusals[i] : "other");
        value(p, "refusals_total", labels, v);
    }
}

static void print_histogram(struct page *p, const char *metric, const char *help,
                            const struct sotto_counters *const *counters, size_t count, size_t at)
{
    static const uint64_t limits[] = SOTTO_HISTOGRAM_LIMITS;
    uint64_t us, all = 0;

    head(p, metric, "histogram", help);
    for (size_t i = 0; i < SOTTO_HISTOGRAM_PLACES; i++) {
        all += sum(counters, count,
                   at + offsetof(struct sotto_histogram, places) + i * sizeof(_Atomic uint64_t));
        if (i < SOTTO_HISTOGRAM_PLACES - 1)
            line(p, "sottod_%s_bucket{le=\"%g\"} %" PRIu64 "\n", metric, (double)limits[i] / 1e6,
                 all);
    }
    us = sum(counters, count, at + offsetof(struct sotto_histogram, sum_us));
    line(p, "sottod_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", metric, all);
    line(p, "sottod_%s_sum %" PRIu64 ".%06" PRIu64 "\n", metric, us / 1000000, us % 1000000);
    line(p, "sottod_%s_count %" PRIu64 "\n", metric, all);
}

/* --- the process and its folder --- */

static size_t open_files(DIR *d)
{
    size_t n = 0;

    rewinddir(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    return n;
}

static uint64_t resident(int statm)
{
    unsigned long long total, pages;
    char text[128];
    ssize_t n = pread(statm, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%llu %llu", &total, &pages) == 2 ? pages * (uint64_t)sysconf(_SC_PAGESIZE)
                                                          : 0;
}

static uint64_t file_size(const char *folder, const char *name)
{
    char path[1100];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static void print_process(struct page *p, struct sotto_metrics *m)
{
    struct statvfs vfs;

    if (m->fds != NULL)
        gauge(p, "open_files", "File descriptors that are in use", open_files(m->fds));
    if (m->statm >= 0)
        gauge(p, "memory_bytes", "Memory that is in use (resident)", resident(m->statm));
    gauge(p, "database_bytes", "Size of the database", file_size(m->data, "relay.db"));
    gauge(p, "database_log_bytes", "Size of its write-ahead log",
          file_size(m->data, "relay.db-wal"));
    if (statvfs(m->data, &vfs) == 0)
        gauge(p, "disk_free_bytes", "Room that is left on the disk",
              (uint64_t)vfs.f_bavail * vfs.f_frsize);
}

enum sotto_err sotto_metrics_print(struct sotto_metrics *m,
                                   const struct sotto_counters *const *counters, size_t count,
                                   const struct sotto_metrics_now *now, struct sotto_buf *buf)
{
    struct page p = {.buf = buf};

    head(&p, "build_info", "gauge", "The version that runs");
    value(&p, "build_info", "version=\"" SOTTO_VERSION "\"", 1);
    gauge(&p, "uptime_seconds", "Since the start", now->uptime_ms / 1000);
    for (size_t i = 0; i < SOTTO_COUNTERS; i++) {
        head(&p, table[i].metric, table[i].type, table[i].help);
        value(&p, table[i].metric, table[i].labels,
              sum(counters, count,
                  offsetof(struct sotto_counters, v) + i * sizeof(_Atomic uint64_t)));
    }
    gauge(&p, "connections_max", "Connections that may be open", now->connections_max);
    print_refusals(&p, counters, count);
    print_histogram(&p, "commit_seconds", "How long it took until the disk had what was stored",
                    counters, count, offsetof(struct sotto_counters, commit));
    print_histogram(&p, "turn_seconds", "How long a turn took, with all that it sent", counters,
                    count, offsetof(struct sotto_counters, turn));
    head(&p, "certificate_seconds", "gauge", "Until the certificate expires");
    line(&p, "sottod_certificate_seconds %" PRId64 "\n", now->certificate_s);
    print_process(&p, m);
    return p.e;
}
