/* SPDX-License-Identifier: Apache-2.0 */
/* Core, store, loop and TLS of a relay put together: start, new settings, end. */
#include "run/relay/relay.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "run/relay/server.h"
#include "wire/invite.h"

#define WHY              1024
#define CERT_LOOK_MS     (24 * 3600 * 1000ull) /* renews one of our own in time */
#define SPARE_FILES      64                    /* descriptors that are not connections */
#define WRITE_AHEAD_FREE (64ull * 1024 * 1024)

static const struct sotto_listen_limits limits = {
    .handshake_ms = 10 * 1000,
    .idle_ms = 15 * 60 * 1000, /* the core speaks first; this is for what it cannot see */
    .write_stall_ms = 60 * 1000,
};

/* --- certificate --- */

static enum sotto_err cert_use(struct server *s, char *why, size_t room)
{
    struct sotto_relay_config config = s->o->relay;
    struct sotto_tls *tls = NULL;
    enum sotto_err e;

    config.pin_count = sotto_relay_pins(&s->parts.folder, s->parts.cert, config.pins);
    if ((e = sotto_tls_server(s->parts.cert, config.client_certificates, &tls)) != 0) {
        snprintf(why, room, "TLS does not take the certificate: %s", sotto_err_text(e));
        return e;
    }
    if (s->relay != NULL && (e = sotto_relay_reconfigure(s->relay, &config)) != 0) {
        snprintf(why, room, "%s", sotto_err_text(e));
        sotto_tls_free(tls);
        return e;
    }
    s->config = config;
    sotto_tls_free(s->tls);
    s->tls = tls;
    for (size_t i = 0; i < s->listener_count; i++)
        sotto_listener_set_tls(s->listeners[i], tls);
    sotto_workers_set_tls(s->workers, tls);
    return SOTTO_OK;
}

/* The old one stays in use when the new one is not right. */
static void cert_reload(struct server *s)
{
    char why[WHY] = "";
    struct sotto_cert *fresh, *old = s->parts.cert;

    if (sotto_relay_cert_load(&s->parts.folder, s->o, &fresh, why, sizeof why) != 0) {
        sotto_log_event(SOTTO_LOG_LOCAL, "reload", "the certificate was not reloaded: %s", why);
        return;
    }
    s->parts.cert = fresh;
    if (cert_use(s, why, sizeof why) != 0) {
        sotto_log_event(SOTTO_LOG_LOCAL, "reload", "the certificate was not reloaded: %s", why);
        s->parts.cert = old;
        old = fresh;
    }
    sotto_cert_free(old);
}

/* --- settings --- */

/* As many connections as were asked for, as far as the system lets one process have them. */
static void set_limits(struct server *s)
{
    struct sotto_gate_limits l = {
        .open = s->o->max_connections,
        .source = {.connections = s->o->connections_per_address,
                   .handshakes_per_minute = s->o->handshakes_per_minute},
    };
    struct rlimit r;
    size_t most;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        if (r.rlim_cur != r.rlim_max) {
            r.rlim_cur = r.rlim_max;
            (void)setrlimit(RLIMIT_NOFILE, &r);
        }
        most = r.rlim_cur > 2 * SPARE_FILES ? (size_t)r.rlim_cur - SPARE_FILES : SPARE_FILES;
        if (r.rlim_cur != RLIM_INFINITY && l.open > most) {
            sotto_log_local("max_connections is %zu and not %u: a process may open %llu files here "
                            "(ulimit -n, LimitNOFILE=)",
                            most, s->o->max_connections, (unsigned long long)r.rlim_cur);
            l.open = most;
        }
    }
    sotto_gate_limit(s->gate, &l);
}

/* All of the new settings, or none of them. */
static enum sotto_err options_use(struct server *s, const struct sotto_relay_options *fresh,
                                  char *why, size_t room)
{
    struct sotto_relay_options old = s->options;
    enum sotto_err e;

    s->options = *fresh;
    if ((e = cert_use(s, why, room)) != 0) {
        s->options = old;
        return e;
    }
    set_limits(s);
    sotto_log_json(s->options.log_json);
    return SOTTO_OK;
}

static void options_reload(struct server *s)
{
    struct sotto_relay_options fresh;
    char why[WHY] = "", later[256];

    if (sotto_relay_options_reread(s->o, &fresh, later, sizeof later, why, sizeof why) != 0 ||
        options_use(s, &fresh, why, sizeof why) != 0) {
        sotto_log_event(SOTTO_LOG_LOCAL, "reload",
                        "the settings were not reloaded, those before stay: %s", why);
        return;
    }
    sotto_log_event(SOTTO_LOG_INFO, "reload", "the settings were reloaded");
    if (later[0] != '\0')
        sotto_log_event(SOTTO_LOG_LOCAL, "reload", "these settings change with a restart only: %s",
                        later);
}

