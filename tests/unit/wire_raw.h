/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_WIRE_RAW_H
#define SOTTO_TESTS_WIRE_RAW_H

#include <stdbool.h>

#include "base/bytes.h"

/*
 * Protobuf by hand, for messages that our encoder refuses to make: what an evil peer writes. Knows
 * field numbers and wire types only. Anything impossible (a full buffer, a field that is not
 * there) ends the test.
 */
void raw_number(struct sotto_buf *out, uint32_t field, uint64_t value);
void raw_fixed64(struct sotto_buf *out, uint32_t field, uint64_t value);
void raw_bytes(struct sotto_buf *out, uint32_t field, const void *data, size_t len);

/*
 * Copies msg to out and changes the first field with the number path[0], or inside it the first
 * path[1], ... up to the 0 that ends the path. A message that lacks the last one gets it appended.
 */
struct raw_change {
    enum { RAW_BYTES, RAW_NUMBER, RAW_REPEAT, RAW_DROP } how;
    struct sotto_bytes bytes; /* BYTES: in its place */
    uint64_t number;          /* NUMBER: in its place; REPEAT: this often */
};
void raw_edit(const uint8_t *msg, size_t len, const uint32_t *path, const struct raw_change *change,
              struct sotto_buf *out);

#endif
