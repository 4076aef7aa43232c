/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_LOOP_H
#define SOTTO_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * An event loop over libuv. A program runs it (sotto_loop_run); a library hands out its one fd,
 * which is readable whenever sotto_loop_dispatch() has something to do: an epoll fd that holds the
 * connections', libuv's and a timerfd. One loop belongs to one thread; only sotto_loop_wake() may
 * be called from another or from a signal handler.
 */
struct sotto_loop;
struct sotto_timer;
struct sotto_watch;
struct sotto_idle;

/* NULL: no memory or no file descriptors. */
struct sotto_loop *sotto_loop_new(void);
/* Waits for connections that still flush (sotto_conn_finish(), at most 2 s). NULL is fine. */
void sotto_loop_settle(struct sotto_loop *l);
/* Everything made on the loop must have been freed before; settles, runs pending closes. NULL is
 * fine. */
void sotto_loop_free(struct sotto_loop *l);
int sotto_loop_fd(struct sotto_loop *l);
/* Runs what is due without blocking and re-arms the timerfd. A bounded amount: the fd stays
 * readable when there is more. Not from inside a callback. Also call it once after any call that
 * may have started I/O (dialling, writing), before going back to poll(). */
void sotto_loop_dispatch(struct sotto_loop *l);
/* Runs until sotto_loop_stop(). */
void sotto_loop_run(struct sotto_loop *l);
void sotto_loop_stop(struct sotto_loop *l);
void sotto_loop_wake(struct sotto_loop *l);

typedef void sotto_loop_fn(void *ctx);

/* One-shot timer; starting again moves it. NULL: no memory. */
struct sotto_timer *sotto_timer_new(struct sotto_loop *l, sotto_loop_fn *fn, void *ctx);
void sotto_timer_start(struct sotto_timer *t, uint64_t after_ms);
void sotto_timer_stop(struct sotto_timer *t);
void sotto_timer_free(struct sotto_timer *t);

/* Level-triggered readiness of a foreign fd (control socket, stdin); errors and hang-ups count as
 * ready. The fd's flags stay as they are, and a plain file is always ready. One watch per fd. NULL:
 * no memory, or no open descriptor. Freeing inside the callback is fine, here and below. */
#define SOTTO_WATCH_READ  1
#define SOTTO_WATCH_WRITE 2
typedef void sotto_watch_fn(void *ctx, int events);
struct sotto_watch *sotto_watch_new(struct sotto_loop *l, int fd, sotto_watch_fn *fn, void *ctx);
void sotto_watch_set(struct sotto_watch *w, int events);
void sotto_watch_free(struct sotto_watch *w); /* does not close the fd */

/* Called once per turn of the loop, after all I/O of that turn was handled and before it sleeps:
 * the place for a group commit. What it writes to connections leaves in the same turn. NULL: no
 * memory. */
struct sotto_idle *sotto_before_sleep(struct sotto_loop *l, sotto_loop_fn *fn, void *ctx);
void sotto_idle_free(struct sotto_idle *i);

/* Calls fn in the loop when one of the process's signals arrives (SIGTERM, SIGINT, SIGHUP).
 * NULL: no memory. */
struct sotto_signal;
struct sotto_signal *sotto_signal_new(struct sotto_loop *l, int signum, sotto_loop_fn *fn,
                                      void *ctx);
void sotto_signal_free(struct sotto_signal *s);

#endif
