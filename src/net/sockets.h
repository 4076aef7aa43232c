/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_SOCKETS_H
#define SOTTO_NET_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

/*
 * What a loop waits for: an epoll set and a heap of deadlines. libuv's own handles would take 312
 * bytes for each connection, and a relay holds thousands that do nothing; these take 40, and one
 * place in the heap. libuv itself is one descriptor of the set (net/loop).
 */
struct sotto_socket;

struct sotto_socket_ops {
    /* UV_READABLE and UV_WRITABLE, of those that are watched. broken: the socket has an error that
     * the next call finds, and is watched no longer. */
    void (*ready)(struct sotto_socket *s, int events, bool broken);
    void (*expired)(struct sotto_socket *s); /* once; the deadline is gone */
};

struct sotto_socket { /* embedded in what it belongs to */
    struct sotto_sockets *all;
    const struct sotto_socket_ops *ops;
    uint64_t due; /* ms of the loop's clock; UINT64_MAX: never */
    uint32_t slot;
    int fd;
    uint8_t events;
};

struct sotto_sockets; /* one for each loop */

/* uv: whose clock it goes by. NULL: no memory or no file descriptors. */
struct sotto_sockets *sotto_sockets_new(uv_loop_t *uv);
void sotto_sockets_free(struct sotto_sockets *all); /* NULL is fine */
/* Readable when a socket is ready; of deadlines it knows nothing. */
int sotto_sockets_fd(const struct sotto_sockets *all);
/* Milliseconds from the loop's time to the first deadline; -1: there is none. */
int sotto_sockets_timeout(const struct sotto_sockets *all);
/* Waits for the first socket to be ready, sets the loop's clock, tells those that are ready, then
 * those whose deadline has come. -1: for ever. */
void sotto_sockets_turn(struct sotto_sockets *all, int timeout_ms);

/* Without a descriptor and without a deadline. ops must live as long as the socket. NOMEM: no room
 * for its deadline; nothing has to be undone. */
enum sotto_err sotto_socket_init(struct sotto_socket *s, struct sotto_sockets *all,
                                 const struct sotto_socket_ops *ops);
/* No descriptor any more; it is not closed. */
void sotto_socket_release(struct sotto_socket *s);
/* Closes the descriptor, if there is one. Not a word of it afterwards, also in the middle of a
 * turn. */
void sotto_socket_end(struct sotto_socket *s);

/* Takes a descriptor that does not block. */
void sotto_socket_open(struct sotto_socket *s, int fd);
void sotto_socket_close(struct sotto_socket *s);
/* Level-triggered. False: the kernel has no room for it; it is not watched. */
bool sotto_socket_watch(struct sotto_socket *s, int uv_events);
/* Moves the deadline; UINT64_MAX: none. */
void sotto_socket_due(struct sotto_socket *s, uint64_t at);

#endif
