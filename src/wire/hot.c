/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/hot.h"

#include <string.h>

/* Wire types of protobuf (developers' encoding guide, "Message structure"). */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2 };
#define TAG(field, type) ((field) << 3 | (type))

/* --- reading --- */

struct reader {
    const uint8_t *p, *end;
    uint32_t tag; /* of the field that comes; 0: the end */
    bool bad;
};

static uint64_t long_varint(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; r->p < r->end && shift < 63; shift += 7) {
        uint8_t b = *r->p++;

        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            r->bad = r->bad || (b == 0 && shift > 0); /* written longer than needed */
            return v;
        }
    }
    r->bad = true; /* cut off, or above 63 bits, which none of ours reaches */
    return 0;
}

/* Nearly all are one byte. */
static inline uint64_t varint(struct reader *r)
{
    return r->p < r->end && *r->p < 0x80 ? *r->p++ : long_varint(r);
}

static void next_tag(struct reader *r)
{
    uint32_t before = r->tag;
    uint64_t tag;

    r->tag = 0;
    if (r->bad || r->p == r->end)
        return;
    tag = varint(r);
    r->bad = r->bad || tag == 0 || tag < before || tag > UINT16_MAX;
    r->tag = r->bad ? 0 : (uint32_t)tag;
}

/* The value of a field if it is the one that comes; each reader below goes on to the next. */
static uint64_t take_number(struct reader *r, uint32_t field, uint64_t max)
{
    uint64_t v;

    if (r->bad || r->tag != TAG(field, VARINT))
        return 0;
    v = varint(r);
    r->bad = r->bad || v > max;
    next_tag(r);
    r->bad = r->bad || r->tag == TAG(field, VARINT);
    return v;
}

static struct sotto_bytes take_bytes(struct reader *r, uint32_t field)
{
    struct sotto_bytes b = {NULL, 0};
    uint64_t n;

    if (r->bad || r->tag != TAG(field, BYTES))
        return b;
    n = varint(r);
    if (r->bad || n > (uint64_t)(r->end - r->p)) {
        r->bad = true;
        return b;
    }
    b = (struct sotto_bytes){r->p, (size_t)n};
    r->p += n;
    next_tag(r);
    return b;
}

static struct sotto_bytes take_bytes_once(struct reader *r, uint32_t field)
{
    struct sotto_bytes b = take_bytes(r, field);

    r->bad = r->bad || r->tag == TAG(field, BYTES);
    return b;
}

static uint64_t take_fixed64(struct reader *r, uint32_t field)
{
    uint64_t v = 0;

    if (r->bad || r->tag != TAG(field, FIXED64))
        return 0;
    if (r->end - r->p < 8) {
        r->bad = true;
        return 0;
    }
    for (int i = 8; i-- > 0;)
        v = v << 8 | r->p[i];
    r->p += 8;
    next_tag(r);
    r->bad = r->bad || r->tag == TAG(field, FIXED64);
    return v;
}

static struct reader reader_of(struct sotto_bytes b)
{
    struct reader r = {.p = b.p, .end = b.n > 0 ? b.p + b.n : b.p};

    next_tag(&r);
    return r;
}

static bool at_end(const struct reader *r)
{
    return !r->bad && r->tag == 0 && r->p == r->end;
}

static bool read_parcel(struct sotto_bytes b, struct sotto_parcel *ret)
{
    struct reader r = reader_of(b);

    ret->device = take_fixed64(&r, 1);
    ret->envelope = take_bytes_once(&r, 2);
    ret->lane = (uint32_t)take_number(&r, 3, UINT32_MAX);
    return at_end(&r) && ret->envelope.n >= 1 && ret->envelope.n <= SOTTO_ENVELOPE_MAX;
}

static bool listed_before(const struct sotto_request *q, size_t count, uint64_t device)
{
    for (size_t i = 0; i < count; i++)
        if (q->u.submit.parcels[i].device == device)
            return true;
    return false;
}

static bool read_submit(struct sotto_bytes b, struct sotto_request *q)
{
    struct reader r = reader_of(b);
    struct sotto_bytes name = take_bytes_once(&r, 1), token;
    size_t n = 0;

    if (r.bad || !sotto_name_valid((const char *)name.p, name.n))
        return false;
    memcpy(q->u.submit.to, name.p, name.n);
    memset(q->u.submit.to + name.n, 0, sizeof q->u.submit.to - name.n);
    q->u.submit.list_version = (uint32_t)take_number(&r, 2, UINT32_MAX);
    token = take_bytes_once(&r, 3);
    q->u.submit.has_token = token.n == SOTTO_TOKEN;
    if (q->u.submit.has_token)
        memcpy(q->u.submit.token, token.p, SOTTO_TOKEN);
    else if (token.n > 0)
        return false;
    while (!r.bad && r.tag == TAG(4, BYTES)) {
        if (n == SOTTO_DEVICES_MAX || !read_parcel(take_bytes(&r, 4), &q->u.submit.parcels[n]) ||
            listed_before(q, n, q->u.submit.parcels[n].device))
            return false;
        n++;
    }
    q->u.submit.count = n;
    q->u.submit.more = take_number(&r, 5, 1) != 0;
    q->u.submit.ephemeral = take_number(&r, 6, 1) != 0;
    return at_end(&r) && n > 0;
}

