/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

void sotto_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void sotto_put_u32(uint8_t *p, uint32_t v)
{
    sotto_put_u16(p, (uint16_t)(v >> 16));
    sotto_put_u16(p + 2, (uint16_t)v);
}

void sotto_put_u64(uint8_t *p, uint64_t v)
{
    sotto_put_u32(p, (uint32_t)(v >> 32));
    sotto_put_u32(p + 4, (uint32_t)v);
}

uint16_t sotto_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t sotto_get_u32(const uint8_t *p)
{
    return (uint32_t)sotto_get_u16(p) << 16 | sotto_get_u16(p + 2);
}

uint64_t sotto_get_u64(const uint8_t *p)
{
    return (uint64_t)sotto_get_u32(p) << 32 | sotto_get_u32(p + 4);
}

/* Reader */

void sotto_reader_init(struct sotto_reader *r, const void *data, size_t len)
{
    r->p = data;
    r->end = len > 0 ? r->p + len : r->p;
}

size_t sotto_reader_left(const struct sotto_reader *r)
{
    return (size_t)(r->end - r->p);
}

enum sotto_err sotto_read_view(struct sotto_reader *r, size_t len, struct sotto_bytes *ret)
{
    if (sotto_reader_left(r) < len)
        return SOTTO_ERR_TRUNCATED;
    *ret = (struct sotto_bytes){.p = r->p, .n = len};
    if (len > 0)
        r->p += len;
    return SOTTO_OK;
}

enum sotto_err sotto_read_bytes(struct sotto_reader *r, void *ret, size_t len)
{
    struct sotto_bytes v;
    enum sotto_err e = sotto_read_view(r, len, &v);

    if (e == 0 && len > 0)
        memcpy(ret, v.p, len);
    return e;
}

enum sotto_err sotto_read_u8(struct sotto_reader *r, uint8_t *ret)
{
    return sotto_read_bytes(r, ret, 1);
}

enum sotto_err sotto_read_u16(struct sotto_reader *r, uint16_t *ret)
{
    struct sotto_bytes v;
    enum sotto_err e = sotto_read_view(r, 2, &v);

    if (e == 0)
        *ret = sotto_get_u16(v.p);
    return e;
}

enum sotto_err sotto_read_u32(struct sotto_reader *r, uint32_t *ret)
{
    struct sotto_bytes v;
    enum sotto_err e = sotto_read_view(r, 4, &v);

    if (e == 0)
        *ret = sotto_get_u32(v.p);
    return e;
}

enum sotto_err sotto_read_u64(struct sotto_reader *r, uint64_t *ret)
{
    struct sotto_bytes v;
    enum sotto_err e = sotto_read_view(r, 8, &v);

    if (e == 0)
        *ret = sotto_get_u64(v.p);
    return e;
}

/* The rest of a field whose length was read from *in; *r moves only on success. */
static enum sotto_err read_field(struct sotto_reader *r, struct sotto_reader *in, size_t len,
                                 size_t max, struct sotto_bytes *ret)
{
    enum sotto_err e;

    if (len > max)
        return SOTTO_ERR_MALFORMED;
    if ((e = sotto_read_view(in, len, ret)) != 0)
        return e;
    *r = *in;
    return SOTTO_OK;
}

enum sotto_err sotto_read_field8(struct sotto_reader *r, size_t max, struct sotto_bytes *ret)
{
    struct sotto_reader in = *r;
    uint8_t len;
    enum sotto_err e = sotto_read_u8(&in, &len);

    return e != 0 ? e : read_field(r, &in, len, max, ret);
}

enum sotto_err sotto_read_field16(struct sotto_reader *r, size_t max, struct sotto_bytes *ret)
{
    struct sotto_reader in = *r;
    uint16_t len;
    enum sotto_err e = sotto_read_u16(&in, &len);

    return e != 0 ? e : read_field(r, &in, len, max, ret);
}

enum sotto_err sotto_read_field32(struct sotto_reader *r, size_t max, struct sotto_bytes *ret)
{
    struct sotto_reader in = *r;
    uint32_t len;
    enum sotto_err e = sotto_read_u32(&in, &len);

    return e != 0 ? e : read_field(r, &in, len, max, ret);
}

enum sotto_err sotto_read_done(const struct sotto_reader *r)
{
    return sotto_reader_left(r) == 0 ? SOTTO_OK : SOTTO_ERR_MALFORMED;
}

/* Writer */

void sotto_writer_init(struct sotto_writer *w, void *buf, size_t cap)
{
    *w = (struct sotto_writer){.buf = buf, .cap = cap};
}

