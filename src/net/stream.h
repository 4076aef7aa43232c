/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_STREAM_H
#define SOTTO_NET_STREAM_H

#include "base/bytes.h"
#include "base/err.h"

/*
 * Cuts a byte stream into frames: 4-byte big-endian length, then that many bytes. Sans-IO: the same
 * bytes give the same frames however the network split them. Memory follows what has arrived and
 * not what a peer announced, and is given back with the frame.
 */
enum {
    SOTTO_STREAM_HEADER = 4,
    SOTTO_STREAM_MAX = 128 * 1024, /* longest body */
};

struct sotto_stream { /* zero-initialise; the fields belong to stream.c */
    struct sotto_buf body;
    uint32_t length;
    uint8_t header[SOTTO_STREAM_HEADER];
    uint8_t header_n;
};

/*
 * Takes bytes from `in` up to the end of the next frame.
 * OK: *ret_frame is its body, a view into `in`'s memory or the stream's, valid until the next call.
 * AGAIN: `in` is used up; call again with what comes next.
 * TOO_LARGE: the peer announced more than SOTTO_STREAM_MAX. Nothing was allocated for it, and every
 *   later call says the same: close the connection.
 * NOMEM: the bytes of this frame were not taken; a later call with the same reader may succeed.
 */
enum sotto_err sotto_stream_next(struct sotto_stream *s, struct sotto_reader *in,
                                 struct sotto_bytes *ret_frame);
/* True in the middle of a frame: an end of the stream here has cut it off. */
bool sotto_stream_partial(const struct sotto_stream *s);
/* Frees what is kept; the stream starts anew. */
void sotto_stream_free(struct sotto_stream *s);

#endif
