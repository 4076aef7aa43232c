/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/invite.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/secret.h"
#include "crypto/kdf.h"

#define SCHEME      "sotto://"
#define SCHEME_LEN  (sizeof SCHEME - 1)
#define VERSION     1
#define CHECK_BYTES 4
#define PAYLOAD_MAX (1 + 32 + 1 + SOTTO_PINS_MAX * 32 + 1 + SOTTO_INVITE_CODE + CHECK_BYTES)
/* A name of 253 bytes, or an address in brackets; colon, five digits. */
#define ADDRESS_MAX 280

#define PIN_PREFIX     "sha256:"
#define PIN_PREFIX_LEN (sizeof PIN_PREFIX - 1)
#define PIN_DIGITS     SOTTO_BASE64_LEN(32)
_Static_assert(PIN_PREFIX_LEN + PIN_DIGITS + 1 == SOTTO_PIN_TEXT, "length of a pin's text");
_Static_assert(SCHEME_LEN + ADDRESS_MAX + 1 + SOTTO_BASE64_LEN(PAYLOAD_MAX) + 1 <=
                   SOTTO_INVITE_LINK_MAX,
               "room for a link");

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* RFC 1123 names: labels of 1 to 63, 253 in all; the underscore because it is met in practice. What
 * ends in a label of digits alone is an IPv4 address or nothing (RFC 3696 section 2). */
static bool host_name_valid(const char *host, size_t len)
{
    size_t label = 0;
    bool digits = true;
    struct in_addr address;

    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (host[i] == '.') {
            if (label == 0 || host[i - 1] == '-')
                return false;
            label = 0;
            digits = true;
        } else if (!is_name_char(host[i]) || ++label > 63 || (label == 1 && host[i] == '-')) {
            return false;
        } else if (!is_digit(host[i])) {
            digits = false;
        }
    }
    if (label == 0 || host[len - 1] == '-')
        return false;
    return !digits || inet_pton(AF_INET, host, &address) == 1;
}

static bool host_valid(const char *host)
{
    struct in6_addr address;

    if (strchr(host, ':') != NULL)
        return inet_pton(AF_INET6, host, &address) == 1;
    return host_name_valid(host, strlen(host));
}

/* Without leading zeros, 1 to 65535. */
static enum sotto_err parse_port(const char *text, size_t len, uint16_t *ret)
{
    uint32_t port = 0;

    if (len == 0 || len > 5 || text[0] == '0')
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(text[i]))
            return SOTTO_ERR_MALFORMED;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    if (port > UINT16_MAX)
        return SOTTO_ERR_MALFORMED;
    *ret = (uint16_t)port;
    return SOTTO_OK;
}

/* Splits "HOST", "HOST:PORT", "[HOST]", "[HOST]:PORT". *ret_port is NULL when there is none. */
static enum sotto_err split_address(const char *text, size_t len, struct sotto_bytes *ret_host,
                                    const char **ret_port)
{
    const char *end = text + len, *close, *colon;

    if (len > 0 && text[0] == '[') {
        if ((close = memchr(text, ']', len)) == NULL ||
            memchr(text, ':', (size_t)(close - text)) == NULL)
            return SOTTO_ERR_MALFORMED;
        *ret_host = (struct sotto_bytes){(const uint8_t *)text + 1, (size_t)(close - text) - 1};
        colon = close + 1;
        if (colon != end && *colon != ':')
            return SOTTO_ERR_MALFORMED;
    } else {
        colon = len > 0 ? memchr(text, ':', len) : NULL;
        if (colon == NULL)
            colon = end;
        *ret_host = (struct sotto_bytes){(const uint8_t *)text, (size_t)(colon - text)};
    }
    *ret_port = colon == end ? NULL : colon + 1;
    return SOTTO_OK;
}

