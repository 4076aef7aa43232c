/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret.h"
#include "net/conn_internal.h"

enum {
    /* What one connection may do in one turn of the loop before the others have theirs. */
    TURN_FRAMES = 64,
    TURN_READ = 64 * 1024,
    TURN_WRITE = 256 * 1024,
    FINISH_MS = 2000,
    /* A peer that vanished without a word is found in two minutes. */
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 15,
    KEEPALIVE_PROBES = 4,
    DETAIL_ROOM = 512,
};

static void conn_work(struct sotto_job *job);
static void conn_output(struct sotto_job *job);
static void conn_step(struct sotto_conn *c, bool in, bool out);
static const struct sotto_socket_ops socket_ops;

/* Life */

static const struct sotto_conn_ops nobody;

struct sotto_conn *sotto_conn_new(struct sotto_loop *l, const struct sotto_conn_ops *ops, void *ctx)
{
    struct sotto_conn *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    if (sotto_socket_init(&c->socket, sotto_loop_sockets(l), &socket_ops) != 0) {
        free(c);
        return NULL;
    }
    c->loop = l;
    c->ops = ops;
    c->ctx = ctx;
    c->reading = true;
    sotto_job_init(&c->work, conn_work);
    sotto_job_init(&c->output, conn_output);
    return c;
}

static bool input_begin(struct sotto_conn *c)
{
    if (c->input != NULL)
        return true;
    if ((c->input = calloc(1, sizeof *c->input)) == NULL)
        return false;
    c->input->rest = SOTTO_BUF(SOTTO_LOOP_SCRATCH);
    return true;
}

static void input_free(struct sotto_conn *c)
{
    if (c->input == NULL)
        return;
    sotto_stream_free(&c->input->stream);
    sotto_buf_free(&c->input->rest);
    free(c->input);
    c->input = NULL;
}

static bool rest_waits(const struct sotto_conn *c)
{
    return c->input != NULL && c->input->rest.n > 0;
}

static void conn_release(struct sotto_job *job)
{
    struct sotto_conn *c = SOTTO_CONTAINER(job, struct sotto_conn, work);

    input_free(c);
    sotto_queue_free(&c->queue);
    free(c);
}

/* Everything but the memory, which callbacks up the stack may still be looking at. */
static void disconnect(struct sotto_conn *c)
{
    sotto_job_cancel(&c->work);
    sotto_job_cancel(&c->output);
    sotto_socket_due(&c->socket, UINT64_MAX);
    sotto_dial_free(c->dial);
    c->dial = NULL;
    /* An honest end: nothing that we owe is missing. Whether it gets out is not waited for. */
    if (c->state == SOTTO_CONN_UP && c->queue.n == 0 && !c->write_failed)
        (void)sotto_link_shutdown(c->link);
    sotto_link_free(c->link);
    c->link = NULL;
    sotto_socket_close(&c->socket);
}

void sotto_conn_free(struct sotto_conn *c)
{
    if (c == NULL || c->state == SOTTO_CONN_DEAD)
        return;
    disconnect(c);
    if (c->state == SOTTO_CONN_FINISHING)
        sotto_loop_lingering(c->loop, -1);
    c->state = SOTTO_CONN_DEAD;
    sotto_socket_end(&c->socket);
    sotto_job_init(&c->work, conn_release);
    sotto_loop_work(c->loop, &c->work);
}

static void go_down(struct sotto_conn *c, enum sotto_err e, const char *detail,
                    const struct sotto_tls_info *info)
{
    if (c->state == SOTTO_CONN_FINISHING) { /* nobody is there to be told */
        sotto_conn_free(c);
        return;
    }
    if (c->state == SOTTO_CONN_DOWN || c->state == SOTTO_CONN_DEAD)
        return;
    disconnect(c);
    c->state = SOTTO_CONN_DOWN;
    if (c->ops->down != NULL)
        c->ops->down(c->ctx, c, e, detail, info);
}

void sotto_conn_fail(struct sotto_conn *c, enum sotto_err e, const char *fmt, ...)
{
    char detail[DETAIL_ROOM];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    go_down(c, e, detail, NULL);
}

