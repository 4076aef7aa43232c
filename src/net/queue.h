/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_QUEUE_H
#define SOTTO_NET_QUEUE_H

#include "base/bytes.h"
#include "base/err.h"

/*
 * Output that waits for the network: bytes in order, in chunks, so that neither adding nor taking
 * moves what is there, and an empty queue owns no memory. Small additions share a chunk, and with
 * it a TLS record.
 */
struct sotto_chunk;
struct sotto_queue { /* zero-initialise; the fields belong to queue.c */
    struct sotto_chunk *head, *tail;
    size_t n; /* bytes that wait */
};

/* Copies. NOMEM: nothing was added. */
enum sotto_err sotto_queue_add(struct sotto_queue *q, const void *data, size_t len);
/* The first bytes that lie together, at least one unless the queue is empty. Until something is
 * consumed, later views begin with the same bytes (what TLS wants of a repeated write). */
struct sotto_bytes sotto_queue_front(const struct sotto_queue *q);
/* len: at most what sotto_queue_front() showed. */
void sotto_queue_consume(struct sotto_queue *q, size_t len);
void sotto_queue_free(struct sotto_queue *q);

#endif
