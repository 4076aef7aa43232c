/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_battery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap_hook.h"
#include "wire/proto.h"

#define MUTATIONS 20000u

/* What decoding may take for a message: the rule of wire/proto.h, and our own struct. */
static size_t allowed(const struct battery *b, size_t len)
{
    return 2 * len + SOTTO_PROTO_SPARE + b->size + 128;
}

static const void *sample(const struct battery *b, size_t i)
{
    return (const uint8_t *)b->samples + i * b->size;
}

static struct sotto_buf big(void)
{
    return SOTTO_BUF(1024 * 1024);
}

void battery_body(const struct battery *b, size_t i, struct sotto_buf *ret)
{
    *ret = big();
    assert_true(i < b->count);
    assert_int_equal(b->codec->encode(sample(b, i), ret), 0);
}

static enum sotto_err decode(const struct battery *b, const uint8_t *data, size_t len)
{
    /* An allocation of exactly this size, so that a read past the end is seen. */
    uint8_t *copy = malloc(len > 0 ? len : 1);
    void *msg;
    enum sotto_err e;

    assert_non_null(copy);
    memcpy(copy, data, len);
    e = b->codec->decode(copy, len, &msg);
    free(copy); /* before the message is used: it must have copied what it needs */
    if (e == 0)
        b->codec->free(msg);
    return e;
}

void battery_round_trip(void **state)
{
    const struct battery *b = *state;
    for (size_t i = 0; i < b->count; i++) {
        struct sotto_buf body;
        uint8_t *copy;
        void *msg;

        battery_body(b, i, &body);
        copy = test_malloc(body.n + 1);
        memcpy(copy, body.p, body.n);
        assert_int_equal(b->codec->decode(copy, body.n, &msg), 0);
        memset(copy, 0xee, body.n);
        assert_true(b->codec->equal(sample(b, i), msg));
        b->codec->free(msg);
        assert_int_equal(wire_check(b->codec, body.p, body.n), 0);
        test_free(copy);
        sotto_buf_free(&body);
    }
    assert_int_equal(heap_hook.blocks, 0);
}

void battery_truncations(void **state)
{
    const struct battery *b = *state;
    size_t refused = 0, accepted = 0;

    for (size_t i = 0; i < b->count; i++) {
        struct sotto_buf body;

        battery_body(b, i, &body);
        for (size_t len = 0; len < body.n; len++) {
            /* Long messages: the insides of long fields differ in nothing. */
            if (len > 3000 && len + 300 < body.n && len % 61 != 0)
                continue;
            if (decode(b, body.p, len) == 0) {
                accepted++;
                assert_int_equal(wire_check(b->codec, body.p, len), 0);
            } else {
                refused++;
            }
        }
        sotto_buf_free(&body);
    }
    assert_true(refused > 0);
    print_message("truncations: %zu refused, %zu valid by themselves\n", refused, accepted);
    assert_int_equal(heap_hook.blocks, 0);
}

struct dice {
    uint64_t x;
};

static uint32_t roll(struct dice *d, uint32_t sides)
{
    d->x ^= d->x << 13, d->x ^= d->x >> 7, d->x ^= d->x << 17;
    return (uint32_t)(d->x >> 32) % sides;
}