/* Names the cause that the TLS layer found. */
static void fail_link(struct sotto_conn *c)
{
    bool up = c->state == SOTTO_CONN_UP;
    char peer[SOTTO_ADDRESS_TEXT], why[256], pin[64], detail[DETAIL_ROOM];
    struct sotto_tls_info info;
    enum sotto_err e = sotto_link_why(c->link, why, sizeof why);

    sotto_address_port_text(&c->peer, peer);
    if (e == SOTTO_ERR_PIN) {
        (void)sotto_link_info(c->link, &info);
        sotto_address_text(&c->peer, info.address);
        sotto_base64_encode(info.peer_pin, sizeof info.peer_pin, pin);
        snprintf(detail, sizeof detail, "%s shows the key sha256:%s: %s", peer, pin, why);
        go_down(c, e, detail, &info);
    } else if (e == SOTTO_ERR_TLS) {
        sotto_conn_fail(c, e, "%s with %s failed: %s", up ? "TLS" : "the TLS handshake", peer, why);
    } else {
        sotto_conn_fail(c, e, "%s with %s broke off: %s",
                        up ? "the connection" : "the TLS handshake", peer, why);
    }
}

/* Socket */

static void on_ready(struct sotto_socket *s, int events, bool broken)
{
    struct sotto_conn *c = SOTTO_CONTAINER(s, struct sotto_conn, socket);

    if (broken) { /* the error itself is found by the next call */
        c->hung_up = true;
        events = UV_READABLE | UV_WRITABLE;
    }
    if (c->state == SOTTO_CONN_DIALLING)
        sotto_dial_ready(c);
    else
        conn_step(c, (events & UV_READABLE) != 0, (events & UV_WRITABLE) != 0);
}

void sotto_conn_attach(struct sotto_conn *c, int fd)
{
    sotto_socket_open(&c->socket, fd);
    c->hung_up = false;
}

void sotto_conn_watch(struct sotto_conn *c, int events)
{
    if (sotto_socket_watch(&c->socket, c->hung_up ? 0 : events))
        return;
    c->hung_up = true; /* the kernel has no room: as good as broken */
    sotto_loop_work(c->loop, &c->work);
}

/* Chooses what to wait for. While bytes wait in `input` the loop's work list wakes us. */
static void watch(struct sotto_conn *c)
{
    int events = 0;

    switch (c->state) {
    case SOTTO_CONN_TLS:
        events = c->handshake_events;
        break;
    case SOTTO_CONN_UP:
        if (c->reading && !rest_waits(c))
            events |= UV_READABLE | (c->read_wants_write ? UV_WRITABLE : 0);
        break;
    case SOTTO_CONN_FINISHING:
        if (!c->input_ended)
            events |= UV_READABLE;
        break;
    default:
        return;
    }
    if (c->write_blocked)
        events |= UV_WRITABLE;
    sotto_conn_watch(c, events);
}

/* Time */

static uint64_t sum(uint64_t from, uint64_t ms)
{
    return ms > UINT64_MAX - from ? UINT64_MAX : from + ms;
}

static uint64_t idle_at(const struct sotto_conn *c)
{
    return c->idle_ms > 0 && c->reading ? sum(c->last_in, c->idle_ms) : UINT64_MAX;
}

static uint64_t stall_at(const struct sotto_conn *c)
{
    return c->stall_ms > 0 && c->write_blocked ? sum(c->last_out, c->stall_ms) : UINT64_MAX;
}

static uint64_t next_deadline(const struct sotto_conn *c)
{
    uint64_t idle, stall;

    switch (c->state) {
    case SOTTO_CONN_DIALLING:
        return sotto_dial_deadline(c);
    case SOTTO_CONN_TLS:
    case SOTTO_CONN_FINISHING:
        return c->deadline;
    case SOTTO_CONN_UP:
        idle = idle_at(c);
        stall = stall_at(c);
        return idle < stall ? idle : stall;
    default:
        return UINT64_MAX;
    }
}

