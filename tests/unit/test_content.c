/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "e2ee/session.h"
#include "heap_hook.h"
#include "wire_battery.h"

static struct battery contents(void)
{
    const struct sotto_content *c;
    size_t n = wire_contents(&c);

    return (struct battery){&wire_content_codec, c, n, sizeof *c};
}

static size_t first(enum sotto_content_kind kind)
{
    const struct sotto_content *c;
    size_t n = wire_contents(&c);

    for (size_t i = 0; i < n; i++)
        if (c[i].kind == kind)
            return i;
    fail_msg("no sample of kind %d", kind);
    return 0;
}

static void every_kind_has_a_sample(void **state)
{
    for (int kind = SOTTO_CONTENT_TEXT; kind <= SOTTO_CONTENT_GRANT; kind++)
        first((enum sotto_content_kind)kind);
}

static void unknown_fields_are_ignored(void **state)
{
    struct battery b = contents();

    battery_unknown_fields(&b, first(SOTTO_CONTENT_TEXT), SOTTO_CONTENT_TEXT);
    battery_unknown_fields(&b, first(SOTTO_CONTENT_CONTACT_SYNC), SOTTO_CONTENT_CONTACT_SYNC);
    battery_unknown_fields(&b, first(SOTTO_CONTENT_GRANT), SOTTO_CONTENT_GRANT);
}

static void small_contents_take_little_memory(void **state)
{
    static const uint8_t member[] = {3 << 3 | 2, 0}, id[] = {2 << 3 | 2, 0},
                         list_name[] = {5 << 3 | 2, 0}, unknown[] = {15 << 3 | 0, 0};
    struct battery b = contents();

    battery_amplification(&b, (const uint32_t[]){0}, member, 2);
    battery_amplification(&b, (const uint32_t[]){0}, list_name, 2);
    battery_amplification(&b, (const uint32_t[]){0}, unknown, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_CONTENT_RECEIPT, 0}, id, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_CONTENT_GRANT, 0}, unknown, 2);
}

/* Message, kind of rule and its limits, where the field is in the message. */
#define ROW(type, kind, min, max, ...)                                                             \
    {                                                                                              \
        first(SOTTO_CONTENT_##type), {SOTTO_CONTENT_##type, __VA_ARGS__}, RULE_##kind, min, max    \
    }
/* in what every content has */
#define TOP(kind, min, max, ...)                                                                   \
    {                                                                                              \
        first(SOTTO_CONTENT_TEXT), {__VA_ARGS__}, RULE_##kind, min, max                            \
    }

static void rules(void **state)
{
    const struct rule table[] = {
        TOP(FIXED, 0, 16, 1),
        TOP(FIXED, 0, 16, 2),
        TOP(FIXED, 0, 32, 5, 2),
        TOP(FIXED, 0, 32, 6, 2),
        TOP(OPTIONAL, 0, 16, 8),
        ROW(TEXT, TEXT, 0, SOTTO_TEXT_MAX, 1),
        ROW(RECEIPT, ENUM, 1, SOTTO_RECEIPT_READ, 1),
        ROW(RECEIPT, FIXED, 0, 16, 2),
        ROW(RECEIPT, COUNT, 1, 256, 2),
        ROW(RETRY, FIXED, 0, 16, 1),
        ROW(CONTACT_SYNC, NAME, 0, 0, 1),
        ROW(CONTACT_SYNC, ENUM, 0, SOTTO_CONTACT_BLOCKED, 2),
        ROW(CONTACT_SYNC, OPTIONAL, 0, 16, 3),
        ROW(CONTACT_SYNC, OPTIONAL, 0, 16, 4),
        ROW(CONTACT_SYNC, OPTIONAL, 0, 32, 5),
        ROW(ENTRY_UPDATE, FIXED, 0, SOTTO_ENTRY_BYTES, 1),
    };
    struct battery b = contents();

    battery_rules(&b, table, sizeof table / sizeof table[0]);
}

/* The first sample with one field changed; *ret only on success. */
static enum sotto_err with(const uint32_t *path, struct raw_change change,
                           struct sotto_content **ret)
{
    struct battery b = contents();
    struct sotto_buf body, out = SOTTO_BUF(4096);
    enum sotto_err e;

    battery_body(&b, first(SOTTO_CONTENT_TEXT), &body);
    raw_edit(body.p, body.n, path, &change, &out);
    e = sotto_content_decode(out.p, out.n, ret);
    sotto_buf_free(&body);
    sotto_buf_free(&out);
    return e;
}

static enum sotto_err with_and_free(const uint32_t *path, struct raw_change change)
{
    struct sotto_content *c;
    enum sotto_err e = with(path, change, &c);

    if (e == 0)
        sotto_content_free(c);
    return e;
}

/* Every content names both lists that it was made under, and no list has version 0. */
static void lists_are_named(void **state)
{
    const struct raw_change drop = {.how = RAW_DROP}, zero = {.how = RAW_NUMBER, .number = 0};

    for (uint32_t field = 5; field <= 6; field++) {
        assert_int_equal(with_and_free((const uint32_t[]){field, 0}, drop), SOTTO_ERR_MALFORMED);
        assert_int_equal(with_and_free((const uint32_t[]){field, 1, 0}, zero), SOTTO_ERR_MALFORMED);
        assert_int_equal(with_and_free((const uint32_t[]){field, 1, 0}, drop), SOTTO_ERR_MALFORMED);
    }
}

static void members(void **state)
{
    static const struct {
        const char *names[4];
        enum sotto_err want;
    } table[] = {
        {{NULL}, 0},
        {{"alice"}, 0},
        {{"alice", "bob"}, 0},
        {{"bob", "alice"}, SOTTO_ERR_MALFORMED},
        {{"bob", "bob"}, SOTTO_ERR_MALFORMED},
        {{"alice", "bob", "carol"}, SOTTO_ERR_MALFORMED},
        {{"alice", "Bob"}, SOTTO_ERR_MALFORMED},
        {{"alice", ""}, SOTTO_ERR_MALFORMED},
        {{"a", "aa"}, 0},
        {{"+1234567", "a"}, 0},
    };
    struct battery b = contents();

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct raw_change none = {.how = RAW_REPEAT, .number = 0};
        struct sotto_buf body, out = SOTTO_BUF(4096);
        struct sotto_content *c;
        enum sotto_err e;

        battery_body(&b, first(SOTTO_CONTENT_TEXT), &body);
        raw_edit(body.p, body.n, (const uint32_t[]){3, 0}, &none, &out);
        for (size_t j = 0; table[i].names[j] != NULL; j++)
            raw_bytes(&out, 3, table[i].names[j], strlen(table[i].names[j]));
        e = sotto_content_decode(out.p, out.n, &c);
        assert_int_equal(e, table[i].want);
        if (e == 0)
            sotto_content_free(c);
        sotto_buf_free(&body);
        sotto_buf_free(&out);
    }
}