enum sotto_err sotto_address_parse(const char *text, size_t len, char ret_host[256],
                                   uint16_t *ret_port)
{
    uint16_t port = SOTTO_DEFAULT_PORT;
    struct sotto_bytes view;
    const char *port_text;
    char host[256];
    enum sotto_err e;

    if ((e = split_address(text, len, &view, &port_text)) != 0)
        return e;
    /* A NUL inside would hide what follows it. */
    if (view.n >= sizeof host || (view.n > 0 && memchr(view.p, '\0', view.n) != NULL))
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < view.n; i++)
        host[i] = lower((char)view.p[i]);
    host[view.n] = '\0';
    if (!host_valid(host))
        return SOTTO_ERR_MALFORMED;
    if (port_text != NULL &&
        (e = parse_port(port_text, (size_t)(text + len - port_text), &port)) != 0)
        return e;
    memcpy(ret_host, host, view.n + 1);
    *ret_port = port;
    return SOTTO_OK;
}

/* "HOST:PORT", as it stands in a link; returns the length. The host was checked. */
static size_t print_address(const char *host, uint16_t port, char ret[ADDRESS_MAX])
{
    bool brackets = strchr(host, ':') != NULL;
    size_t n = 0, len = strlen(host), digits = 0;
    char text[5];

    if (brackets)
        ret[n++] = '[';
    for (size_t i = 0; i < len; i++)
        ret[n++] = lower(host[i]);
    if (brackets)
        ret[n++] = ']';
    ret[n++] = ':';
    do
        text[digits++] = (char)('0' + port % 10);
    while ((port /= 10) != 0);
    while (digits > 0)
        ret[n++] = text[--digits];
    return n;
}

static void check_bytes(const char *address, size_t address_len, const uint8_t *payload, size_t len,
                        uint8_t ret[CHECK_BYTES])
{
    const struct sotto_bytes parts[] = {
        {(const uint8_t *)address, address_len},
        {(const uint8_t *)"/", 1},
        {payload, len},
    };
    uint8_t hash[32];

    sotto_sha256v(parts, 3, hash);
    memcpy(ret, hash, CHECK_BYTES);
}

/* What is behind the slash, its check bytes already found right. */
static enum sotto_err read_payload(const uint8_t *payload, size_t len, struct sotto_invite *inv)
{
    struct sotto_bytes code;
    struct sotto_reader r;
    uint8_t version, pins;

    sotto_reader_init(&r, payload, len);
    if (sotto_read_u8(&r, &version) != 0)
        return SOTTO_ERR_MALFORMED;
    if (version != VERSION)
        return SOTTO_ERR_UNSUPPORTED;
    if (sotto_read_bytes(&r, inv->relay_id, sizeof inv->relay_id) != 0 ||
        sotto_read_u8(&r, &pins) != 0 || pins == 0 || pins > SOTTO_PINS_MAX ||
        sotto_read_bytes(&r, inv->pins, 32 * (size_t)pins) != 0 ||
        sotto_read_field8(&r, SOTTO_INVITE_CODE, &code) != 0 || sotto_read_done(&r) != 0)
        return SOTTO_ERR_MALFORMED;
    if (code.n != 0 && code.n != SOTTO_INVITE_CODE)
        return SOTTO_ERR_MALFORMED;
    inv->pin_count = pins;
    inv->has_code = code.n != 0;
    if (inv->has_code)
        memcpy(inv->code, code.p, code.n);
    return SOTTO_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool has_scheme(const char *text, size_t len)
{
    if (len < SCHEME_LEN)
        return false;
    for (size_t i = 0; i < SCHEME_LEN; i++)
        if (lower(text[i]) != SCHEME[i])
            return false;
    return true;
}

/* text is the link behind its scheme. */
static enum sotto_err parse_link(const char *text, size_t len, uint8_t payload[PAYLOAD_MAX],
                                 struct sotto_invite *inv)
{
    const char *slash = len > 0 ? memchr(text, '/', len) : NULL;
    uint8_t check[CHECK_BYTES];
    char address[ADDRESS_MAX];
    size_t n, rest;
    enum sotto_err e;

