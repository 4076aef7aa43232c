/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_WIRE_HOT_H
#define SOTTO_WIRE_HOT_H

#include "wire/answer.h"
#include "wire/request.h"

/*
 * The four frames that nearly all traffic consists of, for a relay: without protobuf-c, without
 * memory of their own, without clearing structs of many kilobytes. That is what most of a relay's
 * time went into. Everything else goes through wire/request.h and wire/answer.h, which say the same
 * about these frames too.
 */

/*
 * Reads a Submit or an Ack in the form in which ours are written: known fields in rising order,
 * each once (parcels as often as there are). true: id, type and that member of the union are
 * filled, views point into the frame; sotto_request_decode() accepts it with the same result.
 * false: nothing is said about the frame; sotto_request_decode() decides.
 */
bool sotto_hot_request(const uint8_t *frame, size_t len, struct sotto_request *ret);

/* Append what sotto_answer_encode() would. TOO_LARGE, NOMEM; buf is unchanged then. */
enum sotto_err sotto_hot_deliver(struct sotto_buf *buf, uint64_t seq, bool request,
                                 struct sotto_bytes envelope);
/* A Submitted in which every parcel is stored; at most SOTTO_DEVICES_MAX devices. */
enum sotto_err sotto_hot_stored(struct sotto_buf *buf, uint32_t id, const uint64_t *devices,
                                size_t count);

#endif
