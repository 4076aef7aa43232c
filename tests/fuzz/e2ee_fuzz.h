/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_FUZZ_E2EE_H
#define SOTTO_FUZZ_E2EE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "people.h"

/* A property of the parser under test; broken, it ends the process. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The same two people in every target and in the program that writes the seeds. Bob has not opened
 * the first message. */
static struct pair p;

static inline void meet(void)
{
    if (p.env == NULL)
        pair_start(&p, "fuzz", true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