    if (slash == NULL)
        return SOTTO_ERR_TRUNCATED;
    if ((e = sotto_address_parse(text, (size_t)(slash - text), inv->host, &inv->port)) != 0)
        return e;
    rest = len - (size_t)(slash - text) - 1;
    /* Whatever is wrong in here is more likely a slip of the hand than a foreign link. */
    if (sotto_base64_decode(slash + 1, rest, payload, PAYLOAD_MAX, &n) != 0 || n < CHECK_BYTES)
        return SOTTO_ERR_TRUNCATED;
    n -= CHECK_BYTES;
    check_bytes(address, print_address(inv->host, inv->port, address), payload, n, check);
    if (memcmp(check, payload + n, CHECK_BYTES) != 0)
        return SOTTO_ERR_TRUNCATED;
    return read_payload(payload, n, inv);
}

enum sotto_err sotto_invite_parse(const char *text, size_t len, struct sotto_invite *ret)
{
    uint8_t payload[PAYLOAD_MAX];
    struct sotto_invite inv = {0};
    enum sotto_err e;

    while (len > 0 && is_space(text[0]))
        text++, len--;
    while (len > 0 && is_space(text[len - 1]))
        len--;
    if (!has_scheme(text, len))
        return SOTTO_ERR_MALFORMED;
    e = parse_link(text + SCHEME_LEN, len - SCHEME_LEN, payload, &inv);
    if (e == 0)
        *ret = inv;
    /* The code lets its holder in. */
    sotto_wipe(payload, sizeof payload);
    sotto_wipe(&inv, sizeof inv);
    return e;
}

enum sotto_err sotto_invite_print(const struct sotto_invite *inv, char ret[SOTTO_INVITE_LINK_MAX])
{
    uint8_t payload[PAYLOAD_MAX];
    char address[ADDRESS_MAX];
    struct sotto_writer w;
    size_t address_len, len;
    enum sotto_err e;

    if (memchr(inv->host, '\0', sizeof inv->host) == NULL || !host_valid(inv->host) ||
        inv->port == 0 || inv->pin_count == 0 || inv->pin_count > SOTTO_PINS_MAX)
        return SOTTO_ERR_USAGE;
    address_len = print_address(inv->host, inv->port, address);
    sotto_writer_init(&w, payload, sizeof payload - CHECK_BYTES);
    sotto_write_u8(&w, VERSION);
    sotto_write_bytes(&w, inv->relay_id, sizeof inv->relay_id);
    sotto_write_u8(&w, (uint8_t)inv->pin_count);
    sotto_write_bytes(&w, inv->pins, 32 * inv->pin_count);
    sotto_write_field8(&w, inv->code, inv->has_code ? SOTTO_INVITE_CODE : 0);
    if ((e = sotto_writer_done(&w, &len)) != 0)
        return e;
    check_bytes(address, address_len, payload, len, payload + len);
    memcpy(ret, SCHEME, SCHEME_LEN);
    ret += SCHEME_LEN;
    memcpy(ret, address, address_len);
    ret += address_len;
    *ret++ = '/';
    sotto_base64_encode(payload, len + CHECK_BYTES, ret);
    sotto_wipe(payload, sizeof payload);
    return SOTTO_OK;
}

enum sotto_err sotto_pin_parse(const char *text, size_t len, uint8_t ret[32])
{
    uint8_t pin[32];
    size_t n;

    if (len != PIN_PREFIX_LEN + PIN_DIGITS || memcmp(text, PIN_PREFIX, PIN_PREFIX_LEN) != 0 ||
        sotto_base64_decode(text + PIN_PREFIX_LEN, PIN_DIGITS, pin, sizeof pin, &n) != 0)
        return SOTTO_ERR_MALFORMED;
    memcpy(ret, pin, sizeof pin);
    return SOTTO_OK;
}

void sotto_pin_print(const uint8_t pin[32], char ret[SOTTO_PIN_TEXT])
{
    memcpy(ret, PIN_PREFIX, PIN_PREFIX_LEN);
    sotto_base64_encode(pin, 32, ret + PIN_PREFIX_LEN);
}
