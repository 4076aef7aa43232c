/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/kdf.h"

/* --- memory: a table of blocks, open addressing --- */

struct block {
    void *p; /* NULL: free */
    void *caller;
    unsigned long number;
};

static struct {
    struct block *table;
    size_t room, live;
    unsigned long number;
} heap;

bool (*watch_grants)(const void *caller);

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static size_t slot(const void *p)
{
    return (size_t)(((uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15ull) >> 40) & (heap.room - 1);
}

static void insert(const struct block *b)
{
    size_t i = slot(b->p);

    while (heap.table[i].p != NULL)
        i = (i + 1) & (heap.room - 1);
    heap.table[i] = *b;
}

static void grow(void)
{
    struct block *old = heap.table;
    size_t room = heap.room;

    heap.room = room == 0 ? 16384 : room * 2;
    heap.table = __real_calloc(heap.room, sizeof *heap.table);
    if (heap.table == NULL)
        abort();
    for (size_t i = 0; i < room; i++)
        if (old[i].p != NULL)
            insert(&old[i]);
    __real_free(old);
}

static void *keep(void *p, void *caller)
{
    if (p == NULL)
        return NULL;
    if (heap.live * 2 >= heap.room)
        grow();
    insert(&(struct block){p, caller, ++heap.number});
    heap.live++;
    return p;
}

/* Those that were pushed on by it move up, so that the table holds what lives and nothing else. */
static void empty(size_t hole)
{
    size_t mask = heap.room - 1;

    for (size_t i = (hole + 1) & mask; heap.table[i].p != NULL; i = (i + 1) & mask) {
        size_t home = slot(heap.table[i].p);

        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        heap.table[hole] = heap.table[i];
        hole = i;
    }
    heap.table[hole].p = NULL;
}

/* What the C library or another library gave us is not in the table. */
static void forget(const void *p)
{
    if (p == NULL || heap.room == 0)
        return;
    for (size_t i = slot(p); heap.table[i].p != NULL; i = (i + 1) & (heap.room - 1)) {
        if (heap.table[i].p != p)
            continue;
        empty(i);
        heap.live--;
        return;
    }
}

static bool refused(const void *caller)
{
    return watch_grants != NULL && !watch_grants(caller);
}

void *__wrap_malloc(size_t n)
{
    if (refused(__builtin_return_address(0)))
        return NULL;
    return keep(__real_malloc(n), __builtin_return_address(0));
}

void *__wrap_calloc(size_t count, size_t n)
{
    if (refused(__builtin_return_address(0)))
        return NULL;
    return keep(__real_calloc(count, n), __builtin_return_address(0));
}

void *__wrap_realloc(void *p, size_t n)
{
    void *q;

    if (n > 0 && refused(__builtin_return_address(0)))
        return NULL;
    forget(p);
    q = __real_realloc(p, n);
    return keep(q != NULL || n == 0 ? q : p, __builtin_return_address(0));
}

void __wrap_free(void *p)
{
    forget(p);
    __real_free(p);
}

char *__wrap_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = refused(__builtin_return_address(0))
                  ? NULL
                  : keep(__real_malloc(len + 1), __builtin_return_address(0));

    if (p == NULL)
        return NULL;
    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *__wrap_strdup(const char *s)
{
    size_t len = strlen(s) + 1;
    char *p = refused(__builtin_return_address(0))
                  ? NULL
                  : keep(__real_malloc(len), __builtin_return_address(0));

    return p != NULL ? memcpy(p, s, len) : NULL;
}

size_t watch_blocks(void)
{
    return heap.live;
}

void watch_blocks_print(size_t count)
{
    unsigned long below = heap.number + 1;

    while (count-- > 0) {
        const struct block *newest = NULL;

        for (size_t i = 0; i < heap.room; i++)
            if (heap.table[i].p != NULL && heap.table[i].number < below &&
                (newest == NULL || heap.table[i].number > newest->number))
                newest = &heap.table[i];
        if (newest == NULL)
            return;
        below = newest->number;
        printf("  block %lu, asked for at %p (code is at %p)\n", newest->number, newest->caller,
               (void *)(uintptr_t)&watch_blocks);
    }
}

/* --- keys and nonces --- */

enum sotto_err __real_sotto_aead_seal(const struct sotto_secret32 *key,
                                      const uint8_t nonce[SOTTO_AEAD_NONCE], const void *ad,
                                      size_t ad_len, const void *text, size_t len, uint8_t *ret);
enum sotto_err __wrap_sotto_aead_seal(const struct sotto_secret32 *key,
                                      const uint8_t nonce[SOTTO_AEAD_NONCE], const void *ad,
                                      size_t ad_len, const void *text, size_t len, uint8_t *ret);

struct pair {
    uint8_t hash[16];
};
static struct {
    struct pair *table;
    size_t room, used, repeats;
} seals;

static bool pair_free(const struct pair *p)
{
    static const struct pair none;

    return memcmp(p, &none, sizeof none) == 0;
}

/* false: it is there already. */
static bool pair_add(const struct pair *p)
{
    uint64_t at;

    memcpy(&at, p->hash, sizeof at);
    for (size_t i = at & (seals.room - 1);; i = (i + 1) & (seals.room - 1)) {
        if (memcmp(&seals.table[i], p, sizeof *p) == 0)
            return false;
        if (!pair_free(&seals.table[i]))
            continue;
        seals.table[i] = *p;
        seals.used++;
        return true;
    }
}

static void pairs_grow(void)
{
    struct pair *old = seals.table;
    size_t room = seals.room;

    seals.room = room == 0 ? 4096 : room * 4;
    seals.table = __real_calloc(seals.room, sizeof *seals.table);
    if (seals.table == NULL)
        abort();
    seals.used = 0;
    for (size_t i = 0; i < room; i++)
        if (!pair_free(&old[i]))
            (void)pair_add(&old[i]);
    __real_free(old);
}

enum sotto_err __wrap_sotto_aead_seal(const struct sotto_secret32 *key,
                                      const uint8_t nonce[SOTTO_AEAD_NONCE], const void *ad,
                                      size_t ad_len, const void *text, size_t len, uint8_t *ret)
{
    uint8_t both[32 + SOTTO_AEAD_NONCE], hash[32];
    struct pair p;

    memcpy(both, key->b, 32);
    memcpy(both + 32, nonce, SOTTO_AEAD_NONCE);
    sotto_sha256(both, sizeof both, hash);
    memcpy(p.hash, hash, sizeof p.hash);
    if (seals.used * 2 >= seals.room)
        pairs_grow();
    if (!pair_add(&p)) {
        printf("  a key and nonce are used a second time, at %p (code is at %p)\n",
               __builtin_return_address(0), (void *)(uintptr_t)&watch_blocks);
        seals.repeats++;
    }
    return __real_sotto_aead_seal(key, nonce, ad, ad_len, text, len, ret);
}

size_t watch_seals(void)
{
    return seals.used;
}

void watch_seals_forget(void)
{
    memset(seals.table, 0, seals.room * sizeof *seals.table);
    seals.used = seals.repeats = 0;
}

size_t watch_repeats(void)
{
    return seals.repeats;
}
