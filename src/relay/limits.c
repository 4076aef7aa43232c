/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/limits.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "crypto/kdf.h"

static int64_t full(const struct bucket *b)
{
    return (int64_t)b->rate * BUCKET_MS;
}

void sotto_bucket_init(struct bucket *b, uint32_t rate, uint64_t mono)
{
    b->rate = rate;
    b->milli = full(b);
    b->mono = mono;
}

static void refill(struct bucket *b, uint64_t mono)
{
    uint64_t passed = mono > b->mono ? mono - b->mono : 0;

    if (passed > 3600 * 1000)
        passed = 3600 * 1000;
    b->mono = mono;
    b->milli += (int64_t)passed * b->rate;
    if (b->milli > full(b))
        b->milli = full(b);
}

void sotto_bucket_take(struct bucket *b, uint32_t units, uint64_t mono)
{
    refill(b, mono);
    b->milli -= (int64_t)units * 1000;
}

uint64_t sotto_bucket_debt_ms(struct bucket *b, uint64_t mono)
{
    refill(b, mono);
    return b->milli >= 0 ? 0 : (uint64_t)(-b->milli + b->rate - 1) / b->rate;
}

bool sotto_bucket_full(struct bucket *b, uint64_t mono)
{
    refill(b, mono);
    return b->milli >= full(b);
}

void sotto_bucket_rate(struct bucket *b, uint32_t rate, uint64_t mono)
{
    bool limited = b->rate > 0;

    refill(b, mono);
    b->rate = rate;
    if (!limited)
        b->milli = full(b);
    refill(b, mono);
}

void sotto_bucket_charge(struct bucket *b, struct bucket *other, uint64_t mono)
{
    refill(b, mono);
    refill(other, mono);
    if (b->rate > 0) /* else there is no limit, and nothing would ever be paid back */
        b->milli -= full(other) - other->milli;
}

enum sotto_err sotto_guard_init(struct guard *g, const struct sotto_env *env)
{
    enum sotto_err e = sotto_random(env, g->key.b, sizeof g->key.b);

    if (e != 0)
        return e;
    g->lock_ms = 0;
    g->entries = calloc(GUARD_PLACES, sizeof *g->entries);
    return g->entries != NULL ? SOTTO_OK : SOTTO_ERR_NOMEM;
}

void sotto_guard_free(struct guard *g)
{
    sotto_secret32_wipe(&g->key);
    free(g->entries);
    g->entries = NULL;
}

static uint64_t hash_of(const struct guard *g, const void *what, size_t len)
{
    uint8_t mac[32];
    uint64_t h;

    sotto_hmac_sha256(g->key.b, sizeof g->key.b, what, len, mac);
    h = sotto_get_u64(mac);
    return h != 0 ? h : 1;
}

static struct guard_entry *places(struct guard *g, uint64_t hash)
{
    return &g->entries[hash % (GUARD_PLACES / GUARD_WAYS) * GUARD_WAYS];
}

static struct guard_entry *find(struct guard *g, uint64_t hash)
{
    struct guard_entry *p = places(g, hash);

    for (size_t i = 0; i < GUARD_WAYS; i++)
        if (p[i].hash == hash)
            return &p[i];
    return NULL;
}

static struct guard_entry *find_or_make(struct guard *g, uint64_t hash, uint64_t mono)
{
    struct guard_entry *p = places(g, hash), *oldest = p, *found = find(g, hash);

    if (found != NULL)
        return found;
    for (size_t i = 0; i < GUARD_WAYS && oldest->hash != 0; i++)
        if (p[i].hash == 0 || p[i].mono < oldest->mono)
            oldest = &p[i];
    *oldest = (struct guard_entry){.hash = hash, .mono = mono};
    return oldest;
}

static bool forgotten(const struct guard *g, const struct guard_entry *p, uint64_t mono)
{
    uint64_t after = g->lock_ms > GUARD_FORGET / 2 ? g->lock_ms * 2 : GUARD_FORGET;

    return mono >= p->mono + after;
}

uint64_t sotto_guard_pause(struct guard *g, const void *what, size_t len, uint32_t free,
                           uint64_t mono)
{
    const struct guard_entry *p = find(g, hash_of(g, what, len));
    uint64_t pause = 1000;

    if (p == NULL || p->count < free || forgotten(g, p, mono))
        return 0;
    for (uint32_t i = free; i < p->count && pause < GUARD_PAUSE_MAX; i++)
        pause *= 2;
    if (pause > GUARD_PAUSE_MAX)
        pause = GUARD_PAUSE_MAX;
    if (p->count - free >= GUARD_LOCK_AFTER && pause < g->lock_ms)
        pause = g->lock_ms;
    return mono >= p->mono + pause ? 0 : p->mono + pause - mono;
}

void sotto_guard_failed(struct guard *g, const void *what, size_t len, uint64_t mono)
{
    struct guard_entry *p = find_or_make(g, hash_of(g, what, len), mono);

    if (forgotten(g, p, mono))
        p->count = 0;
    p->mono = mono;
    if (p->count < UINT32_MAX)
        p->count++;
}

void sotto_guard_forgive(struct guard *g, const void *what, size_t len)
{
    struct guard_entry *p = find(g, hash_of(g, what, len));

    if (p != NULL)
        *p = (struct guard_entry){0};
}

void sotto_guard_take_back(struct guard *g, const void *what, size_t len)
{
    struct guard_entry *p = find(g, hash_of(g, what, len));

    if (p != NULL && p->count > 0)
        p->count--;
}

uint64_t sotto_guard_count(struct guard *g, const void *what, size_t len, uint32_t max,
                           uint64_t window_ms, uint64_t mono)
{
    struct guard_entry *p = find_or_make(g, hash_of(g, what, len), mono);

    if (mono >= p->mono + window_ms) {
        p->mono = mono;
        p->count = 0;
    }
    if (p->count >= max)
        return p->mono + window_ms - mono;
    p->count++;
    return 0;
}