/* What a newer client sends is kept, its sender and place are known. */
static void unknown_kinds(void **state)
{
    const struct raw_change drop = {.how = RAW_DROP},
                            kind = {.how = RAW_BYTES, .bytes = {(const uint8_t *)"picture", 7}};
    const struct sotto_content *samples;
    struct battery b = contents();
    struct sotto_buf body, none = SOTTO_BUF(4096), out = SOTTO_BUF(4096), low = SOTTO_BUF(4096),
                           buf = SOTTO_BUF(4096);
    struct sotto_content *c;

    wire_contents(&samples);
    battery_body(&b, 0, &body);
    raw_edit(body.p, body.n, (const uint32_t[]){SOTTO_CONTENT_TEXT, 0}, &drop, &none);
    assert_int_equal(sotto_content_decode(none.p, none.n, &c), SOTTO_ERR_MALFORMED);
    raw_edit(none.p, none.n, (const uint32_t[]){50, 0}, &kind, &out);
    assert_int_equal(sotto_content_decode(out.p, out.n, &c), 0);
    assert_int_equal(c->kind, SOTTO_CONTENT_UNKNOWN);
    assert_memory_equal(c->id, samples[0].id, sizeof c->id);
    assert_int_equal(c->counter, samples[0].counter);
    assert_int_equal(sotto_content_encode(c, &buf), SOTTO_ERR_USAGE);
    sotto_content_free(c);
    /* an addition that is not a kind does not make one */
    raw_edit(none.p, none.n, (const uint32_t[]){19, 0}, &kind, &low);
    assert_int_equal(sotto_content_decode(low.p, low.n, &c), SOTTO_ERR_MALFORMED);
    /* a kind that we know, with something new beside it, stays what it is */
    sotto_buf_clear(&out);
    raw_edit(body.p, body.n, (const uint32_t[]){50, 0}, &kind, &out);
    assert_int_equal(sotto_content_decode(out.p, out.n, &c), 0);
    assert_int_equal(c->kind, SOTTO_CONTENT_TEXT);
    sotto_content_free(c);
    sotto_buf_free(&body);
    sotto_buf_free(&none);
    sotto_buf_free(&out);
    sotto_buf_free(&low);
    sotto_buf_free(&buf);
}

/* UTF-8 is kept byte for byte, a NUL and all. */
static void text_is_kept(void **state)
{
    static const char text[] = "one\0two\r\n\xf0\x9f\xa6\x8a\xe2\x80\xae";
    const struct raw_change c = {.how = RAW_BYTES,
                                 .bytes = {(const uint8_t *)text, sizeof text - 1}};
    struct sotto_content *got;

    assert_int_equal(with((const uint32_t[]){SOTTO_CONTENT_TEXT, 1, 0}, c, &got), 0);
    assert_int_equal(got->u.text.text.n, sizeof text - 1);
    assert_memory_equal(got->u.text.text.p, text, sizeof text - 1);
    sotto_content_free(got);
}

