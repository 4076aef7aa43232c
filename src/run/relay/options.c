/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/invite.h"

#define LINE_MAX_BYTES 1024

/* --- values --- */

enum sotto_err sotto_relay_number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (text[0] == '\0')
        return SOTTO_ERR_MALFORMED;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || v > (UINT64_MAX - 9) / 10)
            return SOTTO_ERR_MALFORMED;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (v < min || v > max)
        return SOTTO_ERR_MALFORMED;
    *ret = v;
    return SOTTO_OK;
}

enum sotto_err sotto_relay_duration_parse(const char *text, uint64_t *ret_ms)
{
    static const struct {
        char letter;
        uint64_t ms;
    } units[] = {
        {'m', 60 * 1000ull},
        {'h', 3600 * 1000ull},
        {'d', 24 * 3600 * 1000ull},
        {'w', 7 * 24 * 3600 * 1000ull},
    };
    const uint64_t longest = 3650 * 24 * 3600 * 1000ull;
    size_t len = strlen(text);
    char number[16];
    uint64_t v;

    if (len < 2 || len > sizeof number)
        return SOTTO_ERR_MALFORMED;
    memcpy(number, text, len - 1);
    number[len - 1] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (text[len - 1] != units[i].letter)
            continue;
        if (sotto_relay_number_parse(number, 1, longest / units[i].ms, &v) != 0)
            return SOTTO_ERR_MALFORMED;
        *ret_ms = v * units[i].ms;
        return SOTTO_OK;
    }
    return SOTTO_ERR_MALFORMED;
}

void sotto_relay_address_print(const struct sotto_relay_address *a,
                               char ret[SOTTO_RELAY_ADDRESS_TEXT])
{
    bool v6 = strchr(a->host, ':') != NULL;

    snprintf(ret, SOTTO_RELAY_ADDRESS_TEXT, "%s%s%s:%u", v6 ? "[" : "", a->host, v6 ? "]" : "",
             (unsigned)a->port);
}

/* Port 0 stands for one that is still to be found. */
static bool address_parse(const char *text, struct sotto_relay_address *ret, bool *ret_has_port)
{
    struct sotto_relay_address a;
    char with_port[SOTTO_RELAY_ADDRESS_TEXT + 2];
    size_t len = strlen(text);

    memset(&a, 0, sizeof a); /* two that are the same are compared as bytes */
    *ret_has_port = true;
    if (len > 2 && strcmp(text + len - 2, ":0") == 0 &&
        sotto_address_parse(text, len - 2, a.host, &a.port) == 0) {
        a.port = 0;
        *ret = a;
        return true;
    }
    if (len >= SOTTO_RELAY_ADDRESS_TEXT || sotto_address_parse(text, len, a.host, &a.port) != 0)
        return false;
    snprintf(with_port, sizeof with_port, "%s:1", text);
    *ret_has_port = sotto_address_parse(with_port, strlen(with_port), ret->host, &ret->port) != 0;
    *ret = a;
    return true;
}

/* --- settings --- */

struct setting {
    const char *name;
    bool (*set)(struct sotto_relay_options *o, const struct setting *s, const char *value);
    const char *wanted; /* "NAME has to be ..." */
    size_t offset, size;
    uint64_t min, max;
    bool live; /* can change while the relay runs */
};

static bool set_number(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    uint64_t v;
    uint32_t v32;

    if (sotto_relay_number_parse(value, s->min, s->max, &v) != 0)
        return false;
    v32 = (uint32_t)v;
    if (s->size == sizeof v32)
        memcpy((char *)o + s->offset, &v32, sizeof v32);
    else
        memcpy((char *)o + s->offset, &v, sizeof v);
    return true;
}

static bool set_text(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    size_t len = strlen(value);

    if (len == 0 || len >= s->size)
        return false;
    memset((char *)o + s->offset, 0, s->size);
    memcpy((char *)o + s->offset, value, len);
    return true;
}

static bool set_data(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    bool taken = set_text(o, s, value);

    o->data_named = o->data_named || taken;
    return taken;
}

static bool set_listen(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    bool has_port;

    if (o->listen_count == SOTTO_RELAY_LISTEN_MAX ||
        !address_parse(value, &o->listen[o->listen_count], &has_port))
        return false;
    o->listen_count++;
    return true;
}

static bool set_public(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    struct sotto_relay_address a;
    bool has_port;

    if (!address_parse(value, &a, &has_port) || (has_port && a.port == 0))
        return false;
    if (!has_port)
        a.port = 0;
    o->public_address = a;
    o->has_public = true;
    return true;
}

