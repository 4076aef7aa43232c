/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

/*
 * Each case runs in two ways: in a host that knows nothing but poll() on the one fd, and in a
 * program that runs the loop. An alarm ends a case whose event never comes.
 */
static struct {
    struct sotto_loop *loop;
    bool runs;
    int events; /* counted by the callbacks; a turn of a running loop ends with one */
    char order[64];
    int bugs;
} t;

static char letters[128]; /* contexts to be noted: letters['a'] is 'a' */
#define LETTER(c) (&letters[c])

static void count_bug(void *ctx, enum sotto_log_level level, const char *line)
{
    printf("# %s\n", line);
    t.bugs += level == SOTTO_LOG_BUG;
}

static int setup(bool runs)
{
    memset(&t, 0, sizeof t);
    for (int i = 0; i < 128; i++)
        letters[i] = (char)i;
    t.runs = runs;
    sotto_log_set(count_bug, NULL, SOTTO_LOG_BUG);
    t.loop = sotto_loop_new();
    alarm(60);
    return t.loop == NULL;
}

static int setup_host(void **state)
{
    return setup(false);
}

static int setup_run(void **state)
{
    return setup(true);
}

static int teardown(void **state)
{
    sotto_loop_free(t.loop);
    alarm(0);
    assert_int_equal(t.bugs, 0);
    return 0;
}

static void note(char c)
{
    size_t n = strlen(t.order);

    assert_true(n < sizeof t.order - 1);
    t.order[n] = c;
    t.events++;
    if (t.runs)
        sotto_loop_stop(t.loop);
}

static int fd_ready(int timeout_ms)
{
    struct pollfd p = {.fd = sotto_loop_fd(t.loop), .events = POLLIN};

    return poll(&p, 1, timeout_ms);
}

/* Until the callbacks have been called so often in all. */
static void until(int events)
{
    while (t.events < events) {
        if (t.runs) {
            sotto_loop_run(t.loop);
        } else {
            sotto_loop_dispatch(t.loop);
            if (t.events >= events)
                return;
            assert_int_equal(fd_ready(-1), 1);
            sotto_loop_dispatch(t.loop);
        }
    }
}

/* Timers */

static void note_ctx(void *ctx)
{
    note(*(const char *)ctx);
}

static void timers_fire_in_order(void **state)
{
    struct sotto_timer *a = sotto_timer_new(t.loop, note_ctx, LETTER('a'));
    struct sotto_timer *b = sotto_timer_new(t.loop, note_ctx, LETTER('b'));
    struct sotto_timer *c = sotto_timer_new(t.loop, note_ctx, LETTER('c'));
    struct sotto_timer *never = sotto_timer_new(t.loop, note_ctx, LETTER('!'));

    sotto_timer_start(a, 3600 * 1000);
    sotto_timer_start(a, 60); /* moved nearer */
    sotto_timer_start(b, 20);
    sotto_timer_start(c, 1);
    sotto_timer_start(c, 40); /* moved further away */
    sotto_timer_start(never, 10);
    sotto_timer_stop(never);
    until(3);
    assert_string_equal(t.order, "bca");
    sotto_timer_start(b, 0); /* again */
    until(4);
    assert_string_equal(t.order, "bcab");
    sotto_timer_free(a);
    sotto_timer_free(b);
    sotto_timer_free(c);
    sotto_timer_start(never, 3600 * 1000);
    sotto_timer_free(never);
}

static struct sotto_timer *victims[2];

static void free_both(void *ctx)
{
    note('f');
    sotto_timer_free(victims[0]);
    sotto_timer_free(victims[1]);
}

/* Whichever of the two comes first frees both. */
static void timers_may_be_freed_by_timers(void **state)
{
    struct sotto_timer *last = sotto_timer_new(t.loop, note_ctx, LETTER('l'));

    victims[0] = sotto_timer_new(t.loop, free_both, NULL);
    victims[1] = sotto_timer_new(t.loop, free_both, NULL);
    sotto_timer_start(victims[0], 1);
    sotto_timer_start(victims[1], 1);
    sotto_timer_start(last, 20);
    until(2);
    assert_string_equal(t.order, "fl");
    sotto_timer_free(last);
}

/* A host that sleeps on the fd is woken by the timer, and not before. */
static void fd_follows_the_timers(void **state)
{
    struct sotto_timer *far = sotto_timer_new(t.loop, note_ctx, LETTER('!'));
    struct sotto_timer *near = sotto_timer_new(t.loop, note_ctx, LETTER('n'));

    sotto_loop_dispatch(t.loop);
    assert_int_equal(fd_ready(0), 0);
    sotto_timer_start(far, 3600 * 1000);
    sotto_loop_dispatch(t.loop);
    assert_int_equal(fd_ready(0), 0);
    sotto_timer_start(near, 30);
    sotto_loop_dispatch(t.loop);
    assert_int_equal(fd_ready(-1), 1);
    while (t.events == 0) /* the timerfd may be a moment early */
        sotto_loop_dispatch(t.loop);
    assert_string_equal(t.order, "n");
    assert_int_equal(fd_ready(0), 0);
    sotto_timer_free(far);
    sotto_timer_free(near);
}

