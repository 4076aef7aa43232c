/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "heap_hook.h"
#include "wire_battery.h"

static struct battery requests(void)
{
    const struct sotto_request *r;
    size_t n = wire_requests(&r);

    return (struct battery){&wire_request_codec, r, n, sizeof *r};
}

/* The first sample of a type. */
static size_t first(enum sotto_request_type type)
{
    const struct sotto_request *r;
    size_t n = wire_requests(&r);

    for (size_t i = 0; i < n; i++)
        if (r[i].type == type)
            return i;
    fail_msg("no sample of type %d", type);
    return 0;
}

static void every_type_has_a_sample(void **state)
{
    for (int type = SOTTO_REQ_SIGN_IN; type <= SOTTO_REQ_GOODBYE; type++)
        first((enum sotto_request_type)type);
}

static void unknown_fields_are_ignored(void **state)
{
    struct battery b = requests();

    battery_unknown_fields(&b, first(SOTTO_REQ_SUBMIT), SOTTO_REQ_SUBMIT);
    battery_unknown_fields(&b, first(SOTTO_REQ_REGISTER), SOTTO_REQ_REGISTER);
    battery_unknown_fields(&b, first(SOTTO_REQ_PING), SOTTO_REQ_PING);
}

/* Two bytes on the wire for each of these, up to a hundred in memory. */
static void small_frames_take_little_memory(void **state)
{
    static const uint8_t parcel[] = {4 << 3 | 2, 0}, known[] = {1 << 3 | 2, 0},
                         token[] = {1 << 3 | 2, 0}, unknown[] = {9 << 3 | 0, 0};
    struct battery b = requests();

    battery_amplification(&b, (const uint32_t[]){SOTTO_REQ_SUBMIT, 0}, parcel, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_REQ_GET_LISTS, 0}, known, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_REQ_SET_TOKENS, 0}, token, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_REQ_PUT_PREKEYS, 0}, token, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_REQ_PING, 0}, unknown, 2);
    battery_amplification(&b, (const uint32_t[]){0}, unknown, 2);
    battery_amplification(&b, (const uint32_t[]){SOTTO_REQ_SUBMIT, 4, 0}, unknown, 2);
}