uint8_t *sotto_write_space(struct sotto_writer *w, size_t len)
{
    uint8_t *p;

    if (w->err != 0)
        return NULL;
    if (len > w->cap - w->len) {
        w->err = SOTTO_ERR_TOO_LARGE;
        return NULL;
    }
    p = w->buf + w->len;
    w->len += len;
    return p;
}

void sotto_write_bytes(struct sotto_writer *w, const void *data, size_t len)
{
    uint8_t *p;

    if (len > 0 && (p = sotto_write_space(w, len)) != NULL)
        memcpy(p, data, len);
}

void sotto_write_u8(struct sotto_writer *w, uint8_t v)
{
    sotto_write_bytes(w, &v, 1);
}

void sotto_write_u16(struct sotto_writer *w, uint16_t v)
{
    uint8_t *p = sotto_write_space(w, 2);

    if (p != NULL)
        sotto_put_u16(p, v);
}

void sotto_write_u32(struct sotto_writer *w, uint32_t v)
{
    uint8_t *p = sotto_write_space(w, 4);

    if (p != NULL)
        sotto_put_u32(p, v);
}

void sotto_write_u64(struct sotto_writer *w, uint64_t v)
{
    uint8_t *p = sotto_write_space(w, 8);

    if (p != NULL)
        sotto_put_u64(p, v);
}

static bool fits(struct sotto_writer *w, size_t len, size_t max)
{
    if (len > max && w->err == 0)
        w->err = SOTTO_ERR_TOO_LARGE;
    return w->err == 0;
}

void sotto_write_field8(struct sotto_writer *w, const void *data, size_t len)
{
    if (!fits(w, len, UINT8_MAX))
        return;
    sotto_write_u8(w, (uint8_t)len);
    sotto_write_bytes(w, data, len);
}

void sotto_write_field16(struct sotto_writer *w, const void *data, size_t len)
{
    if (!fits(w, len, UINT16_MAX))
        return;
    sotto_write_u16(w, (uint16_t)len);
    sotto_write_bytes(w, data, len);
}

void sotto_write_field32(struct sotto_writer *w, const void *data, size_t len)
{
    if (!fits(w, len, UINT32_MAX))
        return;
    sotto_write_u32(w, (uint32_t)len);
    sotto_write_bytes(w, data, len);
}

enum sotto_err sotto_writer_done(const struct sotto_writer *w, size_t *ret_len)
{
    if (w->err == 0)
        *ret_len = w->len;
    return w->err;
}

/* Growing buffer */

enum { BUF_FIRST_ROOM = 64 };

enum sotto_err sotto_buf_reserve(struct sotto_buf *b, size_t len)
{
    size_t need, room;
    uint8_t *p;

    if (len > b->cap - b->n)
        return SOTTO_ERR_TOO_LARGE;
    need = b->n + len;
    if (need <= b->room)
        return SOTTO_OK;
    room = b->room > b->cap / 2 ? b->cap : b->room * 2;
    if (room < BUF_FIRST_ROOM)
        room = b->cap < BUF_FIRST_ROOM ? b->cap : BUF_FIRST_ROOM;
    if (room < need)
        room = need;
    /* Not realloc(): it would leave an unwiped copy behind. */
    if ((p = malloc(room)) == NULL)
        return SOTTO_ERR_NOMEM;
    if (b->n > 0)
        memcpy(p, b->p, b->n);
    sotto_wipe(b->p, b->room);
    free(b->p);
    b->p = p;
    b->room = room;
    return SOTTO_OK;
}

enum sotto_err sotto_buf_add(struct sotto_buf *b, const void *data, size_t len)
{
    enum sotto_err e = sotto_buf_reserve(b, len);

    if (e == 0 && len > 0) {
        memcpy(b->p + b->n, data, len);
        b->n += len;
    }
    return e;
}

void sotto_buf_consume(struct sotto_buf *b, size_t len)
{
    if (len == 0)
        return;
    memmove(b->p, b->p + len, b->n - len);
    b->n -= len;
    sotto_wipe(b->p + b->n, len);
}

void sotto_buf_clear(struct sotto_buf *b)
{
    sotto_wipe(b->p, b->room);
    b->n = 0;
}

void sotto_buf_free(struct sotto_buf *b)
{
    sotto_wipe(b->p, b->room);
    free(b->p);
    b->p = NULL;
    b->n = b->room = 0;
}

/*
 * Text encodings. A mask is all ones or zero; characters are built and recognised with masks
 * only, because a table look-up or a branch would show the secret in the cache or the time.
 */

/* All ones when lo <= v <= hi, else zero; each below 2^31. */
static uint32_t in_range(uint32_t v, uint32_t lo, uint32_t hi)
{
    return ((v - lo) >> 31 | (hi - v) >> 31) - 1;
}

static char hex_char(uint32_t v)
{
    return (char)('0' + v + (in_range(v, 10, 15) & ('a' - '0' - 10)));
}

