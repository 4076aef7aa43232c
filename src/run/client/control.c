/* SPDX-License-Identifier: Apache-2.0 */
#include "run/client/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "run/local.h"

#define VERSION 1
#define NAME    "engine.sock"
#define BACKLOG 32
/* A caller that does not read its events is let go. */
#define OUT_MAX      (256 * 1024 * 1024)
#define CALLERS_MAX  64
#define GREETING_MAX (4 + 4 + 4096)
/* Whoever guesses passphrases here is to be no faster than at the vault, which takes its time. */
#define GUESS_MS     100
#define GUESS_MAX_MS 5000

/* --- frames over a socket that does not block --- */

struct pipe {
    int fd;
    struct sotto_watch *watch;
    struct sotto_buf in, out;
};

static void pipe_close(struct pipe *p)
{
    sotto_watch_free(p->watch);
    if (p->fd >= 0)
        close(p->fd);
    sotto_buf_free(&p->in);
    sotto_buf_free(&p->out);
    p->watch = NULL;
    p->fd = -1;
}

/* Appends a length to be filled by frame_end(). */
static enum sotto_err frame_begin(struct pipe *p, size_t *ret_at)
{
    static const uint8_t none[4];

    *ret_at = p->out.n;
    return sotto_buf_add(&p->out, none, sizeof none);
}

static void frame_end(struct pipe *p, size_t at)
{
    sotto_put_u32(p->out.p + at, (uint32_t)(p->out.n - at - 4));
}

/* CLOSED: the other side is gone. */
static enum sotto_err pipe_write(struct pipe *p)
{
    while (p->out.n > 0) {
        ssize_t n = send(p->fd, p->out.p, p->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0)
            return SOTTO_ERR_CLOSED;
        sotto_buf_consume(&p->out, (size_t)n);
    }
    if (p->watch != NULL)
        sotto_watch_set(p->watch, SOTTO_WATCH_READ | (p->out.n > 0 ? SOTTO_WATCH_WRITE : 0));
    return SOTTO_OK;
}

static enum sotto_err pipe_read(struct pipe *p)
{
    enum {
        CHUNK = 64 * 1024,
        AT_ONCE = 8
    }; /* the rest at the next turn, for room and for others */

    for (int i = 0; i < AT_ONCE; i++) {
        ssize_t n;

        if (sotto_buf_reserve(&p->in, CHUNK) != SOTTO_OK)
            return SOTTO_ERR_TOO_LARGE;
        n = recv(p->fd, p->in.p + p->in.n, CHUNK, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return SOTTO_OK;
        if (n <= 0)
            return SOTTO_ERR_CLOSED;
        p->in.n += (size_t)n;
        if (n < CHUNK)
            return SOTTO_OK;
    }
    return SOTTO_OK;
}

/* The next whole frame in p->in; NOT_FOUND: not yet. Consume 4 + len when done with it. */
static enum sotto_err pipe_frame(const struct pipe *p, struct sotto_bytes *ret)
{
    uint32_t len;

    if (p->in.n < 4)
        return SOTTO_ERR_NOT_FOUND;
    len = sotto_get_u32(p->in.p);
    if (len > SOTTO_CONTROL_MAX)
        return SOTTO_ERR_TOO_LARGE;
    if (p->in.n - 4 < len)
        return SOTTO_ERR_NOT_FOUND;
    *ret = (struct sotto_bytes){p->in.p + 4, len};
    return SOTTO_OK;
}

/* --- calls --- */

enum sotto_err sotto_call_encode(const struct sotto_call *call, struct sotto_buf *buf)
{
    uint8_t head[13], len[4];
    enum sotto_err err;