static void say_to_manager(struct server *s)
{
    char address[SOTTO_RELAY_ADDRESS_TEXT], status[SOTTO_RELAY_ADDRESS_TEXT + 32];

    sotto_relay_address_print(&s->bound[0], address);
    snprintf(status, sizeof status, "accepting connections at %s", address);
    sotto_notify_ready(s->notify, status);
}

static void on_hup(void *ctx)
{
    struct server *s = ctx;
    char pin[SOTTO_PIN_TEXT];

    sotto_notify_reloading(s->notify);
    options_reload(s);
    cert_reload(s);
    sotto_pin_print(s->config.pins[0], pin);
    sotto_log_event(SOTTO_LOG_INFO, "reload", "new connections get the certificate with the pin %s",
                    pin);
    say_to_manager(s);
}

/* The loop turns: that is what the service manager watches. */
static void on_alive(void *ctx)
{
    struct server *s = ctx;

    sotto_notify_alive(s->notify);
    sotto_timer_start(s->alive_timer, sotto_notify_interval_ms(s->notify));
}

static void on_cert_timer(void *ctx)
{
    struct server *s = ctx;

    cert_reload(s);
    sotto_timer_start(s->cert_timer, CERT_LOOK_MS);
}

/* --- stop --- */

static void on_stop(void *ctx)
{
    struct server *s = ctx;

    if (s->stopping)
        return;
    s->stopping = true;
    sotto_notify_stopping(s->notify);
    sotto_log_event(SOTTO_LOG_INFO, "stop", "stopping: telling %zu connections",
                    sotto_gate_open(s->gate));
    for (size_t i = 0; i < s->listener_count; i++)
        sotto_listener_free(s->listeners[i]);
    s->listener_count = 0;
    sotto_workers_deaf(s->workers);
    sotto_server_turn_durable(s);
    sotto_relay_shutdown(s->relay);
    sotto_server_turn_durable(s);
    sotto_server_cut_links(s); /* TLS was not up yet */
    sotto_workers_quit(s->workers);
    sotto_loop_stop(s->loop);
}

/* --- start --- */

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* How good an address is for being reached by others: 0 not at all. */
static int address_rank(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        uint32_t v = ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr);

        if (v >> 24 == 127 || v >> 16 == 0xa9fe)
            return 0;
        if (v >> 24 == 10 || v >> 20 == 0xac1 || v >> 16 == 0xc0a8)
            return 2;
        return 4;
    }
    if (a->sa_family == AF_INET6) {
        const struct in6_addr *v = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;

        if (IN6_IS_ADDR_LOOPBACK(v) || IN6_IS_ADDR_LINKLOCAL(v))
            return 0;
        return (v->s6_addr[0] & 0xfe) == 0xfc ? 1 : 3;
    }
    return 0;
}

/* "Everywhere" is nothing that an invite could say: the machine's own most public address of that
 * family. */
static void concrete_host(const char *wildcard, char ret[256])
{
    int family = strchr(wildcard, ':') != NULL ? AF_INET6 : AF_INET, best = 0;
    struct ifaddrs *all = NULL;

    snprintf(ret, 256, "%s", family == AF_INET6 ? "::1" : "127.0.0.1");
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        char text[256];
        int rank;

        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP))
            continue;
        rank = address_rank(i->ifa_addr);
        if (rank > best && getnameinfo(i->ifa_addr,
                                       family == AF_INET ? sizeof(struct sockaddr_in)
                                                         : sizeof(struct sockaddr_in6),
                                       text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0) {
            best = rank;
            snprintf(ret, 256, "%s", text);
        }
    }
    freeifaddrs(all);
}

/* Only where there is room enough that nobody misses it. */
static void write_ahead(struct server *s)
{
    struct statvfs fs;
    enum sotto_err e;

    if (statvfs(s->parts.folder.path, &fs) != 0 ||
        (uint64_t)fs.f_bavail * fs.f_frsize < WRITE_AHEAD_FREE)
        return;
    if ((e = sotto_rs_write_ahead(s->parts.store)) != 0)
        sotto_log_local("the store's log could not be written ahead (%s): storing takes longer",
                        sotto_err_text(e));
}

static enum sotto_err note_address(struct server *s)
{
    struct sotto_relay_address a = s->bound[0];
    char text[SOTTO_RELAY_ADDRESS_TEXT];
    enum sotto_err e;

