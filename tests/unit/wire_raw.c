/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* One field of a message: number, wire type, the whole of it and its content. */
struct field {
    uint32_t number, type;
    struct sotto_bytes whole, content;
};

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "wire_raw: %s\n", what);
    abort();
}

static void add(struct sotto_buf *out, const void *data, size_t len)
{
    require(sotto_buf_add(out, data, len) == 0, "no room");
}

static void add_varint(struct sotto_buf *out, uint64_t v)
{
    uint8_t b;

    do {
        b = (uint8_t)(v & 0x7f);
        v >>= 7;
        if (v != 0)
            b |= 0x80;
        add(out, &b, 1);
    } while (v != 0);
}

static uint64_t take_varint(const uint8_t **p, const uint8_t *end)
{
    uint64_t v = 0;

    for (unsigned int shift = 0; shift < 64; shift += 7) {
        require(*p < end, "cut varint");
        v |= (uint64_t)(**p & 0x7f) << shift;
        if ((*(*p)++ & 0x80) == 0)
            return v;
    }
    require(false, "long varint");
    return 0;
}

static struct field take_field(const uint8_t **p, const uint8_t *end)
{
    struct field f = {.whole = {*p, 0}};
    uint64_t tag = take_varint(p, end);
    uint64_t len = 0;

    f.number = (uint32_t)(tag >> 3);
    f.type = tag & 7;
    f.content.p = *p;
    if (f.type == VARINT) {
        take_varint(p, end);
    } else if (f.type == BYTES) {
        len = take_varint(p, end);
        f.content.p = *p;
    } else {
        len = f.type == FIXED64 ? 8 : 4;
    }
    require(len <= (size_t)(end - *p), "cut field");
    *p += len;
    f.content.n = (size_t)(*p - f.content.p);
    f.whole.n = (size_t)(*p - f.whole.p);
    return f;
}

void raw_number(struct sotto_buf *out, uint32_t field, uint64_t value)
{
    add_varint(out, field << 3 | VARINT);
    add_varint(out, value);
}

void raw_fixed64(struct sotto_buf *out, uint32_t field, uint64_t value)
{
    uint8_t b[8];

    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(value >> 8 * i);
    add_varint(out, field << 3 | FIXED64);
    add(out, b, sizeof b);
}

void raw_bytes(struct sotto_buf *out, uint32_t field, const void *data, size_t len)
{
    add_varint(out, field << 3 | BYTES);
    add_varint(out, len);
    add(out, data, len);
}

static void put_changed(const struct field *f, uint32_t number, const struct raw_change *change,
                        struct sotto_buf *out)
{
    switch (change->how) {
    case RAW_BYTES:
        raw_bytes(out, number, change->bytes.p, change->bytes.n);
        break;
    case RAW_NUMBER:
        raw_number(out, number, change->number);
        break;
    case RAW_REPEAT:
        require(f != NULL, "nothing to repeat");
        for (uint64_t i = 0; i < change->number; i++)
            add(out, f->whole.p, f->whole.n);
        break;
    case RAW_DROP:
        break;
    }
}

void raw_edit(const uint8_t *msg, size_t len, const uint32_t *path, const struct raw_change *change,
              struct sotto_buf *out)
{
    const uint8_t *p = msg, *end = msg + len;
    bool last = path[1] == 0, done = false;

    while (p < end) {
        struct field f = take_field(&p, end);

        if (f.number != path[0] || (done && change->how != RAW_REPEAT)) {
            add(out, f.whole.p, f.whole.n);
        } else if (last) {
            if (!done)
                put_changed(&f, f.number, change, out);
            done = true;
        } else if (done) {
            add(out, f.whole.p, f.whole.n);
        } else {
            struct sotto_buf inner = SOTTO_BUF(1024 * 1024);

            require(f.type == BYTES, "not a message");
            raw_edit(f.content.p, f.content.n, path + 1, change, &inner);
            raw_bytes(out, f.number, inner.p, inner.n);
            sotto_buf_free(&inner);
            done = true;
        }
    }
    require(done || last, "no such field on the way");
    if (!done)
        put_changed(NULL, path[0], change, out);
}
