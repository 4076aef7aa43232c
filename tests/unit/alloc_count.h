/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_ALLOC_COUNT_H
#define SOTTO_TESTS_ALLOC_COUNT_H

#include <stdbool.h>
#include <stddef.h>

/* How often this process, libraries included, has asked for heap memory (malloc, calloc, realloc,
 * aligned_alloc and their kin) since its start. Linking the file is enough to count. */
size_t alloc_count(void);

/* The n-th request of this thread from now on fails, once; 0: none does. False where a sanitizer
 * owns malloc and cannot do it: skip the case. */
bool alloc_fail_at(size_t n);

#endif
