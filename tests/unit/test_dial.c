/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "names.h"
#include "net_help.h"

/* Dialling: from a name to a connection that is up, or to why it is not. */

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

    net_listen_echo(n);
    late = net_dial_to(n, "slow.test", n->port, n->client_tls, 40);
    freed = net_dial_to(n, "slow.test", n->port, n->client_tls, 60 * 1000);
    left = net_dial_to(n, "slow.test", n->port, n->client_tls, 60 * 1000);
    good = net_dial(n);
    net_until(n, good->ups);
    side_free(freed);
    net_until(n, late->downs);
    assert_int_equal(late->why, SOTTO_ERR_DNS);
    assert_non_null(strstr(late->detail, "name server"));
    names_answer(3);
    net_until(n, left->ups);
    names_wait_answered(3); /* the threads are done with their memory, or nearly */
    assert_int_equal(freed->ups + freed->downs + late->ups, 0);
    /* One that is still out there when the loop ends. */
    (void)net_dial_to(n, "slow.test", n->port, n->client_tls, 60 * 1000);
    net_begin(n);
    sotto_loop_wake(n->loop);
    net_step(n);
}

static int release_slow(void **state)
{
    int r = net_teardown(state);

    names_answer(1);
    names_wait_answered(1);
    return r;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_CASE(dial_names_the_cause),
        NET_CASE(second_address_is_tried),
        {"dead_address_leaves_time_for_the_next", dead_address_leaves_time_for_the_next,
         net_setup_run, net_teardown, NULL},
        NET_CASE(silent_relay_is_given_up),
        {"slow_names_hold_up_nobody (host)", slow_names_hold_up_nobody, net_setup_host,
         release_slow, NULL},
        {"slow_names_hold_up_nobody (run)", slow_names_hold_up_nobody, net_setup_run, release_slow,
         NULL},
        NET_CASE(down_waits_for_its_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