    if (s->o->has_public) {
        a = s->o->public_address;
        if (a.port == 0)
            a.port = s->bound[0].port;
    } else if (is_wildcard(a.host)) {
        concrete_host(s->bound[0].host, a.host);
    }
    sotto_relay_address_print(&a, text);
    sotto_log_info("invites name %s%s", text,
                   s->o->has_public ? "" : " (another: --public HOST[:PORT])");
    if ((e = sotto_rs_address_put(s->parts.store, text)) != 0)
        return e;
    write_ahead(s);
    return sotto_rs_sync(s->parts.store);
}

static enum sotto_err listen_on(struct server *s, const struct sotto_relay_address *a, char *why,
                                size_t room)
{
    size_t i = s->listener_count;
    enum sotto_err e =
        sotto_listen(s->loop, a->host, a->port, s->tls, &limits, &sotto_server_listener_ops, s,
                     &s->listeners[i], &s->bound[i].port, why, room);

    if (e != 0)
        return e;
    memcpy(s->bound[i].host, a->host, sizeof s->bound[i].host);
    s->listener_count++;
    return SOTTO_OK;
}

/* Without --listen: everywhere, as people expect of a server. A machine without IPv6 is none. */
static enum sotto_err listen_everywhere(struct server *s, char *why, size_t room)
{
    static const struct sotto_relay_address v4 = {.host = "0.0.0.0", .port = SOTTO_DEFAULT_PORT};
    static const struct sotto_relay_address v6 = {.host = "::", .port = SOTTO_DEFAULT_PORT};
    enum sotto_err e = listen_on(s, &v4, why, room);

    if (e != 0)
        return e;
    e = listen_on(s, &v6, why, room);
    return e == SOTTO_ERR_UNREACHABLE || e == SOTTO_ERR_IO ? SOTTO_OK : e;
}

/* One for each processor that this process may use; more than eight would wait for the core. */
static size_t threads_wanted(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n > 8 ? 8 : (size_t)n;
}

static enum sotto_err listen_all(struct server *s, char *why, size_t room)
{
    enum sotto_err e = SOTTO_OK;

    if (sotto_relay_folder_privilege(&s->parts.folder, true) != 0) {
        snprintf(why, room, "the rights to bind were lost");
        return SOTTO_ERR_DENIED;
    }
    if (s->o->listen_count == 0)
        e = listen_everywhere(s, why, room);
    for (size_t i = 0; e == 0 && i < s->o->listen_count; i++)
        e = listen_on(s, &s->o->listen[i], why, room);
    if (e == 0 && (e = sotto_relay_folder_drop(&s->parts.folder)) != 0)
        snprintf(why, room, "the rights of root could not be given up");
    return e;
}

static enum sotto_err start_syncers(struct server *s, char *why, size_t room)
{
    enum sotto_err e = sotto_syncer_start(s->loop, sotto_server_sync, s, &s->syncer);

    if (e == 0)
        e = sotto_syncer_start(s->loop, sotto_server_carry, s, &s->carrier);
    if (e != 0)
        snprintf(why, room, "a thread that waits for the disk does not start: %s",
                 sotto_err_text(e));
    return e;
}

/* This thread is one of them. */
static enum sotto_err start_workers(struct server *s, char *why, size_t room)
{
    size_t count = s->o->threads > 0 ? s->o->threads : threads_wanted();
    enum sotto_err e;

    if (count < 2)
        return SOTTO_OK;

    e = sotto_workers_start(count - 1, s->loop, s->listeners, s->listener_count, s->gate, &limits,
                            &sotto_server_worker_ops, s, &s->workers);
    if (e != 0)
        snprintf(why, room, "%zu threads do not start: %s", count, sotto_err_text(e));
    return e;
}

static bool make_watchers(struct server *s)
{
    return (s->timer = sotto_timer_new(s->loop, sotto_server_tick, s)) != NULL &&
           (s->cert_timer = sotto_timer_new(s->loop, on_cert_timer, s)) != NULL &&
           (s->alive_timer = sotto_timer_new(s->loop, on_alive, s)) != NULL &&
           (s->idle = sotto_before_sleep(s->loop, sotto_server_turn, s)) != NULL &&
           (s->term = sotto_signal_new(s->loop, SIGTERM, on_stop, s)) != NULL &&
           (s->intr = sotto_signal_new(s->loop, SIGINT, on_stop, s)) != NULL &&
           (s->hup = sotto_signal_new(s->loop, SIGHUP, on_hup, s)) != NULL;
}

static enum sotto_err start(struct server *s, char *why, size_t room)
{
    enum sotto_err e = sotto_relay_parts_open(&s->parts, s->o, true, true, why, room);

