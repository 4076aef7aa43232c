/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void reader_integers(void **state)
{
    static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct sotto_reader r;
    uint64_t v64;
    uint32_t v32;
    uint16_t v16;
    uint8_t v8;

    sotto_reader_init(&r, in, sizeof in);
    assert_int_equal(sotto_read_u8(&r, &v8), 0);
    assert_int_equal(sotto_read_u16(&r, &v16), 0);
    assert_int_equal(sotto_read_u32(&r, &v32), 0);
    assert_int_equal(sotto_read_done(&r), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_read_u64(&r, &v64), 0);
    assert_int_equal(sotto_read_done(&r), 0);
    assert_int_equal(v8, 1);
    assert_int_equal(v16, 0x0203);
    assert_int_equal(v32, 0x04050607);
    assert_true(v64 == 0x08090a0b0c0d0e0f);
}

/* Every read of more than is left: TRUNCATED, nothing written, reader where it was. */
static void reader_refuses_short_input(void **state)
{
    static const uint8_t in[7] = {0};
    uint64_t v64 = 77;
    uint32_t v32 = 77;
    uint16_t v16 = 77;
    uint8_t v8 = 77, out[8] = {77, 77};
    struct sotto_bytes view = {.n = 77};
    struct sotto_reader r;

    for (size_t have = 0; have < 8; have++) {
        sotto_reader_init(&r, in, have);
        if (have < 8)
            assert_int_equal(sotto_read_u64(&r, &v64), SOTTO_ERR_TRUNCATED);
        if (have < 4)
            assert_int_equal(sotto_read_u32(&r, &v32), SOTTO_ERR_TRUNCATED);
        if (have < 2)
            assert_int_equal(sotto_read_u16(&r, &v16), SOTTO_ERR_TRUNCATED);
        if (have < 1)
            assert_int_equal(sotto_read_u8(&r, &v8), SOTTO_ERR_TRUNCATED);
        assert_int_equal(sotto_read_bytes(&r, out, have + 1), SOTTO_ERR_TRUNCATED);
        assert_int_equal(sotto_read_view(&r, have + 1, &view), SOTTO_ERR_TRUNCATED);
        assert_int_equal(sotto_read_view(&r, SIZE_MAX, &view), SOTTO_ERR_TRUNCATED);
        assert_int_equal(sotto_reader_left(&r), have);
    }
    assert_true(v64 == 77 && v32 == 77 && v16 == 77 && v8 == 77 && out[0] == 77 && view.n == 77);
    sotto_reader_init(&r, NULL, 0);
    assert_int_equal(sotto_read_bytes(&r, NULL, 0), 0);
    assert_int_equal(sotto_read_done(&r), 0);
}

typedef enum sotto_err field_fn(struct sotto_reader *, size_t, struct sotto_bytes *);

