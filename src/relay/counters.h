/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_COUNTERS_H
#define SOTTO_RELAY_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a relay counts for its operator. Sums only: no name, no address, nothing by which one
 * account or conversation could be told from another.
 *
 * One thread writes a struct, so writing is a plain addition; any thread may read it.
 *
 * X(name, metric, labels, type, help): counters and gauges in the order in which they are shown;
 * lines of one metric stand together, and the first of them has the help.
 */
#define SOTTO_COUNTER_LIST(X)                                                                      \
    X(CONNECTIONS, "connections", "", "gauge", "Connections that are open")                        \
    X(ACCEPTED, "connections_total", "", "counter", "Connections whose TLS came up")               \
    X(TURNED_AWAY, "turned_away_total", "reason=\"limit\"", "counter",                             \
      "Connections that ended before anything was asked for, by reason")                           \
    X(TURNED_AWAY_HANDSHAKE, "turned_away_total", "reason=\"handshake\"", "", "")                  \
    X(TURNED_AWAY_MEMORY, "turned_away_total", "reason=\"memory\"", "", "")                        \
    X(SIGN_INS, "sign_ins_total", "", "counter", "Sign-ins of devices")                            \
    X(SIGN_UPS, "sign_ups_total", "", "counter", "Accounts that were made")                        \
    X(LIVE, "messages_total", "way=\"live\"", "counter",                                           \
      "Envelopes taken from senders, by the way that they went")                                   \
    X(STORED, "messages_total", "way=\"stored\"", "", "")                                          \
    X(REFUSED_FULL, "messages_refused_total", "reason=\"mailbox full\"", "counter",                \
      "Envelopes that were not taken, by reason")                                                  \
    X(REFUSED_SHARE, "messages_refused_total", "reason=\"share of one sender\"", "", "")           \
    X(REFUSED_GONE, "messages_refused_total", "reason=\"no such device\"", "", "")                 \
    X(DELIVERED, "messages_delivered_total", "", "counter",                                        \
      "Envelopes handed to a device and acknowledged by it")                                       \
    X(BYTES_IN, "message_bytes_total", "direction=\"in\"", "counter", "Bytes of envelopes")        \
    X(BYTES_OUT, "message_bytes_total", "direction=\"out\"", "", "")                               \
    X(WAITING, "messages_waiting", "", "gauge", "Envelopes on disk for devices to fetch")          \
    X(WAITING_BYTES, "messages_waiting_bytes", "", "gauge", "Their bytes")                         \
    X(COMMITS, "commits_total", "", "counter", "Transactions that were committed")                 \
    X(UNDONE, "commits_failed_total", "", "counter",                                               \
      "Transactions that did not, so that everybody in them was refused")                          \
    X(FAILING, "storing_fails", "", "gauge", "1 while nothing can be stored")

enum sotto_counter {
#define X(name, metric, labels, type, help) SOTTO_COUNT_##name,
    SOTTO_COUNTER_LIST(X)
#undef X
        SOTTO_COUNTERS
};

/* Durations: how many took at most so many microseconds; the last place is for longer ones. */
#define SOTTO_HISTOGRAM_LIMITS                                                                     \
    {                                                                                              \
        100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000              \
    }
#define SOTTO_HISTOGRAM_PLACES 13
struct sotto_histogram {
    _Atomic uint64_t places[SOTTO_HISTOGRAM_PLACES], sum_us;
};

#define SOTTO_REFUSALS 32 /* by enum sotto_relay_error */
struct sotto_counters {
    _Atomic uint64_t v[SOTTO_COUNTERS];
    _Atomic uint64_t refused[SOTTO_REFUSALS];
    struct sotto_histogram commit, turn;
};

static inline void sotto_count_at(_Atomic uint64_t *at, uint64_t n)
{
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void sotto_count(struct sotto_counters *c, enum sotto_counter which, uint64_t n)
{
    sotto_count_at(&c->v[which], n);
}

static inline void sotto_gauge(struct sotto_counters *c, enum sotto_counter which, uint64_t n)
{
    atomic_store_explicit(&c->v[which], n, memory_order_relaxed);
}

static inline void sotto_count_refusal(struct sotto_counters *c, unsigned why)
{
    sotto_count_at(&c->refused[why < SOTTO_REFUSALS ? why : 0], 1);
}

static inline void sotto_observe(struct sotto_histogram *h, uint64_t us)
{
    static const uint64_t limits[] = SOTTO_HISTOGRAM_LIMITS;
    size_t i = 0;

    while (i < SOTTO_HISTOGRAM_PLACES - 1 && us > limits[i])
        i++;
    sotto_count_at(&h->places[i], 1);
    sotto_count_at(&h->sum_us, us);
}

#endif
