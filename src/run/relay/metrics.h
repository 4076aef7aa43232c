/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_METRICS_H
#define SOTTO_RUN_RELAY_METRICS_H

#include "relay/counters.h"
#include "run/relay/gate.h"
#include "run/relay/open.h"

struct sotto_loop;

/* What a running relay shows at --metrics: /metrics for Prometheus, /health for whoever asks only
 * whether it works (200 "ok", or 503 and why not). */
struct sotto_relay_metrics {
    struct sotto_counters counters; /* of connections, commits, turns; the core has its own */
    const struct sotto_relay *relay;
    const struct sotto_relay_parts *parts;
    struct sotto_gate *gate;
    uint64_t started_ms;
    struct sotto_metrics *page;
    struct sotto_http *http; /* NULL: nobody may look */
};

/* Listens if the options say so, and says in the log where; before the sandbox. All but the loop
 * is borrowed. Errors as of sotto_http_listen(). */
enum sotto_err sotto_relay_metrics_open(struct sotto_relay_metrics *m, struct sotto_loop *loop,
                                        const struct sotto_relay_options *o,
                                        const struct sotto_relay_parts *parts,
                                        const struct sotto_relay *relay, struct sotto_gate *gate,
                                        char *why, size_t room);
void sotto_relay_metrics_close(struct sotto_relay_metrics *m);

/* A monotonic clock that is fine enough for durations. */
uint64_t sotto_relay_clock_us(void);

#endif
