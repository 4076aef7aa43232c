/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
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

/* What the line that is being written is about; the handler is called within. */
static _Thread_local const char *event_now = "note";
static atomic_bool json;

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

static void log_args(enum sotto_log_level level, const char *event, const char *fmt, va_list ap)
{
    unsigned dropped = 0;

    if (sink.fn == NULL || level > sink.max_level)
        return;
    if (level == SOTTO_LOG_PEER && !peer_admit(&dropped))
        return;
    if (dropped > 0)
        emit_args(level, "%u more lines about peers were left out", dropped);
    event_now = event;
    emit(level, fmt, ap);
    event_now = "note";
}

void sotto_log(enum sotto_log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_args(level, "note", fmt, ap);
    va_end(ap);
}

void sotto_log_event(enum sotto_log_level level, const char *event, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_args(level, event, fmt, ap);
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

void sotto_log_json(bool on)
{
    atomic_store(&json, on);
}

/* The line is valid UTF-8 without control characters already. */
static void escape(const char *line, char *out, size_t room)
{
    size_t n = 0;

    for (; *line != '\0' && n + 2 < room; line++) {
        if (*line == '"' || *line == '\\')
            out[n++] = '\\';
        out[n++] = *line;
    }
    out[n] = '\0';
}

void sotto_log_stderr(void *ctx, enum sotto_log_level level, const char *line)
{
    char out[2 * LINE_MAX_BYTES + 256], escaped[2 * LINE_MAX_BYTES + 2];
    time_t now = time(NULL);
    char stamp[32];
    struct tm tm;
    size_t n;
    int m;

    (void)gmtime_r(&now, &tm);
    stamp[strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &tm)] = '\0';
    if (atomic_load(&json)) {
        escape(line, escaped, sizeof escaped);
        m = snprintf(out, sizeof out,
                     "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"text\":\"%s\"}", stamp,
                     level_name(level), event_now, escaped);
    } else {
        m = snprintf(out, sizeof out, "%s %s %s", stamp, level_name(level), line);
    }
    if (m < 0)
        return;
    n = (size_t)m < sizeof out - 2 ? (size_t)m : sizeof out - 2;
    out[n++] = '\n';
    if (write(STDERR_FILENO, out, n) < 0)
        return; /* nowhere left to say it */
}