bool sotto_hot_request(const uint8_t *frame, size_t len, struct sotto_request *ret)
{
    struct reader r = reader_of((struct sotto_bytes){frame, len});
    uint32_t field;
    struct sotto_bytes body;

    if (len > SOTTO_FRAME_MAX)
        return false;
    ret->owner = NULL;
    ret->id = (uint32_t)take_number(&r, 1, UINT32_MAX);
    field = r.tag >> 3;
    if (field != SOTTO_REQ_SUBMIT && field != SOTTO_REQ_ACK)
        return false;
    body = take_bytes_once(&r, field);
    if (!at_end(&r))
        return false;
    ret->type = (enum sotto_request_type)field;
    if (field == SOTTO_REQ_SUBMIT)
        return ret->id != 0 && read_submit(body, ret);
    r = reader_of(body);
    ret->u.ack.seq = take_number(&r, 1, UINT64_MAX);
    return at_end(&r);
}

/* --- writing --- */

static uint8_t *write_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;

    while ((v >>= 7) > 0)
        n++;
    return n;
}

static uint8_t *write_number(uint8_t *p, uint32_t field, uint64_t v)
{
    return v == 0 ? p : write_varint(write_varint(p, TAG(field, VARINT)), v);
}

static size_t number_size(uint32_t field, uint64_t v)
{
    return v == 0 ? 0 : varint_size(TAG(field, VARINT)) + varint_size(v);
}

static size_t bytes_size(uint32_t field, size_t n)
{
    return varint_size(TAG(field, BYTES)) + varint_size(n) + n;
}

static uint8_t *write_head(uint8_t *p, uint32_t field, size_t n)
{
    return write_varint(write_varint(p, TAG(field, BYTES)), n);
}

/* The frame's length, its id, and the head of its body of n bytes. */
static enum sotto_err begin_answer(struct sotto_buf *buf, uint32_t id, uint32_t field, size_t n,
                                   uint8_t **ret)
{
    size_t len = number_size(1, id) + bytes_size(field, n);
    enum sotto_err e = len > SOTTO_FRAME_MAX ? SOTTO_ERR_TOO_LARGE
                                             : sotto_buf_reserve(buf, SOTTO_FRAME_HEADER + len);
    uint8_t *p;

    if (e != 0)
        return e;
    p = buf->p + buf->n;
    sotto_put_u32(p, (uint32_t)len);
    *ret = write_head(write_number(p + SOTTO_FRAME_HEADER, 1, id), field, n);
    buf->n += SOTTO_FRAME_HEADER + len;
    return SOTTO_OK;
}

enum sotto_err sotto_hot_deliver(struct sotto_buf *buf, uint64_t seq, bool request,
                                 struct sotto_bytes envelope)
{
    size_t n = number_size(1, seq) + bytes_size(2, envelope.n) + number_size(3, request);
    uint8_t *p;
    enum sotto_err e = begin_answer(buf, 0, SOTTO_ANS_DELIVER, n, &p);

    if (e != 0)
        return e;
    p = write_head(write_number(p, 1, seq), 2, envelope.n);
    memcpy(p, envelope.p, envelope.n);
    (void)write_number(p + envelope.n, 3, request);
    return SOTTO_OK;
}

/* A result in which the state is STORED. */
static size_t result_size(uint64_t device)
{
    return (device != 0 ? 9 : 0) + number_size(2, SOTTO_PARCEL_STORED);
}

enum sotto_err sotto_hot_stored(struct sotto_buf *buf, uint32_t id, const uint64_t *devices,
                                size_t count)
{
    size_t n = 0;
    uint8_t *p;
    enum sotto_err e;

    for (size_t i = 0; i < count; i++)
        n += bytes_size(1, result_size(devices[i]));
    if ((e = begin_answer(buf, id, SOTTO_ANS_SUBMITTED, n, &p)) != 0)
        return e;
    for (size_t i = 0; i < count; i++) {
        p = write_head(p, 1, result_size(devices[i]));
        if (devices[i] != 0) {
            *p++ = TAG(1, FIXED64);
            for (unsigned k = 0; k < 8; k++)
                *p++ = (uint8_t)(devices[i] >> 8 * k);
        }
        p = write_number(p, 2, SOTTO_PARCEL_STORED);
    }
    return SOTTO_OK;
}
