/* SPDX-License-Identifier: Apache-2.0 */
#include "base/env.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "base/bytes.h"
#include "base/secret.h"

/*
 * Random bytes are fetched a page at a time, because a system call for the 16 bytes of one message
 * costs more than the message's cipher. The pool is a page of its own that the kernel hands to a
 * forked child as zeroes, `left` included: the child finds an empty pool and never repeats bytes
 * of its parent. What was handed out is wiped, so the pool holds future bytes only.
 */
enum { POOL_SIZE = 4096, POOL_BYTES = POOL_SIZE - sizeof(size_t), POOL_MAX_REQUEST = 512 };

struct pool {
    size_t left;
    uint8_t b[POOL_BYTES]; /* the first `left` are unused */
};
_Static_assert(sizeof(struct pool) == POOL_SIZE, "a pool is one page");

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static pthread_key_t pool_key; /* only for the destructor at thread exit */
static int pool_key_ok;
static _Thread_local struct pool *pool;

static void pool_free(void *p)
{
    sotto_wipe(p, POOL_SIZE);
    (void)munmap(p, POOL_SIZE);
    pool = NULL;
}

static void pool_key_create(void)
{
    pool_key_ok = pthread_key_create(&pool_key, pool_free) == 0;
}

/* NULL where the kernel cannot wipe on fork: then every request is a system call. */
static struct pool *pool_new(void)
{
    struct pool *p;

    (void)pthread_once(&pool_once, pool_key_create);
    if (!pool_key_ok)
        return NULL;
    p = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (madvise(p, POOL_SIZE, MADV_WIPEONFORK) != 0 || madvise(p, POOL_SIZE, MADV_DONTDUMP) != 0 ||
        pthread_setspecific(pool_key, p) != 0) {
        (void)munmap(p, POOL_SIZE);
        return NULL;
    }
    return p;
}

static enum sotto_err fill(uint8_t *p, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = getrandom(p + done, len - done, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            sotto_wipe(p, len); /* half an answer must not be taken for a whole one */
            return SOTTO_ERR_RANDOM;
        }
        done += (size_t)n;
    }
    return SOTTO_OK;
}

static enum sotto_err system_random(void *ctx, void *ret, size_t len)
{
    enum sotto_err e;

    if (len > POOL_MAX_REQUEST)
        return fill(ret, len);
    if (pool == NULL && (pool = pool_new()) == NULL)
        return fill(ret, len);
    if (pool->left < len) {
        pool->left = 0;
        if ((e = fill(pool->b, POOL_BYTES)) != 0)
            return e;
        pool->left = POOL_BYTES;
    }
    if (len > 0) {
        pool->left -= len;
        memcpy(ret, pool->b + pool->left, len);
        sotto_wipe(pool->b + pool->left, len);
    }
    return SOTTO_OK;
}

static uint64_t clock_ms(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts); /* cannot fail for the two clocks asked for */
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t system_now_ms(void *ctx)
{
    return clock_ms(CLOCK_REALTIME);
}

static uint64_t system_mono_ms(void *ctx)
{
    return clock_ms(CLOCK_MONOTONIC);
}

const struct sotto_env *sotto_env_system(void)
{
    static const struct sotto_env env = {
        .random = system_random,
        .now_ms = system_now_ms,
        .mono_ms = system_mono_ms,
    };
    return &env;
}

static enum sotto_err fixed_random(void *ctx, void *ret, size_t len)
{
    struct sotto_env_fixed *f = ctx;
    uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

    if (f->fail_random)
        return SOTTO_ERR_RANDOM;
    sotto_put_u64(nonce, f->block++);
    if (len > 0)
        crypto_stream_chacha20(ret, len, nonce, f->seed);
    return SOTTO_OK;
}

static uint64_t fixed_now_ms(void *ctx)
{
    return ((const struct sotto_env_fixed *)ctx)->now;
}

static uint64_t fixed_mono_ms(void *ctx)
{
    return ((const struct sotto_env_fixed *)ctx)->mono;
}

void sotto_env_fixed_init(struct sotto_env_fixed *f, const uint8_t seed[32], uint64_t now_ms)
{
    *f = (struct sotto_env_fixed){
        .env = {.ctx = f, .random = fixed_random, .now_ms = fixed_now_ms, .mono_ms = fixed_mono_ms},
        .now = now_ms,
    };
    memcpy(f->seed, seed, sizeof f->seed);
}