/* Watches */

struct pair {
    int fd[2]; /* of a stream socket */
    struct sotto_watch *w;
    int got; /* events of the last call */
    int calls;
    bool drain;
};

static void on_pair(void *ctx, int events)
{
    struct pair *p = ctx;
    char buf[16];

    p->got = events;
    p->calls++;
    if (p->drain && (events & SOTTO_WATCH_READ))
        (void)!read(p->fd[0], buf, sizeof buf);
    note('w');
}

static void pair_open(struct pair *p)
{
    memset(p, 0, sizeof *p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->fd), 0);
    p->w = sotto_watch_new(t.loop, p->fd[0], on_pair, p);
    assert_non_null(p->w);
}

static void pair_close(struct pair *p)
{
    sotto_watch_free(p->w);
    close(p->fd[0]);
    if (p->fd[1] >= 0)
        close(p->fd[1]);
}

static void watch_tells_what_is_ready(void **state)
{
    struct pair p;

    pair_open(&p);
    sotto_watch_set(p.w, SOTTO_WATCH_WRITE);
    until(1);
    assert_int_equal(p.got, SOTTO_WATCH_WRITE);
    p.drain = true;
    sotto_watch_set(p.w, SOTTO_WATCH_READ);
    sotto_loop_dispatch(t.loop);
    assert_int_equal(write(p.fd[1], "x", 1), 1);
    until(2);
    assert_int_equal(p.got, SOTTO_WATCH_READ);
    sotto_watch_set(p.w, 0);
    assert_int_equal(write(p.fd[1], "y", 1), 1);
    sotto_loop_dispatch(t.loop);
    assert_int_equal(p.calls, 2);
    sotto_watch_set(p.w, SOTTO_WATCH_READ); /* level: it is still there */
    until(3);
    close(p.fd[1]);
    p.fd[1] = -1;
    until(4); /* hung up: readable */
    assert_int_equal(p.got & SOTTO_WATCH_READ, SOTTO_WATCH_READ);
    pair_close(&p);
}

/* EPOLLERR: a pipe without a reader. libuv gives up on such an fd; the owner has to hear of it. */
static void watch_reports_errors_as_ready(void **state)
{
    struct pair p = {0};

    assert_int_equal(pipe2(p.fd, O_CLOEXEC), 0);
    close(p.fd[0]);
    p.fd[0] = p.fd[1];
    p.fd[1] = -1;
    p.w = sotto_watch_new(t.loop, p.fd[0], on_pair, &p);
    assert_non_null(p.w);
    sotto_watch_set(p.w, SOTTO_WATCH_WRITE);
    until(1);
    assert_int_equal(p.got, SOTTO_WATCH_WRITE);
    until(2); /* and again, as long as it is watched */
    sotto_watch_set(p.w, 0);
    p.calls = 0;
    sotto_loop_dispatch(t.loop);
    assert_int_equal(p.calls, 0);
    pair_close(&p);
}

/* stdin from a file: epoll does not take it. */
static void plain_files_are_always_ready(void **state)
{
    char path[] = "/tmp/sotto-test-XXXXXX";
    struct pair p = {.fd = {mkstemp(path), -1}, .drain = true};

    assert_true(p.fd[0] >= 0);
    unlink(path);
    p.w = sotto_watch_new(t.loop, p.fd[0], on_pair, &p);
    assert_non_null(p.w);
    sotto_watch_set(p.w, SOTTO_WATCH_READ);
    until(3);
    assert_int_equal(p.got, SOTTO_WATCH_READ);
    sotto_watch_set(p.w, 0);
    p.calls = 0;
    sotto_loop_dispatch(t.loop);
    assert_int_equal(p.calls, 0);
    assert_int_equal(fd_ready(0), 0);
    pair_close(&p);
}

/* The flag is shared with the shell that started us, and with our own stdout. */
static void watch_leaves_the_flags_alone(void **state)
{
    struct pair p;
    int before;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p.fd), 0);
    before = fcntl(p.fd[0], F_GETFL);
    assert_int_equal(before & O_NONBLOCK, 0);
    p.w = sotto_watch_new(t.loop, p.fd[0], on_pair, &p);
    assert_non_null(p.w);
    assert_int_equal(fcntl(p.fd[0], F_GETFL), before);
    pair_close(&p);
    assert_null(sotto_watch_new(t.loop, -1, on_pair, &p));
}