/* The value of a digit; sets bits in *bad when it is none. */
static uint32_t hex_value(char ch, uint32_t *bad)
{
    uint32_t c = (uint8_t)ch;
    uint32_t digit = in_range(c, '0', '9'), lower = in_range(c, 'a', 'f'),
             upper = in_range(c, 'A', 'F');

    *bad |= ~(digit | lower | upper);
    return (digit & (c - '0')) | (lower & (c - 'a' + 10)) | (upper & (c - 'A' + 10));
}

static char base64_char(uint32_t v)
{
    return (char)((in_range(v, 0, 25) & ('A' + v)) | (in_range(v, 26, 51) & ('a' + v - 26)) |
                  (in_range(v, 52, 61) & ('0' + v - 52)) | (in_range(v, 62, 62) & '-') |
                  (in_range(v, 63, 63) & '_'));
}

static uint32_t base64_value(char ch, uint32_t *bad)
{
    uint32_t c = (uint8_t)ch;
    uint32_t upper = in_range(c, 'A', 'Z'), lower = in_range(c, 'a', 'z'),
             digit = in_range(c, '0', '9'), minus = in_range(c, '-', '-'),
             under = in_range(c, '_', '_');

    *bad |= ~(upper | lower | digit | minus | under);
    return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) |
           (minus & 62) | (under & 63);
}

size_t sotto_hex_encode(const void *data, size_t len, char *ret)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = hex_char(p[i] >> 4);
        ret[2 * i + 1] = hex_char(p[i] & 15);
    }
    ret[2 * len] = 0;
    return 2 * len;
}

enum sotto_err sotto_hex_decode(const char *text, size_t text_len, void *ret, size_t room,
                                size_t *ret_len)
{
    size_t n = text_len / 2;
    uint32_t bad = 0;
    uint8_t *p = ret;

    /* Checked as a whole first, so that a refused text leaves ret as it was. */
    for (size_t i = 0; i < text_len; i++)
        (void)hex_value(text[i], &bad);
    if (bad != 0 || text_len % 2 != 0)
        return SOTTO_ERR_MALFORMED;
    if (n > room)
        return SOTTO_ERR_TOO_LARGE;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(hex_value(text[2 * i], &bad) << 4 | hex_value(text[2 * i + 1], &bad));
    *ret_len = n;
    return SOTTO_OK;
}

size_t sotto_base64_encode(const void *data, size_t len, char *ret)
{
    const uint8_t *p = data;
    uint32_t acc = 0;
    unsigned bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        acc = (acc << 8 | p[i]) & 0xffff;
        for (bits += 8; bits >= 6;) {
            bits -= 6;
            ret[n++] = base64_char(acc >> bits & 63);
        }
    }
    if (bits > 0)
        ret[n++] = base64_char(acc << (6 - bits) & 63);
    ret[n] = 0;
    return n;
}

enum sotto_err sotto_base64_decode(const char *text, size_t text_len, void *ret, size_t room,
                                   size_t *ret_len)
{
    static const uint8_t spare_bits[4] = {0, 0, 15, 3}; /* must be zero in the last character */
    size_t n = text_len / 4 * 3 + (text_len % 4 * 6) / 8, out = 0;
    uint32_t bad = 0, last = 0, acc = 0;
    unsigned bits = 0;
    uint8_t *p = ret;

    for (size_t i = 0; i < text_len; i++)
        last = base64_value(text[i], &bad);
    if (bad != 0 || text_len % 4 == 1 || (last & spare_bits[text_len % 4]) != 0)
        return SOTTO_ERR_MALFORMED;
    if (n > room)
        return SOTTO_ERR_TOO_LARGE;
    for (size_t i = 0; i < text_len; i++) {
        acc = (acc << 6 | base64_value(text[i], &bad)) & 0xffff;
        if ((bits += 6) >= 8) {
            bits -= 8;
            p[out++] = (uint8_t)(acc >> bits);
        }
    }
    *ret_len = out;
    return SOTTO_OK;
}

/* The length of the well-formed character at p (RFC 3629 section 4), 0 when there is none. */
static size_t utf8_char(const uint8_t *p, size_t left)
{
    uint8_t lo = 0x80, hi = 0xbf; /* what the second byte may be */
    size_t n;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        lo = 0xa0; /* overlong */
    if (p[0] == 0xed)
        hi = 0x9f; /* surrogates */
    if (p[0] == 0xf0)
        lo = 0x90; /* overlong */
    if (p[0] == 0xf4)
        hi = 0x8f; /* above U+10FFFF */
    if (n > left || p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

bool sotto_utf8_valid(const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len > 0) {
        size_t n = utf8_char(p, len);

        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}
