/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

/* A stranger may cause as many lines of level PEER as he likes; he may not fill the disk. */
enum { LINE_MAX_BYTES = 1024, PEER_LINES_PER_SECOND = 20 };

static struct {
    sotto_log_fn *fn;
    void *ctx;
    enum sotto_log_level max_level;
} sink;

static struct {
    pthread_mutex_t lock;
    time_t second;
    unsigned shown, dropped;
} peer_limit = {.lock = PTHREAD_MUTEX_INITIALIZER};

void sotto_log_set(sotto_log_fn *fn, void *ctx, enum sotto_log_level max_level)
{
    sink.fn = fn;
    sink.ctx = ctx;
    sink.max_level = max_level;
    pthread_mutex_lock(&peer_limit.lock);
    peer_limit.shown = peer_limit.dropped = 0;
    pthread_mutex_unlock(&peer_limit.lock);
}

/* True when the line may be written; *ret_dropped lines were left out since the last one. */
static bool peer_admit(unsigned *ret_dropped)
{
    struct timespec now;
    bool admit = true;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    *ret_dropped = 0;
    pthread_mutex_lock(&peer_limit.lock);
    if (now.tv_sec != peer_limit.second) {
        peer_limit.second = now.tv_sec;
        peer_limit.shown = 0;
    }
    if (peer_limit.shown < PEER_LINES_PER_SECOND) {
        peer_limit.shown++;
        *ret_dropped = peer_limit.dropped;
        peer_limit.dropped = 0;
    } else {
        peer_limit.dropped++;
        admit = false;
    }
    pthread_mutex_unlock(&peer_limit.lock);
    return admit;
}

/*
 * A line may quote what a stranger sent: no line breaks (forged entries), no escape sequences
 * (orders to the terminal that shows the log), no broken UTF-8.
 */
static void clean(char *line, size_t len)
{
    bool utf8 = sotto_utf8_valid(line, len);

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        bool c1 = c == 0xc2 && (unsigned char)line[i + 1] < 0xa0; /* U+0080..U+009F */

        if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            line[i] = '?';
        else if (c1)
            line[i] = line[i + 1] = '?';
    }
}

/* Cuts at a character, not inside one; a line that is broken anyway stays as long as it is. */
static size_t cut(const char *line, size_t len)
{
    for (size_t n = len; n + 4 > len; n--) {
        if (sotto_utf8_valid(line, n))
            return n;
    }
    return len;
}

static void emit(enum sotto_log_level level, const char *fmt, va_list ap)
{
    char line[LINE_MAX_BYTES];
    int n = vsnprintf(line, sizeof line, fmt, ap);
    size_t len;

    if (n < 0)
        return;
    len = (size_t)n < sizeof line ? (size_t)n : cut(line, sizeof line - 1);
    line[len] = 0;
    clean(line, len);
    sink.fn(sink.ctx, level, line);
}

static __attribute__((format(printf, 2, 3))) void emit_args(enum sotto_log_level level,
                                                            const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    emit(level, fmt, ap);
    va_end(ap);
}

void sotto_log(enum sotto_log_level level, const char *fmt, ...)
{
    unsigned dropped = 0;
    va_list ap;

    if (sink.fn == NULL || level > sink.max_level)
        return;
    if (level == SOTTO_LOG_PEER && !peer_admit(&dropped))
        return;
    if (dropped > 0)
        emit_args(level, "%u more lines about peers were left out", dropped);
    va_start(ap, fmt);
    emit(level, fmt, ap);
    va_end(ap);
}

static const char *level_name(enum sotto_log_level level)
{
    switch (level) {
    case SOTTO_LOG_BUG:
        return "bug";
    case SOTTO_LOG_LOCAL:
        return "local";
    case SOTTO_LOG_PEER:
        return "peer";
    case SOTTO_LOG_INFO:
        return "info";
    case SOTTO_LOG_DEBUG:
        return "debug";
    }
    return "?";
}

void sotto_log_stderr(void *ctx, enum sotto_log_level level, const char *line)
{
    char out[LINE_MAX_BYTES + 64];
    time_t now = time(NULL);
    struct tm tm;
    size_t n;
    int m;

    (void)gmtime_r(&now, &tm);
    n = strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%SZ", &tm);
    m = snprintf(out + n, sizeof out - n, " %s %s", level_name(level), line);
    if (m < 0)
        return;
    n += (size_t)m;
    if (n > sizeof out - 2)
        n = sizeof out - 2;
    out[n++] = '\n';
    if (write(STDERR_FILENO, out, n) < 0)
        return; /* nowhere left to say it */
}
