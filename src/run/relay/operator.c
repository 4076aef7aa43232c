/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/operator.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "relay/admin.h"
#include "run/local.h"
#include "run/relay/audit.h"

#define NAME        "operator.sock"
#define BACKLOG     8
#define CALLERS_MAX 8
#define CALLER_MS   30000 /* to ask, to be answered, and to take the answer */
#define WAIT_MS     60000 /* a relay that answers nothing for so long is halted */
#define WHY         512

/* --- the relay's side --- */

struct caller {
    struct caller *next;
    struct sotto_operator *o;
    int fd;
    unsigned uid;
    struct sotto_watch *watch;
    struct sotto_timer *timer;
    char line[SOTTO_OPERATOR_LINE];
    size_t len;
    bool answered;
    struct sotto_buf out;
    size_t sent;
};

struct sotto_operator {
    struct sotto_loop *loop;
    struct sotto_relay *relay;
    sotto_loop_fn *turn;
    void *ctx;
    char *dir;
    struct sotto_local *local;
    struct caller *callers;
    size_t count;
};

static void caller_free(struct caller *k)
{
    struct caller **at = &k->o->callers;

    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    k->o->count--;
    sotto_watch_free(k->watch);
    sotto_timer_free(k->timer);
    close(k->fd);
    sotto_buf_free(&k->out);
    free(k);
}

static void too_slow(void *ctx)
{
    caller_free(ctx);
}

/* An answer that does not fit into memory ends without its last line: the caller sees that. */
static __attribute__((format(printf, 2, 3))) void say(struct caller *k, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof line && k->out.cap != 0 &&
        sotto_buf_add(&k->out, line, (size_t)n) != 0)
        k->out.cap = 0;
}

static void say_no(struct caller *k, enum sotto_err e, const char *text)
{
    say(k, "no %d %s\n", (int)e, text);
}

/* --- verbs --- */

struct words {
    const char *verb, *name, *argument; /* "" when not given */
};

static void say_session(void *ctx, const struct sotto_relay_session *s)
{
    say(ctx, "=%s %016llx %llu %s\n", s->name, (unsigned long long)s->device,
        (unsigned long long)s->since_ms, s->address[0] != '\0' ? s->address : "?");
}

static void do_sessions(struct caller *k, const struct words *w)
{
    sotto_relay_admin_sessions(k->o->relay, say_session, k);
    say(k, "ok\n");
}

static void say_box(void *ctx, int64_t box, uint64_t count, uint64_t bytes)
{
    say(ctx, "=%lld %llu %llu\n", (long long)box, (unsigned long long)count,
        (unsigned long long)bytes);
}

static void do_boxes(struct caller *k, const struct words *w)
{
    sotto_relay_admin_boxes(k->o->relay, say_box, k);
    say(k, "ok\n");
}

typedef enum sotto_err change_fn(struct sotto_relay *r, const struct words *w, size_t *ret_count);

static enum sotto_err kick(struct sotto_relay *r, const struct words *w, size_t *ret_count)
{
    uint8_t raw[8] = {0};
    size_t len = sizeof raw;

    if (w->argument[0] != '\0' &&
        (sotto_hex_decode(w->argument, strlen(w->argument), raw, sizeof raw, &len) != 0 ||
         len != sizeof raw || sotto_get_u64(raw) == 0))
        return SOTTO_ERR_USAGE;
    return sotto_relay_admin_kick(r, w->name, sotto_get_u64(raw), ret_count);
}

static enum sotto_err disable(struct sotto_relay *r, const struct words *w, size_t *ret_count)
{
    return sotto_relay_admin_disable(r, w->name, true);
}

static enum sotto_err enable(struct sotto_relay *r, const struct words *w, size_t *ret_count)
{
    return sotto_relay_admin_disable(r, w->name, false);
}

static enum sotto_err delete (struct sotto_relay *r, const struct words *w, size_t *ret_count) {
    return sotto_relay_admin_delete(r, w->name);
}

