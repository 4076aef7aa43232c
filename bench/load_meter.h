/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BENCH_LOAD_METER_H
#define SOTTO_BENCH_LOAD_METER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a run cost: the server's figures from /proc, our own, the machine's. */

uint64_t load_now_ns(void); /* monotonic */

/* A moment; the difference of two is a span. */
struct load_moment {
    double seconds;
    double server_cpu; /* user and system seconds of the server, all threads */
    double own_cpu;
    double all_cpu;  /* of everybody on the machine */
    double written;  /* bytes that the server sent to a disk */
    double messages; /* delivered; for the caller to fill */
};
void load_moment_take(pid_t server, struct load_moment *ret);
/* sum += later - earlier */
void load_moment_add(struct load_moment *sum, const struct load_moment *earlier,
                     const struct load_moment *later);
/* CPU seconds of a span that are neither the server's nor ours. */
double load_moment_others(const struct load_moment *span);

/* Resident kilobytes of a process; 0 when it is gone. */
long load_rss_kb(pid_t pid);

/* The machine's speed just now: milliseconds for 300 AES-256-GCM encryptions of 16 KiB, the best of
 * five. Machines that are shared drift: compare only runs in which it is alike. */
double load_calibrate(void);

/* Latencies in microseconds. */
struct load_latencies {
    uint32_t *us;
    size_t count, room;
};
/* Exits when there is no memory for that many. */
void load_latencies_init(struct load_latencies *t, size_t room);
void load_latencies_free(struct load_latencies *t);
/* Beyond the room nothing more is noted. */
void load_latencies_note(struct load_latencies *t, uint64_t ns);
/* Keeps [from, end) at `to`, which is not above `from`; returns where that ends. */
size_t load_latencies_keep(struct load_latencies *t, size_t to, size_t from, size_t end);
void load_latencies_sort(struct load_latencies *t);
/* Of sorted ones, in milliseconds: share 0.5 is the median. 0 when there are none. */
double load_latencies_ms(const struct load_latencies *t, double share);

#endif
