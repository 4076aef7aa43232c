/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_SUGGEST_H
#define SOTTO_APP_SUGGEST_H

#include <stddef.h>

/*
 * How many typing slips lie between two words: letters added, left out, wrong, or two neighbours
 * swapped (optimal string alignment). Words longer than 63 bytes are as far apart as they are long.
 */
size_t sotto_suggest_distance(const char *a, const char *b);

/* The word of the list (ends with NULL) that was probably meant; NULL when none is near. */
const char *sotto_suggest(const char *typed, const char *const *words);

#endif