/* Message, kind of rule and its limits, where the field is in the message. */
#define ROW(type, kind, min, max, ...)                                                             \
    {                                                                                              \
        first(SOTTO_REQ_##type), {SOTTO_REQ_##type, __VA_ARGS__}, RULE_##kind, min, max            \
    }
/* the second sample of the type */
#define SECOND(type, kind, min, max, ...)                                                          \
    {                                                                                              \
        first(SOTTO_REQ_##type) + 1, {SOTTO_REQ_##type, __VA_ARGS__}, RULE_##kind, min, max        \
    }

static void rules(void **state)
{
    const struct rule table[] = {
        ROW(SIGN_IN, NAME, 0, 0, 1),
        ROW(SIGN_IN, FIXED, 0, 16, 3),
        ROW(SIGN_IN, FIXED, 0, 64, 4),
        ROW(OPAQUE_REGISTER, NAME, 0, 0, 1),
        ROW(OPAQUE_REGISTER, FIXED, 0, 32, 2),
        ROW(REGISTER, NAME, 0, 0, 1),
        ROW(REGISTER, OPTIONAL, 0, 16, 2),
        ROW(REGISTER, RANGE, 1, SOTTO_LIST_MAX, 3),
        ROW(REGISTER, FIXED, 0, 192, 4),
        ROW(REGISTER, FIXED, 0, SOTTO_PREKEY_BYTES, 5),
        ROW(REGISTER, OPTIONAL, 0, 32, 6),
        ROW(OPAQUE_LOGIN, NAME, 0, 0, 1),
        ROW(OPAQUE_LOGIN, FIXED, 0, 96, 2),
        ROW(OPAQUE_FINISH, FIXED, 0, 64, 1),
        ROW(LINK, FIXED, 0, SOTTO_ENTRY_BYTES, 1),
        ROW(LINK, FIXED, 0, SOTTO_PREKEY_BYTES, 2),
        ROW(LINK, OPTIONAL, 0, 32, 3),
        ROW(PUT_LIST, RANGE, 1, SOTTO_LIST_MAX, 1),
        SECOND(GET_LISTS, NAME, 0, 0, 1, 1),
        SECOND(GET_LISTS, COUNT, 0, 16, 1),
        ROW(GET_BUNDLE, NAME, 0, 0, 1),
        ROW(PUT_PREKEYS, OPTIONAL, 0, SOTTO_PREKEY_BYTES, 1),
        SECOND(PUT_PREKEYS, FIXED, 0, SOTTO_PREKEY_BYTES, 2),
        SECOND(PUT_PREKEYS, COUNT, 0, 32, 2),
        ROW(SUBMIT, NAME, 0, 0, 1),
        ROW(SUBMIT, OPTIONAL, 0, 16, 3),
        ROW(SUBMIT, RANGE, 1, SOTTO_ENVELOPE_MAX, 4, 2),
        ROW(SUBMIT, COUNT, 1, 1, 4), /* more would be for one device */
        SECOND(SET_TOKENS, FIXED, 0, 32, 1),
        SECOND(SET_TOKENS, FIXED, 0, 32, 2),
        SECOND(SET_TOKENS, COUNT, 0, 64, 1),
        SECOND(SET_TOKENS, COUNT, 0, 64, 2),
        ROW(DELETE_ACCOUNT, FIXED, 0, 64, 1),
    };
    struct battery b = requests();

    battery_rules(&b, table, sizeof table / sizeof table[0]);
}

static enum sotto_err decode_and_free(const uint8_t *p, size_t n)
{
    struct sotto_request *r;
    enum sotto_err e = sotto_request_decode(p, n, &r);

    if (e == 0)
        sotto_request_free(r);
    return e;
}

/* A submit with this many parcels, each for another device. */
static enum sotto_err submit_of(size_t parcels)
{
    struct sotto_buf submit = SOTTO_BUF(4096), out = SOTTO_BUF(4096);
    enum sotto_err e;

    raw_bytes(&submit, 1, "bob", 3);
    for (size_t i = 0; i < parcels; i++) {
        struct sotto_buf parcel = SOTTO_BUF(64);

        raw_fixed64(&parcel, 1, 1000 + i);
        raw_bytes(&parcel, 2, "envelope", 8);
        raw_bytes(&submit, 4, parcel.p, parcel.n);
        sotto_buf_free(&parcel);
    }
    raw_number(&out, 1, 1);
    raw_bytes(&out, SOTTO_REQ_SUBMIT, submit.p, submit.n);
    e = decode_and_free(out.p, out.n);
    sotto_buf_free(&submit);
    sotto_buf_free(&out);
    return e;
}

static void submit_counts(void **state)
{
    assert_int_equal(submit_of(0), SOTTO_ERR_MALFORMED);
    assert_int_equal(submit_of(1), 0);
    assert_int_equal(submit_of(SOTTO_DEVICES_MAX), 0);
    assert_int_equal(submit_of(SOTTO_DEVICES_MAX + 1), SOTTO_ERR_MALFORMED);
}

/* The schema on the wire: these bytes may never change. */
static void exact_bytes(void **state)
{
    static const uint8_t ack[] = {0, 0, 0, 5, 0xba, 1, 2, 8, 5};
    static const uint8_t ping[] = {0, 0, 0, 5, 8, 1, 0xd2, 1, 0};
    static const uint8_t bundle[] = {0,   0,   0,   21, 8, 0xac, 2, 0xa2, 1, 15, 10, 4, 'c',
                                     'a', 'r', 'l', 17, 8, 7,    6, 5,    4, 3,  2,  1};
    struct sotto_request r = {.type = SOTTO_REQ_ACK, .u.ack.seq = 5};
    struct sotto_buf buf = SOTTO_BUF(100);

    assert_int_equal(sotto_request_encode(&r, &buf), 0);
    assert_int_equal(buf.n, sizeof ack);
    assert_memory_equal(buf.p, ack, sizeof ack);
    sotto_buf_clear(&buf);
    r = (struct sotto_request){.id = 1, .type = SOTTO_REQ_PING};
    assert_int_equal(sotto_request_encode(&r, &buf), 0);
    assert_int_equal(buf.n, sizeof ping);
    assert_memory_equal(buf.p, ping, sizeof ping);
    sotto_buf_clear(&buf);
    r = (struct sotto_request){
        .id = 300, .type = SOTTO_REQ_GET_BUNDLE, .u.get_bundle = {"carl", 0x0102030405060708}};
    assert_int_equal(sotto_request_encode(&r, &buf), 0);
    assert_int_equal(buf.n, sizeof bundle);
    assert_memory_equal(buf.p, bundle, sizeof bundle);
    sotto_buf_free(&buf);
}

static void ids_and_bodies(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t n;
        enum sotto_err want;
    } table[] = {
        {"nothing", {0}, 0, SOTTO_ERR_MALFORMED},
        {"an id alone", {8, 1}, 2, SOTTO_ERR_MALFORMED},
        {"ping", {8, 1, 0xd2, 1, 0}, 5, 0},
        {"ping without an id", {0xd2, 1, 0}, 3, SOTTO_ERR_MALFORMED},
        {"goodbye without an id", {0xda, 1, 0}, 3, 0},
        {"ack without an id", {0xba, 1, 2, 8, 5}, 5, 0},
        {"a body of the future", {8, 1, 0xe2, 1, 0}, 5, SOTTO_ERR_MALFORMED},
        {"a body of the future behind a ping", {8, 1, 0xd2, 1, 0, 0xe2, 1, 0}, 8, 0},
        {"ping as a number", {8, 1, 0xd0, 1, 0}, 5, SOTTO_ERR_MALFORMED},
        {"the id as bytes", {10, 0, 0xd2, 1, 0}, 5, SOTTO_ERR_MALFORMED},
        {"field number 0", {8, 1, 0xd2, 1, 0, 2, 0}, 7, SOTTO_ERR_MALFORMED},
        {"a group", {8, 1, 0xd3, 1, 0xd4, 1}, 6, SOTTO_ERR_MALFORMED},
        {"a length beyond the end",
         {8, 1, 0xd2, 1, 0xff, 0xff, 0xff, 0xff, 0x0f},
         9,
         SOTTO_ERR_MALFORMED},
        {"an endless varint",
         {8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
         12,
         SOTTO_ERR_MALFORMED},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum sotto_err e = decode_and_free(table[i].bytes, table[i].n);

        if (e != table[i].want)
            fail_msg("%s: %s", table[i].what, sotto_err_name(e));
    }
}

/* The last of several bodies counts, as protobuf says; none of the others leaves a trace. */
static void last_body_counts(void **state)
{
    static const uint8_t two[] = {8, 9, 0xba, 1, 2, 8, 5, 0xd2, 1, 0};
    struct sotto_request *r;

    assert_int_equal(sotto_request_decode(two, sizeof two, &r), 0);
    assert_int_equal(r->type, SOTTO_REQ_PING);
    assert_int_equal(r->id, 9);
    sotto_request_free(r);
    assert_int_equal(heap_hook.blocks, 0);
}

/* A valid frame of this length, most of it a field that nobody knows. */
static enum sotto_err frame_of(size_t len)
{
    struct sotto_buf body = SOTTO_BUF(1024 * 1024);
    uint8_t *noise = test_calloc(1, len);
    enum sotto_err e;

    raw_number(&body, 1, 1);
    raw_bytes(&body, SOTTO_REQ_PING, "", 0);
    raw_bytes(&body, 9, noise, len - body.n - 4);
    assert_int_equal(body.n, len);
    e = decode_and_free(body.p, body.n);
    test_free(noise);
    sotto_buf_free(&body);
    return e;
}

static void too_long_frames(void **state)
{
    assert_int_equal(frame_of(SOTTO_FRAME_MAX), 0);
    assert_int_equal(frame_of(SOTTO_FRAME_MAX + 1), SOTTO_ERR_MALFORMED);
}

/* Nothing leaves that the other side would refuse, and the buffer stays as it was. */
static void encode_refuses(void **state)
{
    static uint8_t big[SOTTO_ENVELOPE_MAX + 1];
    const struct sotto_request *samples;
    struct sotto_request r;
    struct sotto_buf buf = SOTTO_BUF(SOTTO_FRAME_MAX + 100);

    wire_requests(&samples);
    assert_int_equal(sotto_buf_add(&buf, "before", 6), 0);
#define REFUSED(sample, change, want)                                                              \
    r = samples[first(SOTTO_REQ_##sample)];                                                        \
    change;                                                                                        \
    assert_int_equal(sotto_request_encode(&r, &buf), SOTTO_ERR_##want);                            \
    assert_int_equal(buf.n, 6)
    REFUSED(PING, r.id = 0, USAGE);
    REFUSED(PING, r.type = (enum sotto_request_type)9, USAGE);
    REFUSED(PING, r.type = (enum sotto_request_type)28, USAGE);
    REFUSED(SIGN_IN, memset(r.u.sign_in.name, 'a', sizeof r.u.sign_in.name), USAGE);
    REFUSED(SIGN_IN, r.u.sign_in.name[0] = '\0', USAGE);
    REFUSED(REGISTER, r.u.register_.list.n = 0, USAGE);
    REFUSED(GET_LISTS, r.u.get_lists.count = SOTTO_GET_LISTS_MAX + 1, USAGE);
    REFUSED(PUT_PREKEYS, r.u.put_prekeys.count = SOTTO_PAGE_PREKEYS + 1, USAGE);
    REFUSED(SUBMIT, r.u.submit.count = SOTTO_DEVICES_MAX + 1, USAGE);
    REFUSED(SUBMIT, r.u.submit.count = 0, USAGE);
    REFUSED(SUBMIT, r.u.submit.parcels[0].envelope.n = 0, USAGE);
    REFUSED(SUBMIT, (r.u.submit.parcels[0].envelope = (struct sotto_bytes){big, sizeof big}),
            USAGE);
    REFUSED(SET_TOKENS, r.u.set_tokens.add_count = SOTTO_TOKENS_MAX + 1, USAGE);
    REFUSED(SET_TOKENS, r.u.set_tokens.remove_count = SOTTO_TOKENS_MAX + 1, USAGE);
#undef REFUSED
    sotto_buf_free(&buf);
}

static void frame_limit(void **state)
{
    static uint8_t big[SOTTO_ENVELOPE_MAX];
    struct sotto_request r = {
        .id = 1, .type = SOTTO_REQ_SUBMIT, .u.submit = {.to = "bob", .count = 2}};
    struct sotto_buf buf = SOTTO_BUF(4 * SOTTO_FRAME_MAX), tight = SOTTO_BUF(8);

    r.u.submit.parcels[0] = (struct sotto_parcel){1, {big, sizeof big}, 0};
    r.u.submit.parcels[1] = (struct sotto_parcel){2, {big, sizeof big}, 0};
    assert_int_equal(sotto_request_encode(&r, &buf), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(buf.n, 0);
    /* the longest frame that there is */
    r.u.submit.parcels[1].envelope.n -= 100;
    assert_int_equal(sotto_request_encode(&r, &buf), 0);
    r.u.submit.parcels[1].envelope.n += SOTTO_FRAME_MAX - sotto_get_u32(buf.p);
    sotto_buf_clear(&buf);
    assert_int_equal(sotto_request_encode(&r, &buf), 0);
    assert_int_equal(sotto_get_u32(buf.p), SOTTO_FRAME_MAX);
    assert_int_equal(decode_and_free(buf.p + SOTTO_FRAME_HEADER, SOTTO_FRAME_MAX), 0);
    sotto_buf_clear(&buf);
    r.u.submit.parcels[1].envelope.n++;
    assert_int_equal(sotto_request_encode(&r, &buf), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(buf.n, 0);
    r = (struct sotto_request){.id = 1, .type = SOTTO_REQ_PING};
    assert_int_equal(sotto_request_encode(&r, &tight), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(tight.n, 0);
    sotto_buf_free(&buf);
    sotto_buf_free(&tight);
}

/* Several frames behind each other in one buffer, as the connection sends them. */
static void frames_are_appended(void **state)
{
    const struct sotto_request *samples;
    size_t n = wire_requests(&samples), at = 0;
    struct sotto_buf buf = SOTTO_BUF(1024 * 1024);

    for (size_t i = 0; i < n; i++)
        assert_int_equal(sotto_request_encode(&samples[i], &buf), 0);
    for (size_t i = 0; i < n; i++) {
        size_t len = sotto_get_u32(buf.p + at);
        struct sotto_request *r;

        assert_int_equal(sotto_request_decode(buf.p + at + SOTTO_FRAME_HEADER, len, &r), 0);
        assert_true(wire_request_equal(r, &samples[i]));
        sotto_request_free(r);
        at += SOTTO_FRAME_HEADER + len;
    }
    assert_int_equal(at, buf.n);
    sotto_buf_free(&buf);
}

static void free_null(void **state)
{
    sotto_request_free(NULL);
}

int main(void)
{
    struct battery b = requests();
    const struct CMUnitTest tests[] = {
        BATTERY_CASES(&b),
        cmocka_unit_test(every_type_has_a_sample),
        cmocka_unit_test(exact_bytes),
        cmocka_unit_test(ids_and_bodies),
        cmocka_unit_test(rules),
        cmocka_unit_test(submit_counts),
        cmocka_unit_test(last_body_counts),
        cmocka_unit_test(unknown_fields_are_ignored),
        cmocka_unit_test(small_frames_take_little_memory),
        cmocka_unit_test(too_long_frames),
        cmocka_unit_test(encode_refuses),
        cmocka_unit_test(frame_limit),
        cmocka_unit_test(frames_are_appended),
        cmocka_unit_test(free_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
