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

bool alloc_fail_at(size_t n)
{
    return false;
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

static _Thread_local size_t until_failure;

bool alloc_fail_at(size_t n)
{
    until_failure = n;
    return true;
}

static bool granted(void)
{
    atomic_fetch_add(&calls, 1);
    if (until_failure == 0 || --until_failure > 0)
        return true;
    errno = ENOMEM;
    return false;
}

EXPORT void *malloc(size_t len)
{
    return granted() ? __libc_malloc(len) : NULL;
}

EXPORT void *calloc(size_t n, size_t len)
{
    return granted() ? __libc_calloc(n, len) : NULL;
}

EXPORT void *realloc(void *p, size_t len)
{
    return granted() ? __libc_realloc(p, len) : NULL;
}

EXPORT void *memalign(size_t align, size_t len);
EXPORT void *memalign(size_t align, size_t len)
{
    return granted() ? __libc_memalign(align, len) : NULL;
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
