/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop_internal.h"

/*
 * The loop waits in an epoll set of its own (net/sockets). Connections are in it, and libuv's epoll
 * fd: libuv is run when that is readable or when one of its timers is due, so that a turn that is
 * about connections alone costs one system call beside theirs.
 *
 * libuv registers descriptors in its epoll fd only inside uv_run(), and keeps timers outside of it.
 * A host that only poll()s our fd must not miss either, so a dispatch repeats turns until nothing
 * new is waiting to be registered, and copies the next timeout into a timerfd. The number of turns
 * is bounded: a busy peer may not keep the host from its own work; what is left makes the timerfd
 * readable at once.
 */
enum { MAX_TURNS = 16, CLOSE_TURNS = 64 };

struct sotto_loop {
    uv_loop_t uv;
    uv_prepare_t anchor; /* libuv looks at nothing as long as it has no active handle */
    struct sotto_sockets *sockets;
    struct sotto_pipe *pipe;
    struct sotto_socket uv_fd, timer_fd, wake_fd;
    bool uv_ready, touched, stopping;
    atomic_bool woken; /* wake_fd is readable, or about to be */
    int lingering;
    struct sotto_job work, output; /* heads of rings */
    struct sotto_idle *hooks, *next_hook;
    uint8_t scratch[SOTTO_LOOP_SCRATCH];
};

struct sotto_idle {
    struct sotto_idle *next, *prev;
    struct sotto_loop *loop;
    sotto_loop_fn *fn;
    void *ctx;
};

/* Jobs */

void sotto_job_init(struct sotto_job *job, void (*fn)(struct sotto_job *job))
{
    job->next = job->prev = job;
    job->fn = fn;
}

void sotto_job_cancel(struct sotto_job *job)
{
    job->prev->next = job->next;
    job->next->prev = job->prev;
    job->next = job->prev = job;
}

static bool ring_empty(const struct sotto_job *ring)
{
    return ring->next == ring;
}

static void ring_add(struct sotto_job *ring, struct sotto_job *job)
{
    sotto_job_cancel(job);
    job->prev = ring->prev;
    job->next = ring;
    ring->prev->next = job;
    ring->prev = job;
}

/* Jobs that are added meanwhile wait for the next turn, so a job may schedule itself again. */
static void ring_run(struct sotto_job *ring)
{
    struct sotto_job now;

    sotto_job_init(&now, NULL);
    if (ring_empty(ring))
        return;
    ring_add(ring, &now);
    sotto_job_cancel(ring);
    while (!ring_empty(&now)) {
        struct sotto_job *job = now.next;

        sotto_job_cancel(job);
        job->fn(job);
    }
}

void sotto_loop_work(struct sotto_loop *l, struct sotto_job *job)
{
    ring_add(&l->work, job);
}

void sotto_loop_output(struct sotto_loop *l, struct sotto_job *job)
{
    ring_add(&l->output, job);
}

/* Turns */

static bool jobs_wait(const struct sotto_loop *l)
{
    return !ring_empty(&l->work) || !ring_empty(&l->output);
}

static void run_hooks(struct sotto_loop *l)
{
    struct sotto_idle *i;

    /* A hook may free itself or any other: sotto_idle_free() moves next_hook along. */
    for (i = l->hooks; i != NULL; i = l->next_hook) {
        l->next_hook = i->next;
        i->fn(i->ctx);
    }
    l->next_hook = NULL;
}

static void end_turn(struct sotto_loop *l)
{
    ring_run(&l->work);
    run_hooks(l);
    ring_run(&l->output);
}

/* -1: never. */
static int uv_timeout(const struct sotto_loop *l)
{
    return l->touched || l->uv_ready ? 0 : uv_backend_timeout(&l->uv);
}

/* How long nothing is to be done, unless a descriptor says so; -1: for ever. */
static int timeout_of(const struct sotto_loop *l)
{
    int uv = uv_timeout(l), sockets = sotto_sockets_timeout(l->sockets);

    if (jobs_wait(l))
        return 0;
    return uv < 0 || (sockets >= 0 && sockets < uv) ? sockets : uv;
}

/* All but the end of the turn. */
static void take_events(struct sotto_loop *l, int timeout_ms)
{
    sotto_sockets_turn(l->sockets, timeout_ms);
    if (uv_timeout(l) != 0)
        return;
    l->touched = l->uv_ready = false;
    uv_run(&l->uv, UV_RUN_NOWAIT);
}

