/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"

#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "net/conn_internal.h"
#include "net/tls_internal.h"
#include "net_help.h"

/* Frames */

static void frames_of_all_sizes_go_both_ways(void **state)
{
    static const size_t sizes[] = {0,     1,     4,     255,   4096,
                                   16383, 16384, 16385, 65536, SOTTO_STREAM_MAX};
    struct net *n = *state;
    size_t total = 0, at = 0;
    struct side *a;

    net_listen_echo(n);
    a = net_dial(n);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) { /* before it is up */
        side_send(a, sizes[i], (uint8_t)i);
        total += sizes[i];
    }
    net_until(n, a->got.n == total && a->frames == sizeof sizes / sizeof sizes[0]);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_pattern(a->got.p + at, sizes[i], (uint8_t)i);
        at += sizes[i];
    }
    assert_int_equal(n->accepted[0]->frames, a->frames);
}

static const uint8_t split_stream[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 1, 'd'};

/* One TLS record for each piece. */
static int write_in_pieces(struct raw *r)
{
    uint8_t echo[sizeof split_stream];

    for (int piece = 1; piece <= (int)sizeof split_stream; piece++) {
        for (int at = 0; at < (int)sizeof split_stream; at += piece) {
            int left = (int)sizeof split_stream - at;

            if (raw_write(r, split_stream + at, left < piece ? left : piece) != 0)
                return -1;
        }
        if (raw_read(r, echo, sizeof echo) != 0 || memcmp(echo, split_stream, sizeof echo) != 0)
            return -1;
    }
    return 0;
}

static void any_split_gives_the_same_frames(void **state)
{
    struct net *n = *state;
    struct raw r;

    raw_client_echoed(&r, n, write_in_pieces);
    raw_succeeds(&r);
    assert_int_equal(n->accepted[0]->frames, 3 * sizeof split_stream);
}

static int announce_too_much(struct raw *r)
{
    uint8_t byte;

    if (raw_write(r, "\0\0\0\1x\0\2\0\1", 9) != 0)
        return -1;
    return raw_read(r, &byte, 1); /* fails: the relay hangs up */
}

static void too_large_a_frame_ends_it(void **state)
{
    struct net *n = *state;
    struct raw r;

    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, announce_too_much);
    raw_start(&r);
    raw_join(&r);
    assert_int_equal(r.result, -1);
    assert_int_equal(n->accepted[0]->frames, 1);
    assert_int_equal(n->accepted[0]->downs, 1);
    assert_int_equal(n->accepted[0]->why, SOTTO_ERR_TOO_LARGE);
}

enum { CROWD = 200 };

static bool all_answered(const struct net *n)
{
    for (int i = 0; i < CROWD; i++) {
        if (n->dialled[i]->frames != 1)
            return false;
    }
    return true;
}

static void two_hundred_at_once(void **state)
{
    struct net *n = *state;

    net_listen_echo(n);
    for (int i = 0; i < CROWD; i++) {
        net_dial(n);
        side_send(n->dialled[i], 1000 + (size_t)i, (uint8_t)i);
    }
    net_until(n, all_answered(n));
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(n->dialled[i]->got.n, 1000 + i);
        assert_pattern(n->dialled[i]->got.p, 1000 + (size_t)i, (uint8_t)i);
    }
}

/* How it ends */

static int say_goodbye(struct raw *r)
{
    return SSL_shutdown(r->ssl) < 0;
}

static int say_goodbye_in_a_frame(struct raw *r)
{
    return raw_write(r, "\0\0\0\5hel", 7) != 0 || SSL_shutdown(r->ssl) < 0;
}

static int hang_up(struct raw *r)
{
    return 0;
}

static int reset(struct raw *r)
{
    struct linger l = {.l_onoff = 1};

    return setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

static int send_and_reset(struct raw *r)
{
    return raw_write(r, "\0\0\0\1x", 5) != 0 || reset(r) != 0;
}

static int send_rubbish(struct raw *r)
{
    return (int)send(r->fd, "this is not a TLS record", 24, MSG_NOSIGNAL) != 24;
}

/* An end in order is told from a cut, which somebody on the way could make. */
static void ends_are_told_apart(void **state)
{
    static const struct {
        const char *name;
        int (*end)(struct raw *r);
        enum sotto_err why;
        const char *says;
    } t[] = {
        {"close_notify", say_goodbye, SOTTO_ERR_CLOSED, "closed the connection"},
        {"in a frame", say_goodbye_in_a_frame, SOTTO_ERR_IO, "middle of a frame"},
        {"cut", hang_up, SOTTO_ERR_IO, "without a goodbye"},
        {"reset", reset, SOTTO_ERR_IO, "reset"},
        {"reset after data", send_and_reset, SOTTO_ERR_IO, "broke off"},
        {"rubbish", send_rubbish, SOTTO_ERR_TLS, "TLS with"},
    };
    struct net *n = *state;

    net_listen(n);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct side *s;
        struct raw r;

        raw_client(&r, n, SOTTO_ALPN, t[i].end);
        raw_start(&r);
        net_until(n, n->accepted_n > i && n->accepted[i]->downs);
        raw_join(&r);
        s = n->accepted[i];
        assert_int_equal(r.result, 0);
        if (s->why != t[i].why || strstr(s->detail, t[i].says) == NULL)
            fail_msg("%s: %s, %s", t[i].name, sotto_err_name(s->why), s->detail);
    }
}

