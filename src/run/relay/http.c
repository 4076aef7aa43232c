/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/env.h"
#include "base/log.h"

#define LOOK_MS  500 /* how often somebody is looked for who takes too long */
#define PAUSE_MS 500 /* without file descriptors */

struct caller {
    struct sotto_http *h;
    int fd; /* -1: a free place */
    struct sotto_watch *watch;
    uint64_t deadline, number; /* number: they are counted as they come */
    size_t got;
    char request[SOTTO_HTTP_REQUEST_MAX + 1];
    struct sotto_buf answer;
    size_t sent;
};

struct sotto_http {
    struct sotto_loop *loop;
    sotto_http_fn *fn;
    void *ctx;
    int fd;
    struct sotto_watch *watch;
    struct sotto_timer *timer;
    bool paused, looking;
    uint64_t count;
    struct caller callers[SOTTO_HTTP_CALLERS];
};

static uint64_t now(void)
{
    return sotto_mono_ms(sotto_env_system());
}

static void hang_up(struct caller *c)
{
    if (c->fd < 0)
        return;
    sotto_watch_free(c->watch);
    close(c->fd);
    sotto_buf_free(&c->answer);
    c->watch = NULL;
    c->fd = -1;
}

/* --- the request --- */

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Service Unavailable";
    }
}

/* Takes the path out of "GET /path?query HTTP/1.x". */
static int read_line(char *line, const char **ret_path)
{
    char *path, *end;

    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, "GET ", 4) != 0)
        return strchr(line, ' ') != NULL ? 405 : 400;
    path = line + 4;
    if (path[0] != '/' || (end = strchr(path, ' ')) == NULL || strncmp(end, " HTTP/1.", 8) != 0)
        return 400;
    *end = '\0';
    path[strcspn(path, "?")] = '\0';
    *ret_path = path;
    return 200;
}

/* "Host: 127.0.0.1:9464", "[::1]", "localhost"; or none, as HTTP/1.0 allows. */
static bool host_is_here(const char *headers)
{
    for (const char *line = headers; (line = strchr(line, '\n')) != NULL;) {
        line++;
        if (strncasecmp(line, "Host:", 5) != 0)
            continue;
        line += 5;
        line += strspn(line, " \t");
        return strncasecmp(line, "localhost", 9) == 0 || strncmp(line, "[::1]", 5) == 0 ||
               strspn(line, "0123456789.") > 6;
    }
    return true;
}

static enum sotto_err compose(struct caller *c, int status, const struct sotto_buf *body)
{
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.0 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n",
                     status, status_text(status), body->n);
    enum sotto_err e = sotto_buf_add(&c->answer, head, (size_t)n);

    return e != 0 ? e : sotto_buf_add(&c->answer, body->p, body->n);
}

static bool answer(struct caller *c)
{
    SOTTO_AUTO_BUF body = SOTTO_BUF(SOTTO_HTTP_ANSWER_MAX);
    bool here = host_is_here(c->request);
    const char *path = NULL;
    int status = read_line(c->request, &path);

    if (status == 200 && !here)
        status = 403;
    if (status == 200)
        status = c->h->fn(c->h->ctx, path, &body);
    if (body.n == 0 &&
        (sotto_buf_add(&body, status_text(status), strlen(status_text(status))) != 0 ||
         sotto_buf_add(&body, "\n", 1) != 0))
        return false;
    return compose(c, status, &body) == 0;
}

/* --- bytes --- */

static void send_more(struct caller *c)
{
    while (c->sent < c->answer.n) {
        ssize_t n = send(c->fd, c->answer.p + c->sent, c->answer.n - c->sent, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            sotto_watch_set(c->watch, SOTTO_WATCH_WRITE);
            return;
        }
        if (n <= 0)
            break;
        c->sent += (size_t)n;
    }
    (void)shutdown(c->fd, SHUT_WR);
    hang_up(c);
}

static void receive(struct caller *c)
{
    ssize_t n = recv(c->fd, c->request + c->got, SOTTO_HTTP_REQUEST_MAX - c->got, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(c);
        return;
    }
    c->got += (size_t)n;
    c->request[c->got] = '\0';
    if (strlen(c->request) != c->got || c->got == SOTTO_HTTP_REQUEST_MAX) {
        static const struct sotto_buf none;

        if (compose(c, c->got == SOTTO_HTTP_REQUEST_MAX ? 431 : 400, &none) == 0)
            send_more(c);
        else
            hang_up(c);
        return;
    }
    if (strstr(c->request, "\r\n\r\n") == NULL && strstr(c->request, "\n\n") == NULL)
        return;
    if (answer(c))
        send_more(c);
    else
        hang_up(c);
}

static void on_caller(void *ctx, int events)
{
    struct caller *c = ctx;

    if (c->answer.n > 0)
        send_more(c);
    else
        receive(c);
}

