/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_HEAP_HOOK_H
#define SOTTO_TESTS_HEAP_HOOK_H

/*
 * A heap that can be watched and can fail. Code that is compiled with -include heap_hook.h and
 * -DSOTTO_HEAP_HOOK uses it instead of the C library's; the rest of the program does not.
 */
#include <stdlib.h>

struct heap_hook {
    size_t live, peak; /* bytes in use, and the most there were since it was set to 0 */
    size_t blocks;     /* in use */
    size_t calls;      /* that asked for memory */
    size_t fail_at;    /* the call with this number gets NULL; 0: none does */
    size_t unwiped;    /* blocks that were given back with something in them */
};
extern struct heap_hook heap_hook;

void *heap_hook_malloc(size_t len);
void *heap_hook_calloc(size_t n, size_t len);
void *heap_hook_realloc(void *p, size_t len); /* always moves */
void heap_hook_free(void *p);

#ifdef SOTTO_HEAP_HOOK
#define malloc(len)     heap_hook_malloc(len)
#define calloc(n, len)  heap_hook_calloc(n, len)
#define realloc(p, len) heap_hook_realloc(p, len)
#define free(p)         heap_hook_free(p)
#endif

#endif