static void on_uv_ready(struct sotto_socket *s, int events, bool broken)
{
    SOTTO_CONTAINER(s, struct sotto_loop, uv_fd)->uv_ready = true;
}

/* It has woken a host; what was due is found by its time. */
static void on_timer_ready(struct sotto_socket *s, int events, bool broken)
{
}

static void on_wake_ready(struct sotto_socket *s, int events, bool broken)
{
    struct sotto_loop *l = SOTTO_CONTAINER(s, struct sotto_loop, wake_fd);
    uint64_t count;

    /* In this order: were a write of somebody read who came in between, nobody would write again.
     * Who finds it woken still is heard at the end of this turn. */
    (void)!read(s->fd, &count, sizeof count);
    (void)atomic_exchange(&l->woken, false);
}

static const struct sotto_socket_ops uv_ops = {on_uv_ready, NULL};
static const struct sotto_socket_ops timer_ops = {on_timer_ready, NULL};
static const struct sotto_socket_ops wake_ops = {on_wake_ready, NULL};

static void arm_timerfd(struct sotto_loop *l, int after_ms)
{
    struct itimerspec t = {0};

    if (after_ms == 0)
        t.it_value.tv_nsec = 1;
    if (after_ms > 0) {
        t.it_value.tv_sec = after_ms / 1000;
        t.it_value.tv_nsec = (long)(after_ms % 1000) * 1000000;
    }
    if (timerfd_settime(l->timer_fd.fd, 0, &t, NULL) != 0)
        sotto_log_bug("timerfd_settime: %s", strerror(errno));
}

void sotto_loop_dispatch(struct sotto_loop *l)
{
    int timeout = 0;

    for (int i = 0; timeout == 0 && i < MAX_TURNS; i++) {
        take_events(l, 0);
        end_turn(l);
        uv_update_time(&l->uv);
        timeout = timeout_of(l);
    }
    arm_timerfd(l, timeout);
}

void sotto_loop_run(struct sotto_loop *l)
{
    while (!l->stopping) {
        end_turn(l);
        if (!l->stopping)
            take_events(l, timeout_of(l));
    }
    l->stopping = false;
}

void sotto_loop_stop(struct sotto_loop *l)
{
    l->stopping = true;
}

/* A signal handler may call this as well. */
void sotto_loop_wake(struct sotto_loop *l)
{
    int sys = errno;

    if (!atomic_exchange(&l->woken, true))
        (void)!write(l->wake_fd.fd, &(uint64_t){1}, sizeof(uint64_t));
    errno = sys;
}

int sotto_loop_fd(struct sotto_loop *l)
{
    return sotto_sockets_fd(l->sockets);
}

uv_loop_t *sotto_loop_uv(struct sotto_loop *l)
{
    return &l->uv;
}

struct sotto_sockets *sotto_loop_sockets(struct sotto_loop *l)
{
    return l->sockets;
}

uint64_t sotto_loop_now(const struct sotto_loop *l)
{
    return uv_now(&l->uv);
}

void sotto_loop_touch(struct sotto_loop *l)
{
    l->touched = true;
}

void sotto_loop_lingering(struct sotto_loop *l, int change)
{
    l->lingering += change;
}

uint8_t *sotto_loop_scratch(struct sotto_loop *l)
{
    return l->scratch;
}

struct sotto_pipe *sotto_loop_pipe(struct sotto_loop *l)
{
    return l->pipe;
}

/* Life */

static bool watch_fd(struct sotto_socket *s, int fd)
{
    if (fd < 0)
        return false;
    sotto_socket_open(s, fd);
    return sotto_socket_watch(s, UV_READABLE);
}