static void reader_fields(void **state)
{
    static const struct {
        field_fn *fn;
        const char *in;
        size_t len, max;
        enum sotto_err want;
        size_t want_n;
    } t[] = {
        {sotto_read_field8,
         "\x03"
         "abcd",
         5, 3, 0, 3},
        {sotto_read_field8, "\x00", 1, 0, 0, 0},
        {sotto_read_field8, "", 0, 9, SOTTO_ERR_TRUNCATED, 0},
        {sotto_read_field8,
         "\x04"
         "abc",
         4, 9, SOTTO_ERR_TRUNCATED, 0},
        {sotto_read_field8,
         "\x04"
         "abcd",
         5, 3, SOTTO_ERR_MALFORMED, 0},
        {sotto_read_field16,
         "\x00\x02"
         "ab",
         4, 2, 0, 2},
        {sotto_read_field16, "\x00", 1, 9, SOTTO_ERR_TRUNCATED, 0},
        {sotto_read_field16, "\xff\xff", 2, 65535, SOTTO_ERR_TRUNCATED, 0},
        {sotto_read_field16, "\xff\xff", 2, 65534, SOTTO_ERR_MALFORMED, 0},
        {sotto_read_field32,
         "\x00\x00\x00\x01"
         "a",
         5, 1, 0, 1},
        {sotto_read_field32, "\x00\x00\x00", 3, 9, SOTTO_ERR_TRUNCATED, 0},
        {sotto_read_field32, "\xff\xff\xff\xff", 4, SIZE_MAX, SOTTO_ERR_TRUNCATED, 0},
        {sotto_read_field32, "\xff\xff\xff\xff", 4, 1000, SOTTO_ERR_MALFORMED, 0},
    };

    for (size_t i = 0; i < LEN(t); i++) {
        struct sotto_bytes v = {.n = 4711};
        struct sotto_reader r;

        sotto_reader_init(&r, t[i].in, t[i].len);
        assert_int_equal(t[i].fn(&r, t[i].max, &v), t[i].want);
        assert_int_equal(v.n, t[i].want == 0 ? t[i].want_n : 4711);
        if (t[i].want != 0)
            assert_int_equal(sotto_reader_left(&r), t[i].len);
        else
            assert_ptr_equal(r.p, v.p + v.n);
    }
}

static void writer_layout(void **state)
{
    static const uint8_t want[] = {1,   2, 3,   4,   5, 6, 7,   8,   9, 10, 11, 12, 13,  14,  15,
                                   'x', 2, 'a', 'b', 0, 2, 'c', 'd', 0, 0,  0,  1,  'e', 's', 's'};
    uint8_t out[sizeof want];
    struct sotto_writer w;
    size_t len = 0;

    sotto_writer_init(&w, out, sizeof out);
    sotto_write_u8(&w, 1);
    sotto_write_u16(&w, 0x0203);
    sotto_write_u32(&w, 0x04050607);
    sotto_write_u64(&w, 0x08090a0b0c0d0e0f);
    sotto_write_bytes(&w, "x", 1);
    sotto_write_field8(&w, "ab", 2);
    sotto_write_field16(&w, "cd", 2);
    sotto_write_field32(&w, "e", 1);
    memcpy(sotto_write_space(&w, 2), "ss", 2);
    assert_int_equal(sotto_writer_done(&w, &len), 0);
    assert_int_equal(len, sizeof want);
    assert_memory_equal(out, want, sizeof want);
}

