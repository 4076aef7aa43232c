/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BENCH_LOAD_H
#define SOTTO_BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>

#include "load_meter.h"
#include "load_wire.h"

/*
 * A load generator for a relay: one thread, epoll and OpenSSL, the real protocol. What the files
 * share; each run of the program is one workload and prints one line.
 */

struct load_options {
    const char *work, *label, *file;
    uint16_t port;
    bool has_pin;
    uint8_t pin[32];
    pid_t server;
    uint32_t user0;       /* number of the first person */
    uint32_t pairs;       /* senders, each with a receiver of its own */
    uint32_t senders;     /* W3: to one receiver */
    bool awake;           /* W3: polls while it stores, so that no wake-up of it is measured */
    uint32_t window;      /* messages of one sender under way */
    uint32_t sources;     /* addresses 127.0.0.1, .2, ... that we connect from */
    uint32_t at_once;     /* sign-ins under way */
    uint32_t box0, boxes; /* stock: receivers */
    uint64_t count, rate, kill_after;
    uint32_t sign_ins; /* day: in an hour, as is its rate */
    double seconds, warm, settle;
};

/* --- messages of one sender --- */

struct load_conn;
struct load_flow {
    struct load_conn *from;    /* NULL: an earlier process sent them */
    struct load_submit submit; /* the frame, made once */
    uint64_t sent, acked, refused, delivered;
    uint64_t next;                  /* number that is expected at the receiver */
    uint8_t *stored_map, *seen_map; /* a bit for each number: the relay has it; it arrived */
    uint64_t room;                  /* bits */
};

/* --- a connection --- */

enum load_stage {
    LOAD_IDLE,       /* not opened */
    LOAD_CONNECTING, /* TCP */
    LOAD_SHAKING,    /* TLS */
    LOAD_GREETING,   /* waits for the hello */
    LOAD_SIGNING,    /* waits for SignedIn */
    LOAD_BEGINNING,  /* waits for Begin's answer */
    LOAD_READY,
    LOAD_CLOSED,
};

struct load_conn {
    struct load *l;
    size_t index;
    struct relay_person me;
    enum load_stage stage;
    bool leaving; /* its end is no surprise */
    bool broken;  /* to be closed */
    bool dirty;   /* in the list of those to be looked at after the events */
    int fd;
    uint32_t events;
    SSL *ssl;
    uint8_t *in, *out;
    size_t in_len, in_room;
    size_t out_at, out_len, out_room;
    struct load_flow *flow; /* what it sends; NULL for a receiver */
    uint64_t committed;     /* highest number that arrived */
    bool ack_due;
};

enum load_gate {
    LOAD_BOTH,   /* a window slot is free again when the message arrived and the relay said so */
    LOAD_STORED, /* when the relay said so: the receiver is away */
};

struct load {
    struct load_options o;
    uint32_t tag;
    SSL_CTX *tls;
    struct sockaddr_in server;
    int epoll;
    struct sotto_buf hello; /* the first one; the others have to be the same */
    uint8_t relay_id[32];

    struct load_conn *conns, **dirty;
    size_t conn_count, dirty_count;
    size_t ready, closed, complaints;

    struct load_flow *flows;
    size_t flow_count;
    enum load_gate gate;
    bool pumping;
    uint64_t limit; /* messages of each flow */
    struct load_flow_totals {
        uint64_t sent, acked, refused, delivered, dup, ooo, stale;
        uint64_t requests; /* came on the request lane: the tokens were not taken */
    } total;
    uint64_t first_arrival_ns, last_arrival_ns;
    struct load_latencies latencies; /* noted while .. */
    bool measuring;                  /* .. this is set */
    double calibration;              /* before the run */
};

/* --- load_conn.c --- */

/* TLS, epoll and so on; exits with a line on stderr when something is missing. */
void load_start(struct load *l);
/* People user0, user0 + 1, ...: receivers until they are given a flow. Connections keep their place
 * in memory. */
void load_people(struct load *l, size_t count);
void load_open(struct load_conn *c);
/* At once, whatever is under way. */
void load_close(struct load_conn *c);
/* Goodbye, without waiting for anything. */
void load_part(struct load_conn *c);
/* Goodbye, and waits until the relay has closed. */
void load_leave(struct load_conn *c);
/* Opens connections first .. end-1, at_once at a time. false: not all were ready in time. */
bool load_open_range(struct load *l, size_t first, size_t end, double seconds);
/* Waits for events at most that long, handles them, sends what is to be sent. */
void load_step(struct load *l, uint64_t ns);
void load_run(struct load *l, double seconds);
/* The connection is looked at once the events are handled. */
void load_mark_dirty(struct load_conn *c);
void load_send(struct load_conn *c, const void *frame, size_t len);
/* Says why (the first few times), and closes it. */
void load_complain(struct load_conn *c, const char *why);

/* --- load_flow.c --- */

/* Pairs: connection 2i sends to 2i + 1. */
void load_pairs(struct load *l, uint32_t pairs);
/* Connections 1 .. senders send to connection 0. */
void load_crowd(struct load *l, uint32_t senders);
/* Flow i is what connection `from` sends to the person. */
void load_flow_make(struct load *l, size_t i, struct load_conn *from,
                    const struct relay_person *to);
void load_flow_send(struct load_flow *f, uint64_t when_ns);
/* Fills the window of a sender. */
void load_flow_pump(struct load_conn *c);
void load_flow_answered(struct load_conn *c, const struct load_answer *a);
void load_flow_arrived(struct load_conn *c, const struct load_answer *a);
bool load_bit(const uint8_t *map, uint64_t number);
void load_flow_room(struct load_flow *f, uint64_t number);
/* Stops sending and waits until all has arrived that was sent, or nothing has come for ten seconds.
 */
void load_settle(struct load *l);

/* --- the workloads; each prints its line --- */

void load_w1(struct load *l); /* load_live.c */
void load_w2(struct load *l);
void load_w3(struct load *l); /* load_stored.c */
void load_w6_store(struct load *l);
void load_w6_drain(struct load *l);
void load_stock(struct load *l);
void load_w4(struct load *l); /* load_idle.c */
void load_w5(struct load *l);
void load_day(struct load *l); /* load_day.c */
/* "cal_ms=... work=... peer=... " */
void load_head(struct load *l, const char *work); /* load.c */

void *load_alloc(size_t count, size_t size); /* zeroed; exits without memory */
void *load_grow(void *p, size_t size);
__attribute__((noreturn, format(printf, 1, 2))) void load_die(const char *format, ...);

#endif
