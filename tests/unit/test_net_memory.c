/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out once while people connect and talk: at each request of src/net, and at many of
 * those that OpenSSL makes for it. It may cost the connection that it was needed for, and nobody
 * else; nothing hangs, and nothing is kept.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "folder.h"
#include "net/conn.h"
#include "net/stream.h"
#include "scarce.h"

enum {
    TEXT = 40000,      /* bytes of a frame: several TLS records */
    PATIENCE_S = 20,   /* then something hangs */
    OPENSSL_STEP = 41, /* each handshake asks for thousands */
};
#define IN(call)                                                                                   \
    do {                                                                                           \
        scarce_enter();                                                                            \
        call;                                                                                      \
        scarce_leave();                                                                            \
    } while (0)

static struct folder dir;
static uint8_t pin[32];
static unsigned bugs;

static void count_bugs(void *ctx, enum sotto_log_level level, const char *line)
{
    bugs += level == SOTTO_LOG_BUG;
}

/* --- a relay's side that echoes, and people --- */

struct end {
    struct world *w;
    struct sotto_conn *conn; /* NULL: over */
    size_t echoed;
};

struct world {
    struct sotto_loop *loop;
    struct sotto_cert *cert;
    struct sotto_tls *server, *client;
    struct sotto_listener *listener;
    struct sotto_timer *patience;
    struct sotto_idle *idle;
    struct sotto_signal *signal;
    struct sotto_watch *watch;
    uint16_t port;
    struct end accepted[8], people[3];
    size_t accepted_count;
    bool late;
};

static void end_over(struct end *e)
{
    struct sotto_conn *c = e->conn;

    e->conn = NULL;
    IN(sotto_conn_free(c));
}

static void say(struct end *e, const uint8_t *body, size_t len)
{
    static uint8_t frame[SOTTO_STREAM_HEADER + TEXT];
    enum sotto_err err;

    sotto_put_u32(frame, (uint32_t)len);
    memcpy(frame + SOTTO_STREAM_HEADER, body, len);
    IN(err = sotto_conn_write(e->conn, frame, SOTTO_STREAM_HEADER + len));
    if (err != 0)
        end_over(e);
}

static void on_frame(void *ctx, struct sotto_conn *c, const uint8_t *body, size_t len)
{
    int depth = scarce_callback();
    struct end *e = ctx;

    assert_int_equal(len, TEXT);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(body[i], (uint8_t)i);
    if (e >= e->w->accepted && e < e->w->accepted + 8)
        say(e, body, len);
    else
        e->echoed++;
    scarce_return(depth);
}

static void on_down(void *ctx, struct sotto_conn *c, enum sotto_err why, const char *detail,
                    const struct sotto_tls_info *info)
{
    int depth = scarce_callback();

    assert_int_not_equal(why, SOTTO_OK);
    assert_int_not_equal(why, SOTTO_ERR_TIMEOUT);
    assert_int_not_equal(why, SOTTO_ERR_PIN); /* it is not somebody else whom memory failed */
    end_over(ctx);
    scarce_return(depth);
}

static void *on_accepted(void *ctx, struct sotto_conn *c, const char *address)
{
    struct world *w = ctx;
    struct end *e = &w->accepted[w->accepted_count++];

    assert_true(w->accepted_count <= 8);
    e->w = w;
    e->conn = c;
    return e;
}

static const struct sotto_listener_ops ops = {
    .conn = {.frame = on_frame, .down = on_down},
    .accepted = on_accepted,
};

static void on_late(void *ctx)
{
    struct world *w = ctx;

    w->late = true;
}

static void on_nothing(void *ctx)
{
}

static void on_no_input(void *ctx, int events)
{
}

