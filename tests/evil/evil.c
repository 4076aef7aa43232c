/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evil DIR PORT: a relay on 127.0.0.1 with certificate, accounts and store as sottod has them, and
 * something between its core and the wire (twist.h). A man in the middle could not do this: the
 * proofs of devices are bound to the connection. Commands come on stdin; the end of stdin ends it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/conn.h"
#include "relay/relay.h"
#include "run/relay/open.h"
#include "twist.h"
#include "wire/invite.h"

#define WHY  1024
#define LINE (64 * 1024)

struct server;
struct link {
    struct server *s;
    struct link *next, *prev;
    struct sotto_conn *net;
    struct sotto_relay_conn *core; /* NULL until TLS is up */
    struct evil_peer peer;
};

struct server {
    struct sotto_relay_options o;
    struct sotto_relay_parts parts;
    struct sotto_rs_identity self;
    struct sotto_relay *relay;
    struct sotto_loop *loop;
    struct sotto_tls *tls;
    struct sotto_listener *listener;
    struct sotto_timer *timer;
    struct sotto_idle *idle;
    struct sotto_signal *term;
    struct sotto_watch *input;
    struct link *links;
    struct evil evil;
    size_t line_len;
    char line[LINE];
};

/* --- connections --- */

static void link_free(struct link *l)
{
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        l->s->links = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    if (l->core != NULL)
        sotto_relay_closed(l->core);
    evil_peer_free(&l->peer);
    free(l);
}

static void *accepted(void *ctx, struct sotto_conn *c, const char *address)
{
    struct server *s = ctx;
    struct link *l = calloc(1, sizeof *l);

    (void)address;
    if (l == NULL)
        return NULL;
    l->s = s;
    l->net = c;
    evil_peer_init(&l->peer, &s->evil);
    l->next = s->links;
    if (l->next != NULL)
        l->next->prev = l;
    s->links = l;
    return l;
}

static void up(void *ctx, struct sotto_conn *c, const struct sotto_tls_info *info)
{
    struct link *l = ctx;
    struct sotto_relay_peer peer = {.has_pin = info->has_peer_pin};

    (void)c;
    memcpy(peer.exporter, info->exporter, sizeof peer.exporter);
    memcpy(peer.pin, info->peer_pin, sizeof peer.pin);
    snprintf(peer.address, sizeof peer.address, "%s", info->address);
    if (sotto_relay_open(l->s->relay, &peer, l, &l->core) != 0)
        evil_fail("out of memory");
}

static void say(struct link *l, const struct sotto_buf *out)
{
    if (out->n > 0 && sotto_conn_write(l->net, out->p, out->n) != 0)
        sotto_log_local("what was to be said could not be queued");
}

static void frame(void *ctx, struct sotto_conn *c, const uint8_t *body, size_t len)
{
    SOTTO_AUTO_BUF out = SOTTO_BUF(8 * 1024 * 1024);
    struct link *l = ctx;

    if (evil_request(&l->peer, body, len, &out))
        sotto_relay_frame(l->core, body, len);
    say(l, &out);
    sotto_relay_sent(l->core, sotto_conn_pending(c));
    sotto_conn_read(c, sotto_relay_wants_input(l->core));
}

static void writable(void *ctx, struct sotto_conn *c)
{
    struct link *l = ctx;

    sotto_relay_sent(l->core, sotto_conn_pending(c));
}

static void down(void *ctx, struct sotto_conn *c, enum sotto_err why, const char *detail,
                 const struct sotto_tls_info *info)
{
    (void)why;
    (void)info;
    sotto_log_info("disconnected: %s", detail);
    link_free(ctx);
    sotto_conn_free(c);
}

/* --- the turn --- */

static void flush(struct link *l)
{
    SOTTO_AUTO_BUF twisted = SOTTO_BUF(512 * 1024 * 1024);
    struct sotto_bytes out = sotto_relay_output(l->core);
    size_t at = 0, len;

    for (; at < out.n; at += SOTTO_FRAME_HEADER + len) {
        len = sotto_get_u32(out.p + at);
        evil_answer(&l->peer, out.p + at + SOTTO_FRAME_HEADER, len, &twisted);
    }
    sotto_relay_taken(l->core);
    say(l, &twisted);
    if (sotto_relay_ending(l->core)) {
        sotto_conn_finish(l->net);
        link_free(l);
        return;
    }
    sotto_relay_sent(l->core, sotto_conn_pending(l->net));
    sotto_conn_read(l->net, sotto_relay_wants_input(l->core));
}

static void sync_store(struct server *s)
{
    if (!sotto_relay_sync_due(s->relay))
        return;
    sotto_relay_sync_begun(s->relay);
    if (sotto_rs_sync(s->parts.store) != 0)
        evil_fail("the disk failed");
    sotto_relay_synced(s->relay);
}

static void turn(void *ctx)
{
    struct server *s = ctx;
    struct sotto_relay_conn *c;
    uint64_t now, at;

    do {
        if (sotto_relay_turn(s->relay) != 0)
            evil_fail("the disk failed");
        sync_store(s);
        while ((c = sotto_relay_next(s->relay)) != NULL)
            flush(sotto_relay_ctx(c));
    } while ((at = sotto_relay_deadline(s->relay)) == 0);
    now = sotto_mono_ms(sotto_env_system());
    sotto_timer_start(s->timer, at > now ? at - now : 0);
}

