/* SPDX-License-Identifier: Apache-2.0 */
#include "safe.h"

#include <string.h>

#include "base/bytes.h"

enum { REPLACEMENT = 0xfffd };

size_t sotto_safe_next(const char *p, size_t n, uint32_t *ret_char)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t len;

    if (n == 0)
        return 0;
    if (u[0] < 0x80) {
        *ret_char = u[0];
        return 1;
    }
    len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (len > n || !sotto_utf8_valid(u, len)) {
        *ret_char = REPLACEMENT;
        return 1;
    }
    *ret_char = u[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++)
        *ret_char = *ret_char << 6 | (u[i] & 0x3fU);
    return len;
}

size_t sotto_safe_encode(uint32_t c, char ret[4])
{
    unsigned char *u = (unsigned char *)ret;

    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        c = REPLACEMENT;
    if (c < 0x80) {
        u[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        u[0] = (unsigned char)(0xc0 | c >> 6);
        u[1] = (unsigned char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        u[0] = (unsigned char)(0xe0 | c >> 12);
        u[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        u[2] = (unsigned char)(0x80 | (c & 0x3f));
        return 3;
    }
    u[0] = (unsigned char)(0xf0 | c >> 18);
    u[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
    u[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
    u[3] = (unsigned char)(0x80 | (c & 0x3f));
    return 4;
}

bool sotto_safe_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) /* C0, DEL, C1 */
           || (c >= 0x202a && c <= 0x202e)     /* embeddings and overrides */
           || (c >= 0x2066 && c <= 0x2069)     /* isolates */
           || c == 0x2028 || c == 0x2029       /* line and paragraph separator */
           || (c >= 0xfff9 && c <= 0xfffb)     /* hidden annotations */
           || c == 0xfeff || c == 0x200b;      /* nothing to see, so names look alike */
}

/* What stands for a character that may not be shown as it is. */
static uint32_t picture(uint32_t c)
{
    if (c < 0x20)
        return 0x2400 + c;
    return c == 0x7f ? 0x2421 : REPLACEMENT;
}

void sotto_safe_text(const char *text, size_t len, const char *indent, sotto_safe_emit *emit,
                     void *ctx)
{
    size_t begin = 0, at = 0;

    while (at < len) {
        char out[4];
        uint32_t c = 0;
        size_t n = sotto_safe_next(text + at, len - at, &c);
        bool broken = c == REPLACEMENT && n == 1;

        if (c == '\t' || (!broken && !sotto_safe_is_control(c))) {
            at += n;
            continue;
        }
        emit(ctx, text + begin, at - begin);
        if (c == '\n' && indent != NULL) {
            emit(ctx, "\n", 1);
            emit(ctx, indent, strlen(indent));
        } else {
            emit(ctx, out, sotto_safe_encode(picture(c), out));
        }
        at += n;
        begin = at;
    }
    emit(ctx, text + begin, at - begin);
}
