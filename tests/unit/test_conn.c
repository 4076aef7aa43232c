/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "net/conn_internal.h"
#include "net/tls_internal.h"
#include "net_help.h"

/*
 * Names of this test's own: "two.test" is 127.0.0.2 (nobody listens there) and then 127.0.0.1,
 * "none.test" does not exist, "slow.test" is answered when the test says so, "far.test" is an
 * address that does not answer.
 */
int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
void __real_freeaddrinfo(struct addrinfo *list);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
void __wrap_freeaddrinfo(struct addrinfo *list);

static sem_t slow_may_answer, slow_answers;

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    struct addrinfo *rest = NULL;
    int r;

    if ((hints->ai_flags & AI_NUMERICHOST) != 0 || strstr(host, ".test") == NULL)
        return __real_getaddrinfo(host, service, hints, ret);
    if (strcmp(host, "none.test") == 0)
        return EAI_NONAME;
    if (strcmp(host, "slow.test") == 0) {
        while (sem_wait(&slow_may_answer) != 0)
            continue;
        r = __real_getaddrinfo("127.0.0.1", service, hints, ret);
        sem_post(&slow_answers);
        return r;
    }
    r = __real_getaddrinfo("127.0.0.2", service, hints, ret);
    if (r == 0 && __real_getaddrinfo("127.0.0.1", service, hints, &rest) == 0)
        (*ret)->ai_next = rest;
    return r;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;

        list->ai_next = NULL;
        __real_freeaddrinfo(list);
        list = next;
    }
}

static void echoes(struct side *s)
{
    s->on_frame = side_echo;
}

static struct side *server_of(struct net *n, size_t i)
{
    net_until(n, n->accepted_n > i && n->accepted[i]->ups);
    return n->accepted[i];
}

/* Frames */

static void frames_of_all_sizes_go_both_ways(void **state)
{
    static const size_t sizes[] = {0,     1,     4,     255,   4096,
                                   16383, 16384, 16385, 65536, SOTTO_STREAM_MAX};
    struct net *n = *state;
    size_t total = 0, at = 0;
    struct side *a;

    n->on_accepted = echoes;
    net_listen(n);
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

    n->on_accepted = echoes;
    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, write_in_pieces);
    raw_start(&r);
    raw_join(&r);
    assert_int_equal(r.result, 0);
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

    n->on_accepted = echoes;
    net_listen(n);
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
    raw_start(&r);
    raw_join(&r);
    assert_int_equal(r.result, 0);
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
        raw_start(&r);
        raw_join(&r);
        assert_int_equal(r.result, 0);
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
    s = server_of(n, 0);
    while (sotto_conn_pending(s->conn) < 32 * 1024 * 1024)
        side_send(s, SOTTO_STREAM_MAX, 0);
    c = s->conn;
    fd = c->fd;
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
    s = server_of(n, 0);
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
    b = server_of(n, 0);
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
    b = server_of(n, 0);
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

static atomic_bool stop_flood;

