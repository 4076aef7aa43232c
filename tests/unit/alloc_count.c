/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_count.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_size_t calls;

size_t alloc_count(void)
{
    return atomic_load(&calls);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#ifdef SANITIZED
/* The sanitizer owns malloc and offers hooks. */
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));

static void on_malloc(const volatile void *p, size_t len)
{
    atomic_fetch_add(&calls, 1);
}

static void on_free(const volatile void *p)
{
}

__attribute__((constructor)) static void install(void)
{
    if (__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) == 0)
        abort();
}
#else
/* Definitions in the program come before those of the C library, also for its own calls. */
#define EXPORT __attribute__((visibility("default")))
void *__libc_malloc(size_t len);
void *__libc_calloc(size_t n, size_t len);
void *__libc_realloc(void *p, size_t len);
void *__libc_memalign(size_t align, size_t len);

EXPORT void *malloc(size_t len)
{
    atomic_fetch_add(&calls, 1);
    return __libc_malloc(len);
}

EXPORT void *calloc(size_t n, size_t len)
{
    atomic_fetch_add(&calls, 1);
    return __libc_calloc(n, len);
}

EXPORT void *realloc(void *p, size_t len)
{
    atomic_fetch_add(&calls, 1);
    return __libc_realloc(p, len);
}

EXPORT void *memalign(size_t align, size_t len);
EXPORT void *memalign(size_t align, size_t len)
{
    atomic_fetch_add(&calls, 1);
    return __libc_memalign(align, len);
}

EXPORT void *aligned_alloc(size_t align, size_t len)
{
    return memalign(align, len);
}

EXPORT int posix_memalign(void **ret, size_t align, size_t len)
{
    void *p = memalign(align, len);

    if (p == NULL)
        return ENOMEM;
    *ret = p;
    return 0;
}
#endif