static void free_watch(void *ctx, int events)
{
    struct pair *p = ctx;

    note('w');
    sotto_watch_free(p->w);
    p->w = NULL;
}

static void watch_may_be_freed_by_itself(void **state)
{
    struct pair p;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p.fd), 0);
    p.w = sotto_watch_new(t.loop, p.fd[0], free_watch, &p);
    sotto_watch_set(p.w, SOTTO_WATCH_WRITE);
    until(1);
    assert_null(p.w);
    pair_close(&p);
    p.w = sotto_watch_new(t.loop, file, free_watch, &p);
    sotto_watch_set(p.w, SOTTO_WATCH_READ);
    until(2);
    assert_null(p.w);
    close(file);
}

/* A watch that is started by a callback in the middle of a dispatch is armed when it returns. */
static struct pair late;

static void start_late(void *ctx)
{
    note('s');
    pair_open(&late);
    late.drain = true;
    sotto_watch_set(late.w, SOTTO_WATCH_READ);
}

static void dispatch_arms_what_callbacks_start(void **state)
{
    struct sotto_timer *timer = sotto_timer_new(t.loop, start_late, NULL);

    sotto_timer_start(timer, 1);
    until(1);
    if (!t.runs)
        assert_int_equal(fd_ready(0), 0);
    assert_int_equal(write(late.fd[1], "x", 1), 1);
    until(2);
    assert_string_equal(t.order, "sw");
    pair_close(&late);
    sotto_timer_free(timer);
}

/* An fd that is always ready does not keep the host inside, and is not forgotten either. */
static void dispatch_is_bounded(void **state)
{
    struct pair p;

    pair_open(&p);
    sotto_watch_set(p.w, SOTTO_WATCH_WRITE);
    t.order[0] = 0;
    sotto_loop_dispatch(t.loop);
    assert_in_range(p.calls, 1, 32);
    assert_int_equal(fd_ready(0), 1);
    pair_close(&p);
}

/* Wake-ups */

static void *wake_thread(void *ctx)
{
    sotto_loop_wake(ctx);
    return NULL;
}

static struct {
    struct sotto_idle *hook;
    int turns;
} turns;

static void count_turn(void *ctx)
{
    turns.turns++;
    if (turns.turns == 2)
        note('t');
}

/* The turn before the sleep, and the turn of the wake-up. */
static void another_thread_wakes_the_loop(void **state)
{
    pthread_t thread;

    turns.turns = t.runs ? 0 : 1;
    turns.hook = sotto_before_sleep(t.loop, count_turn, NULL);
    assert_int_equal(pthread_create(&thread, NULL, wake_thread, t.loop), 0);
    if (t.runs)
        sotto_loop_run(t.loop);
    else
        assert_int_equal(fd_ready(-1), 1);
    until(1);
    pthread_join(thread, NULL);
    sotto_idle_free(turns.hook);
}

static void on_usr1(int signum)
{
    sotto_loop_wake(t.loop);
}

/* Threads that wake the loop again and again, each as soon as it was heard: however they meet, none
 * waits for ever. */
enum { CALLERS = 3, CALLS = 20000 };

static struct caller {
    pthread_t thread;
    atomic_uint called, heard;
} callers[CALLERS];

static void *call_often(void *ctx)
{
    struct caller *c = ctx;

    for (unsigned i = 1; i <= CALLS; i++) {
        c->called = i;
        sotto_loop_wake(t.loop);
        while (c->heard != i)
            sched_yield();
    }
    return NULL;
}

static void hear_callers(void *ctx)
{
    bool all = true;

    for (size_t i = 0; i < CALLERS; i++) {
        callers[i].heard = callers[i].called;
        all = all && callers[i].heard == CALLS;
    }
    if (all) {
        t.events++;
        sotto_loop_stop(t.loop);
    }
}

