/* SPDX-License-Identifier: Apache-2.0 */
#include "load_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENVELOPE_VERSION 1
#define ENVELOPE_SUITE   1
#define MARK_AT          6 /* after version, suite, sealing key id */
#define MARK_BYTES       (4 + 4 + 8 + 8)
#define ID_BYTES         5

__attribute__((noreturn)) static void give_up(const char *what)
{
    fprintf(stderr, "relay_load: %s is not what the wire module makes of it\n", what);
    exit(1);
}

/* --- envelopes --- */

static void mark_put(const struct load_mark *mark, uint8_t *p)
{
    sotto_put_u32(p, mark->tag);
    sotto_put_u32(p + 4, mark->flow);
    sotto_put_u64(p + 8, mark->number);
    sotto_put_u64(p + 16, mark->sent_ns);
}

void load_envelope_make(const struct load_mark *mark, uint8_t ret[LOAD_ENVELOPE])
{
    for (size_t i = 0; i < LOAD_ENVELOPE; i++)
        ret[i] = (uint8_t)(i * 167 + 13); /* what stands there is nobody's business */
    ret[0] = ENVELOPE_VERSION;
    ret[1] = ENVELOPE_SUITE;
    mark_put(mark, ret + MARK_AT);
}

bool load_envelope_read(struct sotto_bytes envelope, struct load_mark *ret)
{
    const uint8_t *p = envelope.p + MARK_AT;

    if (envelope.n != LOAD_ENVELOPE || envelope.p[0] != ENVELOPE_VERSION ||
        envelope.p[1] != ENVELOPE_SUITE)
        return false;
    ret->tag = sotto_get_u32(p);
    ret->flow = sotto_get_u32(p + 4);
    ret->number = sotto_get_u64(p + 8);
    ret->sent_ns = sotto_get_u64(p + 16);
    return true;
}

/* --- varints (base 128, least significant first) --- */