/* In a turn of its own, so that nobody else's work is undone along with it. */
static void change(struct caller *k, const struct words *w, change_fn *fn)
{
    struct sotto_operator *o = k->o;
    char why[WHY] = "";
    size_t count = 0;
    uint64_t undone;
    enum sotto_err e;

    o->turn(o->ctx);
    e = sotto_audit_add(o->dir, sotto_now_ms(sotto_env_system()), k->uid, w->verb, w->name,
                        w->argument, why, sizeof why);
    if (e != 0) {
        say_no(k, e, why);
        return;
    }
    undone = sotto_relay_undone(o->relay);
    e = fn(o->relay, w, &count);
    o->turn(o->ctx);
    if (e == 0 && sotto_relay_undone(o->relay) != undone)
        e = SOTTO_ERR_FULL;
    if (e == 0) {
        say(k, "ok %zu\n", count);
        return;
    }
    say_no(k, e, sotto_err_text(e));
    (void)sotto_audit_add(o->dir, sotto_now_ms(sotto_env_system()), k->uid, "failed", w->name,
                          sotto_err_text(e), why, sizeof why);
}

static const struct verb {
    const char *name;
    void (*ask)(struct caller *k, const struct words *w);
    change_fn *change;
} verbs[] = {
    {"sessions", do_sessions, NULL}, {"boxes", do_boxes, NULL}, {"kick", NULL, kick},
    {"disable", NULL, disable},      {"enable", NULL, enable},  {"delete", NULL, delete},
};

static void answer(struct caller *k)
{
    char *save = NULL;
    const char *parts[4] = {"", "", "", ""};
    struct words w;
    size_t n = 0;

    for (char *p = strtok_r(k->line, " ", &save); p != NULL && n < 4;
         p = strtok_r(NULL, " ", &save))
        parts[n++] = p;
    w = (struct words){parts[0], parts[1], parts[2]};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        const struct verb *v = &verbs[i];

        if (strcmp(v->name, w.verb) != 0)
            continue;
        if (n > 3 || (v->ask != NULL) != (n == 1) || (n == 3 && v->change != kick) ||
            (n > 1 && !sotto_name_valid(w.name, strlen(w.name))))
            break;
        if (v->ask != NULL)
            v->ask(k, &w);
        else
            change(k, &w, v->change);
        return;
    }
    say_no(k, SOTTO_ERR_USAGE,
           "this relay does not understand the request; it may be of another "
           "version than the command: start it again");
}

/* --- callers --- */

/* false: gone. */
static bool caller_write(struct caller *k)
{
    while (k->sent < k->out.n) {
        ssize_t n = send(k->fd, k->out.p + k->sent, k->out.n - k->sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            sotto_watch_set(k->watch, SOTTO_WATCH_WRITE);
            return true;
        }
        if (n <= 0)
            break;
        k->sent += (size_t)n;
    }
    return false;
}

static bool caller_read(struct caller *k)
{
    ssize_t n = recv(k->fd, k->line + k->len, sizeof k->line - k->len, 0);
    char *end;

    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    if (n <= 0)
        return false;
    k->len += (size_t)n;
    if ((end = memchr(k->line, '\n', k->len)) == NULL)
        return k->len < sizeof k->line;
    *end = '\0';
    k->answered = true;
    if (strlen(k->line) == (size_t)(end - k->line))
        answer(k);
    return caller_write(k);
}

static void caller_ready(void *ctx, int events)
{
    struct caller *k = ctx;

    if (k->answered ? !caller_write(k) : !caller_read(k))
        caller_free(k);
}

static void on_caller(void *ctx, int fd, unsigned uid)
{
    struct sotto_operator *o = ctx;
    struct caller *k;

    if (o->count == CALLERS_MAX || (k = calloc(1, sizeof *k)) == NULL) {
        close(fd);
        return;
    }
    *k = (struct caller){
        .next = o->callers, .o = o, .fd = fd, .uid = uid, .out = SOTTO_BUF(SOTTO_OPERATOR_LINES)};
    o->callers = k;
    o->count++;
    if ((k->watch = sotto_watch_new(o->loop, fd, caller_ready, k)) == NULL ||
        (k->timer = sotto_timer_new(o->loop, too_slow, k)) == NULL) {
        caller_free(k);
        return;
    }
    sotto_timer_start(k->timer, CALLER_MS);
    sotto_watch_set(k->watch, SOTTO_WATCH_READ);
}