static void expire(struct sotto_conn *c)
{
    char peer[SOTTO_ADDRESS_TEXT];

    sotto_address_port_text(&c->peer, peer);
    switch (c->state) {
    case SOTTO_CONN_DIALLING:
        sotto_dial_expired(c);
        break;
    case SOTTO_CONN_TLS:
        sotto_conn_fail(c, SOTTO_ERR_TIMEOUT, "%s did not finish the TLS handshake within %g s",
                        peer, c->limit_ms / 1000.0);
        break;
    case SOTTO_CONN_UP:
        if (stall_at(c) <= sotto_loop_now(c->loop))
            sotto_conn_fail(c, SOTTO_ERR_TIMEOUT, "%s took no data for %g s", peer,
                            c->stall_ms / 1000.0);
        else
            sotto_conn_fail(c, SOTTO_ERR_TIMEOUT, "%s sent nothing for %g s", peer,
                            c->idle_ms / 1000.0);
        break;
    default:
        sotto_conn_free(c);
        break;
    }
}

static void on_expired(struct sotto_socket *s)
{
    struct sotto_conn *c = SOTTO_CONTAINER(s, struct sotto_conn, socket);

    if (next_deadline(c) <= sotto_loop_now(c->loop))
        expire(c);
    else
        sotto_conn_set_timer(c);
}

static const struct sotto_socket_ops socket_ops = {on_ready, on_expired};

/* A deadline that moves further away leaves the timer alone; it looks again when it fires. So
 * traffic costs a timer nothing. */
void sotto_conn_set_timer(struct sotto_conn *c)
{
    uint64_t at = next_deadline(c);

    if (at < c->socket.due)
        sotto_socket_due(&c->socket, at);
}

/* Input */

/* Hands out frames from `in` while the owner wants them and the turn's share lasts. False: the
 * connection is not up any more. */
static bool hand_out(struct sotto_conn *c, struct sotto_reader *in, int *share)
{
    struct sotto_bytes frame;
    char peer[SOTTO_ADDRESS_TEXT];
    enum sotto_err e;

    while (c->reading && *share > 0) {
        e = sotto_stream_next(&c->input->stream, in, &frame);
        if (e == SOTTO_ERR_AGAIN)
            return true;
        if (e != 0) {
            sotto_address_port_text(&c->peer, peer);
            sotto_conn_fail(c, e, "%s sent a frame that was not taken: %s", peer,
                            sotto_err_text(e));
            return false;
        }
        --*share;
        if (c->ops->frame != NULL)
            c->ops->frame(c->ctx, c, frame.p, frame.n);
        if (c->state != SOTTO_CONN_UP)
            return false;
    }
    return true;
}

static bool hand_out_rest(struct sotto_conn *c, int *share)
{
    struct sotto_buf *rest = &c->input->rest;
    struct sotto_reader in;

    sotto_reader_init(&in, rest->p, rest->n);
    if (!hand_out(c, &in, share))
        return false;
    sotto_buf_consume(rest, rest->n - sotto_reader_left(&in));
    if (rest->n == 0)
        sotto_buf_free(rest);
    return true;
}

static void no_memory(struct sotto_conn *c)
{
    sotto_conn_fail(c, SOTTO_ERR_NOMEM, "%s", sotto_err_text(SOTTO_ERR_NOMEM));
}

/* What the owner did not want in the middle of a record. */
static bool keep_rest(struct sotto_conn *c, const struct sotto_reader *in)
{
    if (sotto_reader_left(in) == 0)
        return true;
    if (sotto_buf_add(&c->input->rest, in->p, sotto_reader_left(in)) == 0)
        return true;
    no_memory(c);
    return false;
}

static bool hand_out_fresh(struct sotto_conn *c, const uint8_t *p, size_t n, int *share)
{
    struct sotto_reader in;

    sotto_reader_init(&in, p, n);
    return hand_out(c, &in, share) && keep_rest(c, &in);
}

static void peer_closed(struct sotto_conn *c)
{
    char peer[SOTTO_ADDRESS_TEXT];

    sotto_address_port_text(&c->peer, peer);
    if (sotto_stream_partial(&c->input->stream))
        sotto_conn_fail(c, SOTTO_ERR_IO, "%s closed the connection in the middle of a frame", peer);
    else
        sotto_conn_fail(c, SOTTO_ERR_CLOSED, "%s closed the connection", peer);
}

