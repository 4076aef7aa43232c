/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/invite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"

static struct sotto_invite sample(const char *host, uint16_t port, size_t pins, bool code)
{
    struct sotto_invite inv;

    memset(&inv, 0, sizeof inv);
    strcpy(inv.host, host);
    inv.port = port;
    memset(inv.relay_id, 0x11, sizeof inv.relay_id);
    inv.pin_count = pins;
    memset(inv.pins, 0x80, 32 * pins);
    inv.has_code = code;
    if (code)
        memset(inv.code, 0x33, sizeof inv.code);
    return inv;
}

static enum sotto_err parse(const char *text, struct sotto_invite *ret)
{
    memset(ret, 0, sizeof *ret);
    return sotto_invite_parse(text, strlen(text), ret);
}

static void round_trip(void **state)
{
    static const struct {
        const char *host;
        uint16_t port;
        const char *start;
    } table[] = {
        {"127.0.0.1", 12345, "sotto://127.0.0.1:12345/AR"},
        {"relay.example.org", 1, "sotto://relay.example.org:1/AR"},
        {"::1", 65535, "sotto://[::1]:65535/AR"},
        {"fe80::1:2:3:4", 443, "sotto://[fe80::1:2:3:4]:443/AR"},
        {"a", 99, "sotto://a:99/AR"},
        {"xn--bcher-kva.example", 100, "sotto://xn--bcher-kva.example:100/AR"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (size_t pins = 1; pins <= SOTTO_PINS_MAX; pins++)
            for (int code = 0; code < 2; code++) {
                struct sotto_invite in = sample(table[i].host, table[i].port, pins, code), out;
                char link[SOTTO_INVITE_LINK_MAX];

                assert_int_equal(sotto_invite_print(&in, link), 0);
                assert_memory_equal(link, table[i].start, strlen(table[i].start));
                assert_int_equal(parse(link, &out), 0);
                assert_memory_equal(&in, &out, sizeof in);
            }
}

/* The layout by hand: version, relay id, pins, code, first four bytes of the hash. */
static void known_answer(void **state)
{
    struct sotto_invite in = sample("localhost", 12345, 1, true);
    uint8_t payload[1 + 32 + 1 + 32 + 1 + 16 + 4], text[200], hash[32];
    char want[SOTTO_INVITE_LINK_MAX], link[SOTTO_INVITE_LINK_MAX];
    size_t n = sizeof payload - 4;

    payload[0] = 1;
    memset(payload + 1, 0x11, 32);
    payload[33] = 1;
    memset(payload + 34, 0x80, 32);
    payload[66] = 16;
    memset(payload + 67, 0x33, 16);
    memcpy(text, "localhost:12345/", 16);
    memcpy(text + 16, payload, n);
    sotto_sha256(text, 16 + n, hash);
    memcpy(payload + n, hash, 4);
    strcpy(want, "sotto://localhost:12345/");
    sotto_base64_encode(payload, sizeof payload, want + strlen(want));
    assert_int_equal(sotto_invite_print(&in, link), 0);
    assert_string_equal(link, want);
}

static void longest(void **state)
{
    struct sotto_invite in = sample("x", 65535, SOTTO_PINS_MAX, true), out;
    char link[SOTTO_INVITE_LINK_MAX];

    for (size_t i = 0; i < 253; i++)
        in.host[i] = i % 64 == 63 ? '.' : 'a';
    in.host[253] = '\0';
    assert_int_equal(sotto_invite_print(&in, link), 0);
    assert_true(strlen(link) < SOTTO_INVITE_LINK_MAX);
    assert_int_equal(parse(link, &out), 0);
    assert_memory_equal(&in, &out, sizeof in);
}

static void white_space_and_case(void **state)
{
    struct sotto_invite in = sample("relay.example.org", 12345, 1, true), out;
    char link[SOTTO_INVITE_LINK_MAX], text[SOTTO_INVITE_LINK_MAX + 32];

    assert_int_equal(sotto_invite_print(&in, link), 0);
    snprintf(text, sizeof text, " \t\r\n%s \n\v\f", link);
    assert_int_equal(parse(text, &out), 0);
    assert_memory_equal(&in, &out, sizeof in);
    /* some programs write the host of a link in capitals */
    snprintf(text, sizeof text, "SOTTO://Relay.Example.ORG%s", strrchr(link, ':'));
    assert_int_equal(parse(text, &out), 0);
    assert_memory_equal(&in, &out, sizeof in);
    /* without a port it is the default one */
    snprintf(text, sizeof text, "sotto://relay.example.org%s", strrchr(link, '/'));
    assert_int_equal(parse(text, &out), 0);
    assert_memory_equal(&in, &out, sizeof in);
    snprintf(text, sizeof text, "%.40s %s", link, link + 40);
    assert_int_equal(parse(text, &out), SOTTO_ERR_TRUNCATED);
}

/* A link that was cut anywhere is refused, and its reader hears that it was cut. */
static void every_cut(void **state)
{
    struct sotto_invite in = sample("127.0.0.1", 12345, 2, true), out;
    char link[SOTTO_INVITE_LINK_MAX];
    size_t len;

    assert_int_equal(sotto_invite_print(&in, link), 0);
    len = strlen(link);
    for (size_t n = 0; n < len; n++) {
        memset(&out, 0xee, sizeof out);
        assert_int_equal(sotto_invite_parse(link, n, &out),
                         n < 8 ? SOTTO_ERR_MALFORMED : SOTTO_ERR_TRUNCATED);
        assert_int_equal(out.host[0], (char)0xee); /* untouched */
    }
}

/* So is one with a single character changed, wherever that is. */
static void every_slip(void **state)
{
    static const char others[] = "Aa0-_.:/[]% \n\x7f\xff";
    struct sotto_invite in = sample("relay.example", 12345, 1, true), out;
    char link[SOTTO_INVITE_LINK_MAX];
    size_t len;

    assert_int_equal(sotto_invite_print(&in, link), 0);
    len = strlen(link);
    for (size_t i = 0; i < len; i++)
        for (size_t j = 0; j < sizeof others - 1; j++) {
            char old = link[i];

            if ((old | 0x20) == (others[j] | 0x20) && i < 22)
                continue; /* capitals in scheme and host are the same link */
            link[i] = others[j];
            if (link[i] != old && !(i + 1 == len && (others[j] == ' ' || others[j] == '\n')))
                assert_int_not_equal(parse(link, &out), 0);
            link[i] = old;
        }
    assert_int_equal(parse(link, &out), 0);
}

/* A payload with right check bytes, for what is wrong in spite of them. */
static enum sotto_err parse_payload(const uint8_t *payload, size_t n)
{
    uint8_t text[400], whole[300], hash[32];
    char link[600] = "sotto://host:9/";
    struct sotto_invite out;

    memcpy(text, "host:9/", 7);
    memcpy(text + 7, payload, n);
    sotto_sha256(text, 7 + n, hash);
    memcpy(whole, payload, n);
    memcpy(whole + n, hash, 4);
    sotto_base64_encode(whole, n + 4, link + strlen(link));
    return parse(link, &out);
}

static void wrong_payloads(void **state)
{
    uint8_t p[300] = {1};

    p[33] = 1;
    assert_int_equal(parse_payload(p, 67), 0);
    for (size_t n = 0; n < 67; n++)
        assert_int_equal(parse_payload(p, n), SOTTO_ERR_MALFORMED);
    assert_int_equal(parse_payload(p, 68), SOTTO_ERR_MALFORMED);
    p[66] = 16;
    assert_int_equal(parse_payload(p, 83), 0);
    assert_int_equal(parse_payload(p, 84), SOTTO_ERR_MALFORMED);
    p[66] = 15;
    assert_int_equal(parse_payload(p, 82), SOTTO_ERR_MALFORMED);
    p[66] = 17;
    assert_int_equal(parse_payload(p, 84), SOTTO_ERR_MALFORMED);
    p[66] = 0;
    p[33] = 0;
    assert_int_equal(parse_payload(p, 35), SOTTO_ERR_MALFORMED);
    p[33] = 4;
    assert_int_equal(parse_payload(p, 34 + 128 + 1), 0);
    p[33] = 5;
    assert_int_equal(parse_payload(p, 34 + 160 + 1), SOTTO_ERR_TRUNCATED); /* longer than any */
    p[33] = 1;
    p[0] = 2;
    assert_int_equal(parse_payload(p, 67), SOTTO_ERR_UNSUPPORTED);
    p[0] = 0;
    assert_int_equal(parse_payload(p, 67), SOTTO_ERR_UNSUPPORTED);
}

static void not_links(void **state)
{
    static const char *const table[] = {
        "", " ", "hello", "sotto:/127.0.0.1/", "https://127.0.0.1:12345/AQ", "sotto//x", "sotto:",
    };
    struct sotto_invite out;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(parse(table[i], &out), SOTTO_ERR_MALFORMED);
    assert_int_equal(parse("sotto:///AQ", &out), SOTTO_ERR_MALFORMED);
    assert_int_equal(parse("sotto://a b/AQ", &out), SOTTO_ERR_MALFORMED);
    assert_int_equal(parse("sotto://host:0/AQ", &out), SOTTO_ERR_MALFORMED);
    assert_int_equal(parse("sotto://host:9/", &out), SOTTO_ERR_TRUNCATED);
    assert_int_equal(parse("sotto://host:9/AQ", &out), SOTTO_ERR_TRUNCATED);
}

static void print_refuses(void **state)
{
    char link[SOTTO_INVITE_LINK_MAX] = "before";
    struct sotto_invite in;

#define REFUSED(change)                                                                            \
    in = sample("relay.example", 12345, 1, true);                                                  \
    change;                                                                                        \
    assert_int_equal(sotto_invite_print(&in, link), SOTTO_ERR_USAGE);                              \
    assert_string_equal(link, "before")
    REFUSED(in.host[0] = '\0');
    REFUSED(strcpy(in.host, "a b"));
    REFUSED(strcpy(in.host, "[::1]"));
    REFUSED(memset(in.host, 'a', sizeof in.host));
    REFUSED(in.port = 0);
    REFUSED(in.pin_count = 0);
    REFUSED(in.pin_count = SOTTO_PINS_MAX + 1);
#undef REFUSED
}

static void addresses(void **state)
{
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } table[] = {
        {"localhost", "localhost", 12345},
        {"Relay.Example.ORG", "relay.example.org", 12345},
        {"127.0.0.1:1", "127.0.0.1", 1},
        {"a_b-c.example:65535", "a_b-c.example", 65535},
        {"1.example:80", "1.example", 80},
        {"[::1]:12345", "::1", 12345},
        {"[::1]", "::1", 12345},
        {"[2001:DB8::FF]:443", "2001:db8::ff", 443},
        {"[::ffff:127.0.0.1]:9", "::ffff:127.0.0.1", 9},
        {"", NULL, 0},
        {":12345", NULL, 0},
        {"host:", NULL, 0},
        {"host:0", NULL, 0},
        {"host:01", NULL, 0},
        {"host:65536", NULL, 0},
        {"host:123456", NULL, 0},
        {"host:-1", NULL, 0},
        {"host:1a", NULL, 0},
        {"host:1:2", NULL, 0},
        {"::1", NULL, 0},
        {"::1:12345", NULL, 0},
        {"[]", NULL, 0},
        {"[", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]12345", NULL, 0},
        {"[::1]:", NULL, 0},
        {"[localhost]:1", NULL, 0},
        {"[127.0.0.1]:1", NULL, 0},
        {"[:::]", NULL, 0},
        {"[fe80::1%eth0]:1", NULL, 0},
        {"256.1.1.1", NULL, 0},
        {"1.2.3", NULL, 0},
        {"12345", NULL, 0},
        {"a..b", NULL, 0},
        {".a", NULL, 0},
        {"a.", NULL, 0},
        {"-a.b", NULL, 0},
        {"a-.b", NULL, 0},
        {"a.b-", NULL, 0},
        {"a.-b", NULL, 0},
        {"b\xc3\xbc"
         "cher.example",
         NULL, 0},
        {"a b", NULL, 0},
        {"a/b", NULL, 0},
        {"user@host", NULL, 0},
        {" host", NULL, 0},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char host[256] = "before";
        uint16_t port = 7;
        enum sotto_err e = sotto_address_parse(table[i].text, strlen(table[i].text), host, &port);

        if (table[i].host == NULL) {
            if (e != SOTTO_ERR_MALFORMED)
                fail_msg("\"%s\": %s", table[i].text, sotto_err_name(e));
            assert_string_equal(host, "before");
            assert_int_equal(port, 7);
        } else {
            assert_int_equal(e, 0);
            assert_string_equal(host, table[i].host);
            assert_int_equal(port, table[i].port);
        }
    }
}

static void address_limits(void **state)
{
    char text[400], host[256];
    uint16_t port;

    /* 253 characters are the longest name, 254 are none */
    for (size_t i = 0; i < 254; i++)
        text[i] = i % 64 == 63 ? '.' : 'a';
    assert_int_equal(sotto_address_parse(text, 253, host, &port), 0);
    assert_int_equal(strlen(host), 253);
    assert_int_equal(sotto_address_parse(text, 254, host, &port), SOTTO_ERR_MALFORMED);
    memset(text, 'a', sizeof text);
    assert_int_equal(sotto_address_parse(text, 255, host, &port), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_address_parse(text, 256, host, &port), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_address_parse(text, sizeof text, host, &port), SOTTO_ERR_MALFORMED);
    /* what is behind a NUL does not count for less */
    assert_int_equal(sotto_address_parse("host\0.evil", 10, host, &port), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_address_parse("host:1\0", 7, host, &port), SOTTO_ERR_MALFORMED);
}

static void pins(void **state)
{
    static const char text[] = "sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    char printed[SOTTO_PIN_TEXT], changed[SOTTO_PIN_TEXT + 1];
    uint8_t pin[32], got[32];

    for (size_t i = 0; i < sizeof pin; i++)
        pin[i] = (uint8_t)i;
    sotto_pin_print(pin, printed);
    assert_string_equal(printed, text);
    assert_int_equal(sotto_pin_parse(text, strlen(text), got), 0);
    assert_memory_equal(got, pin, sizeof pin);
    memset(got, 0xee, sizeof got);
    for (size_t n = 0; n < strlen(text); n++)
        assert_int_equal(sotto_pin_parse(text, n, got), SOTTO_ERR_MALFORMED);
    strcpy(changed, text);
    strcat(changed, "=");
    assert_int_equal(sotto_pin_parse(changed, strlen(changed), got), SOTTO_ERR_MALFORMED);
    strcpy(changed, text);
    changed[10] = '+';
    assert_int_equal(sotto_pin_parse(changed, strlen(changed), got), SOTTO_ERR_MALFORMED);
    strcpy(changed, text);
    changed[strlen(text) - 1] = '9'; /* bits that no 32 bytes have */
    assert_int_equal(sotto_pin_parse(changed, strlen(changed), got), SOTTO_ERR_MALFORMED);
    strcpy(changed, text);
    changed[3] = '3';
    assert_int_equal(sotto_pin_parse(changed, strlen(changed), got), SOTTO_ERR_MALFORMED);
    assert_int_equal(got[0], 0xee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),     cmocka_unit_test(known_answer),
        cmocka_unit_test(longest),        cmocka_unit_test(white_space_and_case),
        cmocka_unit_test(every_cut),      cmocka_unit_test(every_slip),
        cmocka_unit_test(wrong_payloads), cmocka_unit_test(not_links),
        cmocka_unit_test(print_refuses),  cmocka_unit_test(addresses),
        cmocka_unit_test(address_limits), cmocka_unit_test(pins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
