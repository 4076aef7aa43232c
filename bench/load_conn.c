/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections and the loop. Signing in is what a client does: hello, device proof bound to this
 * connection, Begin with the last number that was committed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "auth/proof.h"
#include "crypto/kdf.h"
#include "load.h"
#include "net/tls.h"

#define READ_BYTES   16384
#define KEEP_BYTES   65536 /* an idle connection gives back more than that */
#define COMPLAINTS   5
#define ID_SIGN_IN   1
#define ID_BEGIN     2
#define LEAVE_NS     1500000000ull
#define STEP_NS      10000000ull
#define EVENTS       512
#define FILES_WANTED 65536

/* --- start --- */

void load_start(struct load *l)
{
    static const uint8_t alpn[] = "\x07" SOTTO_ALPN;
    struct rlimit files = {FILES_WANTED, FILES_WANTED};

    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    l->tls = SSL_CTX_new(TLS_client_method());
    if (l->tls == NULL || SSL_CTX_set_min_proto_version(l->tls, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(l->tls, "TLS_AES_256_GCM_SHA384") != 1 ||
        SSL_CTX_set1_groups_list(l->tls, "X25519") != 1 ||
        SSL_CTX_set_alpn_protos(l->tls, alpn, sizeof alpn - 1) != 0)
        load_die("TLS does not start");
    SSL_CTX_set_mode(l->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
    l->server = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(l->o.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    l->hello = SOTTO_BUF(SOTTO_FRAME_MAX);
    if ((l->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        load_die("epoll: %s", strerror(errno));
}

void load_people(struct load *l, size_t count)
{
    l->conns = load_alloc(count, sizeof *l->conns);
    l->dirty = load_alloc(count, sizeof(struct load_conn *));
    l->conn_count = count;
    for (size_t i = 0; i < count; i++) {
        l->conns[i].l = l;
        l->conns[i].index = i;
        l->conns[i].fd = -1;
        relay_person_make(l->o.user0 + (uint32_t)i, &l->conns[i].me);
    }
}

/* --- output --- */

void load_mark_dirty(struct load_conn *c)
{
    if (c->dirty || c->stage == LOAD_CLOSED)
        return;
    c->dirty = true;
    c->l->dirty[c->l->dirty_count++] = c;
}

void load_send(struct load_conn *c, const void *frame, size_t len)
{
    if (c->out_len + len > c->out_room && c->out_at > 0) {
        memmove(c->out, c->out + c->out_at, c->out_len - c->out_at);
        c->out_len -= c->out_at;
        c->out_at = 0;
    }
    if (c->out_len + len > c->out_room) {
        c->out_room = (c->out_len + len) * 2;
        c->out = load_grow(c->out, c->out_room);
    }
    memcpy(c->out + c->out_len, frame, len);
    c->out_len += len;
    load_mark_dirty(c);
}

static void send_request(struct load_conn *c, const struct sotto_request *q)
{
    SOTTO_AUTO_BUF buf = SOTTO_BUF(SOTTO_FRAME_MAX);

    if (sotto_request_encode(q, &buf) != 0)
        load_die("a request cannot be encoded");
    load_send(c, buf.p, buf.n);
}

static void watch(struct load_conn *c, uint32_t events)
{
    struct epoll_event v = {.events = events, .data.ptr = c};

    if (c->events == events)
        return;
    (void)epoll_ctl(c->l->epoll, c->events != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &v);
    c->events = events;
}

static void flush(struct load_conn *c)
{
    if (c->stage < LOAD_GREETING || c->stage == LOAD_CLOSED)
        return;
    while (c->out_at < c->out_len) {
        int r = SSL_write(c->ssl, c->out + c->out_at, (int)(c->out_len - c->out_at));

        if (r > 0) {
            c->out_at += (size_t)r;
            continue;
        }
        switch (SSL_get_error(c->ssl, r)) {
        case SSL_ERROR_WANT_WRITE:
            watch(c, EPOLLIN | EPOLLOUT);
            return;
        case SSL_ERROR_WANT_READ:
            return;
        default:
            load_close(c);
            return;
        }
    }
    c->out_at = c->out_len = 0;
    watch(c, EPOLLIN);
}

/* --- open and close --- */

void load_complain(struct load_conn *c, const char *why)
{
    if (c->l->complaints++ < COMPLAINTS)
        fprintf(stderr, "relay_load: %s: %s\n", c->me.name, why);
    c->broken = true;
}

void load_close(struct load_conn *c)
{
    if (c->stage == LOAD_CLOSED || c->stage == LOAD_IDLE)
        return;
    if (c->ssl != NULL && c->stage > LOAD_SHAKING)
        (void)SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    ERR_clear_error();
    close(c->fd);
    free(c->in);
    free(c->out);
    c->ssl = NULL;
    c->fd = -1;
    c->events = 0;
    c->in = c->out = NULL;
    c->in_len = c->in_room = c->out_at = c->out_len = c->out_room = 0;
    c->stage = LOAD_CLOSED;
    c->l->closed++;
}

void load_open(struct load_conn *c)
{
    struct load *l = c->l;
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1;

    c->broken = c->leaving = c->ack_due = false;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        load_die("socket: %s (ulimit -n)", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* A port belongs to both ends then, and not to one: more of them than ports. */
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(c->index % l->o.sources));
    if (l->o.sources > 1 && bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
        load_die("bind: %s", strerror(errno));
    c->stage = LOAD_CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&l->server, sizeof l->server) != 0 &&
        errno != EINPROGRESS) {
        load_complain(c, strerror(errno));
        load_close(c);
        return;
    }
    watch(c, EPOLLIN | EPOLLOUT);
}

static void say_goodbye(struct load_conn *c)
{
    struct sotto_request q = {.type = SOTTO_REQ_GOODBYE};

    c->leaving = true;
    if (c->stage == LOAD_READY)
        send_request(c, &q);
}

void load_part(struct load_conn *c)
{
    say_goodbye(c);
    flush(c);
    load_close(c);
}

void load_leave(struct load_conn *c)
{
    uint64_t until = load_now_ns() + LEAVE_NS;

    say_goodbye(c);
    while (c->stage == LOAD_READY && load_now_ns() < until)
        load_step(c->l, STEP_NS);
    load_close(c);
}

/* --- signing in --- */

static bool pin_right(const struct load_conn *c)
{
    X509 *cert = SSL_get0_peer_certificate(c->ssl);
    uint8_t *spki = NULL, hash[32];
    int n;

    if (!c->l->o.has_pin)
        return true;
    n = cert != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki) : 0;
    if (n <= 0)
        return false;
    sotto_sha256(spki, (size_t)n, hash);
    OPENSSL_free(spki);
    return memcmp(hash, c->l->o.pin, sizeof hash) == 0;
}

/* The first one is looked at; the others have to be like it. */
static bool hello_right(struct load *l, const uint8_t *body, size_t len)
{
    struct sotto_answer *a = NULL;
    bool right;

    if (l->hello.n == len && memcmp(l->hello.p, body, len) == 0)
        return true;
    /* It changes, as it holds the time. */
    l->hello.n = 0;
    right = sotto_answer_decode(body, len, &a) == 0 && a->type == SOTTO_ANS_HELLO &&
            sotto_buf_add(&l->hello, body, len) == 0;
    if (right)
        memcpy(l->relay_id, a->u.hello.relay.id, sizeof l->relay_id);
    sotto_answer_free(a);
    return right;
}

static void sign_in(struct load_conn *c)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    struct sotto_request q = {.id = ID_SIGN_IN, .type = SOTTO_REQ_SIGN_IN};
    uint8_t exporter[SOTTO_EXPORTER];

    memcpy(q.u.sign_in.name, c->me.name, sizeof q.u.sign_in.name);
    q.u.sign_in.device = c->me.device;
    if (SSL_export_keying_material(c->ssl, exporter, sizeof exporter, label, sizeof label - 1, NULL,
                                   0, 0) != 1 ||
        sotto_random(sotto_env_system(), q.u.sign_in.lease, sizeof q.u.sign_in.lease) != 0 ||
        sotto_proof_sign(&c->me.device_key, exporter, c->l->relay_id, c->me.name, c->me.device,
                         q.u.sign_in.lease, q.u.sign_in.proof) != 0)
        load_die("a device proof cannot be made");
    send_request(c, &q);
    c->stage = LOAD_SIGNING;
}

static void begin(struct load_conn *c)
{
    struct sotto_request q = {.id = ID_BEGIN, .type = SOTTO_REQ_BEGIN};

    q.u.begin.committed = c->committed;
    send_request(c, &q);
    c->stage = LOAD_BEGINNING;
}

/* --- input --- */

static void refused(struct load_conn *c, const uint8_t *body, size_t len)
{
    struct sotto_answer *a = NULL;

    if (sotto_answer_decode(body, len, &a) != 0)
        load_complain(c, "an answer that is not well formed");
    else if (a->type == SOTTO_ANS_ERROR)
        load_complain(c, a->u.error.text);
    else if (a->type == SOTTO_ANS_CLOSING && c->leaving)
        c->broken = true;
    else if (a->type == SOTTO_ANS_CLOSING)
        load_complain(c, a->u.closing.text);
    else
        load_complain(c, "an answer that does not fit here");
    sotto_answer_free(a);
}

static void take_frame(struct load_conn *c, const uint8_t *body, size_t len)
{
    struct load_answer a;

    if (c->stage == LOAD_GREETING) {
        if (hello_right(c->l, body, len))
            sign_in(c);
        else
            load_complain(c, "the hello is not right");
        return;
    }
    if (!load_answer_read(body, len, &a)) {
        load_complain(c, "an answer that is not well formed");
        return;
    }
    if (a.type == SOTTO_ANS_DELIVER && c->stage == LOAD_READY) {
        load_flow_arrived(c, &a);
    } else if (a.type == SOTTO_ANS_SUBMITTED && c->flow != NULL) {
        load_flow_answered(c, &a);
    } else if (a.type == SOTTO_ANS_SIGNED_IN && c->stage == LOAD_SIGNING) {
        begin(c);
    } else if (a.type == SOTTO_ANS_DONE && c->stage == LOAD_BEGINNING) {
        c->stage = LOAD_READY;
        c->l->ready++;
        load_mark_dirty(c);
    } else if (a.type != SOTTO_ANS_PREKEYS_LOW && a.type != SOTTO_ANS_LIST_CHANGED &&
               !(a.type == SOTTO_ANS_DONE && c->stage == LOAD_READY)) { /* a ping's */
        refused(c, body, len);
    }
}

static void take_input(struct load_conn *c)
{
    size_t at = 0;

    while (!c->broken && c->in_len - at >= SOTTO_FRAME_HEADER) {
        size_t n = sotto_get_u32(c->in + at);

        if (n == 0 || n > SOTTO_FRAME_MAX) {
            load_complain(c, "a frame of a wrong size");
            return;
        }
        if (c->in_len - at - SOTTO_FRAME_HEADER < n)
            break;
        take_frame(c, c->in + at + SOTTO_FRAME_HEADER, n);
        at += SOTTO_FRAME_HEADER + n;
    }
    c->in_len -= at;
    if (c->in_len > 0 && at > 0)
        memmove(c->in, c->in + at, c->in_len);
}

static void read_all(struct load_conn *c)
{
    for (;;) {
        int r, e;

        if (c->in_len + READ_BYTES > c->in_room) {
            c->in_room = c->in_len + READ_BYTES;
            c->in = load_grow(c->in, c->in_room);
        }
        r = SSL_read(c->ssl, c->in + c->in_len, READ_BYTES);
        if (r > 0) {
            c->in_len += (size_t)r;
            take_input(c);
            if (!c->broken)
                continue;
            load_close(c);
            return;
        }
        e = SSL_get_error(c->ssl, r);
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
            break;
        if (!c->leaving)
            load_complain(c, "the relay closed the connection");
        load_close(c);
        return;
    }
    if (c->in_len == 0 && c->in_room > KEEP_BYTES) {
        free(c->in);
        c->in = NULL;
        c->in_room = 0;
    }
}

static void shake(struct load_conn *c)
{
    int r = SSL_connect(c->ssl);

    if (r == 1) {
        c->stage = LOAD_GREETING;
        watch(c, EPOLLIN);
        if (!pin_right(c)) {
            load_complain(c, "the relay's key is not the one that was named (--pin)");
            load_close(c);
        }
        return;
    }
    switch (SSL_get_error(c->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        watch(c, EPOLLIN);
        return;
    case SSL_ERROR_WANT_WRITE:
        watch(c, EPOLLIN | EPOLLOUT);
        return;
    default:
        load_complain(c, "the TLS handshake failed");
        load_close(c);
    }
}

static void connected(struct load_conn *c)
{
    int e = 0;
    socklen_t len = sizeof e;

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len);
    if (e != 0) {
        load_complain(c, strerror(e));
        load_close(c);
        return;
    }
    if ((c->ssl = SSL_new(c->l->tls)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
        load_die("TLS: out of memory");
    SSL_set_connect_state(c->ssl);
    c->stage = LOAD_SHAKING;
}

static void handle(struct load_conn *c, uint32_t events)
{
    if (c->stage == LOAD_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
        connected(c);
    if (c->stage == LOAD_SHAKING)
        shake(c);
    if (c->stage >= LOAD_GREETING && c->stage != LOAD_CLOSED) {
        if ((events & EPOLLOUT) != 0)
            load_mark_dirty(c);
        read_all(c);
    }
}

/* --- the loop --- */

/* What became of the events: the window is filled, what arrived is acknowledged once, all leaves.
 */
static void look_after(struct load_conn *c)
{
    uint8_t ack[LOAD_ACK_MAX];

    if (c->stage == LOAD_READY && c->flow != NULL)
        load_flow_pump(c);
    if (c->stage == LOAD_READY && c->ack_due) {
        c->ack_due = false;
        load_send(c, ack, load_ack_make(c->committed, ack));
    }
    c->dirty = false;
    flush(c);
}

void load_step(struct load *l, uint64_t ns)
{
    static struct epoll_event events[EVENTS];
    uint64_t sleep = l->o.awake && l->pumping ? 0 : ns;
    struct timespec t = {(time_t)(sleep / 1000000000), (long)(sleep % 1000000000)};
    int n = epoll_pwait2(l->epoll, events, EVENTS, &t, NULL);

    for (int i = 0; i < n; i++)
        handle(events[i].data.ptr, events[i].events);
    for (size_t i = 0; i < l->dirty_count; i++)
        look_after(l->dirty[i]);
    l->dirty_count = 0;
}

void load_run(struct load *l, double seconds)
{
    uint64_t now, until = load_now_ns() + (uint64_t)(seconds * 1e9);

    while ((now = load_now_ns()) < until)
        load_step(l, until - now);
}

bool load_open_range(struct load *l, size_t first, size_t end, double seconds)
{
    size_t next = first, ready = l->ready, closed = l->closed;
    uint64_t until = load_now_ns() + (uint64_t)(seconds * 1e9);

    for (;;) {
        size_t done = l->ready - ready + (l->closed - closed);

        if (done >= end - first || load_now_ns() >= until)
            return l->ready - ready == end - first;
        for (; next < end && next - first - done < l->o.at_once; next++)
            load_open(&l->conns[next]);
        load_step(l, STEP_NS);
    }
}
