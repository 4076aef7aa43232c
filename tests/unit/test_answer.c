/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "heap_hook.h"
#include "wire_battery.h"

static struct battery answers(void)
{
    const struct sotto_answer *a;
    size_t n = wire_answers(&a);

    return (struct battery){&wire_answer_codec, a, n, sizeof *a};
}

static size_t first(enum sotto_answer_type type)
{
    const struct sotto_answer *a;
    size_t n = wire_answers(&a);

    for (size_t i = 0; i < n; i++)
        if (a[i].type == type)
            return i;
    fail_msg("no sample of type %d", type);
    return 0;
}

static void every_type_has_a_sample(void **state)
{
    for (int type = SOTTO_ANS_ERROR; type <= SOTTO_ANS_SUBMITTED; type++)
        first((enum sotto_answer_type)type);
    for (int type = SOTTO_ANS_DELIVER; type <= SOTTO_ANS_CLOSING; type++)
        first((enum sotto_answer_type)type);
}

static void unknown_fields_are_ignored(void **state)
{
    struct battery b = answers();

    battery_unknown_fields(&b, first(SOTTO_ANS_ERROR), SOTTO_ANS_ERROR);
    battery_unknown_fields(&b, first(SOTTO_ANS_HELLO), SOTTO_ANS_HELLO);
    battery_unknown_fields(&b, first(SOTTO_ANS_LISTS), SOTTO_ANS_LISTS);
    battery_unknown_fields(&b, first(SOTTO_ANS_DELIVER), SOTTO_ANS_DELIVER);
}

static void small_frames_take_little_memory(void **state)
{
    static const uint8_t list[] = {3 << 3 | 2, 0}, one[] = {1 << 3 | 2, 0},
                         since_list[] = {4 << 3 | 2, 0}, unknown[] = {8 << 3 | 0, 0};
    struct battery b = answers();

    battery_amplification(&b, (const uint32_t[]){SOTTO_ANS_ERROR, 0}, list, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_ANS_LOGGED_IN, 0}, one, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_ANS_LINKS, 0}, one, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_ANS_LISTS, 0}, one, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_ANS_LISTS, 1, 0}, since_list, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_ANS_SUBMITTED, 0}, one, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_ANS_DONE, 0}, unknown, 2);
    battery_amplification(&b, (const uint32_t[]){0}, unknown, 2);
}