static int read_all(struct raw *r)
{
    size_t *got = r->arg;
    uint8_t buf[16384];
    int n;

    while ((n = SSL_read(r->ssl, buf, sizeof buf)) > 0) {
        for (int i = 0; i < n; i++) {
            if (*got + (size_t)i >= 4 && buf[i] != (uint8_t)(*got + (size_t)i - 4))
                return 1;
        }
        *got += (size_t)n;
    }
    return SSL_get_error(r->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : 2;
}

static void send_and_finish(struct side *s)
{
    struct sotto_conn *c = s->conn;

    side_send(s, 100000, 0);
    s->conn = NULL;
    sotto_conn_finish(c);
}

static void finishes(struct side *s)
{
    s->on_up = send_and_finish;
}

/* All that was queued arrives, then the goodbye; the owner hears nothing more. */
static void finish_flushes_first(void **state)
{
    struct net *n = *state;
    size_t got = 0;
    struct raw r;

    n->on_accepted = finishes;
    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, read_all);
    r.arg = &got;
    raw_succeeds(&r);
    assert_int_equal(got, 100004);
    assert_int_equal(n->accepted[0]->downs, 0);
}

static int write_then_read_all(struct raw *r)
{
    uint8_t junk[16384] = {0};

    for (int i = 0; i < 4; i++) {
        if (raw_write(r, junk, sizeof junk) != 0)
            return 3;
    }
    return read_all(r);
}

/* Input that nobody reads any more must not turn the end into a reset, which would take the last
 * output with it. */
static void finish_survives_unread_input(void **state)
{
    struct net *n = *state;

    n->on_accepted = finishes;
    net_listen(n);
    for (int i = 0; i < 20; i++) {
        size_t got = 0;
        struct raw r;

        raw_client(&r, n, SOTTO_ALPN, write_then_read_all);
        r.arg = &got;
        raw_succeeds(&r);
        assert_int_equal(got, 100004);
    }
}

static sem_t let_go;

static int read_nothing(struct raw *r)
{
    while (sem_wait(&let_go) != 0)
        continue;
    return 0;
}

/* A peer that takes nothing: given up after two seconds. */
static void finish_does_not_wait_for_ever(void **state)
{
    struct net *n = *state;
    struct sotto_conn *c;
    struct side *s;
    struct raw r;
    int fd;

    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, read_nothing);
    raw_start(&r);
    s = net_accepted(n, 0);
    while (sotto_conn_pending(s->conn) < 32 * 1024 * 1024)
        side_send(s, SOTTO_STREAM_MAX, 0);
    c = s->conn;
    fd = c->socket.fd;
    s->conn = NULL;
    sotto_conn_finish(c);
    net_until(n, fcntl(fd, F_GETFD) < 0);
    assert_int_equal(s->downs, 0);
    sem_post(&let_go);
    raw_join(&r);
}

static int reset_when_told(struct raw *r)
{
    while (sem_wait(&let_go) != 0)
        continue;
    return reset(r);
}

/* The peer resets while we write: an error, not a SIGPIPE. */
static void no_sigpipe(void **state)
{
    struct net *n = *state;
    struct side *s;
    struct raw r;

    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, reset_when_told);
    raw_start(&r);
    s = net_accepted(n, 0);
    sotto_conn_read(s->conn, false); /* so that writing finds it first */
    sem_post(&let_go);
    raw_join(&r);
    for (int i = 0; s->downs == 0; i++) {
        side_send(s, 1000, 0);
        net_begin(n);
        if (n->runs)
            net_step(n);
    }
    assert_int_equal(s->why, SOTTO_ERR_IO);
}

/* Back-pressure */

