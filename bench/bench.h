/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BENCH_BENCH_H
#define SOTTO_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * Timing of short operations. A busy neighbour makes the same code up to twice as slow, so the
 * operation runs in batches of about a millisecond, many of them, and the fastest batch counts: it
 * is steady between runs. The median says what a busy machine gives.
 */
struct bench_time {
    double best, median; /* nanoseconds per call */
};

enum { BENCH_BATCH_NS = 1000000, BENCH_BUDGET_NS = 150000000, BENCH_BATCHES = 1024 };

/* Ends the program when something that is measured does not work: its time would mean nothing. */
#define BENCH_CHECK(cond)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline uint64_t bench_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t bench_batch(void (*fn)(void *), void *ctx, uint64_t count)
{
    uint64_t start = bench_now_ns();

    for (uint64_t i = 0; i < count; i++)
        fn(ctx);
    return bench_now_ns() - start;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The fastest and the median of the batches in v; sorts it. For what must be batched by hand. */
static inline struct bench_time bench_of(double *v, size_t n)
{
    BENCH_CHECK(n > 0);
    qsort(v, n, sizeof v[0], bench_compare);
    return (struct bench_time){.best = v[0], .median = v[n / 2]};
}

static inline struct bench_time bench_run(void (*fn)(void *), void *ctx)
{
    static double v[BENCH_BATCHES];
    uint64_t count = 1, end;
    size_t n = 0;

    while (bench_batch(fn, ctx, count) < BENCH_BATCH_NS)
        count *= 2;
    end = bench_now_ns() + BENCH_BUDGET_NS;
    do
        v[n++] = (double)bench_batch(fn, ctx, count) / (double)count;
    while (n < 3 || (n < BENCH_BATCHES && bench_now_ns() < end));
    return bench_of(v, n);
}

#endif