static int flood_frames(struct raw *r)
{
    uint8_t frames[16000];

    for (size_t i = 0; i < sizeof frames; i += 5)
        memcpy(frames + i, "\0\0\0\1x", 5);
    while (!atomic_load(&stop_flood)) {
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
    atomic_store(&stop_flood, false);
    raw_client(&r, n, SOTTO_ALPN, flood_frames);
    raw_start(&r);
    flooding = server_of(n, 0);
    n->on_accepted = echoes;
    a = net_dial(n);
    (void)server_of(n, 1);
    for (int i = 1; i <= 50; i++) {
        int before = flooding->frames, turns = 0;

        side_send(a, 20, 0);
        net_until(n, ++turns && a->frames == i);
        /* 64 when the socket is read and 64 of what was left, in each of up to 16 turns of a
         * dispatch, or two of a step of the running loop */
        assert_true(flooding->frames - before <= 128 * 16 * (turns + 1));
    }
    atomic_store(&stop_flood, true);
    sotto_buf_clear(&flooding->got);
    raw_join(&r);
}

/* Time limits */

static int connect_plain(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

static void silent_strangers_are_dropped(void **state)
{
    struct net *n = *state;
    int fd;

    n->limits.handshake_ms = 30;
    net_listen(n);
    fd = connect_plain(n->port);
    net_until(n, n->accepted_n == 1 && n->accepted[0]->downs);
    assert_int_equal(n->accepted[0]->why, SOTTO_ERR_TIMEOUT);
    assert_non_null(
        strstr(n->accepted[0]->detail, "did not finish the TLS handshake within 0.03 s"));
    close(fd);
}

static uint64_t silence; /* at the end of the connection, in ms */

static void measure_silence(struct side *s)
{
    silence = sotto_loop_now(s->net->loop) - s->conn->last_in;
}

static void idle_clients_are_dropped(void **state)
{
    struct net *n = *state;
    struct side *a, *b;

    n->limits.idle_ms = 60;
    net_listen(n);
    a = net_dial(n);
    b = server_of(n, 0);
    b->on_down = measure_silence;
    /* Each frame begins the limit anew. A machine that stands still for so long may end it before
     * the last one; the silence is measured in any case. */
    for (int i = 1; i <= 20 && a->conn != NULL && b->conn != NULL; i++) {
        side_send(a, 1, 0);
        net_until(n, b->frames == i || b->downs);
    }
    net_until(n, b->downs);
    assert_true(silence >= 60);
    assert_int_equal(b->why, SOTTO_ERR_TIMEOUT);
    assert_non_null(strstr(b->detail, "sent nothing for 0.06 s"));
    net_until(n, a->downs);
    assert_int_equal(a->why, SOTTO_ERR_CLOSED);
}

static void fire(void *ctx)
{
    *(bool *)ctx = true;
}

static void stop_listening(struct side *s)
{
    sotto_conn_read(s->conn, false);
}

static void deaf(struct side *s)
{
    s->on_up = stop_listening;
}

/* Nobody can be heard while the owner does not listen. */
static void idle_limit_rests_while_not_reading(void **state)
{
    struct net *n = *state;
    struct sotto_timer *timer;
    bool fired = false;
    struct side *b;

    n->limits.idle_ms = 20;
    n->on_accepted = deaf;
    net_listen(n);
    (void)net_dial(n);
    b = server_of(n, 0);
    timer = sotto_timer_new(n->loop, fire, &fired);
    sotto_timer_start(timer, 100);
    net_until(n, fired);
    assert_int_equal(b->downs, 0);
    b->on_down = measure_silence;
    sotto_conn_read(b->conn, true);
    net_until(n, b->downs);
    assert_int_equal(b->why, SOTTO_ERR_TIMEOUT);
    assert_true(silence >= 20);
    sotto_timer_free(timer);
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
    b = server_of(n, 0);
    while (sotto_conn_pending(b->conn) < 32 * 1024 * 1024)
        side_send(b, SOTTO_STREAM_MAX, 0);
    net_until(n, b->downs);
    assert_int_equal(b->why, SOTTO_ERR_TIMEOUT);
    assert_non_null(strstr(b->detail, "took no data for 0.05 s"));
    sem_post(&let_go);
    raw_join(&r);
}

/* Dialling */

static uint16_t closed_port(void)
{
    struct raw r;

    raw_listen(&r, 1);
    close(r.listen_fd);
    return r.port;
}

static void dial_names_the_cause(void **state)
{
    struct net *n = *state;
    uint16_t closed = closed_port();
    const struct {
        const char *host;
        enum sotto_err why;
        const char *says;
    } t[] = {
        {"127.0.0.1", SOTTO_ERR_REFUSED, "connection refused by 127.0.0.1:"},
        {"two.test", SOTTO_ERR_REFUSED, "nor did any other"},
        {"none.test", SOTTO_ERR_DNS, "no address for none.test: "},
        {"255.255.255.255", SOTTO_ERR_UNREACHABLE, "cannot reach 255.255.255.255:"},
        {"", SOTTO_ERR_DNS, "no address for"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct side *a = net_dial_to(n, t[i].host, closed, n->client_tls, 60 * 1000);

        net_until(n, a->downs);
        if (a->why != t[i].why || strstr(a->detail, t[i].says) == NULL)
            fail_msg("%s: %s, %s", t[i].host, sotto_err_name(a->why), a->detail);
    }
}

static void second_address_is_tried(void **state)
{
    struct net *n = *state;
    struct side *a;

    net_listen(n);
    a = net_dial_to(n, "two.test", n->port, n->client_tls, 60 * 1000);
    net_until(n, a->ups || a->downs);
    assert_int_equal(a->ups, 1);
    assert_string_equal(a->info.address, "127.0.0.1");
}

/* A listener on 127.0.0.2 whose queue is full: its SYNs go unanswered. The first address of
 * two.test then takes its share of the time and no more. */
static void dead_address_leaves_time_for_the_next(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct net *n = *state;
    int listening, fill[3];
    struct side *a;

    net_listen(n);
    in.sin_port = htons(n->port);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &in.sin_addr), 1);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(listening, 0), 0);
    for (int i = 0; i < 3; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&in, sizeof in);
    }
    a = net_dial_to(n, "127.0.0.2", n->port, n->client_tls, 100);
    net_until(n, a->downs);
    assert_int_equal(a->why, SOTTO_ERR_TIMEOUT);
    assert_non_null(strstr(a->detail, "no answer from 127.0.0.2:"));
    a = net_dial_to(n, "two.test", n->port, n->client_tls, 8000);
    net_until(n, a->ups || a->downs);
    assert_int_equal(a->ups, 1);
    for (int i = 0; i < 3; i++)
        close(fill[i]);
    close(listening);
}