    head[0] = (uint8_t)call->op;
    sotto_put_u32(head + 1, call->ref.request);
    sotto_put_u32(head + 5, call->n[0]);
    sotto_put_u32(head + 9, call->n[1]);
    err = sotto_buf_add(buf, head, sizeof head);
    for (size_t i = 0; err == SOTTO_OK && i < SOTTO_CALL_STRINGS; i++) {
        sotto_put_u32(len, (uint32_t)call->s[i].n);
        if ((err = sotto_buf_add(buf, len, sizeof len)) == SOTTO_OK)
            err = sotto_buf_add(buf, call->s[i].p, call->s[i].n);
    }
    return err;
}

enum sotto_err sotto_call_decode(const uint8_t *data, size_t len, struct sotto_call *ret)
{
    struct sotto_call call = {0};
    struct sotto_reader r;
    uint8_t op;
    enum sotto_err err;

    sotto_reader_init(&r, data, len);
    if ((err = sotto_read_u8(&r, &op)) != SOTTO_OK ||
        (err = sotto_read_u32(&r, &call.ref.request)) != SOTTO_OK ||
        (err = sotto_read_u32(&r, &call.n[0])) != SOTTO_OK ||
        (err = sotto_read_u32(&r, &call.n[1])) != SOTTO_OK)
        return err;
    for (size_t i = 0; i < SOTTO_CALL_STRINGS; i++)
        if ((err = sotto_read_field32(&r, SOTTO_CONTROL_MAX, &call.s[i])) != SOTTO_OK)
            return err;
    /* What answers request 0 would go to everybody. */
    if (op == 0 || op > SOTTO_OP_LAST || call.ref.request == 0)
        return SOTTO_ERR_MALFORMED;
    call.op = (enum sotto_op)op;
    if ((err = sotto_read_done(&r)) == SOTTO_OK)
        *ret = call;
    return err;
}

bool sotto_control_alive(const char *dir)
{
    int fd;
    enum sotto_err e = sotto_local_connect(dir, NAME, 0, &fd);

    if (e == 0)
        close(fd);
    /* With many callers before us the engine's process may be a halted one. */
    return e == 0 || e == SOTTO_ERR_AGAIN;
}

/* --- the engine's side --- */

struct caller {
    struct caller *next;
    struct sotto_control *control;
    struct pipe pipe;
    uint32_t origin;
    bool welcome, gone;
    bool broke; /* the protocol */
};

struct sotto_control {
    struct sotto_loop *loop;
    const struct sotto_control_ops *ops;
    void *ctx;
    struct sotto_local *local;
    struct caller *callers;
    size_t caller_count;
    uint32_t next_origin;
    int busy;
    struct sotto_timer *later; /* somebody is to be let go, or has to wait with his guess */
    uint32_t guess_ms;         /* the pause after the last wrong passphrase */
    uint64_t guess_mono;       /* its end */
};

static enum sotto_err serve(struct caller *k);

/* What it said before it ended counts: that a message was printed, above all, or it would be
 * printed again. Writing to it finds the end before reading does. */
static void last_words(struct caller *k)
{
    if (!k->welcome || k->broke)
        return;
    (void)pipe_read(&k->pipe);
    (void)serve(k);
}

static void callers_sweep(struct sotto_control *c)
{
    struct caller **at = &c->callers;

    if (c->busy > 0)
        return;
    c->busy++;
    while (*at != NULL) {
        struct caller *k = *at;

        if (!k->gone) {
            at = &k->next;
            continue;
        }
        last_words(k);
        *at = k->next;
        c->caller_count--;
        pipe_close(&k->pipe);
        c->ops->gone(c->ctx, k->origin);
        free(k);
        at = &c->callers; /* gone() may have added events, and ends, for others */
    }
    c->busy--;
}

static enum sotto_err greet(struct caller *k, struct sotto_bytes frame)
{
    struct sotto_control *c = k->control;
    struct sotto_bytes passphrase;
    struct sotto_reader r;
    uint8_t version, has, answer[2] = {VERSION, 0};
    size_t at;
    enum sotto_err err;

