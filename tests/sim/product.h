/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_SIM_PRODUCT_H
#define SOTTO_TESTS_SIM_PRODUCT_H

#include <stdbool.h>

/*
 * Which memory the product asks for: what is asked for between the entry into one of its functions
 * and the return, without its callbacks and the disk below it. The functions that a rig calls are
 * linked with wrappers (meson.build has the list); so are sodium_malloc() and OpenSSL's allocator.
 */
void product_watch(void); /* before anything else happens in the process */

/* Asked for each, with who asks for it; false: there is none. NULL: always. */
extern bool (*product_grants)(const void *caller);

#endif