static void silent_relay_is_given_up(void **state)
{
    struct net *n = *state;
    struct side *a;
    struct raw r;

    raw_listen(&r, 4); /* accepts, says nothing */
    a = net_dial_to(n, "127.0.0.1", r.port, n->client_tls, 50);
    net_until(n, a->downs);
    assert_int_equal(a->why, SOTTO_ERR_TIMEOUT);
    assert_non_null(strstr(a->detail, "TLS handshake within 0.05 s"));
    close(r.listen_fd);
}

/* A name server that does not answer holds up neither the loop nor its end. */
static void slow_names_hold_up_nobody(void **state)
{
    struct net *n = *state;
    struct side *late, *freed, *left, *good;

    n->on_accepted = echoes;
    net_listen(n);
    late = net_dial_to(n, "slow.test", n->port, n->client_tls, 40);
    freed = net_dial_to(n, "slow.test", n->port, n->client_tls, 60 * 1000);
    left = net_dial_to(n, "slow.test", n->port, n->client_tls, 60 * 1000);
    good = net_dial(n);
    net_until(n, good->ups);
    side_free(freed);
    net_until(n, late->downs);
    assert_int_equal(late->why, SOTTO_ERR_DNS);
    assert_non_null(strstr(late->detail, "name server"));
    for (int i = 0; i < 3; i++)
        sem_post(&slow_may_answer);
    net_until(n, left->ups);
    for (int i = 0; i < 3; i++) /* the threads are done with their memory, or nearly */
        sem_wait(&slow_answers);
    assert_int_equal(freed->ups + freed->downs + late->ups, 0);
    /* One that is still out there when the loop ends. */
    (void)net_dial_to(n, "slow.test", n->port, n->client_tls, 60 * 1000);
    sotto_loop_wake(n->loop);
    net_begin(n);
    net_step(n);
}

static int release_slow(void **state)
{
    int r = net_teardown(state);

    sem_post(&slow_may_answer);
    sem_wait(&slow_answers);
    return r;
}

/* Freed in the middle of it */

static void free_in_up(struct side *s)
{
    side_free(s);
}
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
static void free_in_writable(struct side *s)
{
    side_free(s);
}

static void set_free_in_up(struct side *s)
{
    s->on_up = free_in_up;
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

    n->on_accepted = echoes;
    net_listen(n);
    a = net_dial(n);
    a->on_up = free_in_up;
    net_until(n, a->ups);
    assert_null(a->conn);
    b = net_dial(n);
    b->on_frame = free_in_frame;
    side_send(b, 70000, 7);
    net_until(n, b->frames);
    assert_null(b->conn);
    a = net_dial(n);
    a->on_writable = free_in_writable;
    while (sotto_conn_pending(a->conn) <= SOTTO_CONN_HIGH)
        side_send(a, 70000, 7);
    net_until(n, a->writables);
    assert_null(a->conn);
    side_free(net_dial(n)); /* dialling */
    a = net_dial_to(n, "two.test", n->port, n->client_tls, 60 * 1000);
    side_free(a);
    net_until(n, b->frames);
}

static void accepted_may_refuse(void **state)
{
    struct net *n = *state;
    struct side *a;

    n->refuse = true;
    net_listen(n);
    a = net_dial(n);
    net_until(n, a->downs);
    assert_int_equal(a->ups, 0);
    assert_int_equal(a->why, SOTTO_ERR_IO);
    assert_non_null(strstr(a->detail, "handshake"));
    n->on_accepted = free_in_up; /* freed and refused */
    a = net_dial(n);
    net_until(n, a->downs);
    assert_int_equal(n->accepted[1]->ups + n->accepted[1]->downs, 0);
}

