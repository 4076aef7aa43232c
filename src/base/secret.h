/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BASE_SECRET_H
#define SOTTO_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A secret has its own type: a public key does not fit here by accident. */
struct sotto_secret32 {
    uint8_t b[32];
};

void sotto_secret32_wipe(struct sotto_secret32 *s);
/* Declare wiped, so that an early return is safe: struct sotto_secret32 k SOTTO_WIPED = {0}; */
#define SOTTO_WIPED __attribute__((cleanup(sotto_secret32_wipe)))

/* Wipes len bytes; never optimised away. NULL with len 0 is fine. */
void sotto_wipe(void *p, size_t len);
/* Constant time in len. */
bool sotto_equal(const void *a, const void *b, size_t len);
bool sotto_is_zero(const void *p, size_t len);

/*
 * Memory for long-lived keys: guard pages, locked where the limit allows it,
 * not in core dumps. NULL when memory runs out. sotto_secret_free() wipes.
 */
void *sotto_secret_alloc(size_t len);
void sotto_secret_free(void *p);

/* No core dumps, not ptrace-able by others of the same user. Call first in main(). */
void sotto_secret_harden_process(void);

#endif