static bool take_input(struct sotto_conn *c)
{
    uint8_t *scratch = sotto_loop_scratch(c->loop);
    int share = TURN_FRAMES;
    size_t n, total = 0;

    if (rest_waits(c) && !hand_out_rest(c, &share))
        return false;
    sotto_link_readable(c->link);
    while (c->reading && !rest_waits(c) && share > 0 && total < TURN_READ) {
        switch (sotto_link_read(c->link, scratch, SOTTO_LOOP_SCRATCH, &n)) {
        case SOTTO_LINK_OK:
            c->read_wants_write = false;
            c->last_in = sotto_loop_now(c->loop);
            total += n;
            share -= n == 0;
            if (!hand_out_fresh(c, scratch, n, &share))
                return false;
            if (!rest_waits(c) && sotto_link_empty(c->link))
                return true;
            break;
        case SOTTO_LINK_WANT_READ:
            c->read_wants_write = false;
            return true;
        case SOTTO_LINK_WANT_WRITE:
            c->read_wants_write = true;
            return true;
        case SOTTO_LINK_CLOSED:
            peer_closed(c);
            return false;
        case SOTTO_LINK_FAILED:
            fail_link(c);
            return false;
        }
    }
    return false;
}

/* True: the socket is empty. False: not up any more, or more may be there. */
static bool read_turn(struct sotto_conn *c)
{
    bool drained;

    if (!input_begin(c)) {
        no_memory(c);
        return false;
    }
    drained = take_input(c);
    if (!rest_waits(c) && !sotto_stream_partial(&c->input->stream))
        input_free(c);
    return drained;
}

static void broke_off(struct sotto_conn *c, const char *when)
{
    char peer[SOTTO_ADDRESS_TEXT];

    sotto_address_port_text(&c->peer, peer);
    sotto_conn_fail(c, SOTTO_ERR_IO, "the connection with %s broke off%s", peer, when);
}

static void read_input(struct sotto_conn *c)
{
    bool drained = read_turn(c);

    if (c->state != SOTTO_CONN_UP || !c->reading)
        return;
    /* epoll reports neither what is in `input` or in the link nor, after an error, what is in the
     * socket. */
    if (rest_waits(c) || (!drained && (c->hung_up || sotto_link_holds(c->link))))
        sotto_loop_work(c->loop, &c->work);
    else if (c->hung_up)
        broke_off(c, ""); /* the error itself was told to a call that did not care */
}

/* Output */

/* Sends what it can, without callbacks. */
static void send_output(struct sotto_conn *c)
{
    bool was_blocked = c->write_blocked;
    size_t n, total = 0;

    c->write_blocked = false;
    while (c->queue.n > 0 && total < TURN_WRITE) {
        struct sotto_bytes front = sotto_queue_front(&c->queue);

        switch (sotto_link_write(c->link, front.p, front.n, &n)) {
        case SOTTO_LINK_OK:
            sotto_queue_consume(&c->queue, n);
            total += n;
            break;
        case SOTTO_LINK_WANT_READ:
        case SOTTO_LINK_WANT_WRITE:
            c->write_blocked = true;
            break;
        case SOTTO_LINK_CLOSED:
        case SOTTO_LINK_FAILED:
            c->write_failed = true;
            break;
        }
        if (c->write_blocked || c->write_failed)
            break;
    }
    if (total > 0 || !was_blocked) /* a stall begins with the first refusal */
        c->last_out = sotto_loop_now(c->loop);
    if (c->queue.n > 0 && !c->write_blocked && !c->write_failed)
        sotto_loop_output(c->loop, &c->output);
    if (c->write_failed || (c->above_high && c->queue.n < SOTTO_CONN_LOW))
        sotto_loop_work(c->loop, &c->work);
}

/* The peer is gone for output. What it said before may tell why, and is still wanted. */
static void output_failed(struct sotto_conn *c)
{
    bool drained = true;

    if (c->reading)
        drained = read_turn(c);
    if (c->state != SOTTO_CONN_UP)
        return;
    if (c->reading && !drained)
        sotto_loop_work(c->loop, &c->work);
    else
        broke_off(c, " while sending");
}