static void writer_first_failure_sticks(void **state)
{
    static uint8_t big[70000];
    uint8_t out[16];
    struct sotto_writer w;
    size_t len = 4711;

    memset(out, 0xee, sizeof out);
    sotto_writer_init(&w, out, 4);
    sotto_write_u32(&w, 0);
    sotto_write_u8(&w, 1);
    assert_null(sotto_write_space(&w, 0));
    assert_int_equal(sotto_writer_done(&w, &len), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(out[4], 0xee);

    sotto_writer_init(&w, out, 4);
    sotto_write_bytes(&w, big, SIZE_MAX);
    sotto_write_u8(&w, 1); /* would fit */
    assert_int_equal(sotto_writer_done(&w, &len), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(out[0], 0);

    sotto_writer_init(&w, big, sizeof big);
    sotto_write_field8(&w, out, 256);
    assert_int_equal(sotto_writer_done(&w, &len), SOTTO_ERR_TOO_LARGE);
    sotto_writer_init(&w, big, sizeof big);
    sotto_write_field16(&w, out, 65536);
    assert_int_equal(sotto_writer_done(&w, &len), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(len, 4711);
}

static void buf_grows_to_its_cap(void **state)
{
    SOTTO_AUTO_BUF b = SOTTO_BUF(1000);
    uint8_t part[7];

    for (size_t i = 0; i < 142; i++) {
        memset(part, (int)i, sizeof part);
        assert_int_equal(sotto_buf_add(&b, part, sizeof part), 0);
    }
    assert_int_equal(b.n, 994);
    assert_int_equal(sotto_buf_add(&b, part, 7), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_buf_reserve(&b, SIZE_MAX), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(b.n, 994);
    assert_true(b.room <= 1000);
    assert_int_equal(sotto_buf_add(&b, part, 6), 0);
    for (size_t i = 0; i < 994; i++)
        assert_int_equal(b.p[i], i / 7);
    sotto_buf_consume(&b, 990);
    assert_int_equal(b.n, 10);
    assert_int_equal(b.p[0], 141);
    for (size_t i = 10; i < 1000; i++)
        assert_int_equal(b.p[i], 0); /* moved bytes leave no copy */
    sotto_buf_clear(&b);
    assert_int_equal(b.n, 0);
    for (size_t i = 0; i < b.room; i++)
        assert_int_equal(b.p[i], 0);
    assert_int_equal(sotto_buf_add(&b, NULL, 0), 0);
    sotto_buf_consume(&b, 0);
}

static void buf_is_unchanged_without_memory(void **state)
{
    SOTTO_AUTO_BUF b = SOTTO_BUF(1000);
    struct sotto_buf before;

    if (!alloc_fail_at(0)) {
        print_message("skip: the sanitizer owns malloc\n");
        skip();
    }
    assert_int_equal(sotto_buf_add(&b, "abc", 3), 0);
    before = b;
    assert_true(alloc_fail_at(1));
    assert_int_equal(sotto_buf_reserve(&b, 500), SOTTO_ERR_NOMEM);
    assert_memory_equal(&b, &before, sizeof b);
    assert_memory_equal(b.p, "abc", 3);
    assert_int_equal(sotto_buf_reserve(&b, 500), 0);
}

static const struct {
    const char *raw;
    size_t len;
    const char *hex, *b64;
} enc[] = {
    /* RFC 4648 section 10, in the URL alphabet without padding */
    {"", 0, "", ""},
    {"f", 1, "66", "Zg"},
    {"fo", 2, "666f", "Zm8"},
    {"foo", 3, "666f6f", "Zm9v"},
    {"foob", 4, "666f6f62", "Zm9vYg"},
    {"fooba", 5, "666f6f6261", "Zm9vYmE"},
    {"foobar", 6, "666f6f626172", "Zm9vYmFy"},
    {"\xfb\xff\xfe\x00", 4, "fbfffe00", "-__-AA"},
    {"\x14\xfb\x9c\x03\xd9\x7e", 6, "14fb9c03d97e", "FPucA9l-"},
};

static void text_encodings_known_values(void **state)
{
    for (size_t i = 0; i < LEN(enc); i++) {
        char text[64];
        uint8_t raw[64];
        size_t n = 4711;

        assert_int_equal(sotto_hex_encode(enc[i].raw, enc[i].len, text), strlen(enc[i].hex));
        assert_string_equal(text, enc[i].hex);
        assert_int_equal(sotto_base64_encode(enc[i].raw, enc[i].len, text), strlen(enc[i].b64));
        assert_string_equal(text, enc[i].b64);
        assert_int_equal(strlen(enc[i].b64), SOTTO_BASE64_LEN(enc[i].len));
        assert_int_equal(sotto_base64_decode(enc[i].b64, strlen(enc[i].b64), raw, enc[i].len, &n),
                         0);
        assert_int_equal(n, enc[i].len);
        assert_memory_equal(raw, enc[i].raw, n);
        n = 4711;
        assert_int_equal(sotto_hex_decode(enc[i].hex, strlen(enc[i].hex), raw, enc[i].len, &n), 0);
        assert_int_equal(n, enc[i].len);
        assert_memory_equal(raw, enc[i].raw, n);
    }
}

static void text_encodings_every_byte(void **state)
{
    uint8_t all[256], back[256];
    char text[600];
    size_t n;

    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    for (size_t len = 0; len <= 256; len++) {
        n = sotto_base64_encode(all, len, text);
        assert_int_equal(sotto_base64_decode(text, n, back, sizeof back, &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(back, all, len);
        n = sotto_hex_encode(all, len, text);
        assert_int_equal(sotto_hex_decode(text, n, back, sizeof back, &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(back, all, len);
    }
}

static void text_decoders_are_strict(void **state)
{
    static const char *const bad64[] = {"A",  "AAAAA", "Zg==", "Zm8=", "Zm9v Yg",     "Zm9v\nYg",
                                        "Zh", "Zm9",   "A+",   "A/",   "Zm9vYmF\xff", "AA.A"};
    static const char *const badhex[] = {"1", "0g", "0G", "0:", "0/", "0@", "0`", " 00", "0x00"};
    uint8_t out[64] = {0xee};
    size_t n = 4711;
    int accepted = 0;

    for (size_t i = 0; i < LEN(bad64); i++)
        assert_int_equal(sotto_base64_decode(bad64[i], strlen(bad64[i]), out, sizeof out, &n),
                         SOTTO_ERR_MALFORMED);
    for (size_t i = 0; i < LEN(badhex); i++)
        assert_int_equal(sotto_hex_decode(badhex[i], strlen(badhex[i]), out, sizeof out, &n),
                         SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_base64_decode("AAAA", 4, out, 2, &n), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_hex_decode("0000", 4, out, 1, &n), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(out[0], 0xee);
    assert_int_equal(n, 4711);
    for (int c = 0; c < 256; c++) {
        char text[2] = {(char)c, 'A'};

        accepted += sotto_base64_decode(text, 2, out, sizeof out, &n) == 0;
    }
    assert_int_equal(accepted, 64);
}

static void utf8_rfc3629(void **state)
{
    static const struct {
        const char *s;
        size_t len;
        bool want;
    } t[] = {
        {"", 0, true},
        {"a\0b", 3, true},
        {"\x7f", 1, true},
        {"\xc2\x80", 2, true},
        {"\xdf\xbf", 2, true},
        {"\xe0\xa0\x80", 3, true},
        {"\xed\x9f\xbf", 3, true},
        {"\xee\x80\x80", 3, true},
        {"\xef\xbf\xbf", 3, true},
        {"\xf0\x90\x80\x80", 4, true},
        {"\xf4\x8f\xbf\xbf", 4, true},
        {"\x80", 1, false},             /* a continuation alone */
        {"\xc0\x80", 2, false},         /* overlong NUL */
        {"\xc1\xbf", 2, false},         /* overlong */
        {"\xe0\x9f\xbf", 3, false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 4, false}, /* overlong */
        {"\xed\xa0\x80", 3, false},     /* surrogate */
        {"\xed\xbf\xbf", 3, false},     /* surrogate */
        {"\xf4\x90\x80\x80", 4, false}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 4, false},
        {"\xff", 1, false},
        {"\xc3", 1, false}, /* cut */
        {"\xe2\x82", 2, false},
        {"\xf0\x9f\x98", 3, false},
        {"\xe2\x28\xa1", 3, false},
        {"\xe2\x82\x28", 3, false},
        {"\xf0\x9f\x98\x28", 4, false},
    };

    for (size_t i = 0; i < LEN(t); i++)
        assert_int_equal(sotto_utf8_valid(t[i].s, t[i].len), t[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_integers),
        cmocka_unit_test(reader_refuses_short_input),
        cmocka_unit_test(reader_fields),
        cmocka_unit_test(writer_layout),
        cmocka_unit_test(writer_first_failure_sticks),
        cmocka_unit_test(buf_grows_to_its_cap),
        cmocka_unit_test(buf_is_unchanged_without_memory),
        cmocka_unit_test(text_encodings_known_values),
        cmocka_unit_test(text_encodings_every_byte),
        cmocka_unit_test(text_decoders_are_strict),
        cmocka_unit_test(utf8_rfc3629),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