static bool set_registration(struct sotto_relay_options *o, const struct setting *s,
                             const char *value)
{
    static const char *const names[] = {
        [SOTTO_REGISTRATION_INVITE] = "invite",
        [SOTTO_REGISTRATION_CODE] = "code",
        [SOTTO_REGISTRATION_OPEN] = "open",
        [SOTTO_REGISTRATION_CLOSED] = "closed",
    };

    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(value, names[i]) == 0) {
            o->relay.registration = (enum sotto_registration)i;
            return true;
        }
    return false;
}

static bool set_certificates(struct sotto_relay_options *o, const struct setting *s,
                             const char *value)
{
    if (strcmp(value, "request") == 0)
        o->relay.client_certificates = SOTTO_CLIENT_CERTS_REQUEST;
    else if (strcmp(value, "require") == 0)
        o->relay.client_certificates = SOTTO_CLIENT_CERTS_REQUIRE;
    else if (strcmp(value, "off") == 0)
        o->relay.client_certificates = SOTTO_CLIENT_CERTS_OFF;
    else
        return false;
    return true;
}

static bool set_switch(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    bool on = strcmp(value, "on") == 0;

    if (!on && strcmp(value, "off") != 0)
        return false;
    memcpy((char *)o + s->offset, &on, sizeof on);
    return true;
}

static bool set_log(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
        return false;
    o->log_json = value[0] == 'j';
    return true;
}

/* Numbers of this machine only: what can be read there is nobody else's business. */
static bool set_metrics(struct sotto_relay_options *o, const struct setting *s, const char *value)
{
    struct sotto_relay_address a;
    struct in_addr v4;
    bool has_port;

    if (strcmp(value, "off") == 0) {
        memset(&o->metrics, 0, sizeof o->metrics);
        return true;
    }
    if (!address_parse(value, &a, &has_port) || !has_port)
        return false;
    if (strcmp(a.host, "::1") != 0 &&
        (inet_pton(AF_INET, a.host, &v4) != 1 || ntohl(v4.s_addr) >> 24 != 127))
        return false;
    o->metrics = a;
    return true;
}

#define AT(member)                                                                                 \
    .offset = offsetof(struct sotto_relay_options, member),                                        \
    .size = sizeof((struct sotto_relay_options *)0)->member

static const struct setting settings[] = {
    {.name = "data", .set = set_data, .wanted = "a folder", AT(data)},
    {.name = "listen", .set = set_listen, .wanted = "HOST:PORT, at most 16 times", AT(listen)},
    {.name = "public", .set = set_public, .wanted = "HOST or HOST:PORT", AT(public_address)},
    {.name = "registration",
     .set = set_registration,
     .wanted = "invite, code, open or closed",
     AT(relay.registration),
     .live = true},
    {.name = "client_certificates",
     .set = set_certificates,
     .wanted = "request, require or off",
     AT(relay.client_certificates),
     .live = true},
    {.name = "quota_messages",
     .set = set_number,
     .wanted = "a number from 1 to 1000000",
     AT(relay.quota_messages),
     .min = 1,
     .max = 1000000,
     .live = true},
    {.name = "quota_bytes",
     .set = set_number,
     .wanted = "a number from 65536 to 1099511627776",
     AT(relay.quota_bytes),
     .min = 65536,
     .max = 1ull << 40,
     .live = true},
    {.name = "lifetime_days",
     .set = set_number,
     .wanted = "a number from 1 to 365",
     AT(relay.lifetime_days),
     .min = 1,
     .max = 365,
     .live = true},
    {.name = "requests_per_second",
     .set = set_number,
     .wanted = "a number from 10 to 100000000",
     AT(relay.requests_per_second),
     .min = 10,
     .max = 100000000,
     .live = true},
    {.name = "bytes_per_second",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1000000000",
     AT(relay.bytes_per_second),
     .max = 1000000000,
     .live = true},
    {.name = "sign_ins_per_minute",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1000000",
     AT(relay.sign_ins_per_minute),
     .max = 1000000,
     .live = true},
    {.name = "sign_ups_per_hour",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1000000",
     AT(relay.sign_ups_per_hour),
     .max = 1000000,
     .live = true},
    {.name = "bundles_per_hour",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1000000",
     AT(relay.bundles_per_hour),
     .max = 1000000,
     .live = true},
    {.name = "strangers_per_hour",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1000000",
     AT(relay.strangers_per_hour),
     .max = 1000000,
     .live = true},
    {.name = "lock_minutes",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1440",
     AT(relay.lock_minutes),
     .max = 1440,
     .live = true},
    {.name = "idle_seconds",
     .set = set_number,
     .wanted = "a number from 5 to 840",
     AT(relay.idle_seconds),
     .min = 5,
     .max = 840,
     .live = true},
    {.name = "connections_per_address",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1000000",
     AT(connections_per_address),
     .max = 1000000,
     .live = true},
    {.name = "handshakes_per_minute",
     .set = set_number,
     .wanted = "a number from 0 (no limit) to 1000000",
     AT(handshakes_per_minute),
     .max = 1000000,
     .live = true},
    {.name = "threads",
     .set = set_number,
     .wanted = "a number from 0 to 64",
     AT(threads),
     .min = 0,
     .max = 64},
    {.name = "max_connections",
     .set = set_number,
     .wanted = "a number from 1 to 1000000",
     AT(max_connections),
     .min = 1,
     .max = 1000000,
     .live = true},
    {.name = "user", .set = set_text, .wanted = "a user's name", AT(user)},
    {.name = "sandbox", .set = set_switch, .wanted = "on or off", AT(sandbox)},
    {.name = "log", .set = set_log, .wanted = "text or json", AT(log_json), .live = true},
    {.name = "metrics",
     .set = set_metrics,
     .wanted = "off, or 127.0.0.1:PORT or another address of this machine alone",
     AT(metrics)},
};
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

