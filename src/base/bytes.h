/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BASE_BYTES_H
#define SOTTO_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A borrowed view; whoever made it says how long it lives. */
struct sotto_bytes {
    const uint8_t *p;
    size_t n;
};

/*
 * Reader: the only way in for bytes of strangers. Borrows, never allocates.
 * Every call moves the reader only on success; integers are big-endian.
 */
struct sotto_reader {
    const uint8_t *p, *end;
};

void sotto_reader_init(struct sotto_reader *r, const void *data, size_t len);
size_t sotto_reader_left(const struct sotto_reader *r);
/* Each: TRUNCATED when fewer bytes are left than asked for. */
enum sotto_err sotto_read_u8(struct sotto_reader *r, uint8_t *ret);
enum sotto_err sotto_read_u16(struct sotto_reader *r, uint16_t *ret);
enum sotto_err sotto_read_u32(struct sotto_reader *r, uint32_t *ret);
enum sotto_err sotto_read_u64(struct sotto_reader *r, uint64_t *ret);
enum sotto_err sotto_read_bytes(struct sotto_reader *r, void *ret, size_t len);
/* A view of the next len bytes inside the reader's memory. */
enum sotto_err sotto_read_view(struct sotto_reader *r, size_t len, struct sotto_bytes *ret);
/* A field: u16 length, then that many bytes. MALFORMED when longer than max. */
enum sotto_err sotto_read_field16(struct sotto_reader *r, size_t max, struct sotto_bytes *ret);
/* The same with a u8 or u32 length. */
enum sotto_err sotto_read_field8(struct sotto_reader *r, size_t max, struct sotto_bytes *ret);
enum sotto_err sotto_read_field32(struct sotto_reader *r, size_t max, struct sotto_bytes *ret);
/* MALFORMED when anything is left over. */
enum sotto_err sotto_read_done(const struct sotto_reader *r);

/*
 * Writer into memory of the caller. The first failure sticks: later writes do
 * nothing, and sotto_writer_done() reports it, so a layout reads as one list.
 */
struct sotto_writer {
    uint8_t *buf;
    size_t len, cap;
    enum sotto_err err; /* TOO_LARGE once cap was passed */
};

void sotto_writer_init(struct sotto_writer *w, void *buf, size_t cap);
void sotto_write_u8(struct sotto_writer *w, uint8_t v);
void sotto_write_u16(struct sotto_writer *w, uint16_t v);
void sotto_write_u32(struct sotto_writer *w, uint32_t v);
void sotto_write_u64(struct sotto_writer *w, uint64_t v);
void sotto_write_bytes(struct sotto_writer *w, const void *data, size_t len);
/* Length, then the bytes; TOO_LARGE when the length does not fit its type. */
void sotto_write_field8(struct sotto_writer *w, const void *data, size_t len);
void sotto_write_field16(struct sotto_writer *w, const void *data, size_t len);
void sotto_write_field32(struct sotto_writer *w, const void *data, size_t len);
/* len bytes to be filled by the caller; NULL when there is no room. */
uint8_t *sotto_write_space(struct sotto_writer *w, size_t len);
enum sotto_err sotto_writer_done(const struct sotto_writer *w, size_t *ret_len);

/*
 * Growing buffer with a hard cap; wipes memory that it outgrows or frees.
 * Zero-initialise with SOTTO_BUF(cap); free with sotto_buf_free().
 */
struct sotto_buf {
    uint8_t *p;
    size_t n, room, cap;
};
#define SOTTO_BUF(max) ((struct sotto_buf){.cap = (max)})

/* TOO_LARGE past the cap, NOMEM; the buffer is unchanged then. */
enum sotto_err sotto_buf_add(struct sotto_buf *b, const void *data, size_t len);
/* Room for len more bytes at b->p + b->n; add to b->n what was used. */
enum sotto_err sotto_buf_reserve(struct sotto_buf *b, size_t len);
/* Drops the first len bytes (len <= b->n). */
void sotto_buf_consume(struct sotto_buf *b, size_t len);
void sotto_buf_clear(struct sotto_buf *b); /* wipes, keeps the memory */
void sotto_buf_free(struct sotto_buf *b);
#define SOTTO_AUTO_BUF __attribute__((cleanup(sotto_buf_free))) struct sotto_buf

void sotto_put_u16(uint8_t *p, uint16_t v);
void sotto_put_u32(uint8_t *p, uint32_t v);
void sotto_put_u64(uint8_t *p, uint64_t v);
uint16_t sotto_get_u16(const uint8_t *p);
uint32_t sotto_get_u32(const uint8_t *p);
uint64_t sotto_get_u64(const uint8_t *p);

/*
 * Text encodings. Encoders write a NUL and return the length without it; ret
 * must have room (2n+1 for hex, SOTTO_BASE64_LEN(n)+1). Decoders are strict
 * (no white space, no padding, no non-canonical last bits) and give MALFORMED,
 * or TOO_LARGE when ret is too small. Neither uses table look-ups, so secrets
 * may pass through.
 */
#define SOTTO_BASE64_LEN(n) (((n)*4 + 2) / 3)
size_t sotto_hex_encode(const void *data, size_t len, char *ret);
enum sotto_err sotto_hex_decode(const char *text, size_t text_len, void *ret, size_t room,
                                size_t *ret_len);
/* base64url without padding, RFC 4648 section 5. */
size_t sotto_base64_encode(const void *data, size_t len, char *ret);
enum sotto_err sotto_base64_decode(const char *text, size_t text_len, void *ret, size_t room,
                                   size_t *ret_len);
/* Valid UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF); NUL is allowed. */
bool sotto_utf8_valid(const void *data, size_t len);

#endif
