/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include <string.h>

static bool header_done(const struct sotto_stream *s)
{
    return s->header_n == SOTTO_STREAM_HEADER;
}

static enum sotto_err take_header(struct sotto_stream *s, struct sotto_reader *in)
{
    while (!header_done(s)) {
        if (sotto_read_u8(in, &s->header[s->header_n]) != 0)
            return SOTTO_ERR_AGAIN;
        s->header_n++;
    }
    s->length = sotto_get_u32(s->header);
    return s->length > SOTTO_STREAM_MAX ? SOTTO_ERR_TOO_LARGE : SOTTO_OK;
}

/* Sets the start of the frame aside until the rest arrives. */
static enum sotto_err keep_part(struct sotto_stream *s, struct sotto_reader *in, size_t len)
{
    struct sotto_bytes part;
    enum sotto_err e;

    s->body.cap = s->length;
    if ((e = sotto_buf_reserve(&s->body, len)) != 0)
        return e;
    if ((e = sotto_read_view(in, len, &part)) != 0)
        return e;
    return sotto_buf_add(&s->body, part.p, part.n);
}

enum sotto_err sotto_stream_next(struct sotto_stream *s, struct sotto_reader *in,
                                 struct sotto_bytes *ret_frame)
{
    size_t left, missing;
    enum sotto_err e;

    if (header_done(s) && s->length <= SOTTO_STREAM_MAX && s->body.n == s->length &&
        s->body.p != NULL)
        sotto_stream_free(s); /* handed out by the last call */
    if ((e = take_header(s, in)) != 0)
        return e;
    left = sotto_reader_left(in);
    missing = s->length - s->body.n;
    if (s->body.n == 0 && left >= missing) {
        s->header_n = 0;
        return sotto_read_view(in, missing, ret_frame);
    }
    if (left == 0)
        return SOTTO_ERR_AGAIN;
    if ((e = keep_part(s, in, left < missing ? left : missing)) != 0)
        return e;
    if (s->body.n < s->length)
        return SOTTO_ERR_AGAIN;
    *ret_frame = (struct sotto_bytes){.p = s->body.p, .n = s->body.n};
    return SOTTO_OK;
}

bool sotto_stream_partial(const struct sotto_stream *s)
{
    return s->header_n > 0 && !(s->body.p != NULL && s->body.n == s->length);
}

void sotto_stream_free(struct sotto_stream *s)
{
    sotto_buf_free(&s->body);
    *s = (struct sotto_stream){0};
}