/* FINISHING: the queue, close_notify, end of output, then the peer's rest is thrown away until it
 * hangs up too. Closing with unread input would reset the connection, and the peer could lose
 * what was sent last. */
static void finish_output(struct sotto_conn *c)
{
    enum sotto_link_status s;

    send_output(c);
    if (c->write_failed) {
        sotto_loop_work(c->loop, &c->work);
        return;
    }
    if (c->queue.n > 0 || c->notify_sent)
        return;
    s = sotto_link_shutdown(c->link);
    if (s == SOTTO_LINK_WANT_WRITE || s == SOTTO_LINK_WANT_READ) {
        c->write_blocked = true;
        return;
    }
    c->notify_sent = true;
    (void)shutdown(c->socket.fd, SHUT_WR);
    if (c->input_ended)
        sotto_loop_work(c->loop, &c->work);
}

static void finish_input(struct sotto_conn *c)
{
    ssize_t n;

    for (size_t total = 0; !c->input_ended && total < TURN_READ; total += (size_t)n) {
        n = recv(c->socket.fd, sotto_loop_scratch(c->loop), SOTTO_LOOP_SCRATCH, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            c->input_ended = true;
            return;
        }
    }
    if (c->hung_up)
        sotto_loop_work(c->loop, &c->work);
}

static void finish_step(struct sotto_conn *c, bool in)
{
    if (in)
        finish_input(c);
    if (!c->notify_sent && !c->write_failed)
        finish_output(c);
    if (c->write_failed || (c->input_ended && c->notify_sent))
        sotto_conn_free(c);
}

/* Handshake */

static void go_up(struct sotto_conn *c)
{
    struct sotto_tls_info info;

    if (!sotto_link_info(c->link, &info)) {
        sotto_conn_fail(c, SOTTO_ERR_TLS, "the TLS handshake failed: out of memory");
        return;
    }
    sotto_address_text(&c->peer, info.address);
    c->state = SOTTO_CONN_UP;
    c->last_in = sotto_loop_now(c->loop);
    if (c->ops->up != NULL)
        c->ops->up(c->ctx, c, &info);
    sotto_wipe(&info, sizeof info);
    if (c->state == SOTTO_CONN_UP && c->queue.n > 0)
        sotto_loop_output(c->loop, &c->output);
    /* What came right behind: the end, or data. */
    if (c->state == SOTTO_CONN_UP && (c->hung_up || sotto_link_holds(c->link)))
        sotto_loop_work(c->loop, &c->work);
}

static void handshake(struct sotto_conn *c)
{
    sotto_link_readable(c->link);
    switch (sotto_link_handshake(c->link)) {
    case SOTTO_LINK_OK:
        go_up(c);
        break;
    case SOTTO_LINK_WANT_READ:
        c->handshake_events = UV_READABLE;
        break;
    case SOTTO_LINK_WANT_WRITE:
        c->handshake_events = UV_WRITABLE;
        break;
    case SOTTO_LINK_CLOSED:
    case SOTTO_LINK_FAILED:
        fail_link(c);
        break;
    }
    if (c->state == SOTTO_CONN_TLS && c->hung_up)
        broke_off(c, " during the TLS handshake");
}

static void set_socket_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1}, /* else 40 ms for each round trip */
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof options[i].value) != 0)
            sotto_log_local("socket option %d: %s", options[i].name, strerror(errno));
    }
}

enum sotto_err sotto_conn_start_tls(struct sotto_conn *c, struct sotto_tls *tls, const char *host)
{
    set_socket_options(c->socket.fd);
    if ((c->link = sotto_link_new(sotto_loop_pipe(c->loop), tls, c->socket.fd, host)) == NULL)
        return SOTTO_ERR_NOMEM;
    c->state = SOTTO_CONN_TLS;
    c->handshake_events = host == NULL ? UV_READABLE : UV_WRITABLE;
    sotto_conn_set_timer(c);
    watch(c);
    return SOTTO_OK;
}