    sotto_reader_init(&r, frame.p, frame.n);
    if ((err = sotto_read_u8(&r, &version)) != SOTTO_OK ||
        (err = sotto_read_u8(&r, &has)) != SOTTO_OK ||
        (err = sotto_read_field16(&r, 4096, &passphrase)) != SOTTO_OK ||
        (err = sotto_read_done(&r)) != SOTTO_OK)
        return err;
    answer[1] = has != 0 && !c->ops->passphrase_right(c->ctx, passphrase.p, passphrase.n);
    k->welcome = answer[1] == 0;
    if (answer[1] != 0) {
        c->guess_ms = c->guess_ms == 0                 ? GUESS_MS
                      : c->guess_ms * 2 > GUESS_MAX_MS ? GUESS_MAX_MS
                                                       : c->guess_ms * 2;
        c->guess_mono = sotto_mono_ms(sotto_env_system()) + c->guess_ms;
    } else if (has != 0) {
        c->guess_ms = 0;
    }
    if ((err = frame_begin(&k->pipe, &at)) != SOTTO_OK ||
        (err = sotto_buf_add(&k->pipe.out, answer, sizeof answer)) != SOTTO_OK)
        return err;
    frame_end(&k->pipe, at);
    return pipe_write(&k->pipe);
}

/* A greeting with a passphrase soon after a wrong one waits for its turn. */
static bool has_to_wait(const struct caller *k, struct sotto_bytes frame)
{
    uint64_t now = sotto_mono_ms(sotto_env_system());

    if (k->welcome || frame.n < 2 || frame.p[1] == 0 || now >= k->control->guess_mono)
        return false;
    sotto_timer_start(k->control->later, k->control->guess_mono - now);
    return true;
}

/* Whole frames that came. */
static enum sotto_err serve(struct caller *k)
{
    struct sotto_control *c = k->control;
    struct sotto_bytes frame;
    struct sotto_call call;
    enum sotto_err err = SOTTO_OK, found;

    while (err == SOTTO_OK && (found = pipe_frame(&k->pipe, &frame)) != SOTTO_ERR_NOT_FOUND) {
        if ((err = found) != SOTTO_OK)
            break;
        if (has_to_wait(k, frame))
            return k->pipe.in.n > GREETING_MAX ? SOTTO_ERR_TOO_LARGE : SOTTO_OK;
        if (!k->welcome) {
            err = greet(k, frame);
        } else if ((err = sotto_call_decode(frame.p, frame.n, &call)) == SOTTO_OK) {
            call.ref.origin = k->origin;
            c->ops->call(c->ctx, &call);
        }
        sotto_buf_consume(&k->pipe.in, 4 + frame.n);
    }
    return err;
}

static void see_to_callers(void *ctx)
{
    struct sotto_control *c = ctx;

    c->busy++;
    for (struct caller *k = c->callers; k != NULL; k = k->next)
        if (!k->gone && !k->welcome && serve(k) != SOTTO_OK)
            k->gone = true;
    c->busy--;
    callers_sweep(c);
}

static void caller_ready(void *ctx, int events)
{
    struct caller *k = ctx;
    struct sotto_control *c = k->control;
    enum sotto_err err = SOTTO_OK, read = SOTTO_OK;

    c->busy++;
    if (events & SOTTO_WATCH_WRITE)
        err = pipe_write(&k->pipe);
    if (err == SOTTO_OK && (events & SOTTO_WATCH_READ)) {
        read = pipe_read(&k->pipe);
        k->broke = serve(k) != SOTTO_OK;
    }
    if (err != SOTTO_OK || read != SOTTO_OK || k->broke)
        k->gone = true;
    c->busy--;
    callers_sweep(c);
}

static void on_caller(void *ctx, int fd, unsigned uid)
{
    struct sotto_control *c = ctx;
    struct caller *k;

    if (c->caller_count == CALLERS_MAX || (k = calloc(1, sizeof *k)) == NULL) {
        close(fd);
        return;
    }
    k->control = c;
    if (++c->next_origin == 0) /* that is the process itself */
        ++c->next_origin;
    k->origin = c->next_origin;
    k->pipe =
        (struct pipe){.fd = fd, .in = SOTTO_BUF(2 * SOTTO_CONTROL_MAX), .out = SOTTO_BUF(OUT_MAX)};
    k->pipe.watch = sotto_watch_new(c->loop, fd, caller_ready, k);
    if (k->pipe.watch == NULL) {
        pipe_close(&k->pipe);
        free(k);
        return;
    }
    sotto_watch_set(k->pipe.watch, SOTTO_WATCH_READ);
    k->next = c->callers;
    c->callers = k;
    c->caller_count++;
}

enum sotto_err sotto_control_listen(struct sotto_loop *loop, const char *dir,
                                    const struct sotto_control_ops *ops, void *ctx,
                                    struct sotto_control **ret)
{
    struct sotto_control *c = calloc(1, sizeof *c);
    enum sotto_err e;