    if (e != 0 || (e = cert_use(s, why, room)) != 0)
        return e;
    if ((e = sotto_gate_new(sotto_env_system(), &s->gate)) != 0) {
        snprintf(why, room, "%s", sotto_err_text(e));
        return e;
    }
    set_limits(s);
    if ((s->loop = sotto_loop_new()) == NULL || !make_watchers(s)) {
        snprintf(why, room, "the event loop does not start: out of memory or file descriptors");
        return SOTTO_ERR_NOMEM;
    }
    if ((e = sotto_relay_new(sotto_env_system(), s->parts.store, &s->config, &s->relay)) != 0) {
        snprintf(why, room, "the store in %s cannot be used: %s", s->parts.folder.path,
                 sotto_err_text(e));
        return e;
    }
    if ((e = listen_all(s, why, room)) != 0)
        return e;
    if ((e = note_address(s)) != 0) {
        snprintf(why, room, "the store in %s cannot be written: %s", s->parts.folder.path,
                 sotto_err_text(e));
        return e;
    }
    if ((e = sotto_operator_listen(s->loop, s->parts.folder.path, s->relay,
                                   sotto_server_turn_durable, s, &s->operator)) != 0) {
        snprintf(why, room, "%s/operator.sock cannot be made: %s", s->parts.folder.path,
                 sotto_err_text(e));
        return e;
    }
    if ((e = sotto_relay_metrics_open(&s->metrics, s->loop, s->o, &s->parts, s->relay, s->gate, why,
                                      room)) != 0)
        return e;
    /* Threads inherit the sandbox. */
    if ((e = sotto_relay_confine(&s->parts, s->o, why, room)) != 0 ||
        (e = start_syncers(s, why, room)) != 0)
        return e;
    return start_workers(s, why, room);
}

static void stop(struct server *s)
{
    sotto_workers_quit(s->workers);
    sotto_loop_settle(s->loop); /* our own goodbyes, while theirs leave: two seconds at most */
    sotto_workers_stop(s->workers);
    sotto_syncer_stop(s->syncer);
    sotto_syncer_stop(s->carrier);
    sotto_operator_free(s->operator); /* while the folder is still ours */
    for (size_t i = 0; i < s->listener_count; i++)
        sotto_listener_free(s->listeners[i]);
    sotto_server_cut_links(s);
    sotto_relay_metrics_close(&s->metrics);
    sotto_relay_free(s->relay);
    sotto_gate_free(s->gate);
    sotto_relay_parts_close(&s->parts);
    sotto_timer_free(s->timer);
    sotto_timer_free(s->cert_timer);
    sotto_timer_free(s->alive_timer);
    sotto_idle_free(s->idle);
    sotto_signal_free(s->term);
    sotto_signal_free(s->intr);
    sotto_signal_free(s->hup);
    sotto_tls_free(s->tls);
    sotto_notify_free(s->notify);
    sotto_loop_free(s->loop);
}

/* First thing on stdout, for whoever started us. */
static void say_ready(const struct server *s)
{
    char address[SOTTO_RELAY_ADDRESS_TEXT], pin[SOTTO_PIN_TEXT];

    sotto_pin_print(s->config.pins[0], pin);
    for (size_t i = 0; i < s->listener_count; i++) {
        sotto_relay_address_print(&s->bound[i], address);
        printf("sottod ready %s pin %s\n", address, pin);
        if (fflush(stdout) != 0)
            sotto_log_local("the ready line could not be written to stdout");
    }
}

int sotto_relay_run(const struct sotto_relay_options *o)
{
    struct server *s = calloc(1, sizeof *s);
    char why[WHY] = "out of memory";
    int code = 1;

    (void)signal(SIGPIPE, SIG_IGN);
    /* Newer versions of libuv would hand their calls to it, past the sandbox. */
    (void)setenv("UV_USE_IO_URING", "0", 1);
    sotto_log_json(o->log_json);
    if (s != NULL) {
        s->options = *o;
        s->o = &s->options;
        s->notify = sotto_notify_open();
    }
    if (s == NULL || start(s, why, sizeof why) != 0) {
        if (o->log_json)
            sotto_log_event(SOTTO_LOG_LOCAL, "start", "%s", why);
        else
            fprintf(stderr, "sottod: %s\n", why);
    } else {
        say_ready(s);
        say_to_manager(s);
        if (sotto_notify_interval_ms(s->notify) > 0)
            on_alive(s);
        sotto_server_set_timer(s);
        sotto_timer_start(s->cert_timer, CERT_LOOK_MS);
        sotto_loop_run(s->loop);
        code = 0;
    }
    if (s != NULL)
        stop(s);
    if (code == 0)
        sotto_log_event(SOTTO_LOG_INFO, "stop", "stopped; everything is stored");
    free(s);
    return code;
}