/* false: there was no memory for it. */
static bool begin(struct world *w)
{
    static const struct sotto_listen_limits limits = {.handshake_ms = 60 * 1000};
    struct sotto_tls_trust trust = {.pin_count = 1, .pins = (const uint8_t(*)[32])pin};
    char why[256] = "";

    *w = (struct world){.loop = sotto_loop_new()};
    return w->loop != NULL && (w->patience = sotto_timer_new(w->loop, on_late, w)) != NULL &&
           (w->idle = sotto_before_sleep(w->loop, on_nothing, w)) != NULL &&
           (w->signal = sotto_signal_new(w->loop, SIGHUP, on_nothing, w)) != NULL &&
           (w->watch = sotto_watch_new(w->loop, STDIN_FILENO, on_no_input, w)) != NULL &&
           sotto_cert_server(folder_file(&dir, "cert"), "127.0.0.1", &w->cert, why, sizeof why) ==
               0 &&
           sotto_tls_server(w->cert, SOTTO_CLIENT_CERTS_REQUEST, &w->server) == 0 &&
           sotto_tls_client(NULL, &trust, &w->client) == 0 &&
           sotto_listen(w->loop, "127.0.0.1", 0, w->server, &limits, &ops, w, &w->listener,
                        &w->port, why, sizeof why) == 0;
}

static void finish(struct world *w)
{
    for (size_t i = 0; i < 3; i++)
        sotto_conn_free(w->people[i].conn);
    for (size_t i = 0; i < 8; i++)
        sotto_conn_free(w->accepted[i].conn);
    sotto_listener_free(w->listener);
    sotto_watch_free(w->watch);
    sotto_signal_free(w->signal);
    sotto_idle_free(w->idle);
    sotto_timer_free(w->patience);
    sotto_loop_free(w->loop);
    sotto_tls_free(w->client);
    sotto_tls_free(w->server);
    sotto_cert_free(w->cert);
}

/* Says something, and runs until it came back, or the connection is over. */
static void talk(struct world *w, struct end *e)
{
    struct pollfd p = {.fd = sotto_loop_fd(w->loop), .events = POLLIN};
    static uint8_t text[TEXT];
    size_t before = e->echoed;

    for (size_t i = 0; i < TEXT; i++)
        text[i] = (uint8_t)i;
    sotto_timer_start(w->patience, PATIENCE_S * 1000);
    if (e->conn != NULL)
        say(e, text, TEXT);
    IN(sotto_loop_dispatch(w->loop));
    while (e->conn != NULL && e->echoed == before) {
        assert_false(w->late);
        (void)poll(&p, 1, -1);
        IN(sotto_loop_dispatch(w->loop));
    }
}

static void dial(struct world *w, struct end *e)
{
    enum sotto_err err;

    e->w = w;
    IN(err = sotto_conn_dial(w->loop, "127.0.0.1", w->port, w->client, 2 * PATIENCE_S * 1000,
                             &ops.conn, e, &e->conn));
    if (err != 0) {
        assert_int_equal(err, SOTTO_ERR_NOMEM);
        e->conn = NULL;
        return;
    }
    talk(w, e);
}

/* One talks, another one comes, the first talks again. Then all is well again. */
static void play(enum scarce_whose whose, unsigned long n)
{
    struct world w;
    bool began, happened;
    size_t over = 0;

    /* An algorithm that OpenSSL has no memory to look for is one that it does not have: contexts
     * that are made so serve nobody, and it says nothing. */
    scarce_from_now(whose, whose == SCARCE_OURS ? n : 0);
    IN(began = begin(&w));
    if (!began)
        assert_true(scarce_happened());
    if (began) {
        if (whose == SCARCE_OPENSSL)
            scarce_from_now(whose, n);
        dial(&w, &w.people[0]);
        dial(&w, &w.people[1]);
        if (w.people[0].conn != NULL)
            talk(&w, &w.people[0]);
        for (size_t i = 0; i < 2; i++)
            over += w.people[i].conn == NULL;
        happened = scarce_happened();
        assert_true(over <= happened);
        dial(&w, &w.people[2]);
        assert_int_equal(w.people[2].echoed, 1);
        for (size_t i = 0; i < 2; i++)
            if (w.people[i].conn != NULL)
                talk(&w, &w.people[i]);
        for (size_t i = 0; i < 2; i++)
            over -= w.people[i].conn == NULL;
        assert_int_equal(over, 0);
    }
    finish(&w);
}

