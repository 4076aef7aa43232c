/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <sodium.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

void sotto_wipe(void *p, size_t len)
{
    if (len == 0)
        return;
    memset(p, 0, len);
    /* The compiler must assume that the zeroes are read here, so it cannot drop the memset. */
    __asm__ __volatile__("" : : "r"(p) : "memory");
}

void sotto_secret32_wipe(struct sotto_secret32 *s)
{
    sotto_wipe(s, sizeof *s);
}

bool sotto_equal(const void *a, const void *b, size_t len)
{
    return len == 0 || sodium_memcmp(a, b, len) == 0;
}

bool sotto_is_zero(const void *p, size_t len)
{
    return len == 0 || sodium_is_zero(p, len) == 1;
}

void *sotto_secret_alloc(size_t len)
{
    /* sodium_malloc() puts the end of the block against a guard page; a round size keeps the
     * start aligned for any type. */
    const size_t align = _Alignof(max_align_t);
    void *p;

    if (len > SIZE_MAX - align || sodium_init() < 0)
        return NULL;
    len = (len + align - 1) / align * align;
    p = sodium_malloc(len);
    if (p != NULL)
        memset(p, 0, len);
    return p;
}

void sotto_secret_free(void *p)
{
    sodium_free(p);
}

void sotto_secret_harden_process(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