static void stop_reading_at_three(struct side *s, const uint8_t *body, size_t len)
{
    if (s->frames == 3)
        sotto_conn_read(s->conn, false);
}

/* A reader that stops gets not one frame more, also none of those in the same record; later it
 * gets all, in order. */
static void reader_can_stop(void **state)
{
    struct net *n = *state;
    struct side *a, *b;

    net_listen(n);
    a = net_dial(n);
    b = net_accepted(n, 0);
    b->on_frame = stop_reading_at_three;
    for (int i = 0; i < 100; i++)
        side_send(a, 10, (uint8_t)i);
    net_until(n, b->frames == 3);
    side_send(a, 10, 100);
    for (int i = 0; i < 20; i++) {
        sotto_loop_wake(n->loop);
        net_step(n);
    }
    assert_int_equal(b->frames, 3);
    assert_int_equal(sotto_conn_pending(a->conn), 0);
    b->on_frame = NULL;
    sotto_conn_read(b->conn, true);
    net_until(n, b->frames == 101);
    for (int i = 0; i <= 100; i++)
        assert_pattern(b->got.p + (size_t)i * 10, 10, (uint8_t)i);
}

/* The owner stops at SOTTO_CONN_HIGH and is told when there is room. */
static void writer_is_told(void **state)
{
    struct net *n = *state;
    struct side *a, *b;
    int sent = 0;
    size_t most = 0;

    net_listen(n);
    a = net_dial(n);
    b = net_accepted(n, 0);
    sotto_conn_read(b->conn, false);
    for (int turns = 0; turns < 1000 && sotto_conn_pending(a->conn) <= SOTTO_CONN_HIGH; turns++) {
        side_send(a, 10000, (uint8_t)sent++);
        if (sotto_conn_pending(a->conn) > most)
            most = sotto_conn_pending(a->conn);
        sotto_loop_wake(n->loop);
        net_step(n);
    }
    assert_true(sotto_conn_pending(a->conn) > SOTTO_CONN_HIGH); /* blocked */
    assert_true(most <= SOTTO_CONN_HIGH + 10004);
    assert_int_equal(a->writables, 0);
    sotto_conn_read(b->conn, true);
    net_until(n, a->writables == 1);
    net_until(n, b->frames == sent);
    assert_int_equal(a->writables, 1);
    for (int i = 0; i < sent; i++)
        assert_pattern(b->got.p + (size_t)i * 10000, 10000, (uint8_t)i);
}

static void stalled_readers_are_dropped(void **state)
{
    struct net *n = *state;
    struct side *b;
    struct raw r;

    n->limits.write_stall_ms = 50;
    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, read_nothing);
    raw_start(&r);
    b = net_accepted(n, 0);
    while (sotto_conn_pending(b->conn) < 32 * 1024 * 1024)
        side_send(b, SOTTO_STREAM_MAX, 0);
    net_until(n, b->downs);
    assert_int_equal(b->why, SOTTO_ERR_TIMEOUT);
    assert_non_null(strstr(b->detail, "took no data for 0.05 s"));
    sem_post(&let_go);
    raw_join(&r);
}

static int flood_frames(struct raw *r)
{
    uint8_t frames[16000];

    for (size_t i = 0; i < sizeof frames; i += 5)
        memcpy(frames + i, "\0\0\0\1x", 5);
    while (!atomic_load(&r->stop)) {
        if (raw_write(r, frames, sizeof frames) != 0)
            return -1;
    }
    return 0;
}

/* Between two frames of a quiet connection the flooding one gets a bounded share. */
static void flood_starves_nobody(void **state)
{
    struct net *n = *state;
    struct side *a, *flooding;
    struct raw r;

    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, flood_frames);
    raw_start(&r);
    flooding = net_accepted(n, 0);
    n->on_accepted = net_echoes;
    a = net_dial(n);
    (void)net_accepted(n, 1);
    for (int i = 1; i <= 50; i++) {
        int before = flooding->frames, turns = 0;

        side_send(a, 20, 0);
        net_until(n, ++turns && a->frames == i);
        /* 64 when the socket is read and 64 of what was left, in each of up to 16 turns of a
         * dispatch, or two of a step of the running loop */
        assert_true(flooding->frames - before <= 128 * 16 * (turns + 1));
    }
    atomic_store(&r.stop, true);
    sotto_buf_clear(&flooding->got);
    raw_join(&r);
}

/* Freed in the middle of it */

static void free_in_frame(struct side *s, const uint8_t *body, size_t len)
{
    side_free(s);
    assert_pattern(body, len, 7); /* still valid */
}