static void mutate(struct dice *d, struct sotto_buf *m, const struct sotto_buf *other)
{
    uint32_t at = m->n > 0 ? roll(d, (uint32_t)m->n) : 0, n;
    uint8_t noise[8];

    if (m->n == 0)
        return;
    if (roll(d, 3) > 0 && m->n > 40) /* the beginning holds most of the structure */
        at = roll(d, 40);
    switch (roll(d, 6)) {
    case 0:
        m->p[at] ^= (uint8_t)(1u << roll(d, 8));
        break;
    case 1:
        m->p[at] = (uint8_t)roll(d, 256);
        break;
    case 2: /* cut out */
        n = 1 + roll(d, 8);
        if (n > m->n - at)
            n = (uint32_t)m->n - at;
        memmove(m->p + at, m->p + at + n, m->n - at - n);
        m->n -= n;
        break;
    case 3: /* put in */
        n = 1 + roll(d, sizeof noise);
        for (uint32_t i = 0; i < n; i++)
            noise[i] = (uint8_t)roll(d, 256);
        assert_int_equal(sotto_buf_reserve(m, n), 0);
        memmove(m->p + at + n, m->p + at, m->n - at);
        memcpy(m->p + at, noise, n);
        m->n += n;
        break;
    case 4: /* the largest numbers */
        m->p[at] = roll(d, 2) ? 0xff : 0x7f;
        break;
    default: /* another message behind it: both, merged as protobuf does */
        assert_int_equal(sotto_buf_add(m, other->p, other->n), 0);
        break;
    }
}

void battery_mutations(void **state)
{
    const struct battery *b = *state;
    struct dice d = {0x5077011e5eed};
    size_t accepted = 0;

    for (unsigned int i = 0; i < MUTATIONS; i++) {
        struct sotto_buf body, other;
        unsigned int times = 1 + roll(&d, 3);
        enum sotto_err e;

        battery_body(b, roll(&d, (uint32_t)b->count), &body);
        battery_body(b, roll(&d, (uint32_t)b->count), &other);
        while (times-- > 0)
            mutate(&d, &body, &other);
        heap_hook.peak = 0;
        e = decode(b, body.p, body.n);
        assert_true(heap_hook.peak <= allowed(b, body.n));
        if (e == 0) {
            accepted++;
            assert_int_equal(wire_check(b->codec, body.p, body.n), 0);
        }
        assert_int_equal(heap_hook.blocks, 0);
        sotto_buf_free(&body);
        sotto_buf_free(&other);
    }
    print_message("mutations: %zu of %u accepted\n", accepted, MUTATIONS);
    assert_true(accepted > 0 && accepted < MUTATIONS);
}

void battery_out_of_memory(void **state)
{
    const struct battery *b = *state;
    size_t failures = 0;

    for (size_t i = 0; i < b->count; i++) {
        struct sotto_buf body;
        enum sotto_err e = SOTTO_ERR_NOMEM;

        battery_body(b, i, &body);
        for (size_t n = 1; e != 0; n++) {
            heap_hook.calls = 0;
            heap_hook.fail_at = n;
            e = decode(b, body.p, body.n);
            assert_int_equal(heap_hook.blocks, 0);
            if (e != 0)
                assert_int_equal(e, SOTTO_ERR_NOMEM);
            failures += e != 0;
        }
        heap_hook.fail_at = 0;
        sotto_buf_free(&body);
    }
    assert_true(failures >= 3 * b->count);
}

void battery_wiping(void **state)
{
    const struct battery *b = *state;
    heap_hook.unwiped = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct sotto_buf body;

        battery_body(b, i, &body);
        assert_int_equal(decode(b, body.p, body.n), 0);
        /* the same for messages that are refused at their very end, or half way */
        body.p[body.n - 1] |= 0x80;
        (void)decode(b, body.p, body.n);
        (void)decode(b, body.p, body.n / 2);
        sotto_buf_free(&body);
    }
    assert_int_equal(heap_hook.unwiped, 0);
    assert_int_equal(heap_hook.blocks, 0);
}

void battery_unknown_fields(const struct battery *b, size_t i, uint32_t inner)
{
    const struct raw_change noise = {.how = RAW_BYTES, .bytes = {(const uint8_t *)"new", 3}};
    const struct raw_change number = {.how = RAW_NUMBER, .number = UINT64_MAX};
    struct sotto_buf body, out = big(), more = big();
    void *msg;

    battery_body(b, i, &body);
    raw_edit(body.p, body.n, (const uint32_t[]){200, 0}, &number, &out);
    raw_edit(out.p, out.n, (const uint32_t[]){inner, 1000, 0}, &noise, &more);
    assert_true(more.n > body.n + 8);
    assert_int_equal(b->codec->decode(more.p, more.n, &msg), 0);
    assert_true(b->codec->equal(sample(b, i), msg));
    b->codec->free(msg);
    sotto_buf_free(&body);
    sotto_buf_free(&out);
    sotto_buf_free(&more);
}

