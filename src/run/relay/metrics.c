/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/metrics.h"

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "run/relay/http.h"
#include "run/relay/metrics_page.h"

uint64_t sotto_relay_clock_us(void)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int add_text(struct sotto_buf *body, int status, const char *text)
{
    return sotto_buf_add(body, text, strlen(text)) == 0 ? status : 503;
}

static int health(const struct sotto_relay_metrics *m, struct sotto_buf *body)
{
    const struct sotto_counters *core = sotto_relay_counters(m->relay);

    if (atomic_load(&core->v[SOTTO_COUNT_FAILING]) != 0)
        return add_text(body, 503, "nothing can be stored; look at the disk\n");
    return add_text(body, 200, "ok\n");
}

/* What the gate has counted, also for the workers, since somebody last looked. */
static void ask_gate(struct sotto_relay_metrics *m)
{
    sotto_gauge(&m->counters, SOTTO_COUNT_CONNECTIONS, sotto_gate_open(m->gate));
    sotto_count(&m->counters, SOTTO_COUNT_TURNED_AWAY, sotto_gate_turned_away(m->gate));
    sotto_count(&m->counters, SOTTO_COUNT_TURNED_AWAY_HANDSHAKE, sotto_gate_failures(m->gate));
}

static int metrics(struct sotto_relay_metrics *m, struct sotto_buf *body)
{
    const struct sotto_counters *both[] = {&m->counters, sotto_relay_counters(m->relay)};
    const struct sotto_env *env = sotto_env_system();
    struct sotto_metrics_now now = {
        .uptime_ms = sotto_mono_ms(env) - m->started_ms,
        .connections_max = sotto_gate_most(m->gate),
    };
    int64_t from, until;

    ask_gate(m);
    if (sotto_cert_dates(m->parts->cert, &from, &until) == 0)
        now.certificate_s = until - (int64_t)(sotto_now_ms(env) / 1000);
    if (sotto_metrics_print(m->page, both, 2, &now, body) == 0)
        return 200;
    sotto_buf_clear(body); /* half a page would look like one */
    return 503;
}

static int answer(void *ctx, const char *path, struct sotto_buf *ret_body)
{
    if (strcmp(path, "/health") == 0)
        return health(ctx, ret_body);
    if (strcmp(path, "/metrics") == 0)
        return metrics(ctx, ret_body);
    return add_text(ret_body, 404, "there are /metrics and /health\n");
}

enum sotto_err sotto_relay_metrics_open(struct sotto_relay_metrics *m, struct sotto_loop *loop,
                                        const struct sotto_relay_options *o,
                                        const struct sotto_relay_parts *parts,
                                        const struct sotto_relay *relay, struct sotto_gate *gate,
                                        char *why, size_t room)
{
    struct sotto_relay_address bound = o->metrics;
    char text[SOTTO_RELAY_ADDRESS_TEXT];
    enum sotto_err e;

    m->relay = relay;
    m->parts = parts;
    m->gate = gate;
    m->started_ms = sotto_mono_ms(sotto_env_system());
    if (bound.host[0] == '\0')
        return SOTTO_OK;
    if ((m->page = sotto_metrics_new(parts->folder.path)) == NULL)
        return SOTTO_ERR_NOMEM;
    if ((e = sotto_http_listen(loop, bound.host, bound.port, answer, m, &m->http, &bound.port, why,
                               room)) != 0)
        return e;
    sotto_relay_address_print(&bound, text);
    sotto_log_event(SOTTO_LOG_INFO, "metrics", "metrics at http://%s/metrics, health at /health",
                    text);
    return SOTTO_OK;
}

void sotto_relay_metrics_close(struct sotto_relay_metrics *m)
{
    sotto_http_free(m->http);
    sotto_metrics_free(m->page);
    m->http = NULL;
    m->page = NULL;
}
