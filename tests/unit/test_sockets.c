/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/loop_internal.h"

/* More than are looked at in one turn. */
#define MANY 600

static struct sotto_loop *loop;
static struct item {
    struct sotto_socket socket;
    int other; /* end of the pair */
    unsigned readies, expired;
    bool broken;
} items[MANY];
static size_t order[MANY], order_n;
static void (*on_ready)(struct item *i);

static void note_ready(struct sotto_socket *s, int events, bool broken)
{
    struct item *i = SOTTO_CONTAINER(s, struct item, socket);

    assert_true(s->fd >= 0);
    assert_int_not_equal(events, 0);
    i->readies++;
    i->broken = broken;
    if (on_ready != NULL)
        on_ready(i);
}

static void note_expired(struct sotto_socket *s)
{
    struct item *i = SOTTO_CONTAINER(s, struct item, socket);

    assert_true(s->due == UINT64_MAX);
    i->expired++;
    order[order_n++] = (size_t)(i - items);
}

static const struct sotto_socket_ops ops = {note_ready, note_expired};

static int setup(void **state)
{
    loop = sotto_loop_new();
    assert_non_null(loop);
    memset(items, 0, sizeof items);
    order_n = 0;
    on_ready = NULL;
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(sotto_socket_init(&items[i].socket, sotto_loop_sockets(loop), &ops), 0);
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < MANY; i++) {
        sotto_socket_end(&items[i].socket);
        if (items[i].other > 0)
            close(items[i].other);
    }
    sotto_loop_free(loop);
    return 0;
}

static void open_pair(struct item *i)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    sotto_socket_open(&i->socket, fds[0]);
    i->other = fds[1];
    assert_true(sotto_socket_watch(&i->socket, UV_READABLE));
}

static void turn(void)
{
    struct pollfd p = {.fd = sotto_loop_fd(loop), .events = POLLIN};

    assert_int_equal(poll(&p, 1, 20000), 1);
    sotto_loop_dispatch(loop);
}

/* The earliest first, wherever they were before: moved nearer, further away, or taken back. */
static void deadlines_come_in_order(void **state)
{
    uint64_t now = sotto_loop_now(loop), due[MANY], last = 0;
    size_t waiting = 0;

    srand(1);
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < MANY; i++) {
            due[i] = rand() % 5 == 0 ? UINT64_MAX : now + (uint64_t)(rand() % 50);
            sotto_socket_due(&items[i].socket, due[i]);
        }
    for (size_t i = 0; i < MANY; i++)
        waiting += due[i] != UINT64_MAX;
    sotto_loop_dispatch(loop); /* arms the timer */
    while (order_n < waiting)
        turn();
    for (size_t k = 0; k < order_n; k++) {
        assert_int_equal(items[order[k]].expired, 1);
        assert_true(due[order[k]] >= last && due[order[k]] != UINT64_MAX);
        last = due[order[k]];
    }
}

static void end_all_others(struct item *i)
{
    for (size_t k = 0; k < MANY; k++)
        if (&items[k] != i) {
            sotto_socket_close(&items[k].socket);
            sotto_socket_due(&items[k].socket, UINT64_MAX);
        }
}

/* What the kernel had reported of it already is not told any more. */
static void a_socket_that_was_closed_is_silent(void **state)
{
    unsigned all = 0;

    on_ready = end_all_others;
    for (size_t i = 0; i < MANY; i++) {
        open_pair(&items[i]);
        assert_int_equal(write(items[i].other, "x", 1), 1);
    }
    turn();
    for (size_t i = 0; i < MANY; i++)
        all += items[i].readies > 0;
    assert_int_equal(all, 1);
}

static void read_it(struct item *i)
{
    char c;

    assert_int_equal(read(i->socket.fd, &c, 1), 1);
}

static void more_than_a_turn_sees_are_all_told(void **state)
{
    size_t told = 0;

    on_ready = read_it;
    for (size_t i = 0; i < MANY; i++) {
        open_pair(&items[i]);
        assert_int_equal(write(items[i].other, "x", 1), 1);
    }
    while (told < MANY) {
        turn();
        told = 0;
        for (size_t i = 0; i < MANY; i++)
            told += items[i].readies;
    }
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(items[i].readies, 1);
}

/* Watched for nothing, it is not told; watched again, it is. */
static void only_what_is_watched_is_told(void **state)
{
    struct item *i = &items[0];

    on_ready = read_it;
    open_pair(i);
    open_pair(&items[1]);
    assert_true(sotto_socket_watch(&i->socket, 0));
    assert_int_equal(write(i->other, "x", 1), 1);
    assert_int_equal(write(items[1].other, "x", 1), 1);
    turn();
    assert_int_equal(i->readies, 0);
    assert_int_equal(items[1].readies, 1);
    assert_true(sotto_socket_watch(&i->socket, UV_READABLE));
    turn();
    assert_int_equal(i->readies, 1);
    assert_false(i->broken);
}

/* A write end whose reader is gone has an error that would be reported for ever. */
static void an_error_is_told_once(void **state)
{
    struct item *i = &items[0];
    int fds[2];

    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    sotto_socket_open(&i->socket, fds[1]);
    while (write(fds[1], "0123456789abcdef", 16) == 16)
        continue;
    assert_true(sotto_socket_watch(&i->socket, UV_WRITABLE));
    close(fds[0]);
    turn();
    assert_int_equal(i->readies, 1);
    assert_true(i->broken);
    for (int k = 0; k < 10; k++)
        sotto_loop_dispatch(loop);
    assert_int_equal(i->readies, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(deadlines_come_in_order),
        CASE(a_socket_that_was_closed_is_silent),
        CASE(more_than_a_turn_sees_are_all_told),
        CASE(only_what_is_watched_is_told),
        CASE(an_error_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