/* Message, kind of rule and its limits, where the field is in the message. */
#define ROW(type, kind, min, max, ...)                                                             \
    {                                                                                              \
        first(SOTTO_ANS_##type), {SOTTO_ANS_##type, __VA_ARGS__}, RULE_##kind, min, max            \
    }

static void rules(void **state)
{
    const struct rule table[] = {
        ROW(ERROR, ENUM_OPEN, 1, SOTTO_RELAY_TOO_LARGE, 1),
        ROW(ERROR, LINE, 0, 255, 2),
        ROW(ERROR, RANGE, 1, SOTTO_LIST_MAX, 3),
        ROW(ERROR, COUNT, 0, 24, 3),
        ROW(HELLO, LINE, 0, 63, 3),
        ROW(HELLO, ENUM_OPEN, 0, SOTTO_REGISTRATION_CLOSED, 4),
        ROW(SIGNED_IN, OPTIONAL, 0, 16, 1),
        ROW(OPAQUE_REGISTERED, FIXED, 0, 64, 1),
        ROW(OPAQUE_CHALLENGE, FIXED, 0, 320, 1),
        ROW(LOGGED_IN, RANGE, 1, SOTTO_LIST_MAX, 1),
        ROW(LOGGED_IN, COUNT, 0, 24, 1),
        ROW(LINKS, COUNT, 0, 8, 1),
        ROW(LINKS, FIXED, 0, SOTTO_ENTRY_BYTES, 1, 1),
        ROW(LISTS, COUNT, 0, 16, 1),
        ROW(LISTS, NAME, 0, 0, 1, 1),
        ROW(LISTS, RANGE, 1, SOTTO_LIST_MAX, 1, 4),
        ROW(LIST_CHANGED, RANGE, 1, SOTTO_LIST_MAX, 1),
        ROW(BUNDLE, FIXED, 0, SOTTO_PREKEY_BYTES, 1),
        ROW(BUNDLE, OPTIONAL, 0, SOTTO_PREKEY_BYTES, 2),
        ROW(SUBMITTED, COUNT, 0, 16, 1),
        ROW(SUBMITTED, ENUM, 1, SOTTO_PARCEL_QUOTA, 1, 2),
        ROW(DELIVER, RANGE, 1, SOTTO_ENVELOPE_MAX, 2),
        ROW(EPHEMERAL, RANGE, 1, SOTTO_ENVELOPE_MAX, 1),
        ROW(CLOSING, ENUM, 1, SOTTO_CLOSING_IDLE, 1),
        ROW(CLOSING, LINE, 0, 255, 2),
    };
    struct battery b = answers();

    battery_rules(&b, table, sizeof table / sizeof table[0]);
}

static enum sotto_err decode_and_free(const uint8_t *p, size_t n)
{
    struct sotto_answer *a;
    enum sotto_err e = sotto_answer_decode(p, n, &a);

    if (e == 0)
        sotto_answer_free(a);
    return e;
}

/* What a newer relay says where this version knows no such thing. */
static void newer_relay(void **state)
{
    static const uint8_t code[] = {8, 1, 0x4a, 2, 8, 99}, mode = SOTTO_REGISTRATION_CLOSED + 1;
    static const uint8_t push[] = {0xa2, 2, 2, 8, 1};
    struct battery b = answers();
    const struct raw_change c = {.how = RAW_NUMBER, .number = mode};
    struct sotto_buf body, out = SOTTO_BUF(4096);
    struct sotto_answer *a;

    assert_int_equal(sotto_answer_decode(code, sizeof code, &a), 0);
    assert_int_equal(a->u.error.code, SOTTO_RELAY_DENIED);
    sotto_answer_free(a);
    assert_int_equal(decode_and_free(push, sizeof push), SOTTO_ERR_UNSUPPORTED);
    battery_body(&b, first(SOTTO_ANS_HELLO), &body);
    raw_edit(body.p, body.n, (const uint32_t[]){SOTTO_ANS_HELLO, 4, 0}, &c, &out);
    assert_int_equal(sotto_answer_decode(out.p, out.n, &a), 0);
    assert_int_equal(a->u.hello.registration, SOTTO_REGISTRATION_UNKNOWN);
    sotto_answer_free(a);
    sotto_buf_free(&body);
    sotto_buf_free(&out);
}

static void ids_and_bodies(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[16];
        size_t n;
        enum sotto_err want;
    } table[] = {
        {"nothing", {0}, 0, SOTTO_ERR_MALFORMED},
        {"an id alone", {8, 1}, 2, SOTTO_ERR_MALFORMED},
        {"done", {8, 1, 0x5a, 0}, 4, 0},
        {"done that is pushed", {0x5a, 0}, 2, SOTTO_ERR_MALFORMED},
        {"link pending", {0x8a, 2, 0}, 3, 0},
        {"link pending as an answer", {8, 1, 0x8a, 2, 0}, 5, SOTTO_ERR_MALFORMED},
        {"error that is pushed", {0x4a, 2, 8, 1}, 4, 0},
        {"error as an answer", {8, 1, 0x4a, 2, 8, 1}, 6, 0},
        {"error without a code", {8, 1, 0x4a, 0}, 4, SOTTO_ERR_MALFORMED},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum sotto_err e = decode_and_free(table[i].bytes, table[i].n);

        if (e != table[i].want)
            fail_msg("%s: %s", table[i].what, sotto_err_name(e));
    }
}

/* ---- hello ---- */

static const uint32_t relay_path[] = {SOTTO_ANS_HELLO, 1, 0};
static const uint32_t signature_path[] = {SOTTO_ANS_HELLO, 2, 0};