void battery_amplification(const struct battery *b, const uint32_t *path, const uint8_t *element,
                           size_t len)
{
    struct sotto_buf flood = big(), inner, out = big();
    size_t depth = 0;

    while (flood.n + len + 64 <= b->codec->max)
        assert_int_equal(sotto_buf_add(&flood, element, len), 0);
    while (path[depth] != 0)
        depth++;
    while (depth-- > 0) {
        inner = flood;
        flood = big();
        raw_bytes(&flood, path[depth], inner.p, inner.n);
        sotto_buf_free(&inner);
    }
    raw_number(&out, 1, 7);
    assert_int_equal(sotto_buf_add(&out, flood.p, flood.n), 0);
    assert_true(out.n <= b->codec->max);
    heap_hook.peak = 0;
    assert_int_equal(decode(b, out.p, out.n), SOTTO_ERR_MALFORMED);
    assert_true(heap_hook.peak <= allowed(b, out.n));
    assert_int_equal(heap_hook.blocks, 0);
    sotto_buf_free(&flood);
    sotto_buf_free(&out);
}

/* ---- rules ---- */

struct trial {
    const struct battery *b;
    const struct rule *rule;
    const struct sotto_buf *body;
    size_t index;
};

static void expect(const struct trial *t, const struct raw_change *change, bool valid,
                   const char *what, size_t number)
{
    struct sotto_buf out = big();
    enum sotto_err e;

    raw_edit(t->body->p, t->body->n, t->rule->path, change, &out);
    e = decode(t->b, out.p, out.n);
    if ((e == 0) != valid || (e != 0 && e != SOTTO_ERR_MALFORMED))
        fail_msg("rule %zu (sample %zu, field %u.%u.%u): %s %zu gives %s", t->index,
                 t->rule->sample, t->rule->path[0], t->rule->path[1], t->rule->path[2], what,
                 number, sotto_err_name(e));
    if (e == 0)
        assert_int_equal(wire_check(t->b->codec, out.p, out.n), 0);
    sotto_buf_free(&out);
}

static void expect_bytes(const struct trial *t, const void *p, size_t n, bool valid)
{
    const struct raw_change c = {.how = RAW_BYTES, .bytes = {p, n}};

    expect(t, &c, valid, "length", n);
}

static void expect_number(const struct trial *t, uint64_t number, bool valid)
{
    const struct raw_change c = {.how = RAW_NUMBER, .number = number};

    expect(t, &c, valid, "number", (size_t)number);
}

static void expect_count(const struct trial *t, uint64_t count, bool valid)
{
    const struct raw_change c = {.how = RAW_REPEAT, .number = count};

    expect(t, &c, valid, "count", (size_t)count);
}

static void try_lengths(const struct trial *t, const uint8_t *text)
{
    const struct rule *r = t->rule;
    const size_t lengths[] = {
        0, 1, r->min > 1 ? r->min - 1 : 2, r->min + 1, r->max - 1, r->max, r->max + 1, 2 * r->max};

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t n = lengths[i];
        bool valid = n == r->max || (r->kind == RULE_OPTIONAL && n == 0) ||
                     (r->kind >= RULE_RANGE && n >= r->min && n <= r->max);

        if (t->body->n + n <= t->b->codec->max)
            expect_bytes(t, text, n, valid);
    }
}

