/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any split of the byte stream gives the same frames. Input: a count k (low four bits), k piece
 * sizes that are used in turn, then the bytes of the stream. What the splitter says is compared
 * with a parser of five lines over the whole.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
    if (!ok)
        abort();
}

struct whole {
    const uint8_t *p;
    size_t n, at;
};

/* The next frame of the unsplit stream. */
static enum sotto_err whole_next(struct whole *w, struct sotto_bytes *ret)
{
    size_t left = w->n - w->at, len;

    if (left < 4)
        return SOTTO_ERR_AGAIN;
    len = (size_t)w->p[w->at] << 24 | (size_t)w->p[w->at + 1] << 16 | (size_t)w->p[w->at + 2] << 8 |
          w->p[w->at + 3];
    if (len > 131072)
        return SOTTO_ERR_TOO_LARGE;
    if (left - 4 < len)
        return SOTTO_ERR_AGAIN;
    *ret = (struct sotto_bytes){w->p + w->at + 4, len};
    w->at += 4 + len;
    return SOTTO_OK;
}

/* A piece in memory of its own; true while the stream goes on. */
static int feed(struct sotto_stream *s, const uint8_t *p, size_t n, struct whole *w)
{
    uint8_t *piece = malloc(n > 0 ? n : 1);
    struct sotto_bytes frame, expected;
    struct sotto_reader in;
    enum sotto_err e;

    require(piece != NULL);
    if (n > 0)
        memcpy(piece, p, n);
    sotto_reader_init(&in, piece, n);
    while ((e = sotto_stream_next(s, &in, &frame)) == 0) {
        require(whole_next(w, &expected) == 0);
        require(frame.n == expected.n);
        require(frame.n == 0 || memcmp(frame.p, expected.p, frame.n) == 0);
    }
    require(e == SOTTO_ERR_AGAIN || e == SOTTO_ERR_TOO_LARGE);
    require(e != SOTTO_ERR_AGAIN || sotto_reader_left(&in) == 0);
    require(s->body.room <= 64 || s->body.room < 2 * s->body.n); /* no more than arrived */
    free(piece);
    return e == SOTTO_ERR_AGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cuts = size > 0 ? data[0] & 15 : 0, at = 0, i = 0;
    struct sotto_stream s = {0};
    struct sotto_bytes frame;
    struct whole w;
    enum sotto_err end;
    int goes_on = 1;

    if (size < 1 + cuts)
        return 0;
    w = (struct whole){.p = data + 1 + cuts, .n = size - 1 - cuts};
    while (goes_on && at < w.n) {
        size_t piece = cuts > 0 ? data[1 + i++ % cuts] : w.n;

        if (piece == 0)
            piece = 256;
        piece = piece > w.n - at ? w.n - at : piece;
        goes_on = feed(&s, w.p + at, piece, &w);
        at += piece;
    }
    end = whole_next(&w, &frame);
    require(end == (goes_on ? SOTTO_ERR_AGAIN : SOTTO_ERR_TOO_LARGE));
    require(!goes_on || sotto_stream_partial(&s) == (w.at < w.n));
    sotto_stream_free(&s);
    return 0;
}