static size_t varint_put(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

struct walk {
    const uint8_t *p, *end;
};

static bool varint_get(struct walk *w, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; w->p < w->end && shift < 64; shift += 7) {
        uint8_t b = *w->p++;

        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* One field: a number, or the bytes of a nested one. */
struct field {
    uint32_t number;
    uint64_t value;
    struct walk inside;
};

static bool field_get(struct walk *w, struct field *ret)
{
    uint64_t key, len;

    if (!varint_get(w, &key))
        return false;
    *ret = (struct field){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case 0:
        return varint_get(w, &ret->value);
    case 1:
        if (w->end - w->p < 8)
            return false;
        w->p += 8; /* a device: we know which one */
        return true;
    case 2:
        if (!varint_get(w, &len) || len > (uint64_t)(w->end - w->p))
            return false;
        ret->inside = (struct walk){w->p, w->p + len};
        w->p += len;
        return true;
    default:
        return false;
    }
}

/* --- requests --- */

static struct sotto_request submit_of(const struct relay_person *to, uint32_t id,
                                      const uint8_t *envelope)
{
    struct sotto_request q = {.id = id, .type = SOTTO_REQ_SUBMIT};

    memcpy(q.u.submit.to, to->name, sizeof q.u.submit.to);
    q.u.submit.list_version = RELAY_PERSON_LIST_VERSION;
    q.u.submit.has_token = true;
    memcpy(q.u.submit.token, to->token, sizeof q.u.submit.token);
    q.u.submit.count = 1;
    q.u.submit.parcels[0].device = to->device;
    q.u.submit.parcels[0].envelope = (struct sotto_bytes){envelope, LOAD_ENVELOPE};
    q.u.submit.parcels[0].lane = 1;
    return q;
}

void load_submit_make(const struct relay_person *to, struct load_submit *ret)
{
    struct load_mark mark = {.number = 0};
    uint8_t envelope[LOAD_ENVELOPE], id[ID_BYTES];
    SOTTO_AUTO_BUF buf = SOTTO_BUF(LOAD_FRAME);
    struct sotto_request q = submit_of(to, load_id_of(0), envelope);
    const uint8_t *found;

    load_envelope_make(&mark, envelope);
    if (sotto_request_encode(&q, &buf) != 0 ||
        (found = memmem(buf.p, buf.n, envelope, LOAD_ENVELOPE)) == NULL)
        give_up("a submit");
    memcpy(ret->frame, buf.p, buf.n);
    ret->len = buf.n;
    ret->envelope_at = (size_t)(found - buf.p);
    (void)varint_put(id, load_id_of(0));
    ret->id_at = SOTTO_FRAME_HEADER + 1;
    if (memcmp(ret->frame + ret->id_at, id, sizeof id) != 0)
        give_up("a request id");
}

void load_submit_set(struct load_submit *s, const struct load_mark *mark)
{
    (void)varint_put(s->frame + s->id_at, load_id_of(mark->number));
    mark_put(mark, s->frame + s->envelope_at + MARK_AT);
}

size_t load_ack_make(uint64_t seq, uint8_t ret[LOAD_ACK_MAX])
{
    uint8_t *p = ret + SOTTO_FRAME_HEADER;
    size_t n = varint_put(p, (uint64_t)SOTTO_REQ_ACK << 3 | 2), len_at = n++;

    p[n++] = 1 << 3;
    n += varint_put(p + n, seq);
    p[len_at] = (uint8_t)(n - len_at - 1);
    sotto_put_u32(ret, (uint32_t)n);
    return n + SOTTO_FRAME_HEADER;
}

/* --- answers --- */

static bool read_deliver(struct walk w, struct load_answer *a)
{
    struct field f;

    while (w.p < w.end) {
        if (!field_get(&w, &f))
            return false;
        if (f.number == 1)
            a->seq = f.value;
        else if (f.number == 2)
            a->envelope = (struct sotto_bytes){f.inside.p, (size_t)(f.inside.end - f.inside.p)};
        else if (f.number == 3)
            a->request = f.value != 0;
    }
    return a->seq != 0 && a->envelope.n > 0;
}

static bool read_submitted(struct walk w, struct load_answer *a)
{
    struct field result, f;

    if (!field_get(&w, &result) || result.number != 1 || w.p != w.end)
        return false;
    for (w = result.inside; w.p < w.end;) {
        if (!field_get(&w, &f))
            return false;
        if (f.number == 2)
            a->state = (uint32_t)f.value;
    }
    return a->state != 0;
}

bool load_answer_read(const uint8_t *body, size_t len, struct load_answer *ret)
{
    struct walk w = {body, body + len};
    struct load_answer a = {.id = 0};
    struct field f = {.number = 0};
    struct walk inside = {NULL, NULL};

    while (w.p < w.end) {
        if (!field_get(&w, &f))
            return false;
        if (f.number == 1) {
            a.id = (uint32_t)f.value;
        } else {
            a.type = f.number;
            inside = f.inside;
        }
    }
    if (a.type == SOTTO_ANS_DELIVER && !read_deliver(inside, &a))
        return false;
    if (a.type == SOTTO_ANS_SUBMITTED && !read_submitted(inside, &a))
        return false;
    *ret = a;
    return a.type != 0;
}

/* --- the check --- */

static void check_submit(void)
{
    const struct load_mark mark = {.tag = 7, .flow = 3, .number = 99, .sent_ns = 1ull << 50};
    struct sotto_request *q = NULL;
    struct relay_person to;
    struct load_submit s;
    struct load_mark read;

    relay_person_make(12345, &to);
    load_submit_make(&to, &s);
    load_submit_set(&s, &mark);
    if (sotto_request_decode(s.frame + SOTTO_FRAME_HEADER, s.len - SOTTO_FRAME_HEADER, &q) != 0 ||
        q->id != load_id_of(99) || q->type != SOTTO_REQ_SUBMIT || q->u.submit.count != 1 ||
        strcmp(q->u.submit.to, to.name) != 0 || q->u.submit.parcels[0].device != to.device ||
        !load_envelope_read(q->u.submit.parcels[0].envelope, &read) || read.tag != mark.tag ||
        read.flow != mark.flow || read.number != mark.number || read.sent_ns != mark.sent_ns)
        give_up("a submit");
    sotto_request_free(q);
}

static void check_ack(void)
{
    const uint64_t seq = (5ull << 40) + 77;
    struct sotto_request *q = NULL;
    uint8_t frame[LOAD_ACK_MAX];
    size_t n = load_ack_make(seq, frame);

    if (sotto_get_u32(frame) != n - SOTTO_FRAME_HEADER ||
        sotto_request_decode(frame + SOTTO_FRAME_HEADER, n - SOTTO_FRAME_HEADER, &q) != 0 ||
        q->id != 0 || q->type != SOTTO_REQ_ACK || q->u.ack.seq != seq)
        give_up("an ack");
    sotto_request_free(q);
}

static struct load_answer through(const struct sotto_answer *a, struct sotto_buf *buf)
{
    struct load_answer ret = {.id = 0};

    buf->n = 0;
    if (sotto_answer_encode(a, NULL, buf) != 0 ||
        !load_answer_read(buf->p + SOTTO_FRAME_HEADER, buf->n - SOTTO_FRAME_HEADER, &ret) ||
        ret.type != a->type || ret.id != a->id)
        give_up("an answer");
    return ret;
}

static void check_answers(void)
{
    SOTTO_AUTO_BUF buf = SOTTO_BUF(SOTTO_FRAME_MAX);
    struct sotto_answer a = {.id = load_id_of(7), .type = SOTTO_ANS_SUBMITTED};
    uint8_t envelope[LOAD_ENVELOPE];
    struct load_mark mark = {.number = 1};
    struct load_answer r;

    a.u.submitted.count = 1;
    a.u.submitted.results[0].device = 1ull << 63;
    a.u.submitted.results[0].state = SOTTO_PARCEL_FULL;
    if (through(&a, &buf).state != SOTTO_PARCEL_FULL)
        give_up("a submit's answer");
    load_envelope_make(&mark, envelope);
    a = (struct sotto_answer){.type = SOTTO_ANS_DELIVER};
    a.u.deliver.seq = (3ull << 40) + 1;
    a.u.deliver.envelope = (struct sotto_bytes){envelope, sizeof envelope};
    a.u.deliver.request = true;
    r = through(&a, &buf);
    if (r.seq != a.u.deliver.seq || !r.request || r.envelope.n != sizeof envelope ||
        memcmp(r.envelope.p, envelope, sizeof envelope) != 0)
        give_up("a delivery");
    a = (struct sotto_answer){.id = 2, .type = SOTTO_ANS_DONE};
    (void)through(&a, &buf);
}

void load_wire_check(void)
{
    check_submit();
    check_ack();
    check_answers();
}