static bool watch_fds(struct sotto_loop *l)
{
    return watch_fd(&l->uv_fd, uv_backend_fd(&l->uv)) &&
           watch_fd(&l->timer_fd, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) &&
           watch_fd(&l->wake_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static void on_anchor(uv_prepare_t *anchor)
{
}

static bool open_sockets(struct sotto_loop *l)
{
    if ((l->pipe = sotto_pipe_new()) == NULL || (l->sockets = sotto_sockets_new(&l->uv)) == NULL)
        return false;
    /* There is room for the first few. */
    return sotto_socket_init(&l->uv_fd, l->sockets, &uv_ops) == 0 &&
           sotto_socket_init(&l->timer_fd, l->sockets, &timer_ops) == 0 &&
           sotto_socket_init(&l->wake_fd, l->sockets, &wake_ops) == 0;
}

static void close_sockets(struct sotto_loop *l)
{
    sotto_socket_release(&l->uv_fd); /* libuv closes it */
    sotto_socket_close(&l->timer_fd);
    sotto_socket_close(&l->wake_fd);
    sotto_sockets_free(l->sockets);
}

struct sotto_loop *sotto_loop_new(void)
{
    struct sotto_loop *l = calloc(1, sizeof *l);

    if (l == NULL)
        return NULL;
    sotto_job_init(&l->work, NULL);
    sotto_job_init(&l->output, NULL);
    if (uv_loop_init(&l->uv) != 0) {
        free(l);
        return NULL;
    }
    if (!open_sockets(l)) {
        sotto_sockets_free(l->sockets);
    } else if (!watch_fds(l)) {
        close_sockets(l);
    } else {
        uv_prepare_init(&l->uv, &l->anchor);
        uv_prepare_start(&l->anchor, on_anchor); /* neither can fail */
        return l;
    }
    sotto_pipe_free(l->pipe);
    (void)uv_loop_close(&l->uv);
    free(l);
    return NULL;
}

void sotto_loop_settle(struct sotto_loop *l)
{
    while (l != NULL && l->lingering > 0) { /* each ends by itself, by its deadline at the latest */
        end_turn(l);
        take_events(l, timeout_of(l));
    }
}

void sotto_loop_free(struct sotto_loop *l)
{
    if (l == NULL)
        return;
    sotto_loop_settle(l);
    /* Connections that were freed last. What was not freed may have work for ever. */
    for (int i = 0; i < CLOSE_TURNS && jobs_wait(l); i++)
        end_turn(l);
    sotto_socket_release(&l->uv_fd);
    uv_close((uv_handle_t *)&l->anchor, NULL);
    for (int i = 0; uv_loop_close(&l->uv) != 0; i++) {
        if (i == CLOSE_TURNS) {
            sotto_log_bug("the loop was freed before what runs on it");
            return; /* leaked: freeing would be a use after free later */
        }
        uv_run(&l->uv, UV_RUN_NOWAIT);
    }
    close_sockets(l);
    sotto_pipe_free(l->pipe);
    free(l);
}

/* Before sleep */

struct sotto_idle *sotto_before_sleep(struct sotto_loop *l, sotto_loop_fn *fn, void *ctx)
{
    struct sotto_idle *i = malloc(sizeof *i);

    if (i == NULL)
        return NULL;
    *i = (struct sotto_idle){.next = l->hooks, .loop = l, .fn = fn, .ctx = ctx};
    if (l->hooks != NULL)
        l->hooks->prev = i;
    l->hooks = i;
    return i;
}

void sotto_idle_free(struct sotto_idle *i)
{
    if (i == NULL)
        return;
    if (i->loop->next_hook == i)
        i->loop->next_hook = i->next;
    if (i->next != NULL)
        i->next->prev = i->prev;
    if (i->prev != NULL)
        i->prev->next = i->next;
    else
        i->loop->hooks = i->next;
    free(i);
}

/* Timers */

struct sotto_timer {
    uv_timer_t uv;
    uint64_t due, armed; /* armed: when libuv's fires, at or before due */
    sotto_loop_fn *fn;
    void *ctx;
};

static void on_timer(uv_timer_t *uv);

static void timer_arm(struct sotto_timer *t, uint64_t now)
{
    t->armed = t->due;
    uv_timer_start(&t->uv, on_timer, t->due > now ? t->due - now : 0, 0);
}

static void on_timer(uv_timer_t *uv)
{
    struct sotto_timer *t = uv->data;
    uint64_t now = uv_now(uv->loop);

    if (t->due > now)
        timer_arm(t, now);
    else
        t->fn(t->ctx);
}

static void free_data(uv_handle_t *h)
{
    free(h->data);
}

struct sotto_timer *sotto_timer_new(struct sotto_loop *l, sotto_loop_fn *fn, void *ctx)
{
    struct sotto_timer *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->fn = fn;
    t->ctx = ctx;
    uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    return t;
}

/* One that is moved further away looks again when it fires: a program that moves its timer in each
 * turn moves libuv's seldom. */
void sotto_timer_start(struct sotto_timer *t, uint64_t after_ms)
{
    uint64_t now;

    /* libuv's clock stands still during a turn and, in a host's loop, since the last dispatch. */
    uv_update_time(t->uv.loop);
    now = uv_now(t->uv.loop);
    t->due = after_ms > UINT64_MAX - now ? UINT64_MAX : now + after_ms;
    if (!uv_is_active((uv_handle_t *)&t->uv) || t->due < t->armed)
        timer_arm(t, now);
}

void sotto_timer_stop(struct sotto_timer *t)
{
    uv_timer_stop(&t->uv);
}

void sotto_timer_free(struct sotto_timer *t)
{
    if (t != NULL)
        uv_close((uv_handle_t *)&t->uv, free_data);
}

/* Foreign descriptors */

struct sotto_watch {
    uv_poll_t uv;
    struct sotto_loop *loop;
    sotto_watch_fn *fn;
    void *ctx;
    int events;
    bool always; /* epoll refuses plain files; they are always ready, as poll() says */
    struct sotto_job job;
};

static int to_uv(int events)
{
    return (events & SOTTO_WATCH_READ ? UV_READABLE : 0) |
           (events & SOTTO_WATCH_WRITE ? UV_WRITABLE : 0);
}

static void on_watch(uv_poll_t *uv, int status, int events)
{
    struct sotto_watch *w = uv->data;
    int ready = (events & UV_READABLE ? SOTTO_WATCH_READ : 0) |
                (events & UV_WRITABLE ? SOTTO_WATCH_WRITE : 0);

    if (status < 0) {
        /* EPOLLERR, after which libuv watches no longer: let the owner's read() or write() find
         * the error, as after poll(). */
        ready = w->events;
        if (uv_poll_start(&w->uv, to_uv(w->events), on_watch) == 0)
            sotto_loop_touch(w->loop);
    }
    w->fn(w->ctx, ready);
}

static void on_always(struct sotto_job *job)
{
    struct sotto_watch *w = SOTTO_CONTAINER(job, struct sotto_watch, job);

    sotto_loop_work(w->loop, job);
    w->fn(w->ctx, w->events);
}

/* The flag O_NONBLOCK, which libuv sets, belongs to everybody who shares the descriptor: a shell's
 * terminal would stay non-blocking, and our own stdout on it would lose output. */
static int init_poll(struct sotto_watch *w, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int r = uv_poll_init(&w->loop->uv, &w->uv, fd);

    if (flags >= 0 && (flags & O_NONBLOCK) == 0)
        (void)fcntl(fd, F_SETFL, flags);
    return r;
}

struct sotto_watch *sotto_watch_new(struct sotto_loop *l, int fd, sotto_watch_fn *fn, void *ctx)
{
    struct sotto_watch *w = calloc(1, sizeof *w);
    int r;

    if (w == NULL)
        return NULL;
    w->loop = l;
    w->fn = fn;
    w->ctx = ctx;
    sotto_job_init(&w->job, on_always);
    r = init_poll(w, fd);
    if (r == UV_EPERM) {
        w->always = true;
    } else if (r != 0) {
        free(w);
        return NULL;
    }
    w->uv.data = w;
    return w;
}

void sotto_watch_set(struct sotto_watch *w, int events)
{
    if (events == w->events)
        return;
    w->events = events;
    if (w->always && events != 0) {
        sotto_loop_work(w->loop, &w->job);
    } else if (w->always) {
        sotto_job_cancel(&w->job);
    } else if (events == 0) {
        uv_poll_stop(&w->uv);
    } else {
        uv_poll_start(&w->uv, to_uv(events), on_watch);
        sotto_loop_touch(w->loop);
    }
}

void sotto_watch_free(struct sotto_watch *w)
{
    if (w == NULL)
        return;
    sotto_job_cancel(&w->job);
    if (w->always)
        free(w);
    else
        uv_close((uv_handle_t *)&w->uv, free_data);
}

/* Signals */

struct sotto_signal {
    uv_signal_t uv;
    sotto_loop_fn *fn;
    void *ctx;
};

static void on_signal(uv_signal_t *uv, int signum)
{
    struct sotto_signal *s = uv->data;

    s->fn(s->ctx);
}

struct sotto_signal *sotto_signal_new(struct sotto_loop *l, int signum, sotto_loop_fn *fn,
                                      void *ctx)
{
    struct sotto_signal *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->fn = fn;
    s->ctx = ctx;
    if (uv_signal_init(&l->uv, &s->uv) != 0) {
        free(s);
        return NULL;
    }
    s->uv.data = s;
    if (uv_signal_start(&s->uv, on_signal, signum) != 0) {
        sotto_signal_free(s);
        return NULL;
    }
    sotto_loop_touch(l);
    return s;
}

void sotto_signal_free(struct sotto_signal *s)
{
    if (s != NULL)
        uv_close((uv_handle_t *)&s->uv, free_data);
}
