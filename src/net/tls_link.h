/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_TLS_LINK_H
#define SOTTO_NET_TLS_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "net/tls.h"

/*
 * One TLS connection over a non-blocking socket: what conn.c needs of TLS, without OpenSSL's types.
 * Keeps its own reference to the context. The socket stays the caller's and outlives the link.
 */
struct sotto_link;

/*
 * The way of all links of one loop to their sockets. OpenSSL wants an object for it, which would
 * take 200 bytes for each link, so they share one: it serves the link that is being worked on.
 */
struct sotto_pipe;
struct sotto_pipe *sotto_pipe_new(void);    /* NULL: no memory */
void sotto_pipe_free(struct sotto_pipe *p); /* after its links; NULL is fine */

enum sotto_link_status {
    SOTTO_LINK_OK,
    SOTTO_LINK_WANT_READ,  /* nothing done; again when the socket is readable */
    SOTTO_LINK_WANT_WRITE, /* the same for writable */
    SOTTO_LINK_CLOSED,     /* the peer sent close_notify */
    SOTTO_LINK_FAILED,     /* for good; sotto_link_why() */
};

/* host: the name that was dialled; NULL for the relay's side. NULL: no memory. */
struct sotto_link *sotto_link_new(struct sotto_pipe *p, struct sotto_tls *t, int fd,
                                  const char *host);
void sotto_link_free(struct sotto_link *k); /* NULL is fine; sends nothing */

enum sotto_link_status sotto_link_handshake(struct sotto_link *k);
/* To be called before reading when the socket may have more than it had at the last read. */
void sotto_link_readable(struct sotto_link *k);
/* Bytes were taken from the socket that no read has given out: the socket's readiness is then not
 * the whole truth. They may be a record that is not whole. */
bool sotto_link_holds(const struct sotto_link *k);
/* The last read took all that there was: the next would say WANT_READ until the socket is readable
 * again. */
bool sotto_link_empty(const struct sotto_link *k);
/* room at least 16 KiB, so that nothing of a record stays behind. At most one record per call; OK
 * with 0 bytes: it was one without data, and there may be more. */
enum sotto_link_status sotto_link_read(struct sotto_link *k, void *ret, size_t room, size_t *ret_n);
/* May take less than len. After a WANT the next call must begin with the same bytes. */
enum sotto_link_status sotto_link_write(struct sotto_link *k, const void *data, size_t len,
                                        size_t *ret_n);
/* Sends close_notify; OK as soon as it is out. */
enum sotto_link_status sotto_link_shutdown(struct sotto_link *k);

/*
 * After FAILED: PIN, TLS (words in `why`: a sentence part after "the TLS handshake with X failed: "
 * or after "TLS with X failed: "), IO (the network broke; words of the system).
 */
enum sotto_err sotto_link_why(const struct sotto_link *k, char *why, size_t room);
/* After the handshake all facts but the address; after PIN only the peer's pin. False: no memory.
 */
bool sotto_link_info(const struct sotto_link *k, struct sotto_tls_info *ret);

#endif
