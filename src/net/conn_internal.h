/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_CONN_INTERNAL_H
#define SOTTO_NET_CONN_INTERNAL_H

#include "net/address.h"
#include "net/conn.h"
#include "net/loop_internal.h"
#include "net/queue.h"
#include "net/stream.h"
#include "net/tls_link.h"

/*
 *            dial                accept
 *             |                    |
 *         DIALLING --connected--> TLS --handshake done--> UP --finish--> FINISHING
 *             |                    |                      |                  |
 *             +-------------- down() -------------------- + --> DOWN        DEAD
 *
 * DOWN waits for its owner's sotto_conn_free(); DEAD for the next turn, as callbacks up the stack
 * may still look at it.
 */
enum sotto_conn_state {
    SOTTO_CONN_DIALLING,
    SOTTO_CONN_TLS,
    SOTTO_CONN_UP,
    SOTTO_CONN_FINISHING,
    SOTTO_CONN_DOWN,
    SOTTO_CONN_DEAD,
};

struct sotto_input {
    struct sotto_stream stream;
    struct sotto_buf rest; /* decrypted, but not handed out yet */
};

/* Kept small: a relay holds as many of these as people have devices. What only a phase of life
 * needs is allocated for that phase. */
struct sotto_conn {
    struct sotto_loop *loop;
    const struct sotto_conn_ops *ops;
    void *ctx;
    struct sotto_link *link;    /* from TLS on */
    struct sotto_dial *dial;    /* while DIALLING */
    struct sotto_socket socket; /* its deadline is the next of all of ours, moved lazily */
    struct sotto_job work, output;
    struct sotto_input *input; /* NULL: neither in the middle of a frame nor of handing out */
    struct sotto_queue queue;
    uint64_t deadline; /* DIALLING, TLS, FINISHING */
    uint64_t last_in, last_out;
    uint32_t idle_ms, stall_ms,
        limit_ms; /* 0: no limit; limit_ms is what the deadline was made of */
    struct sotto_address peer;
    uint8_t state;
    uint8_t handshake_events; /* what the handshake waits for */
    bool reading;             /* the owner wants frames */
    bool hung_up;             /* the socket reported an error; nothing to wait for any more */
    bool read_wants_write, write_blocked, write_failed;
    bool above_high;  /* writable() is owed */
    bool notify_sent; /* FINISHING: close_notify is out */
    bool input_ended; /* FINISHING */
};

/* DIALLING, or TLS with a socket that was accepted. NULL: no memory. */
struct sotto_conn *sotto_conn_new(struct sotto_loop *l, const struct sotto_conn_ops *ops,
                                  void *ctx);
void sotto_conn_attach(struct sotto_conn *c, int fd); /* takes the socket */
void sotto_conn_watch(struct sotto_conn *c, int uv_events);
/* The socket is connected: starts TLS, which has until `deadline`. host: NULL for the relay's side.
 */
enum sotto_err sotto_conn_start_tls(struct sotto_conn *c, struct sotto_tls *tls, const char *host);
/* To be called when a deadline changed. */
void sotto_conn_set_timer(struct sotto_conn *c);
/* Ends the connection and tells the owner. */
void sotto_conn_fail(struct sotto_conn *c, enum sotto_err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* dial.c */
void sotto_dial_begin(struct sotto_conn *c);   /* first turn */
void sotto_dial_ready(struct sotto_conn *c);   /* the socket says something */
void sotto_dial_expired(struct sotto_conn *c); /* the timer does */
uint64_t sotto_dial_deadline(const struct sotto_conn *c);
void sotto_dial_free(struct sotto_dial *d);

#endif