/* Turns */

static void conn_step(struct sotto_conn *c, bool in, bool out)
{
    if (c->state == SOTTO_CONN_TLS)
        handshake(c);
    else if (c->state == SOTTO_CONN_FINISHING)
        finish_step(c, in);
    else if (c->state == SOTTO_CONN_UP) {
        if (out && c->write_blocked)
            send_output(c);
        if (c->write_failed)
            sotto_loop_work(c->loop, &c->work);
        else if (in || (out && c->read_wants_write))
            read_input(c);
    }
    watch(c);
    sotto_conn_set_timer(c);
}

static void conn_work(struct sotto_job *job)
{
    struct sotto_conn *c = SOTTO_CONTAINER(job, struct sotto_conn, work);

    if (c->state == SOTTO_CONN_DIALLING) {
        if (c->hung_up)
            no_memory(c);
        else
            sotto_dial_begin(c);
        return;
    }
    if (c->state == SOTTO_CONN_TLS)
        handshake(c);
    if (c->state == SOTTO_CONN_FINISHING) {
        conn_step(c, true, true);
        return;
    }
    if (c->state == SOTTO_CONN_UP && c->write_failed)
        output_failed(c);
    if (c->state == SOTTO_CONN_UP && c->above_high && c->queue.n < SOTTO_CONN_LOW) {
        c->above_high = false;
        if (c->ops->writable != NULL)
            c->ops->writable(c->ctx, c);
    }
    if (c->state == SOTTO_CONN_UP && c->reading &&
        (rest_waits(c) || c->hung_up || sotto_link_holds(c->link)))
        read_input(c);
    watch(c);
    sotto_conn_set_timer(c);
}

static void conn_output(struct sotto_job *job)
{
    struct sotto_conn *c = SOTTO_CONTAINER(job, struct sotto_conn, output);

    if (c->state == SOTTO_CONN_UP && !c->write_blocked && !c->write_failed)
        send_output(c);
    else if (c->state == SOTTO_CONN_FINISHING && !c->write_blocked)
        finish_output(c);
    watch(c);
    sotto_conn_set_timer(c);
}

/* What the owner calls; none of these calls back */

enum sotto_err sotto_conn_write(struct sotto_conn *c, const void *data, size_t len)
{
    enum sotto_err e;

    if (c->state >= SOTTO_CONN_FINISHING)
        return SOTTO_ERR_CLOSED;
    if ((e = sotto_queue_add(&c->queue, data, len)) != 0)
        return e;
    if (c->queue.n > SOTTO_CONN_HIGH)
        c->above_high = true;
    if (c->state == SOTTO_CONN_UP && !c->write_blocked)
        sotto_loop_output(c->loop, &c->output);
    return SOTTO_OK;
}

size_t sotto_conn_pending(const struct sotto_conn *c)
{
    return c->queue.n;
}

void sotto_conn_read(struct sotto_conn *c, bool on)
{
    if (c->reading == on)
        return;
    c->reading = on;
    if (c->state != SOTTO_CONN_UP)
        return;
    if (on) {
        uv_update_time(sotto_loop_uv(c->loop));
        c->last_in = sotto_loop_now(c->loop);
        sotto_loop_work(c->loop, &c->work);
    } else {
        watch(c);
    }
}

void sotto_conn_finish(struct sotto_conn *c)
{
    if (c == NULL)
        return;
    if (c->state != SOTTO_CONN_UP || c->write_failed) {
        sotto_conn_free(c);
        return;
    }
    c->state = SOTTO_CONN_FINISHING;
    c->ops = &nobody;
    c->ctx = NULL;
    sotto_loop_lingering(c->loop, 1);
    uv_update_time(sotto_loop_uv(c->loop));
    c->deadline = sum(sotto_loop_now(c->loop), FINISH_MS);
    sotto_conn_set_timer(c);
    if (!c->write_blocked)
        sotto_loop_output(c->loop, &c->output);
    watch(c);
}

void sotto_conn_set_ctx(struct sotto_conn *c, void *ctx)
{
    c->ctx = ctx;
}
