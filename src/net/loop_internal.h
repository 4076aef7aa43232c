/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_LOOP_INTERNAL_H
#define SOTTO_NET_LOOP_INTERNAL_H

#include <stddef.h>
#include <uv.h>

#include "net/loop.h"
#include "net/sockets.h"
#include "net/tls_link.h"

/*
 * What the rest of net/ uses of the loop. A turn is: timers and sockets, then work, then the
 * before-sleep hooks, then output. Work may call back into the program; output never does (it
 * schedules work for that), so that nothing a hook has to see happens between it and the sleep.
 */
struct sotto_job { /* embedded in the object that it works for */
    struct sotto_job *next, *prev;
    void (*fn)(struct sotto_job *job);
};

void sotto_job_init(struct sotto_job *job, void (*fn)(struct sotto_job *job));
/* Runs the job once, in this turn or the next; scheduled twice it still runs once. */
void sotto_loop_work(struct sotto_loop *l, struct sotto_job *job);
void sotto_loop_output(struct sotto_loop *l, struct sotto_job *job);
void sotto_job_cancel(struct sotto_job *job);

uv_loop_t *sotto_loop_uv(struct sotto_loop *l);
struct sotto_sockets *sotto_loop_sockets(struct sotto_loop *l);
uint64_t sotto_loop_now(const struct sotto_loop *l); /* ms, of this turn */
/* To be called after each uv_poll_start(): libuv arms epoll only in its next turn. */
void sotto_loop_touch(struct sotto_loop *l);
/* Connections that flush after their owner let go; sotto_loop_free() waits for them. */
void sotto_loop_lingering(struct sotto_loop *l, int change);

/* One buffer for all reads of a loop, so that an idle connection owns none. */
enum { SOTTO_LOOP_SCRATCH = 16 * 1024 }; /* the largest TLS record */
uint8_t *sotto_loop_scratch(struct sotto_loop *l);
/* The same for the way of TLS to its sockets. */
struct sotto_pipe *sotto_loop_pipe(struct sotto_loop *l);

#define SOTTO_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