/* --- callers --- */

static struct caller *place(struct sotto_http *h)
{
    struct caller *oldest = &h->callers[0];

    for (size_t i = 0; i < SOTTO_HTTP_CALLERS; i++) {
        if (h->callers[i].fd < 0)
            return &h->callers[i];
        if (h->callers[i].number < oldest->number)
            oldest = &h->callers[i];
    }
    hang_up(oldest);
    return oldest;
}

static void on_listening(void *ctx, int events)
{
    struct sotto_http *h = ctx;
    int fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct caller *c;

    if (fd < 0) {
        /* The socket stays readable, so watching it would burn the CPU. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            sotto_watch_set(h->watch, 0);
            h->paused = h->looking = true;
            sotto_timer_start(h->timer, PAUSE_MS);
        }
        return;
    }
    c = place(h);
    c->h = h;
    c->fd = fd;
    c->number = ++h->count;
    c->got = c->sent = 0;
    c->answer = SOTTO_BUF(SOTTO_HTTP_ANSWER_MAX + 1024);
    c->deadline = now() + SOTTO_HTTP_PATIENCE_MS;
    if ((c->watch = sotto_watch_new(h->loop, fd, on_caller, c)) == NULL) {
        hang_up(c);
        return;
    }
    sotto_watch_set(c->watch, SOTTO_WATCH_READ);
    if (!h->looking) /* callers that keep coming must not put it off */
        sotto_timer_start(h->timer, LOOK_MS);
    h->looking = true;
}

static void on_timer(void *ctx)
{
    struct sotto_http *h = ctx;
    uint64_t mono = now();
    bool again = false;

    if (h->paused) {
        h->paused = false;
        sotto_watch_set(h->watch, SOTTO_WATCH_READ);
    }
    for (size_t i = 0; i < SOTTO_HTTP_CALLERS; i++) {
        if (h->callers[i].fd >= 0 && h->callers[i].deadline <= mono)
            hang_up(&h->callers[i]);
        again = again || h->callers[i].fd >= 0;
    }
    h->looking = again;
    if (again)
        sotto_timer_start(h->timer, LOOK_MS);
}

/* --- listening --- */

static int open_socket(const char *host, uint16_t port, uint16_t *ret_port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct sockaddr_in6 bound = {0}; /* its port lies where that of IPv4 does */
    socklen_t len = sizeof bound;
    struct addrinfo *a = NULL;
    int fd = -1, one = 1, sys;
    char service[8];

    snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(host, service, &hints, &a) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
                    bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 64) != 0 ||
                    getsockname(fd, (struct sockaddr *)&bound, &len) != 0)) {
        sys = errno;
        close(fd);
        errno = sys;
        fd = -1;
    }
    freeaddrinfo(a);
    *ret_port = ntohs(bound.sin6_port);
    return fd;
}

static enum sotto_err of_errno(int sys)
{
    switch (sys) {
    case EADDRINUSE:
        return SOTTO_ERR_EXISTS;
    case EACCES:
    case EPERM:
        return SOTTO_ERR_DENIED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return SOTTO_ERR_UNREACHABLE;
    default:
        return SOTTO_ERR_IO;
    }
}

enum sotto_err sotto_http_listen(struct sotto_loop *loop, const char *host, uint16_t port,
                                 sotto_http_fn *fn, void *ctx, struct sotto_http **ret,
                                 uint16_t *ret_port, char *why, size_t room)
{
    struct sotto_http *h = calloc(1, sizeof *h);
    uint16_t bound = 0;

    snprintf(why, room, "out of memory");
    if (h == NULL)
        return SOTTO_ERR_NOMEM;
    for (size_t i = 0; i < SOTTO_HTTP_CALLERS; i++)
        h->callers[i].fd = -1;
    h->loop = loop;
    h->fn = fn;
    h->ctx = ctx;
    if ((h->fd = open_socket(host, port, &bound)) < 0) {
        enum sotto_err e = of_errno(errno);

        snprintf(why, room, "%s port %u cannot be listened on: %s; give another with --metrics",
                 host, (unsigned)port, strerror(errno));
        free(h);
        return e;
    }
    if ((h->timer = sotto_timer_new(loop, on_timer, h)) == NULL ||
        (h->watch = sotto_watch_new(loop, h->fd, on_listening, h)) == NULL) {
        sotto_http_free(h);
        return SOTTO_ERR_NOMEM;
    }
    sotto_watch_set(h->watch, SOTTO_WATCH_READ);
    *ret = h;
    *ret_port = bound;
    return SOTTO_OK;
}

void sotto_http_free(struct sotto_http *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < SOTTO_HTTP_CALLERS; i++)
        hang_up(&h->callers[i]);
    sotto_watch_free(h->watch);
    sotto_timer_free(h->timer);
    close(h->fd);
    free(h);
}