    if (c == NULL)
        return SOTTO_ERR_NOMEM;
    c->loop = loop;
    c->ops = ops;
    c->ctx = ctx;
    if ((c->later = sotto_timer_new(loop, see_to_callers, c)) == NULL)
        e = SOTTO_ERR_NOMEM;
    else
        e = sotto_local_listen(loop, dir, NAME, BACKLOG, on_caller, c, &c->local);
    if (e != 0) {
        sotto_control_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}

void sotto_control_free(struct sotto_control *c)
{
    if (c == NULL)
        return;
    sotto_local_free(c->local); /* who comes now waits for the profile's lock instead */
    sotto_timer_free(c->later);
    while (c->callers != NULL) {
        struct caller *k = c->callers;

        c->callers = k->next;
        (void)pipe_write(&k->pipe);
        pipe_close(&k->pipe);
        free(k);
    }
    free(c);
}

static enum sotto_err emit_to(struct caller *k, uint32_t request, enum sotto_event_type type,
                              const void *row)
{
    size_t at;
    enum sotto_err err;

    if ((err = frame_begin(&k->pipe, &at)) != SOTTO_OK ||
        (err = sotto_event_encode(request, type, row, &k->pipe.out)) != SOTTO_OK)
        return err;
    frame_end(&k->pipe, at);
    return pipe_write(&k->pipe);
}

void sotto_control_emit(struct sotto_control *c, struct sotto_ref to, enum sotto_event_type type,
                        const void *row)
{
    for (struct caller *k = c->callers; k != NULL; k = k->next) {
        if (!k->welcome || k->gone || (to.request != 0 && k->origin != to.origin))
            continue;
        if (emit_to(k, to.request, type, row) == SOTTO_OK)
            continue;
        k->gone = true; /* he may never be ready again: not from in here, but soon */
        sotto_timer_start(c->later, 0);
    }
}

/* --- the other side --- */

struct sotto_attached {
    const struct sotto_attached_ops *ops;
    void *ctx;
    struct pipe pipe;
};

void sotto_attached_free(struct sotto_attached *a)
{
    if (a == NULL)
        return;
    pipe_close(&a->pipe);
    free(a);
}

/* gone() may free a: nothing is touched after it. */
static void attached_ready(void *ctx, int events)
{
    struct sotto_attached *a = ctx;
    struct sotto_event *e;
    struct sotto_bytes frame;
    enum sotto_err err = SOTTO_OK, read = SOTTO_OK, found, taken = SOTTO_OK;

    if (events & SOTTO_WATCH_WRITE)
        err = pipe_write(&a->pipe);
    if (events & SOTTO_WATCH_READ)
        read = pipe_read(&a->pipe);
    /* One that there is no memory for is not passed over: all is asked for again. */
    while ((found = pipe_frame(&a->pipe, &frame)) == SOTTO_OK && taken != SOTTO_ERR_NOMEM) {
        if ((taken = sotto_event_decode(frame.p, frame.n, &e)) == SOTTO_OK)
            a->ops->event(a->ctx, e);
        sotto_buf_consume(&a->pipe.in, 4 + frame.n);
    }
    if (err != SOTTO_OK || read != SOTTO_OK || taken == SOTTO_ERR_NOMEM ||
        found != SOTTO_ERR_NOT_FOUND)
        a->ops->gone(a->ctx);
}

/* Waits for the first frame. */
static enum sotto_err wait_welcome(struct sotto_attached *a, int timeout_ms)
{
    struct sotto_bytes frame;
    struct pollfd p = {.fd = a->pipe.fd, .events = POLLIN};
    enum sotto_err err, found;

