/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BASE_LOG_H
#define SOTTO_BASE_LOG_H

#include <stdbool.h>

/*
 * A log line says whose fault it is. One line per event, never a key, a text
 * or a password. Libraries never print by themselves: without a handler
 * nothing is written. The programs install sotto_log_stderr.
 */
enum sotto_log_level {
    SOTTO_LOG_BUG,   /* ours; a test that sees one fails */
    SOTTO_LOG_LOCAL, /* disk, network, configuration: the operator can mend it */
    SOTTO_LOG_PEER,  /* theirs; rate-limited */
    SOTTO_LOG_INFO,
    SOTTO_LOG_DEBUG,
};

typedef void sotto_log_fn(void *ctx, enum sotto_log_level level, const char *line);

/* NULL switches off. Process-wide; set before threads start. */
void sotto_log_set(sotto_log_fn *fn, void *ctx, enum sotto_log_level max_level);
/* Handler: "2026-11-21T03:45:00Z info TEXT\n" on stderr in one write(), or after
 * sotto_log_json(true) {"time":"2026-11-21T03:45:00Z","level":"info","event":"note","text":"TEXT"}.
 */
void sotto_log_stderr(void *ctx, enum sotto_log_level level, const char *line);
void sotto_log_json(bool on); /* at any time */

void sotto_log(enum sotto_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for an event that somebody may want to count or be woken by: a word of [a-z-], static.
 */
void sotto_log_event(enum sotto_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define sotto_log_bug(...)   sotto_log(SOTTO_LOG_BUG, __VA_ARGS__)
#define sotto_log_local(...) sotto_log(SOTTO_LOG_LOCAL, __VA_ARGS__)
#define sotto_log_peer(...)  sotto_log(SOTTO_LOG_PEER, __VA_ARGS__)
#define sotto_log_info(...)  sotto_log(SOTTO_LOG_INFO, __VA_ARGS__)
#define sotto_log_debug(...) sotto_log(SOTTO_LOG_DEBUG, __VA_ARGS__)

#endif
