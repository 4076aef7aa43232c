/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

const char *sotto_err_text(enum sotto_err e)
{
    switch (e) {
    case SOTTO_OK:
        return "ok";
#define X(name, value, text)                                                                       \
    case SOTTO_ERR_##name:                                                                         \
        return text;
        SOTTO_ERR_LIST(X)
#undef X
    }
    return "unknown error";
}

const char *sotto_err_name(enum sotto_err e)
{
    switch (e) {
    case SOTTO_OK:
        return "OK";
#define X(name, value, text)                                                                       \
    case SOTTO_ERR_##name:                                                                         \
        return #name;
        SOTTO_ERR_LIST(X)
#undef X
    }
    return "UNKNOWN";
}

enum sotto_err sotto_explain(enum sotto_err e, char *why, size_t room, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, room, fmt, ap);
    va_end(ap);
    return e;
}