static bool same_name(const char *setting, const char *name)
{
    while (*setting != '\0' && (*setting == *name || (*setting == '_' && *name == '-')))
        setting++, name++;
    return *setting == '\0' && *name == '\0';
}

enum sotto_err sotto_relay_options_set(struct sotto_relay_options *o, const char *name,
                                       const char *value, char *why, size_t room)
{
    size_t len;

    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (!same_name(settings[i].name, name))
            continue;
        if (settings[i].set(o, &settings[i], value))
            return SOTTO_OK;
        snprintf(why, room, "%s has to be %s, not \"%s\"", settings[i].name, settings[i].wanted,
                 value);
        return SOTTO_ERR_MALFORMED;
    }
    snprintf(why, room, "there is no setting \"%s\"; there are", name);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        len = strlen(why);
        snprintf(why + len, room - len, "%s %s", i == 0 ? "" : ",", settings[i].name);
    }
    return SOTTO_ERR_NOT_FOUND;
}

/* --- the file --- */

static char *trim(char *text)
{
    size_t len;

    while (*text == ' ' || *text == '\t')
        text++;
    len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        text[--len] = '\0';
    return text;
}

static enum sotto_err read_line(struct sotto_relay_options *o, char *line, char *why, size_t room)
{
    char *comment = strchr(line, '#'), *equals, *name;

    if (comment != NULL)
        *comment = '\0';
    name = trim(line);
    if (name[0] == '\0')
        return SOTTO_OK;
    if ((equals = strchr(name, '=')) == NULL) {
        snprintf(why, room, "\"%s\" is not of the form \"name = value\"", name);
        return SOTTO_ERR_MALFORMED;
    }
    *equals = '\0';
    return sotto_relay_options_set(o, trim(name), trim(equals + 1), why, room);
}

enum sotto_err sotto_relay_options_read(struct sotto_relay_options *o, const char *path, char *why,
                                        size_t room)
{
    char line[LINE_MAX_BYTES], reason[512];
    FILE *f = fopen(path, "re");
    enum sotto_err e = SOTTO_OK;
    unsigned number = 0;

    if (f == NULL) {
        snprintf(why, room, "%s cannot be read: %s", path, strerror(errno));
        return errno == ENOENT ? SOTTO_ERR_NOT_FOUND : SOTTO_ERR_IO;
    }
    snprintf(o->config, sizeof o->config, "%s", path);
    while (e == 0 && fgets(line, sizeof line, f) != NULL) {
        number++;
        if (strchr(line, '\n') == NULL && !feof(f)) {
            snprintf(reason, sizeof reason, "the line is longer than %d bytes", LINE_MAX_BYTES - 2);
            e = SOTTO_ERR_MALFORMED;
        } else {
            e = read_line(o, line, reason, sizeof reason);
        }
    }
    if (e != 0) {
        snprintf(why, room, "%s:%u: %s; mend that line and try again", path, number, reason);
        e = SOTTO_ERR_MALFORMED;
    } else if (ferror(f)) {
        snprintf(why, room, "%s cannot be read: %s", path, strerror(errno));
        e = SOTTO_ERR_IO;
    }
    fclose(f);
    o->listen_from_file = o->listen_count;
    return e;
}

/* --- the command line, and both again --- */

static enum sotto_err take_flag(struct sotto_relay_options *o, const char *name, const char *value,
                                char *why, size_t room)
{
    if (same_name("listen", name) && o->listen_from_file > 0) {
        memset(o->listen, 0, sizeof o->listen);
        o->listen_count = o->listen_from_file = 0;
    }
    return sotto_relay_options_set(o, name, value, why, room);
}

