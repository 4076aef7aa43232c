/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/source.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/kdf.h"

#define MINUTE_MS 60000
#define LINE      64 /* of a log line's reason, as far as it tells one from another */

struct entry {
    struct entry *next; /* same hash */
    struct sotto_source from;
    uint32_t connections;
};

struct sotto_sources {
    struct guard handshakes, lines;
    struct sotto_secret32 key;
    struct entry **table;
    size_t count, room; /* a power of two */
};

void sotto_source_of(const char *address, struct sotto_source *ret)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];
    size_t len = strcspn(address, "%");
    uint8_t ip[16];

    memset(ret, 0, sizeof *ret);
    if (len < sizeof text) {
        memcpy(text, address, len);
        text[len] = '\0';
        if (inet_pton(AF_INET, text, ip) == 1) {
            ret->b[0] = 4;
            memcpy(ret->b + 1, ip, 4);
            return;
        }
        if (inet_pton(AF_INET6, text, ip) == 1) {
            bool v4 = memcmp(ip, mapped, sizeof mapped) == 0;

            ret->b[0] = v4 ? 4 : 6;
            memcpy(ret->b + 1, v4 ? ip + 12 : ip, v4 ? 4 : 8);
            return;
        }
    }
    for (size_t i = 0; address[i] != '\0' && i + 1 < sizeof ret->b; i++)
        ret->b[i + 1] = (uint8_t)address[i];
}

enum sotto_err sotto_sources_new(const struct sotto_env *env, struct sotto_sources **ret)
{
    struct sotto_sources *s = calloc(1, sizeof *s);
    enum sotto_err e;

    if (s == NULL)
        return SOTTO_ERR_NOMEM;
    s->room = 64;
    if ((s->table = calloc(s->room, sizeof *s->table)) == NULL) {
        sotto_sources_free(s);
        return SOTTO_ERR_NOMEM;
    }
    if ((e = sotto_random(env, s->key.b, sizeof s->key.b)) != 0 ||
        (e = sotto_guard_init(&s->handshakes, env)) != 0 ||
        (e = sotto_guard_init(&s->lines, env)) != 0) {
        sotto_sources_free(s);
        return e;
    }
    *ret = s;
    return SOTTO_OK;
}

void sotto_sources_free(struct sotto_sources *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; s->table != NULL && i < s->room; i++)
        for (struct entry *e = s->table[i], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    free(s->table);
    sotto_guard_free(&s->handshakes);
    sotto_guard_free(&s->lines);
    sotto_secret32_wipe(&s->key);
    free(s);
}

/* Keyed, so that nobody can fill one chain. */
static struct entry **slot_of(const struct sotto_sources *s, const struct sotto_source *from)
{
    uint8_t mac[32];
    struct entry **at;

    sotto_hmac_sha256(s->key.b, sizeof s->key.b, from->b, sizeof from->b, mac);
    at = &s->table[sotto_get_u64(mac) & (s->room - 1)];
    while (*at != NULL && memcmp(&(*at)->from, from, sizeof *from) != 0)
        at = &(*at)->next;
    return at;
}

static bool grow(struct sotto_sources *s)
{
    struct sotto_sources old = *s;
    struct entry **fresh = calloc(old.room * 2, sizeof(struct entry *));

    if (fresh == NULL)
        return false;
    s->table = fresh;
    s->room = old.room * 2;
    for (size_t i = 0; i < old.room; i++)
        for (struct entry *e = old.table[i], *next; e != NULL; e = next) {
            struct entry **at = slot_of(s, &e->from);

            next = e->next;
            e->next = NULL;
            *at = e;
        }
    free(old.table);
    return true;
}

enum sotto_err sotto_sources_enter(struct sotto_sources *s, const struct sotto_source *from,
                                   const struct sotto_source_limits *limits, uint64_t mono)
{
    struct entry **at = slot_of(s, from);

    if (*at != NULL && limits->connections > 0 && (*at)->connections >= limits->connections)
        return SOTTO_ERR_FULL;
    if (limits->handshakes_per_minute > 0 &&
        sotto_guard_count(&s->handshakes, from, sizeof *from, limits->handshakes_per_minute,
                          MINUTE_MS, mono) > 0)
        return SOTTO_ERR_AGAIN;
    if (*at == NULL) {
        if (s->count >= s->room && !grow(s))
            return SOTTO_ERR_NOMEM;
        at = slot_of(s, from);
        if ((*at = calloc(1, sizeof **at)) == NULL)
            return SOTTO_ERR_NOMEM;
        (*at)->from = *from;
        s->count++;
    }
    (*at)->connections++;
    return SOTTO_OK;
}

void sotto_sources_leave(struct sotto_sources *s, const struct sotto_source *from)
{
    struct entry **at = slot_of(s, from), *e = *at;

    if (e == NULL || --e->connections > 0)
        return;
    *at = e->next;
    free(e);
    s->count--;
}

uint32_t sotto_sources_connections(const struct sotto_sources *s, const struct sotto_source *from)
{
    const struct entry *e = *slot_of(s, from);

    return e != NULL ? e->connections : 0;
}

bool sotto_guard_line(struct guard *lines, const struct sotto_source *from, const char *reason,
                      uint64_t mono)
{
    uint8_t what[sizeof from->b + LINE] = {0};
    size_t len = strlen(reason);

    memcpy(what, from->b, sizeof from->b);
    memcpy(what + sizeof from->b, reason, len < LINE ? len : LINE);
    return sotto_guard_count(lines, what, sizeof what, 1, MINUTE_MS, mono) == 0;
}

bool sotto_sources_may_log(struct sotto_sources *s, const struct sotto_source *from,
                           const char *reason, uint64_t mono)
{
    return sotto_guard_line(&s->lines, from, reason, mono);
}