/* --- the cases --- */

static void try_all(enum scarce_whose whose, unsigned long step)
{
    unsigned long tried = 0;
    size_t before;
    bool happened;

    for (int i = 0; i < 3; i++)
        play(whose, 0); /* what is kept for ever is made with the first */
    before = scarce_blocks();
    do {
        play(whose, tried * step + 1);
        happened = scarce_happened();
        if (scarce_blocks() != before)
            fail_msg("request %lu: %zu blocks, %zu before", tried * step + 1, scarce_blocks(),
                     before);
        tried += happened;
    } while (happened);
    assert_true(tried > 20);
    assert_int_equal(bugs, 0);
}

static void no_memory_of_ours(void **state)
{
    try_all(SCARCE_OURS, 1);
}

static void no_memory_of_openssl(void **state)
{
    try_all(SCARCE_OPENSSL, OPENSSL_STEP);
}

/* --- certificates --- */

static bool same_file(const char *name, const uint8_t *before, size_t len)
{
    size_t n;
    uint8_t *now = file_read(folder_file(&dir, name), &n);
    bool same = n == len && memcmp(now, before, n) == 0;

    free(now);
    return same;
}

/* A pair that there is no memory to read is never taken for one that is missing. */
static void a_pair_stays(enum scarce_whose whose)
{
    size_t key_len, cert_len, tried = 0;
    uint8_t *key = file_read(folder_file(&dir, "cert/server_key.pem"), &key_len);
    uint8_t *cert = file_read(folder_file(&dir, "cert/server_cert.pem"), &cert_len);
    struct sotto_cert *c;
    char why[256] = "";
    enum sotto_err e;

    do {
        c = NULL;
        scarce_from_now(whose, ++tried);
        IN(e = sotto_cert_server(folder_file(&dir, "cert"), "127.0.0.1", &c, why, sizeof why));
        sotto_cert_free(c);
        assert_true(same_file("cert/server_key.pem", key, key_len));
        assert_true(same_file("cert/server_cert.pem", cert, cert_len));
    } while (scarce_happened());
    assert_true(tried > 1);
    assert_int_equal(e, SOTTO_OK);
    free(key);
    free(cert);
}

/* Whatever fails while one is made: the next start makes or takes a whole one. */
static void a_pair_is_made(enum scarce_whose whose, unsigned long step)
{
    struct sotto_cert *c;
    char why[256] = "", name[64];
    unsigned long n = 1;
    bool happened;

    do {
        snprintf(name, sizeof name, "made-%d-%lu", whose, n);
        c = NULL;
        scarce_from_now(whose, n);
        IN((void)sotto_cert_server(folder_file(&dir, name), "127.0.0.1", &c, why, sizeof why));
        happened = scarce_happened();
        sotto_cert_free(c);
        if (sotto_cert_server(folder_file(&dir, name), "127.0.0.1", &c, why, sizeof why) != 0)
            fail_msg("request %lu: %s", n, why);
        sotto_cert_free(c);
        n += step;
    } while (happened);
}

static void no_memory_for_a_certificate(void **state)
{
    a_pair_stays(SCARCE_OURS);
    a_pair_stays(SCARCE_OPENSSL);
    a_pair_is_made(SCARCE_OURS, 1);
    a_pair_is_made(SCARCE_OPENSSL, OPENSSL_STEP);
    assert_int_equal(bugs, 0);
}

static int setup(void **state)
{
    char why[256] = "";
    struct sotto_cert *c;

    sotto_log_set(count_bugs, NULL, SOTTO_LOG_BUG);
    folder_make(&dir);
    if (sotto_cert_server(folder_file(&dir, "cert"), "127.0.0.1", &c, why, sizeof why) != 0)
        return -1;
    sotto_cert_pin(c, pin);
    sotto_cert_free(c);
    return 0;
}

static int teardown(void **state)
{
    folder_remove(&dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_memory_of_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_of_openssl, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_for_a_certificate, setup, teardown),
    };

    scarce_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