static void tick(void *ctx)
{
    struct server *s = ctx;

    sotto_relay_tick(s->relay);
}

/* --- commands --- */

static void on_stop(void *ctx)
{
    struct server *s = ctx;

    sotto_loop_stop(s->loop);
}

static void on_input(void *ctx, int events)
{
    struct server *s = ctx;
    ssize_t n = read(STDIN_FILENO, s->line + s->line_len, LINE - s->line_len);
    char *end;

    (void)events;
    if (n <= 0) {
        sotto_loop_stop(s->loop);
        return;
    }
    s->line_len += (size_t)n;
    while ((end = memchr(s->line, '\n', s->line_len)) != NULL) {
        size_t len = (size_t)(end - s->line);

        *end = '\0';
        evil_command(&s->evil, s->line);
        s->line_len -= len + 1;
        memmove(s->line, end + 1, s->line_len);
    }
}

/* --- start and stop --- */

/* Without limits: a test does in a minute what a person does in a day. */
static void set_options(struct server *s, char **argv)
{
    struct sotto_relay_config *c = &s->o.relay;
    char why[WHY];

    (void)sotto_relay_options_init(&s->o);
    if (sotto_relay_options_set(&s->o, "data", argv[1], why, sizeof why) != 0)
        evil_fail(why);
    s->o.listen_count = 1;
    snprintf(s->o.listen[0].host, sizeof s->o.listen[0].host, "127.0.0.1");
    s->o.listen[0].port = (uint16_t)strtoul(argv[2], NULL, 10);
    c->bytes_per_second = c->sign_ins_per_minute = c->sign_ups_per_hour = 0;
    c->bundles_per_hour = c->strangers_per_hour = c->lock_minutes = 0;
    c->pin_count = 1;
}

static void listen_on(struct server *s)
{
    static const struct sotto_listen_limits limits = {.handshake_ms = 60 * 1000};
    static const struct sotto_listener_ops ops = {
        .conn = {.up = up, .frame = frame, .writable = writable, .down = down},
        .accepted = accepted,
    };
    struct sotto_relay_address *a = &s->o.listen[0];
    char why[WHY], address[SOTTO_RELAY_ADDRESS_TEXT], pin[SOTTO_PIN_TEXT];

    if (sotto_listen(s->loop, a->host, a->port, s->tls, &limits, &ops, s, &s->listener, &a->port,
                     why, sizeof why) != 0)
        evil_fail(why);
    sotto_relay_address_print(a, address);
    if (sotto_rs_address_put(s->parts.store, address) != 0)
        evil_fail("the store cannot be written");
    sotto_pin_print(s->o.relay.pins[0], pin);
    printf("evil ready %s pin %s\n", address, pin);
    fflush(stdout);
}

static void start(struct server *s)
{
    char why[WHY];

    if (sotto_relay_parts_open(&s->parts, &s->o, true, true, why, sizeof why) != 0)
        evil_fail(why);
    sotto_cert_pin(s->parts.cert, s->o.relay.pins[0]);
    if ((s->loop = sotto_loop_new()) == NULL ||
        sotto_tls_server(s->parts.cert, s->o.relay.client_certificates, &s->tls) != 0 ||
        sotto_relay_new(sotto_env_system(), s->parts.store, &s->o.relay, &s->relay) != 0 ||
        sotto_rs_identity_load(s->parts.store, sotto_env_system(), &s->self) != 0 ||
        (s->timer = sotto_timer_new(s->loop, tick, s)) == NULL ||
        (s->idle = sotto_before_sleep(s->loop, turn, s)) == NULL ||
        (s->term = sotto_signal_new(s->loop, SIGTERM, on_stop, s)) == NULL ||
        (s->input = sotto_watch_new(s->loop, STDIN_FILENO, on_input, s)) == NULL)
        evil_fail("it does not start");
    sotto_watch_set(s->input, SOTTO_WATCH_READ);
    evil_init(&s->evil, &s->self.key);
    listen_on(s);
}

static void stop(struct server *s)
{
    sotto_listener_free(s->listener);
    while (s->links != NULL) {
        sotto_conn_free(s->links->net);
        link_free(s->links);
    }
    sotto_watch_free(s->input);
    sotto_signal_free(s->term);
    sotto_idle_free(s->idle);
    sotto_timer_free(s->timer);
    sotto_relay_free(s->relay);
    sotto_relay_parts_close(&s->parts);
    sotto_rs_identity_wipe(&s->self);
    sotto_tls_free(s->tls);
    sotto_loop_free(s->loop);
    evil_free(&s->evil);
}

int main(int argc, char **argv)
{
    struct server *s = calloc(1, sizeof *s);

    if (argc != 3 || s == NULL)
        evil_fail("usage: evil DIR PORT");
    (void)signal(SIGPIPE, SIG_IGN);
    sotto_log_set(sotto_log_stderr, NULL, SOTTO_LOG_INFO);
    set_options(s, argv);
    start(s);
    sotto_loop_run(s->loop);
    stop(s);
    free(s);
    return 0;
}
