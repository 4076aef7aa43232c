/* SPDX-License-Identifier: Apache-2.0 */
#include "scarce.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "../sim/watch.h"

static volatile int inside, in_library; /* the compiler knows what realloc() does not read */
static bool armed, happened;
static enum scarce_whose whose;
static unsigned long left;

static bool granted(const void *caller)
{
    (void)caller;
    if (inside == 0 || !armed || (whose == SCARCE_OPENSSL) != (in_library > 0) || --left > 0)
        return true;
    armed = false;
    happened = true;
    return false;
}

/* --- OpenSSL --- */

static void *ssl_realloc(void *p, size_t n, const char *file, int line)
{
    void *got = NULL;

    in_library++;
    if (n > 0)
        got = realloc(p, n);
    else
        free(p);
    in_library--;
    return got;
}

static void *ssl_malloc(size_t n, const char *file, int line)
{
    return n > 0 ? ssl_realloc(NULL, n, file, line) : NULL;
}

static void ssl_free(void *p, const char *file, int line)
{
    free(p);
}

/* --- the test's side --- */

void scarce_init(void)
{
    watch_grants = granted;
    if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
        abort();
}

void scarce_from_now(enum scarce_whose of, unsigned long n)
{
    whose = of;
    left = n;
    armed = n > 0;
    happened = false;
}

bool scarce_happened(void)
{
    armed = false;
    return happened;
}

void scarce_enter(void)
{
    inside++;
}

void scarce_leave(void)
{
    inside--;
}

int scarce_callback(void)
{
    int depth = inside;

    inside = 0;
    return depth;
}

void scarce_return(int depth)
{
    inside = depth;
}

size_t scarce_blocks(void)
{
    OPENSSL_thread_stop(); /* the texts of this thread's last errors */
    return watch_blocks();
}
