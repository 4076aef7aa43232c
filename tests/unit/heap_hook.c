/* SPDX-License-Identifier: Apache-2.0 */
#include "heap_hook.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct heap_hook heap_hook;

union head {
    size_t len;
    max_align_t align;
};

void *heap_hook_malloc(size_t len)
{
    union head *h;

    if (++heap_hook.calls == heap_hook.fail_at)
        return NULL;
    h = malloc(sizeof *h + len);
    if (h == NULL)
        return NULL;
    memset(h + 1, 0xa5, len);
    h->len = len;
    heap_hook.blocks++;
    heap_hook.live += len;
    if (heap_hook.live > heap_hook.peak)
        heap_hook.peak = heap_hook.live;
    return h + 1;
}

void *heap_hook_calloc(size_t n, size_t len)
{
    void *p;

    if (len != 0 && n > SIZE_MAX / len)
        return NULL;
    p = heap_hook_malloc(n * len);
    if (p != NULL)
        memset(p, 0, n * len);
    return p;
}

void *heap_hook_realloc(void *p, size_t len)
{
    const union head *h = p;
    void *q = heap_hook_malloc(len);

    if (q == NULL || p == NULL)
        return q;
    h--;
    memcpy(q, p, h->len < len ? h->len : len);
    heap_hook_free(p);
    return q;
}

void heap_hook_free(void *p)
{
    union head *h = p;
    const uint8_t *b = p;

    if (p == NULL)
        return;
    h--;
    for (size_t i = 0; i < h->len; i++)
        if (b[i] != 0) {
            heap_hook.unwiped++;
            break;
        }
    heap_hook.live -= h->len;
    heap_hook.blocks--;
    free(h);
}
