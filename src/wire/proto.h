/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_WIRE_PROTO_H
#define SOTTO_WIRE_PROTO_H

#include <protobuf-c/protobuf-c.h>

#include "base/bytes.h"
#include "wire/request.h"

/*
 * Where protobuf meets our own types; for the .c files of this folder only.
 *
 * Unpacking is bounded: a repeated field of empty messages costs two bytes on the wire and some
 * eighty in memory, so without a limit one frame of 128 KiB takes ten megabytes. What is unpacked
 * here may take twice its length and SOTTO_PROTO_SPARE bytes, and is wiped when it is freed,
 * because it holds codes, tokens and texts.
 */
struct sotto_proto;
#define SOTTO_PROTO_SPARE (48 * 1024) /* the bookkeeping of the 256 ids of a receipt fits */

/* data may go away afterwards. MALFORMED, also when the limit is passed; NOMEM. */
enum sotto_err sotto_proto_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                  size_t len, struct sotto_proto **ret);
/* Lives as long as p. */
const void *sotto_proto_message(const struct sotto_proto *p);
void sotto_proto_free(struct sotto_proto *p); /* NULL is fine */

/* Appends the packed message, behind its length in 4 bytes if framed. TOO_LARGE when the packed
 * message is longer than max or does not fit; NOMEM. buf is unchanged then. */
enum sotto_err sotto_proto_append(const ProtobufCMessage *msg, bool framed, size_t max,
                                  struct sotto_buf *buf);

/* Fields on their way in. Each: MALFORMED, *ret is undefined then. */
enum sotto_err sotto_proto_fixed(const ProtobufCBinaryData *f, void *ret, size_t len);
/* Absent (empty) or of exactly len bytes. */
enum sotto_err sotto_proto_optional(const ProtobufCBinaryData *f, void *ret, size_t len,
                                    bool *ret_has);
/* A view into the message, of min to max bytes. */
enum sotto_err sotto_proto_view(const ProtobufCBinaryData *f, size_t min, size_t max,
                                struct sotto_bytes *ret);
/* At most max_count of them. */
enum sotto_err sotto_proto_views(const ProtobufCBinaryData *f, size_t count, size_t max_count,
                                 size_t min, size_t max, struct sotto_bytes *ret,
                                 size_t *ret_count);
enum sotto_err sotto_proto_name(const ProtobufCBinaryData *f, sotto_name ret);
/* Text that goes to a terminal: valid UTF-8 without control characters (C0, DEL, C1) and at most
 * room - 1 bytes. */
enum sotto_err sotto_proto_line(const ProtobufCBinaryData *f, char *ret, size_t room);

/* Fields on their way out: views of the caller's memory. */
ProtobufCBinaryData sotto_proto_put(const void *data, size_t len);
ProtobufCBinaryData sotto_proto_put_if(bool has, const void *data, size_t len);
ProtobufCBinaryData sotto_proto_put_view(struct sotto_bytes v);
/* A NUL-terminated text in room bytes; one that is not terminated is taken whole. */
ProtobufCBinaryData sotto_proto_put_text(const char *text, size_t room);
void sotto_proto_put_views(const struct sotto_bytes *v, size_t count, ProtobufCBinaryData *ret);

#endif