enum sotto_err sotto_operator_listen(struct sotto_loop *loop, const char *dir,
                                     struct sotto_relay *relay, sotto_loop_fn *turn, void *ctx,
                                     struct sotto_operator **ret)
{
    struct sotto_operator *o = calloc(1, sizeof *o);
    enum sotto_err e;

    if (o == NULL || (o->dir = strdup(dir)) == NULL) {
        free(o);
        return SOTTO_ERR_NOMEM;
    }
    o->loop = loop;
    o->relay = relay;
    o->turn = turn;
    o->ctx = ctx;
    if ((e = sotto_local_listen(loop, dir, NAME, BACKLOG, on_caller, o, &o->local)) != 0) {
        sotto_operator_free(o);
        return e;
    }
    *ret = o;
    return SOTTO_OK;
}

void sotto_operator_free(struct sotto_operator *o)
{
    if (o == NULL)
        return;
    sotto_local_free(o->local);
    while (o->callers != NULL)
        caller_free(o->callers);
    free(o->dir);
    free(o);
}

/* --- the other side --- */

static enum sotto_err read_all(int fd, struct sotto_buf *in)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    for (;;) {
        int ready = poll(&p, 1, WAIT_MS);
        ssize_t n;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return SOTTO_ERR_TIMEOUT;
        if (sotto_buf_reserve(in, 65536) != 0)
            return SOTTO_ERR_TOO_LARGE;
        n = recv(fd, in->p + in->n, 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? SOTTO_OK : SOTTO_ERR_CLOSED;
        in->n += (size_t)n;
    }
}

/* in: a whole answer, which is taken apart. */
static enum sotto_err take_apart(struct sotto_buf *in, struct sotto_buf *lines, char *text,
                                 size_t room)
{
    char *p = (char *)in->p, *end;
    enum sotto_err e = SOTTO_OK;
    long code;

    if (in->n == 0 || in->p[in->n - 1] != '\n')
        return SOTTO_ERR_CLOSED;
    in->p[in->n - 1] = '\0';
    for (; *p == '='; p = end + 1) {
        if ((end = strchr(p, '\n')) == NULL)
            return SOTTO_ERR_CLOSED;
        if ((e = sotto_buf_add(lines, p + 1, (size_t)(end - p))) != 0)
            return e;
    }
    if (strncmp(p, "ok", 2) == 0) {
        snprintf(text, room, "%s", p[2] == ' ' ? p + 3 : "");
        return SOTTO_OK;
    }
    if (strncmp(p, "no -", 4) != 0 || (code = strtol(p + 3, &end, 10)) >= 0)
        return SOTTO_ERR_CLOSED;
    snprintf(text, room, "%s", *end == ' ' ? end + 1 : end);
    return (enum sotto_err)code;
}

enum sotto_err sotto_operator_call(const char *dir, const char *request,
                                   struct sotto_buf *ret_lines, char *text, size_t room)
{
    SOTTO_AUTO_BUF in = SOTTO_BUF(SOTTO_OPERATOR_LINES + 65536);
    char line[SOTTO_OPERATOR_LINE];
    int fd, n = snprintf(line, sizeof line, "%s\n", request);
    enum sotto_err e;

    text[0] = '\0';
    if (n < 0 || (size_t)n >= sizeof line)
        return SOTTO_ERR_USAGE;
    e = sotto_local_connect(dir, NAME, WAIT_MS, &fd);
    if (e != 0 && e != SOTTO_ERR_AGAIN)
        return SOTTO_ERR_NOT_FOUND;
    if (e == SOTTO_ERR_AGAIN) {
        e = SOTTO_ERR_TIMEOUT;
    } else {
        e = send(fd, line, (size_t)n, MSG_NOSIGNAL) == n ? read_all(fd, &in) : SOTTO_ERR_CLOSED;
        close(fd);
    }
    if (in.n == 0 && e != SOTTO_ERR_TIMEOUT)
        e = SOTTO_ERR_AGAIN;
    snprintf(text, room, "%s",
             e == SOTTO_ERR_TIMEOUT ? "the relay does not answer; look at its log"
             : e == SOTTO_ERR_AGAIN
                 ? "the relay is busy with other commands, or just ended; try again"
                 : "the relay ended in the middle of its answer");
    return e != 0 ? e : take_apart(&in, ret_lines, text, room);
}
