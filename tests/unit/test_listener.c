/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/conn_internal.h"
#include "net_help.h"

/* Addresses and ports */

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

/* Accepting */

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
    n->on_accepted = side_free; /* freed and refused */
    a = net_dial(n);
    net_until(n, a->downs);
    assert_int_equal(n->accepted[1]->ups + n->accepted[1]->downs, 0);
}

static void freed_listener_leaves_its_connections(void **state)
{
    struct net *n = *state;
    struct side *a, *b;

    net_listen_echo(n);
    a = net_dial(n);
    (void)net_accepted(n, 0);
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

/* Out of file descriptors: what is there goes on, what comes waits, nothing spins, and the
 * operator reads why. */
static void survives_without_descriptors(void **state)
{
    struct rlimit before, few;
    struct net *n = *state;
    struct side *a, *b;
    int hoard[64], count = 0, turns = 0, fd;

    net_listen_echo(n);
    a = net_dial(n);
    (void)net_accepted(n, 0);
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
    b = net_accepted(n, 0);
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
    b = net_accepted(n, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_CASE(listen_says_what_is_wrong),
        NET_CASE(listen_on_a_privileged_port),
        NET_CASE(ipv6_works_too),
        NET_CASE(accepted_may_refuse),
        NET_CASE(freed_listener_leaves_its_connections),
        NET_CASE(survives_without_descriptors),
        NET_CASE(silent_strangers_are_dropped),
        NET_CASE(idle_clients_are_dropped),
        NET_CASE(idle_limit_rests_while_not_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