static void try_names(const struct trial *t)
{
    static const char *const good[] = {"a",           "0",
                                       "alice.b_c-d", "abcdefghijklmnopqrstuvwxyz012345",
                                       "+1234567",    "+123456789012345"};
    static const struct sotto_bytes bad[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"Alice", 5},
        {(const uint8_t *)"-alice", 6},
        {(const uint8_t *)"abcdefghijklmnopqrstuvwxyz0123456", 33},
        {(const uint8_t *)"+123456", 7},
        {(const uint8_t *)"+1234567890123456", 17},
        {(const uint8_t *)"alice\0", 6},
        {(const uint8_t *)"alice\0bob", 9},
        {(const uint8_t *)"al ice", 6},
        {(const uint8_t *)"alice@relay", 11},
        {(const uint8_t *)"\xc3\xa4lice", 6},
        {(const uint8_t *)"alice\n", 6},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        expect_bytes(t, good[i], strlen(good[i]), true);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_bytes(t, bad[i].p, bad[i].n, false);
}

static void try_texts(const struct trial *t, bool line)
{
    static const struct sotto_bytes broken[] = {
        {(const uint8_t *)"\xff", 1},
        {(const uint8_t *)"a\xc3", 2},
        {(const uint8_t *)"\xed\xa0\x80", 3},
        {(const uint8_t *)"\xc0\xaf", 2},
        {(const uint8_t *)"\xf4\x90\x80\x80", 4},
    };
    static const struct sotto_bytes control[] = {
        {(const uint8_t *)"a\nb", 3},
        {(const uint8_t *)"\x1b[2J", 4},
        {(const uint8_t *)"\0", 1},
        {(const uint8_t *)"\x7f", 1},
        {(const uint8_t *)"\xc2\x9b"
                          "31m",
         5},
        {(const uint8_t *)"x\xc2\x80", 3},
    };

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        expect_bytes(t, broken[i].p, broken[i].n, false);
    for (size_t i = 0; i < sizeof control / sizeof control[0]; i++)
        expect_bytes(t, control[i].p, control[i].n, !line);
    expect_bytes(t, "\xc2\xa0\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x80", 11, true);
}

static void try_numbers(const struct trial *t)
{
    const struct rule *r = t->rule;
    bool open = r->kind == RULE_ENUM_OPEN;

    for (uint64_t n = 0; n <= r->max + 2; n++)
        expect_number(t, n, n >= r->min && (open || n <= r->max));
    expect_number(t, 1000, open);
    expect_number(t, UINT32_MAX, open);        /* -1 in 32 bits */
    expect_number(t, (uint64_t)1 << 31, open); /* the least one */
}

static void try_rule(const struct trial *t, const uint8_t *text)
{
    const struct rule *r = t->rule;

    switch (r->kind) {
    case RULE_FIXED:
    case RULE_OPTIONAL:
    case RULE_RANGE:
        try_lengths(t, text);
        break;
    case RULE_NAME:
        try_names(t);
        break;
    case RULE_LINE:
    case RULE_TEXT:
        try_lengths(t, text);
        try_texts(t, r->kind == RULE_LINE);
        break;
    case RULE_ENUM:
    case RULE_ENUM_OPEN:
        try_numbers(t);
        break;
    case RULE_COUNT:
        if (r->min > 0)
            expect_count(t, r->min - 1, false);
        expect_count(t, r->min, true);
        expect_count(t, r->max, true);
        expect_count(t, r->max + 1, false);
        expect_count(t, 2 * r->max, false);
        break;
    }
}

void battery_rules(const struct battery *b, const struct rule *rules, size_t count)
{
    uint8_t *text = test_malloc(2 * b->codec->max);

    memset(text, 'x', 2 * b->codec->max);
    for (size_t i = 0; i < count; i++) {
        struct sotto_buf body;
        struct trial t = {b, &rules[i], &body, i};

        battery_body(b, rules[i].sample, &body);
        try_rule(&t, text);
        sotto_buf_free(&body);
    }
    test_free(text);
    assert_int_equal(heap_hook.blocks, 0);
}
