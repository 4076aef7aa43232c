/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_CLIENT_EVENT_H
#define SOTTO_RUN_CLIENT_EVENT_H

#include "base/bytes.h"
#include "sotto/sotto.h"

/* An event owns its row and all of its strings. */

/* Deep copy of a public row (for NOTICE: a string). NULL: no memory. */
struct sotto_event *sotto_event_new(uint32_t request, enum sotto_event_type type, const void *row);
/* For the control socket: u32 request | u8 type | the row's members in order. TOO_LARGE, NOMEM. */
enum sotto_err sotto_event_encode(uint32_t request, enum sotto_event_type type, const void *row,
                                  struct sotto_buf *buf);
/* MALFORMED, TRUNCATED, NOMEM. */
enum sotto_err sotto_event_decode(const uint8_t *data, size_t len, struct sotto_event **ret);

/* First in, first out. */
struct sotto_event_queue {
    struct sotto_event *first, **last;
};
void sotto_event_queue_init(struct sotto_event_queue *q);
void sotto_event_queue_push(struct sotto_event_queue *q, struct sotto_event *e);
struct sotto_event *sotto_event_queue_pop(struct sotto_event_queue *q);
void sotto_event_queue_clear(struct sotto_event_queue *q);

#endif