static void freed_listener_leaves_its_connections(void **state)
{
    struct net *n = *state;
    struct side *a, *b;

    n->on_accepted = echoes;
    net_listen(n);
    a = net_dial(n);
    (void)server_of(n, 0);
    sotto_listener_free(n->listener);
    n->listener = NULL;
    side_send(a, 100, 3);
    net_until(n, a->frames == 1);
    b = net_dial(n);
    net_until(n, b->downs);
    assert_int_equal(b->why, SOTTO_ERR_REFUSED);
    sotto_listener_free(NULL);
    sotto_conn_free(NULL);
    sotto_conn_finish(NULL);
}

/* A write after down() is refused; the owner may notice late. */
static struct sotto_conn *kept;

static void keep_conn(struct side *s)
{
    kept = s->conn;
    assert_int_equal(sotto_conn_write(s->conn, "\0\0\0\0", 4), SOTTO_ERR_CLOSED);
    sotto_conn_read(s->conn, false);
    sotto_conn_read(s->conn, true);
    s->conn = NULL;
}

static void down_waits_for_its_owner(void **state)
{
    struct net *n = *state;
    struct side *a = net_dial_to(n, "127.0.0.1", closed_port(), n->client_tls, 60 * 1000);

    a->on_down = keep_conn;
    net_until(n, a->downs);
    sotto_loop_dispatch(n->loop);
    assert_int_equal(sotto_conn_write(kept, "\0\0\0\0", 4), SOTTO_ERR_CLOSED);
    assert_int_equal(sotto_conn_pending(kept), 0);
    sotto_conn_finish(kept);
    assert_int_equal(a->downs, 1);
}

/* Listening */

static void listen_says_what_is_wrong(void **state)
{
    static const struct sotto_listener_ops ops;
    struct sotto_listen_limits limits = {0};
    struct net *n = *state;
    struct sotto_listener *l = NULL;
    char why[256], port[16];
    uint16_t got = 0;

    net_listen(n);
    assert_int_not_equal(n->port, 0);
    assert_int_equal(sotto_listen(n->loop, "127.0.0.1", n->port, n->server_tls, &limits, &ops, NULL,
                                  &l, &got, why, sizeof why),
                     SOTTO_ERR_EXISTS);
    snprintf(port, sizeof port, ":%u ", n->port);
    assert_non_null(strstr(why, port));
    assert_non_null(strstr(why, "listen on another port"));
    assert_int_equal(sotto_listen(n->loop, "192.0.2.1", 0, n->server_tls, &limits, &ops, NULL, &l,
                                  &got, why, sizeof why),
                     SOTTO_ERR_UNREACHABLE);
    assert_non_null(strstr(why, "192.0.2.1"));
    assert_int_equal(sotto_listen(n->loop, "none.test", 0, n->server_tls, &limits, &ops, NULL, &l,
                                  &got, why, sizeof why),
                     SOTTO_ERR_DNS);
    assert_non_null(strstr(why, "none.test"));
    assert_null(l);
    assert_int_equal(got, 0);
}

static void listen_on_a_privileged_port(void **state)
{
    static const struct sotto_listener_ops ops;
    struct sotto_listen_limits limits = {0};
    struct net *n = *state;
    struct sotto_listener *l = NULL;
    enum sotto_err e;
    char why[256] = "";
    uint16_t got = 0;
    int first = 1024;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");

    if (f != NULL) {
        assert_int_equal(fscanf(f, "%d", &first), 1);
        fclose(f);
    }
    if (first <= 1)
        skip();
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    e = sotto_listen(n->loop, "127.0.0.1", 1, n->server_tls, &limits, &ops, NULL, &l, &got, why,
                     sizeof why);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(e, SOTTO_ERR_DENIED);
    assert_non_null(strstr(why, "127.0.0.1:1"));
}

static void ipv6_works_too(void **state)
{
    static const struct sotto_listener_ops ops;
    struct sotto_listen_limits limits = {0};
    struct net *n = *state;
    struct sotto_listener *v6 = NULL;
    struct side *a;
    uint16_t port;
    char why[256];
    enum sotto_err e = sotto_listen(n->loop, "::1", 0, n->server_tls, &limits, &ops, NULL, &v6,
                                    &port, why, sizeof why);

    if (e == SOTTO_ERR_UNREACHABLE)
        skip(); /* a machine without IPv6 */
    assert_int_equal(e, 0);
    sotto_listener_free(v6);
    a = net_dial_to(n, "::1", port, n->client_tls, 60 * 1000);
    net_until(n, a->downs);
    assert_int_equal(a->why, SOTTO_ERR_REFUSED);
    assert_non_null(strstr(a->detail, "[::1]:"));
}

