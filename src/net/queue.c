/* SPDX-License-Identifier: Apache-2.0 */
#include "net/queue.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_MIN = 512, CHUNK_MAX = 16 * 1024 }; /* one full TLS record */

struct sotto_chunk {
    struct sotto_chunk *next;
    uint32_t start, end, room;
    uint8_t data[];
};

/* Room for what may follow: little for a quiet connection, a record for a busy one. */
static struct sotto_chunk *chunk_new(size_t len, size_t waiting)
{
    size_t room = waiting < CHUNK_MIN ? CHUNK_MIN : waiting > CHUNK_MAX ? CHUNK_MAX : waiting;
    struct sotto_chunk *c;

    if (room < len)
        room = len;
    if (room > UINT32_MAX || (c = malloc(sizeof *c + room)) == NULL)
        return NULL;
    *c = (struct sotto_chunk){.room = (uint32_t)room};
    return c;
}

static void chunk_append(struct sotto_chunk *c, const uint8_t *p, size_t len)
{
    memcpy(c->data + c->end, p, len);
    c->end += (uint32_t)len;
}

enum sotto_err sotto_queue_add(struct sotto_queue *q, const void *data, size_t len)
{
    size_t fits = q->tail == NULL ? 0 : q->tail->room - q->tail->end;
    const uint8_t *p = data;
    struct sotto_chunk *c = NULL;

    if (len == 0)
        return SOTTO_OK;
    if (fits > len)
        fits = len;
    if (fits < len && (c = chunk_new(len - fits, q->n)) == NULL)
        return SOTTO_ERR_NOMEM;
    if (fits > 0)
        chunk_append(q->tail, p, fits);
    if (c != NULL) {
        chunk_append(c, p + fits, len - fits);
        if (q->tail != NULL)
            q->tail->next = c;
        else
            q->head = c;
        q->tail = c;
    }
    q->n += len;
    return SOTTO_OK;
}

struct sotto_bytes sotto_queue_front(const struct sotto_queue *q)
{
    const struct sotto_chunk *c = q->head;

    if (c == NULL)
        return (struct sotto_bytes){0};
    return (struct sotto_bytes){.p = c->data + c->start, .n = c->end - c->start};
}

void sotto_queue_consume(struct sotto_queue *q, size_t len)
{
    struct sotto_chunk *c = q->head;

    if (len == 0)
        return;
    c->start += (uint32_t)len;
    q->n -= len;
    if (c->start < c->end)
        return;
    q->head = c->next;
    if (q->head == NULL)
        q->tail = NULL;
    free(c);
}

void sotto_queue_free(struct sotto_queue *q)
{
    while (q->head != NULL) {
        struct sotto_chunk *next = q->head->next;

        free(q->head);
        q->head = next;
    }
    *q = (struct sotto_queue){0};
}