/* Decodes the first hello sample with another layout, signed by the relay's key if `sign`. */
static enum sotto_err hello_with(const uint8_t *relay, size_t len, bool sign)
{
    struct battery b = answers();
    struct sotto_buf body, half = SOTTO_BUF(4096), out = SOTTO_BUF(4096);
    uint8_t signature[SOTTO_SIGNATURE];
    struct raw_change c = {.how = RAW_BYTES, .bytes = {relay, len}};
    enum sotto_err e;

    battery_body(&b, first(SOTTO_ANS_HELLO), &body);
    raw_edit(body.p, body.n, relay_path, &c, &half);
    assert_int_equal(sotto_sign(wire_relay_key(), "relay hello", relay, len, signature), 0);
    c.bytes = (struct sotto_bytes){signature, sizeof signature};
    if (sign)
        raw_edit(half.p, half.n, signature_path, &c, &out);
    e = sign ? decode_and_free(out.p, out.n) : decode_and_free(half.p, half.n);
    sotto_buf_free(&body);
    sotto_buf_free(&half);
    sotto_buf_free(&out);
    return e;
}

/* version, relay id, incarnation, count, pins */
static size_t layout(uint8_t version, uint8_t count, uint8_t pins, uint8_t ret[256])
{
    memset(ret, 7, 256);
    ret[0] = version;
    memcpy(ret + 1, wire_relay_key()->pub, 32);
    ret[1 + 32 + 16] = count;
    return 1 + 32 + 16 + 1 + 32 * (size_t)pins;
}

static void hello_layouts(void **state)
{
    uint8_t relay[256];
    size_t n = layout(1, 1, 1, relay);

    assert_int_equal(hello_with(relay, n, true), 0);
    for (size_t len = 0; len < n; len++)
        assert_int_equal(hello_with(relay, len, true), SOTTO_ERR_MALFORMED);
    assert_int_equal(hello_with(relay, n + 1, true), SOTTO_ERR_MALFORMED);
    assert_int_equal(hello_with(relay, layout(1, 0, 0, relay), true), SOTTO_ERR_MALFORMED);
    assert_int_equal(hello_with(relay, layout(1, 4, 4, relay), true), 0);
    assert_int_equal(hello_with(relay, layout(1, 5, 5, relay), true), SOTTO_ERR_MALFORMED);
    assert_int_equal(hello_with(relay, layout(1, 2, 1, relay), true), SOTTO_ERR_MALFORMED);
    assert_int_equal(hello_with(relay, layout(1, 1, 2, relay), true), SOTTO_ERR_MALFORMED);
    assert_int_equal(hello_with(relay, layout(2, 1, 1, relay), true), SOTTO_ERR_UNSUPPORTED);
    assert_int_equal(hello_with(relay, layout(0, 1, 1, relay), true), SOTTO_ERR_UNSUPPORTED);
}

/* Nobody can put pins or an incarnation of his own into the hello of a relay. */
static void hello_signature_covers_all(void **state)
{
    uint8_t relay[256], changed[256];
    size_t n = layout(1, 2, 2, relay);
    const struct sotto_answer *samples;
    struct battery b = answers();
    struct sotto_buf body;

    wire_answers(&samples);
    assert_int_equal(hello_with(relay, n, true), 0);
    assert_int_equal(hello_with(relay, n, false), SOTTO_ERR_BAD_SIGNATURE);
    battery_body(&b, first(SOTTO_ANS_HELLO), &body);
    for (size_t i = 1; i < body.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct sotto_answer *a;

            body.p[i] ^= (uint8_t)(1u << bit);
            if (sotto_answer_decode(body.p, body.n, &a) == 0) {
                /* version and mode of registration are for people, and unsigned */
                assert_memory_equal(&a->u.hello.relay,
                                    &samples[first(SOTTO_ANS_HELLO)].u.hello.relay,
                                    sizeof a->u.hello.relay);
                sotto_answer_free(a);
            }
            body.p[i] ^= (uint8_t)(1u << bit);
        }
    sotto_buf_free(&body);
    /* another key than the one that the layout names */
    memcpy(changed, relay, n);
    changed[1] ^= 1;
    assert_int_not_equal(hello_with(changed, n, true), 0);
}

