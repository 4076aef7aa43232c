/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BASE_ENV_H
#define SOTTO_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Everything that a sans-IO object may not find out by itself. Tests and the
 * simulation hand in their own. All three functions must be set.
 */
struct sotto_env {
    void *ctx;
    /* Fills len bytes. RANDOM on failure: the caller stops what it was doing. */
    enum sotto_err (*random)(void *ctx, void *ret, size_t len);
    /* Wall clock, milliseconds since 1970; may jump. */
    uint64_t (*now_ms)(void *ctx);
    /* Monotonic milliseconds, for timers. */
    uint64_t (*mono_ms)(void *ctx);
};

/* The real one: getrandom() in batches (fork-safe), CLOCK_REALTIME, CLOCK_MONOTONIC. Static. */
const struct sotto_env *sotto_env_system(void);

static inline enum sotto_err sotto_random(const struct sotto_env *env, void *ret, size_t len)
{
    return env->random(env->ctx, ret, len);
}
static inline uint64_t sotto_now_ms(const struct sotto_env *env)
{
    return env->now_ms(env->ctx);
}
static inline uint64_t sotto_mono_ms(const struct sotto_env *env)
{
    return env->mono_ms(env->ctx);
}

/* A deterministic env from a 32-byte seed (tests, simulation, known-answer values), clock set by
 * hand. Request number n (from 0) is filled with the ChaCha20 key stream of the seed under the
 * nonce n (64-bit big-endian). Not for production. */
struct sotto_env_fixed {
    struct sotto_env env; /* use &f->env */
    uint8_t seed[32];
    uint64_t block; /* number of the next request */
    uint64_t now, mono;
    int fail_random; /* non-zero: random() fails */
};
void sotto_env_fixed_init(struct sotto_env_fixed *f, const uint8_t seed[32], uint64_t now_ms);

#endif
