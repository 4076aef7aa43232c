/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_SIM_WATCH_H
#define SOTTO_TESTS_SIM_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What is watched while everything runs: each block of memory that our code (and SQLite, which is
 * linked into it) holds, and each key with its nonce that something was sealed under. The module is
 * linked with wrappers around malloc() and its kin, and around sotto_aead_seal().
 */
size_t watch_blocks(void); /* held now */
/* Asked for each block, with who asks for it; false: there is none. NULL: always. */
extern bool (*watch_grants)(const void *caller);
/* Says where the newest of them were asked for. */
void watch_blocks_print(size_t count);
size_t watch_seals(void);
void watch_seals_forget(void); /* a world from the same seed seals the same once more */
size_t watch_repeats(void);    /* of a key with the same nonce */

#endif