    for (;;) {
        int n = poll(&p, 1, timeout_ms);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SOTTO_ERR_TIMEOUT;
        err = pipe_read(&a->pipe);
        if ((found = pipe_frame(&a->pipe, &frame)) == SOTTO_OK) {
            if (frame.n != 2)
                err = SOTTO_ERR_MALFORMED;
            else if (frame.p[0] != VERSION)
                err = SOTTO_ERR_NEWER;
            else
                err = frame.p[1] == 0 ? SOTTO_OK : SOTTO_ERR_BAD_TAG;
            sotto_buf_consume(&a->pipe.in, 4 + frame.n);
            return err;
        }
        if (err != SOTTO_OK)
            return SOTTO_ERR_NOT_FOUND; /* it ended just now */
    }
}

enum sotto_err sotto_attach(struct sotto_loop *loop, const char *dir, const char *passphrase,
                            int timeout_ms, const struct sotto_attached_ops *ops, void *ctx,
                            struct sotto_attached **ret)
{
    struct sotto_attached *a;
    uint8_t head[4] = {VERSION, passphrase != NULL};
    size_t at, len = passphrase != NULL ? strlen(passphrase) : 0;
    int fd;
    enum sotto_err err;

    if (sotto_local_connect(dir, NAME, 0, &fd) != 0)
        return SOTTO_ERR_NOT_FOUND;
    if (len > 4096 || (a = calloc(1, sizeof *a)) == NULL) {
        close(fd);
        return len > 4096 ? SOTTO_ERR_BAD_TAG : SOTTO_ERR_NOMEM;
    }
    a->ops = ops;
    a->ctx = ctx;
    a->pipe =
        (struct pipe){.fd = fd, .in = SOTTO_BUF(OUT_MAX), .out = SOTTO_BUF(8 * SOTTO_CONTROL_MAX)};
    sotto_put_u16(head + 2, (uint16_t)len);
    if ((err = frame_begin(&a->pipe, &at)) == SOTTO_OK &&
        (err = sotto_buf_add(&a->pipe.out, head, sizeof head)) == SOTTO_OK)
        err = sotto_buf_add(&a->pipe.out, passphrase, len);
    if (err == SOTTO_OK) {
        frame_end(&a->pipe, at);
        err = pipe_write(&a->pipe);
    }
    if (err == SOTTO_OK)
        err = wait_welcome(a, timeout_ms);
    if (err == SOTTO_OK && (a->pipe.watch = sotto_watch_new(loop, fd, attached_ready, a)) == NULL)
        err = SOTTO_ERR_NOMEM;
    if (err != SOTTO_OK) {
        sotto_attached_free(a);
        return err == SOTTO_ERR_CLOSED ? SOTTO_ERR_NOT_FOUND : err;
    }
    sotto_watch_set(a->pipe.watch, SOTTO_WATCH_READ);
    *ret = a;
    return SOTTO_OK;
}

enum sotto_err sotto_attached_call(struct sotto_attached *a, const struct sotto_call *call)
{
    size_t at;
    enum sotto_err err;

    if ((err = frame_begin(&a->pipe, &at)) != SOTTO_OK)
        return err;
    if ((err = sotto_call_encode(call, &a->pipe.out)) != SOTTO_OK) {
        a->pipe.out.n = at;
        return err;
    }
    frame_end(&a->pipe, at);
    return pipe_write(&a->pipe);
}