static void no_call_is_lost(void **state)
{
    struct sotto_idle *hook = sotto_before_sleep(t.loop, hear_callers, NULL);

    memset(callers, 0, sizeof callers);
    for (size_t i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    sotto_loop_run(t.loop);
    for (size_t i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    assert_true(t.events > 0);
    sotto_idle_free(hook);
}

static void a_signal_handler_wakes_the_loop(void **state)
{
    struct sigaction sa = {.sa_handler = on_usr1}, before;

    sigaction(SIGUSR1, &sa, &before);
    turns.turns = t.runs ? 0 : 1;
    turns.hook = sotto_before_sleep(t.loop, count_turn, NULL);
    raise(SIGUSR1);
    if (!t.runs)
        assert_int_equal(fd_ready(-1), 1);
    until(1);
    sotto_idle_free(turns.hook);
    sigaction(SIGUSR1, &before, NULL);
}

static void signals_come_through_the_loop(void **state)
{
    struct sotto_signal *hup = sotto_signal_new(t.loop, SIGHUP, note_ctx, LETTER('h'));
    struct sotto_signal *term = sotto_signal_new(t.loop, SIGTERM, note_ctx, LETTER('t'));

    assert_non_null(hup);
    assert_non_null(term);
    raise(SIGHUP);
    until(1);
    raise(SIGTERM);
    until(2);
    assert_string_equal(t.order, "ht");
    sotto_signal_free(hup);
    sotto_signal_free(term);
    assert_null(sotto_signal_new(t.loop, SIGKILL, note_ctx, LETTER('k')));
}

/* Before sleep */

static struct sotto_idle *hooks[3];

static void on_hook(void *ctx)
{
    char c = *(const char *)ctx;

    note(c);
    if (c == '1') { /* frees itself and one that has not run yet */
        sotto_idle_free(hooks[0]);
        sotto_idle_free(hooks[1]);
        hooks[0] = hooks[1] = NULL;
    }
}

static void hooks_may_be_freed_by_hooks(void **state)
{
    hooks[0] = sotto_before_sleep(t.loop, on_hook, LETTER('0'));
    hooks[1] = sotto_before_sleep(t.loop, on_hook, LETTER('1'));
    hooks[2] = sotto_before_sleep(t.loop, on_hook, LETTER('2'));
    sotto_loop_wake(t.loop);
    until(2);
    assert_int_equal(strcspn(t.order, "0"), strlen(t.order));
    assert_non_null(strchr(t.order, '1'));
    assert_ptr_equal(strchr(t.order, '1'), strrchr(t.order, '1'));
    assert_non_null(strchr(t.order, '2'));
    sotto_idle_free(hooks[2]);
    sotto_idle_free(NULL);
}

static struct {
    int handled, committed; /* what callbacks did; what the hook has seen of it */
} group;

static void handle(void *ctx, int events)
{
    struct pair *p = ctx;
    char c;

    assert_int_equal(read(p->fd[0], &c, 1), 1);
    group.handled++;
    t.events++;
}

static void commit(void *ctx)
{
    group.committed = group.handled;
    if (t.runs && t.events > 0)
        sotto_loop_stop(t.loop);
}

/* What the callbacks of a turn left behind is seen by the hook before the loop sleeps. */
static void hook_sees_all_of_the_turn(void **state)
{
    struct sotto_idle *hook = sotto_before_sleep(t.loop, commit, NULL);
    struct pair p[3];

    memset(&group, 0, sizeof group);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p[i].fd), 0);
        p[i].w = sotto_watch_new(t.loop, p[i].fd[0], handle, &p[i]);
        sotto_watch_set(p[i].w, SOTTO_WATCH_READ);
    }
    sotto_loop_dispatch(t.loop);
    for (int i = 0; i < 3; i++)
        assert_int_equal(write(p[i].fd[1], "x", 1), 1);
    if (t.runs) {
        sotto_loop_run(t.loop);
    } else {
        assert_int_equal(fd_ready(-1), 1);
        sotto_loop_dispatch(t.loop);
    }
    assert_int_equal(group.handled, 3);
    assert_int_equal(group.committed, 3);
    for (int i = 0; i < 3; i++)
        pair_close(&p[i]);
    sotto_idle_free(hook);
}

static void freeing_nothing_is_fine(void **state)
{
    sotto_loop_free(NULL);
    sotto_timer_free(NULL);
    sotto_watch_free(NULL);
    sotto_idle_free(NULL);
    sotto_signal_free(NULL);
}

#define BOTH(f)                                                                                    \
    {#f " (host)", f, setup_host, teardown, NULL},                                                 \
    {                                                                                              \
#f " (run)", f, setup_run, teardown, NULL                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(timers_fire_in_order),
        BOTH(timers_may_be_freed_by_timers),
        cmocka_unit_test_setup_teardown(fd_follows_the_timers, setup_host, teardown),
        BOTH(watch_tells_what_is_ready),
        BOTH(watch_reports_errors_as_ready),
        BOTH(plain_files_are_always_ready),
        BOTH(watch_leaves_the_flags_alone),
        BOTH(watch_may_be_freed_by_itself),
        BOTH(dispatch_arms_what_callbacks_start),
        cmocka_unit_test_setup_teardown(dispatch_is_bounded, setup_host, teardown),
        BOTH(another_thread_wakes_the_loop),
        cmocka_unit_test_setup_teardown(no_call_is_lost, setup_run, teardown),
        BOTH(a_signal_handler_wakes_the_loop),
        BOTH(signals_come_through_the_loop),
        BOTH(hooks_may_be_freed_by_hooks),
        BOTH(hook_sees_all_of_the_turn),
        BOTH(freeing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