/* A signature has 64 bytes, and they are those of the layout. */
static void hello_signature_lengths(void **state)
{
    static const uint8_t zeros[128];
    struct battery b = answers();
    struct sotto_buf body, out = SOTTO_BUF(4096);

    battery_body(&b, first(SOTTO_ANS_HELLO), &body);
    for (size_t n = 0; n <= sizeof zeros; n++) {
        struct raw_change c = {.how = RAW_BYTES, .bytes = {zeros, n}};

        sotto_buf_clear(&out);
        raw_edit(body.p, body.n, signature_path, &c, &out);
        assert_int_equal(decode_and_free(out.p, out.n),
                         n == SOTTO_SIGNATURE ? SOTTO_ERR_BAD_SIGNATURE : SOTTO_ERR_MALFORMED);
    }
    sotto_buf_free(&body);
    sotto_buf_free(&out);
}

/* A signature for another purpose is none. */
static void hello_signature_purpose(void **state)
{
    struct battery b = answers();
    uint8_t relay[256], signature[SOTTO_SIGNATURE];
    size_t n = layout(1, 1, 1, relay);
    struct raw_change c = {.how = RAW_BYTES, .bytes = {relay, n}};
    struct sotto_buf body, half = SOTTO_BUF(4096), out = SOTTO_BUF(4096);

    battery_body(&b, first(SOTTO_ANS_HELLO), &body);
    raw_edit(body.p, body.n, relay_path, &c, &half);
    assert_int_equal(sotto_sign(wire_relay_key(), "device list", relay, n, signature), 0);
    c.bytes = (struct sotto_bytes){signature, sizeof signature};
    raw_edit(half.p, half.n, signature_path, &c, &out);
    assert_int_equal(decode_and_free(out.p, out.n), SOTTO_ERR_BAD_SIGNATURE);
    sotto_buf_free(&body);
    sotto_buf_free(&half);
    sotto_buf_free(&out);
}

/* ---- encoding ---- */