static void free_peer_in_frame(struct side *s, const uint8_t *body, size_t len)
{
    side_free(s->net->dialled[0]);
    side_free(s);
    assert_pattern(body, len, 7);
}

static void finish_in_frame(struct side *s, const uint8_t *body, size_t len)
{
    struct sotto_conn *c = s->conn;

    s->conn = NULL;
    sotto_conn_finish(c);
    assert_pattern(body, len, 7);
}

static void set_free_in_up(struct side *s)
{
    s->on_up = side_free;
}

static void set_free_in_frame(struct side *s)
{
    s->on_frame = free_in_frame;
}

static void set_free_peer(struct side *s)
{
    s->on_frame = free_peer_in_frame;
}

static void set_finish_in_frame(struct side *s)
{
    s->on_frame = finish_in_frame;
}

static void set_finish_in_up(struct side *s)
{
    s->on_up = send_and_finish;
}

/* Each round sends small frames and one in pieces, so that bodies lie in the shared buffer and in
 * the connection's own. What is checked is the address sanitizer's and the loop's to see. */
static void may_be_freed_in_any_callback(void **state)
{
    static void (*const sets[])(struct side *) = {set_free_in_up, set_free_in_frame, set_free_peer,
                                                  set_finish_in_frame, set_finish_in_up};
    static const size_t sizes[] = {5, 100000};
    struct net *n = *state;
    size_t round = 0;

    net_listen(n);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        for (size_t j = 0; j < 2; j++, round++) {
            struct side *a;

            n->on_accepted = sets[i];
            n->dialled_n = 0; /* free_peer_in_frame() looks at the first */
            a = net_dial(n);
            side_send(a, sizes[j], 7);
            side_send(a, sizes[j], 7);
            net_until(n, n->accepted_n > round && n->accepted[round]->conn == NULL);
            net_until(n, a->downs || a->conn == NULL);
            assert_true(n->accepted[round]->frames <= 1);
            assert_int_equal(n->accepted[round]->downs, 0);
            sotto_buf_free(&a->got);
            free(a);
            n->dialled_n = 0;
        }
    }
}

static void client_may_free_in_any_callback(void **state)
{
    struct net *n = *state;
    struct side *a, *b;

    net_listen_echo(n);
    a = net_dial(n);
    a->on_up = side_free;
    net_until(n, a->ups);
    assert_null(a->conn);
    b = net_dial(n);
    b->on_frame = free_in_frame;
    side_send(b, 70000, 7);
    net_until(n, b->frames);
    assert_null(b->conn);
    a = net_dial(n);
    a->on_writable = side_free;
    while (sotto_conn_pending(a->conn) <= SOTTO_CONN_HIGH)
        side_send(a, 70000, 7);
    net_until(n, a->writables);
    assert_null(a->conn);
    side_free(net_dial(n)); /* dialling */
    a = net_dial_to(n, "two.test", n->port, n->client_tls, 60 * 1000);
    side_free(a);
    net_until(n, b->frames);
}

/* Memory */

/* What an idle connection costs beside OpenSSL's own, and what of it is not there when idle. */
static void idle_connections_are_small(void **state)
{
    struct net *n = *state;
    struct side *a, *b;

    assert_true(sizeof(struct sotto_conn) + sizeof(struct sotto_link) <= 288);
    net_listen_echo(n);
    a = net_dial(n);
    side_send(a, SOTTO_STREAM_MAX, 0);
    side_send(a, 10, 0);
    net_until(n, a->frames == 2);
    b = n->accepted[0];
    net_until(n, sotto_conn_pending(b->conn) == 0);
    assert_null(b->conn->input);
    assert_null(b->conn->queue.head);
    assert_null(b->conn->dial);
    assert_null(a->conn->dial);
    assert_null(a->conn->input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_CASE(frames_of_all_sizes_go_both_ways),
        NET_CASE(any_split_gives_the_same_frames),
        NET_CASE(too_large_a_frame_ends_it),
        NET_CASE(two_hundred_at_once),
        NET_CASE(ends_are_told_apart),
        NET_CASE(finish_flushes_first),
        NET_CASE(finish_survives_unread_input),
        NET_CASE(finish_does_not_wait_for_ever),
        NET_CASE(no_sigpipe),
        NET_CASE(reader_can_stop),
        NET_CASE(writer_is_told),
        NET_CASE(stalled_readers_are_dropped),
        NET_CASE(flood_starves_nobody),
        NET_CASE(may_be_freed_in_any_callback),
        NET_CASE(client_may_free_in_any_callback),
        NET_CASE(idle_connections_are_small),
    };

    sem_init(&let_go, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