/* Out of file descriptors: what is there goes on, what comes waits, nothing spins, and the
 * operator reads why. */
static void survives_without_descriptors(void **state)
{
    struct rlimit before, few;
    struct net *n = *state;
    struct side *a, *b;
    int hoard[64], count = 0, turns = 0, fd;

    n->on_accepted = echoes;
    net_listen(n);
    a = net_dial(n);
    (void)server_of(n, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < 64 && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        hoard[count++] = fd;
    assert_true(count > 1);
    close(hoard[--count]); /* one for the client's end */
    b = net_dial(n);
    net_until(n, strstr(net_log, "local new connections have to wait") != NULL);
    assert_non_null(strstr(net_log, "Too many open files"));
    for (int i = 1; i <= 20; i++) {
        side_send(a, 10, 0);
        net_until(n, ++turns && a->frames == i);
    }
    assert_true(turns < 20 * 50);
    assert_int_equal(b->ups + b->downs, 0);
    while (count > 0)
        close(hoard[--count]);
    net_until(n, b->ups || b->downs);
    assert_int_equal(b->ups, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ptr_equal(strstr(strstr(net_log, "have to wait") + 1, "have to wait"), NULL);
}

/* Memory */

/* What an idle connection costs beside OpenSSL's own, and what of it is not there when idle. */
static void idle_connections_are_small(void **state)
{
    struct net *n = *state;
    struct side *a, *b;

    assert_true(sizeof(struct sotto_conn) + sizeof(uv_poll_t) + sizeof(struct sotto_link) <= 1024);
    n->on_accepted = echoes;
    net_listen(n);
    a = net_dial(n);
    side_send(a, SOTTO_STREAM_MAX, 0);
    side_send(a, 10, 0);
    net_until(n, a->frames == 2);
    b = n->accepted[0];
    net_until(n, sotto_conn_pending(b->conn) == 0);
    assert_null(b->conn->stream.body.p);
    assert_null(b->conn->rest.p);
    assert_null(b->conn->queue.head);
    assert_null(b->conn->dial);
    assert_null(a->conn->dial);
    assert_null(a->conn->stream.body.p);
}

#define CASE(f)                                                                                    \
    {#f " (host)", f, net_setup_host, net_teardown, NULL},                                         \
    {                                                                                              \
#f " (run)", f, net_setup_run, net_teardown, NULL                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(frames_of_all_sizes_go_both_ways),
        CASE(any_split_gives_the_same_frames),
        CASE(too_large_a_frame_ends_it),
        CASE(two_hundred_at_once),
        CASE(ends_are_told_apart),
        CASE(finish_flushes_first),
        CASE(finish_survives_unread_input),
        CASE(finish_does_not_wait_for_ever),
        CASE(no_sigpipe),
        CASE(reader_can_stop),
        CASE(writer_is_told),
        CASE(flood_starves_nobody),
        CASE(silent_strangers_are_dropped),
        CASE(idle_clients_are_dropped),
        CASE(idle_limit_rests_while_not_reading),
        CASE(stalled_readers_are_dropped),
        CASE(dial_names_the_cause),
        CASE(second_address_is_tried),
        {"dead_address_leaves_time_for_the_next", dead_address_leaves_time_for_the_next,
         net_setup_run, net_teardown, NULL},
        CASE(silent_relay_is_given_up),
        {"slow_names_hold_up_nobody (host)", slow_names_hold_up_nobody, net_setup_host,
         release_slow, NULL},
        {"slow_names_hold_up_nobody (run)", slow_names_hold_up_nobody, net_setup_run, release_slow,
         NULL},
        CASE(may_be_freed_in_any_callback),
        CASE(client_may_free_in_any_callback),
        CASE(accepted_may_refuse),
        CASE(freed_listener_leaves_its_connections),
        CASE(down_waits_for_its_owner),
        CASE(listen_says_what_is_wrong),
        CASE(listen_on_a_privileged_port),
        CASE(ipv6_works_too),
        CASE(survives_without_descriptors),
        CASE(idle_connections_are_small),
    };

    sem_init(&slow_may_answer, 0, 0);
    sem_init(&slow_answers, 0, 0);
    sem_init(&let_go, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