static void encode_refuses(void **state)
{
    const struct sotto_answer *samples;
    struct sotto_sign_pair other;
    struct sotto_secret32 seed = {{9}};
    struct sotto_answer a;
    struct sotto_buf buf = SOTTO_BUF(2 * SOTTO_FRAME_MAX);

    wire_answers(&samples);
    sotto_sign_from_seed(&seed, &other);
    assert_int_equal(sotto_buf_add(&buf, "before", 6), 0);
#define REFUSED(sample, change, key, want)                                                         \
    a = samples[first(SOTTO_ANS_##sample)];                                                        \
    change;                                                                                        \
    assert_int_equal(sotto_answer_encode(&a, key, &buf), SOTTO_ERR_##want);                        \
    assert_int_equal(buf.n, 6)
    REFUSED(DONE, a.id = 0, NULL, USAGE);
    REFUSED(DONE, a.type = (enum sotto_answer_type)8, NULL, USAGE);
    REFUSED(DONE, a.type = (enum sotto_answer_type)21, NULL, USAGE);
    REFUSED(DELIVER, a.id = 1, NULL, USAGE);
    REFUSED(DELIVER, a.u.deliver.envelope.n = 0, NULL, USAGE);
    REFUSED(ERROR, a.u.error.code = (enum sotto_relay_error)0, NULL, USAGE);
    REFUSED(ERROR, a.u.error.code = (enum sotto_relay_error)23, NULL, USAGE);
    REFUSED(ERROR, a.u.error.text[0] = '\n', NULL, USAGE);
    REFUSED(ERROR, memset(a.u.error.text, 'x', sizeof a.u.error.text), NULL, USAGE);
    REFUSED(ERROR, a.u.error.list_count = SOTTO_LISTS_IN_FRAME + 1, NULL, USAGE);
    REFUSED(LOGGED_IN, a.u.logged_in.count = SOTTO_LISTS_IN_FRAME + 1, NULL, USAGE);
    REFUSED(LINKS, a.u.links.count = SOTTO_LINKS_MAX + 1, NULL, USAGE);
    REFUSED(LISTS, a.u.lists.count = SOTTO_GET_LISTS_MAX + 1, NULL, USAGE);
    REFUSED(LISTS, a.u.lists.since[0].count = SOTTO_LISTS_IN_FRAME + 1, NULL, USAGE);
    REFUSED(SUBMITTED, a.u.submitted.count = SOTTO_DEVICES_MAX + 1, NULL, USAGE);
    REFUSED(SUBMITTED, a.u.submitted.results[0].state = (enum sotto_parcel_state)0, NULL, USAGE);
    REFUSED(CLOSING, a.u.closing.reason = (enum sotto_closing)0, NULL, USAGE);
    REFUSED(HELLO, (void)0, NULL, USAGE);
    REFUSED(HELLO, (void)0, &other, USAGE);
    REFUSED(HELLO, a.u.hello.relay.pin_count = 0, wire_relay_key(), USAGE);
    REFUSED(HELLO, a.u.hello.relay.pin_count = SOTTO_PINS_MAX + 1, wire_relay_key(), USAGE);
#undef REFUSED
    sotto_buf_free(&buf);
}

/* A relay that has more lists than a frame holds is told so and sends fewer. */
static void frame_limit(void **state)
{
    static uint8_t list[SOTTO_LIST_MAX];
    static struct sotto_answer a;
    struct sotto_buf buf = SOTTO_BUF(4 * SOTTO_FRAME_MAX);

    a.id = 1;
    a.type = SOTTO_ANS_LISTS;
    a.u.lists.count = 2;
    for (int i = 0; i < 2; i++) {
        strcpy(a.u.lists.since[i].name, "alice");
        a.u.lists.since[i].count = 20;
        for (int j = 0; j < 20; j++)
            a.u.lists.since[i].lists[j] = (struct sotto_bytes){list, sizeof list};
    }
    assert_int_equal(sotto_answer_encode(&a, NULL, &buf), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(buf.n, 0);
    a.u.lists.since[1].count = 8;
    assert_int_equal(sotto_answer_encode(&a, NULL, &buf), 0);
    assert_int_equal(wire_check(&wire_answer_codec, buf.p + 4, buf.n - 4), 0);
    sotto_buf_free(&buf);
}

static void exact_bytes(void **state)
{
    static const uint8_t deliver[] = {0,    0, 0,   14,  0xf2, 1,   11,  8,    5,
                                      0x12, 5, 's', 'e', 'a',  'l', 's', 0x18, 1};
    struct sotto_answer a = {.type = SOTTO_ANS_DELIVER,
                             .u.deliver = {5, {(const uint8_t *)"seals", 5}, true}};
    struct sotto_buf buf = SOTTO_BUF(100);

    assert_int_equal(sotto_answer_encode(&a, NULL, &buf), 0);
    assert_int_equal(buf.n, sizeof deliver);
    assert_memory_equal(buf.p, deliver, sizeof deliver);
    sotto_buf_free(&buf);
}

static void too_long_frames(void **state)
{
    uint8_t *noise = test_calloc(1, SOTTO_FRAME_MAX + 1);

    assert_int_equal(decode_and_free(noise, SOTTO_FRAME_MAX + 1), SOTTO_ERR_MALFORMED);
    test_free(noise);
    sotto_answer_free(NULL);
}

int main(void)
{
    struct battery b = answers();
    const struct CMUnitTest tests[] = {
        BATTERY_CASES(&b),
        cmocka_unit_test(every_type_has_a_sample),
        cmocka_unit_test(exact_bytes),
        cmocka_unit_test(ids_and_bodies),
        cmocka_unit_test(rules),
        cmocka_unit_test(newer_relay),
        cmocka_unit_test(hello_layouts),
        cmocka_unit_test(hello_signature_covers_all),
        cmocka_unit_test(hello_signature_lengths),
        cmocka_unit_test(hello_signature_purpose),
        cmocka_unit_test(unknown_fields_are_ignored),
        cmocka_unit_test(small_frames_take_little_memory),
        cmocka_unit_test(too_long_frames),
        cmocka_unit_test(encode_refuses),
        cmocka_unit_test(frame_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
