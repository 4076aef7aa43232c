/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_LIMITS_H
#define SOTTO_RELAY_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "base/secret.h"

/* How much work may be asked for: fills with time, may go into debt, and no more is read from
 * whoever is in debt. */
struct bucket {
    int64_t milli; /* thousandths of a unit */
    uint64_t mono;
    uint32_t rate; /* units in a second; it holds those of BUCKET_MS */
};
#define BUCKET_MS 2500
void sotto_bucket_init(struct bucket *b, uint32_t rate, uint64_t mono);
void sotto_bucket_take(struct bucket *b, uint32_t units, uint64_t mono);
/* Milliseconds until it is out of debt; 0: now. */
uint64_t sotto_bucket_debt_ms(struct bucket *b, uint64_t mono);
bool sotto_bucket_full(struct bucket *b, uint64_t mono);
/* Another rate from now on; debts stay. After 0 (no limit) it is full. */
void sotto_bucket_rate(struct bucket *b, uint32_t rate, uint64_t mono);
/* Takes from b what is missing in other. */
void sotto_bucket_charge(struct bucket *b, struct bucket *other, uint64_t mono);

/*
 * Remembers how often something was tried, in a table of fixed size: a name with wrong passwords,
 * an address, a sender to strangers. Keys are hashed under a random key of this process, so nobody
 * can aim at another's place. When the places of a hash are all taken, the oldest is forgotten.
 */
#define GUARD_PLACES 4096
#define GUARD_WAYS   8
struct guard {
    struct sotto_secret32 key;
    struct guard_entry {
        uint64_t hash; /* 0: free */
        uint64_t mono; /* of the last attempt, or the start of the window */
        uint32_t count;
    } * entries;
    uint64_t lock_ms; /* of sotto_guard_pause(); 0: it only slows down */
};
enum sotto_err sotto_guard_init(struct guard *g, const struct sotto_env *env);
void sotto_guard_free(struct guard *g);

/* Slowing down: after `free` failures each further one doubles the pause, from one second up to
 * GUARD_PAUSE_MAX; after GUARD_LOCK_AFTER more the pause is lock_ms. Forgotten GUARD_FORGET after
 * the last one, or twice lock_ms if that is longer. */
#define GUARD_PAUSE_MAX  (60 * 1000ull)
#define GUARD_FORGET     (30 * 60 * 1000ull)
#define GUARD_LOCK_AFTER 15
/* Milliseconds to wait before the next attempt; 0: none. */
uint64_t sotto_guard_pause(struct guard *g, const void *what, size_t len, uint32_t free,
                           uint64_t mono);
void sotto_guard_failed(struct guard *g, const void *what, size_t len, uint64_t mono);
void sotto_guard_forgive(struct guard *g, const void *what, size_t len);
/* One attempt less: it was none. */
void sotto_guard_take_back(struct guard *g, const void *what, size_t len);

/* Counting: at most max within window_ms. 0: it was counted; else milliseconds to wait. */
uint64_t sotto_guard_count(struct guard *g, const void *what, size_t len, uint32_t max,
                           uint64_t window_ms, uint64_t mono);

#endif