static void encode_refuses(void **state)
{
    static uint8_t long_text[SOTTO_TEXT_MAX + 1];
    const struct sotto_content *samples;
    struct sotto_buf buf = SOTTO_BUF(SOTTO_CONTENT_MAX);
    struct sotto_content c;

    wire_contents(&samples);
    assert_int_equal(sotto_buf_add(&buf, "before", 6), 0);
    memset(long_text, 'x', sizeof long_text);
#define REFUSED(sample, change)                                                                    \
    c = samples[first(SOTTO_CONTENT_##sample)];                                                    \
    change;                                                                                        \
    assert_int_equal(sotto_content_encode(&c, &buf), SOTTO_ERR_USAGE);                             \
    assert_int_equal(buf.n, 6)
    REFUSED(TEXT, (c.u.text.text = (struct sotto_bytes){long_text, sizeof long_text}));
    REFUSED(TEXT, (c.u.text.text = (struct sotto_bytes){(const uint8_t *)"\xff", 1}));
    REFUSED(TEXT, c.member_count = SOTTO_MEMBERS_MAX + 1);
    REFUSED(TEXT, strcpy(c.members[0], "zoe"));
    REFUSED(TEXT, c.sender_list.version = 0);
    REFUSED(TEXT, c.recipient_list.version = 0);
    REFUSED(TEXT, c.kind = SOTTO_CONTENT_UNKNOWN);
    REFUSED(TEXT, c.kind = (enum sotto_content_kind)19);
    REFUSED(TEXT, c.kind = (enum sotto_content_kind)27);
    REFUSED(RECEIPT, c.u.receipt.count = 0);
    REFUSED(RECEIPT, c.u.receipt.count = SOTTO_RECEIPT_IDS + 1);
    REFUSED(RECEIPT, c.u.receipt.state = (enum sotto_receipt_state)0);
    REFUSED(CONTACT_SYNC, c.u.contact_sync.name[0] = '\0');
    REFUSED(ENTRY_UPDATE, c.u.entry_update.entry.n--);
#undef REFUSED
    sotto_buf_free(&buf);
}

/* The longest text with everything around it is a content that a session can carry. */
static void longest_text_fits(void **state)
{
    const struct sotto_content *samples;
    size_t n = wire_contents(&samples), longest = 0;
    struct battery b = contents();

    for (size_t i = 0; i < n; i++) {
        struct sotto_buf body;

        battery_body(&b, i, &body);
        if (body.n > longest)
            longest = body.n;
        sotto_buf_free(&body);
    }
    assert_true(longest > SOTTO_TEXT_MAX && longest <= SOTTO_CONTENT_MAX);
}

static void too_long(void **state)
{
    uint8_t *noise = test_calloc(1, SOTTO_CONTENT_MAX + 1);
    struct sotto_content *c;

    assert_int_equal(sotto_content_decode(noise, SOTTO_CONTENT_MAX + 1, &c), SOTTO_ERR_MALFORMED);
    test_free(noise);
    sotto_content_free(NULL);
}

/* SHA-256("sotto/1 conversation" NUL || relay id || field8 of both names in byte order)[0..16] */
static void conversation_ids(void **state)
{
    uint8_t relay[32], other[32], plain[21 + 32 + 1 + 5 + 1 + 3], hash[32];
    uint8_t id[SOTTO_CONVERSATION_ID], again[SOTTO_CONVERSATION_ID];

    memset(relay, 0x22, sizeof relay);
    memset(other, 0x23, sizeof other);
    memcpy(plain, "sotto/1 conversation", 21);
    memcpy(plain + 21, relay, 32);
    memcpy(plain + 53, "\005alice\003bob", 10);
    sotto_sha256(plain, sizeof plain, hash);
    sotto_conversation_direct(relay, "alice", "bob", id);
    assert_memory_equal(id, hash, sizeof id);
    sotto_conversation_direct(relay, "bob", "alice", again);
    assert_memory_equal(id, again, sizeof id);
    sotto_conversation_direct(other, "bob", "alice", again);
    assert_memory_not_equal(id, again, sizeof id);
    /* lengths are in it: no two pairs of names run together */
    sotto_conversation_direct(relay, "alic", "ebob", again);
    assert_memory_not_equal(id, again, sizeof id);
    sotto_conversation_direct(relay, "alice", "alice", again);
    assert_memory_not_equal(id, again, sizeof id);
}

int main(void)
{
    struct battery b = contents();
    const struct CMUnitTest tests[] = {
        BATTERY_CASES(&b),
        cmocka_unit_test(every_kind_has_a_sample),
        cmocka_unit_test(rules),
        cmocka_unit_test(lists_are_named),
        cmocka_unit_test(members),
        cmocka_unit_test(unknown_kinds),
        cmocka_unit_test(unknown_fields_are_ignored),
        cmocka_unit_test(text_is_kept),
        cmocka_unit_test(small_contents_take_little_memory),
        cmocka_unit_test(encode_refuses),
        cmocka_unit_test(longest_text_fits),
        cmocka_unit_test(too_long),
        cmocka_unit_test(conversation_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
