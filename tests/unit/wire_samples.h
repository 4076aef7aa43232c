/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_WIRE_SAMPLES_H
#define SOTTO_TESTS_WIRE_SAMPLES_H

#include "wire/answer.h"
#include "wire/content.h"

/*
 * Messages of every type, the smallest and the largest ones among them: what the tests cut and
 * bend, and what the corpora of the fuzz targets are made of. Always the same ones; never freed.
 */
size_t wire_requests(const struct sotto_request **ret);
size_t wire_answers(const struct sotto_answer **ret);
size_t wire_contents(const struct sotto_content **ret);
/* Whose id is in the hello among the answers. */
const struct sotto_sign_pair *wire_relay_key(void);

/* The same in every field that counts. */
bool wire_request_equal(const struct sotto_request *a, const struct sotto_request *b);
bool wire_answer_equal(const struct sotto_answer *a, const struct sotto_answer *b);
bool wire_content_equal(const struct sotto_content *a, const struct sotto_content *b);

/* The three conversions in one form. Encoding gives the body only, without a frame's length. */
struct wire_codec {
    enum sotto_err (*decode)(const uint8_t *data, size_t len, void **ret);
    enum sotto_err (*encode)(const void *msg, struct sotto_buf *body);
    void (*free)(void *msg);
    bool (*equal)(const void *a, const void *b);
    size_t max; /* of a body */
};
extern const struct wire_codec wire_request_codec, wire_answer_codec, wire_content_codec;

/*
 * Decodes, and where that succeeds holds the conversion to its promise: what was accepted can be
 * sent on, is read back as the same, and is then written the same byte for byte. A hello is left
 * alone unless it is wire_relay_key()'s, an unknown content because it cannot be encoded. Ends the
 * process when the promise is broken; returns what decoding gave.
 */
enum sotto_err wire_check(const struct wire_codec *codec, const uint8_t *data, size_t len);

#endif
