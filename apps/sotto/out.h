/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_OUT_H
#define SOTTO_APP_OUT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Where lines go: stdout and stderr for a command, above the line being typed in a chat. Whoever
 * writes here need not know which, and need not clean foreign text: that is done on the way.
 */
enum sotto_out_kind {
    SOTTO_OUT_RESULT, /* what was asked for: stdout */
    SOTTO_OUT_RAW,    /* the same, ready-made (JSON): written as it is */
    SOTTO_OUT_NOTE,   /* what a person should know beside it: stderr */
    SOTTO_OUT_ERROR,  /* what went wrong and what to do: stderr, with "sotto: " before it */
};

struct sotto_out {
    /* A text without its last line break. The first lead bytes (name, time) may be set off. */
    void (*line)(void *ctx, enum sotto_out_kind kind, const char *text, size_t len, size_t lead);
    void *ctx;
};

/* To stdout and stderr. Stateless; stdout is flushed by whoever needs to know that it worked. */
extern const struct sotto_out sotto_out_stdio;

void sotto_out_text(const struct sotto_out *out, enum sotto_out_kind kind, const char *text,
                    size_t len, size_t lead);
/* Lines of up to 2 KiB; longer ones are cut. */
void sotto_out(const struct sotto_out *out, enum sotto_out_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void sotto_out_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