enum sotto_err sotto_relay_options_flag(struct sotto_relay_options *o, const char *name,
                                        const char *value, char *why, size_t room)
{
    enum sotto_err e;

    if (o->flag_count == SOTTO_RELAY_FLAGS_MAX) {
        snprintf(why, room, "these are more than %d flags", SOTTO_RELAY_FLAGS_MAX);
        return SOTTO_ERR_FULL;
    }
    if ((e = take_flag(o, name, value, why, room)) != 0)
        return e;
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (same_name(settings[i].name, name))
            o->flags[o->flag_count].name = settings[i].name;
    o->flags[o->flag_count++].value = value;
    return SOTTO_OK;
}

static enum sotto_err read_again(const struct sotto_relay_options *o,
                                 struct sotto_relay_options *fresh, char *why, size_t room)
{
    enum sotto_err e = SOTTO_OK;

    (void)sotto_relay_options_init(fresh);
    if (o->config[0] != '\0')
        e = sotto_relay_options_read(fresh, o->config, why, room);
    for (size_t i = 0; e == 0 && i < o->flag_count; i++)
        e = take_flag(fresh, o->flags[i].name, o->flags[i].value, why, room);
    if (!fresh->data_named && !o->data_named)
        memcpy(fresh->data, o->data, sizeof fresh->data);
    return e;
}

enum sotto_err sotto_relay_options_reread(const struct sotto_relay_options *o,
                                          struct sotto_relay_options *ret_now, char *ret_later,
                                          size_t later_room, char *why, size_t room)
{
    struct sotto_relay_options *fresh = malloc(sizeof *fresh), *now = malloc(sizeof *now);
    enum sotto_err e = SOTTO_ERR_NOMEM;
    size_t len = 0;

    snprintf(why, room, "out of memory");
    if (fresh != NULL && now != NULL && (e = read_again(o, fresh, why, room)) == 0) {
        *now = *o;
        ret_later[0] = '\0';
        for (size_t i = 0; i < SETTING_COUNT; i++) {
            const struct setting *s = &settings[i];
            char *at = (char *)now + s->offset;

            if (memcmp(at, (char *)fresh + s->offset, s->size) == 0)
                continue;
            if (s->live)
                memcpy(at, (char *)fresh + s->offset, s->size);
            else if (len < later_room)
                len += (size_t)snprintf(ret_later + len, later_room - len, "%s%s",
                                        len > 0 ? ", " : "", s->name);
        }
        *ret_now = *now;
    }
    free(fresh);
    free(now);
    return e;
}

/* --- defaults --- */

/* Root runs a relay for the machine, anybody else one of his own. */
static enum sotto_err default_data(char *ret, size_t room)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;

    if (geteuid() == 0)
        n = snprintf(ret, room, "/var/lib/sottod");
    else if (xdg != NULL && xdg[0] == '/')
        n = snprintf(ret, room, "%s/sottod", xdg);
    else if (home != NULL && home[0] == '/')
        n = snprintf(ret, room, "%s/.local/share/sottod", home);
    else
        n = -1;
    if (n > 0 && (size_t)n < room)
        return SOTTO_OK;
    ret[0] = '\0';
    return SOTTO_ERR_NOT_FOUND;
}

enum sotto_err sotto_relay_options_init(struct sotto_relay_options *o)
{
    memset(o, 0, sizeof *o);
    o->sandbox = true;
    o->max_connections = SOTTO_RELAY_MAX_CONNECTIONS;
    o->relay.registration = SOTTO_REGISTRATION_INVITE;
    o->relay.client_certificates = SOTTO_CLIENT_CERTS_REQUEST;
    o->relay.quota_messages = SOTTO_RELAY_QUOTA_MESSAGES;
    o->relay.quota_bytes = SOTTO_RELAY_QUOTA_BYTES;
    o->relay.lifetime_days = SOTTO_RELAY_LIFETIME_DAYS;
    o->relay.requests_per_second = SOTTO_RELAY_REQUESTS_PER_SECOND;
    o->relay.bytes_per_second = SOTTO_RELAY_BYTES_PER_SECOND;
    o->relay.sign_ins_per_minute = SOTTO_RELAY_SIGN_INS_PER_MINUTE;
    o->relay.sign_ups_per_hour = SOTTO_RELAY_SIGN_UPS_PER_HOUR;
    o->relay.bundles_per_hour = SOTTO_RELAY_BUNDLES_PER_HOUR;
    o->relay.strangers_per_hour = SOTTO_RELAY_STRANGERS_PER_HOUR;
    o->relay.lock_minutes = SOTTO_RELAY_LOCK_MINUTES;
    o->relay.idle_seconds = SOTTO_RELAY_IDLE_SECONDS;
    o->connections_per_address = SOTTO_RELAY_CONNECTIONS_PER_ADDRESS;
    o->handshakes_per_minute = SOTTO_RELAY_HANDSHAKES_PER_MINUTE;
    return default_data(o->data, sizeof o->data);
}
