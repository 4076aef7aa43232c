/* SPDX-License-Identifier: Apache-2.0 */
#include "out.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "safe.h"

enum { FORMATTED_MAX = 2048 };

static void emit_file(void *ctx, const char *p, size_t n)
{
    (void)fwrite(p, 1, n, (FILE *)ctx);
}

static void stdio_line(void *ctx, enum sotto_out_kind kind, const char *text, size_t len,
                       size_t lead)
{
    bool result = kind == SOTTO_OUT_RESULT || kind == SOTTO_OUT_RAW;
    FILE *f = result ? stdout : stderr;

    (void)ctx;
    (void)lead;
    if (!result)
        (void)fflush(stdout); /* so that a terminal shows both in the order of events */
    if (kind == SOTTO_OUT_ERROR)
        (void)fputs("sotto: ", f);
    if (kind == SOTTO_OUT_RAW)
        emit_file(f, text, len);
    else
        sotto_safe_text(text, len, "    ", emit_file, f);
    (void)putc('\n', f);
}

const struct sotto_out sotto_out_stdio = {.line = stdio_line};

void sotto_out_text(const struct sotto_out *out, enum sotto_out_kind kind, const char *text,
                    size_t len, size_t lead)
{
    out->line(out->ctx, kind, text, len, lead);
}

static void format(const struct sotto_out *out, enum sotto_out_kind kind, const char *fmt,
                   va_list ap)
{
    char text[FORMATTED_MAX];
    int n = vsnprintf(text, sizeof text, fmt, ap);

    if (n < 0)
        return;
    sotto_out_text(out, kind, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, 0);
    sotto_wipe(text, sizeof text); /* may have held a message */
}

void sotto_out(const struct sotto_out *out, enum sotto_out_kind kind, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    format(out, kind, fmt, ap);
    va_end(ap);
}

void sotto_out_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    format(&sotto_out_stdio, SOTTO_OUT_ERROR, fmt, ap);
    va_end(ap);
}
