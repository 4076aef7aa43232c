/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_METRICS_PAGE_H
#define SOTTO_RUN_RELAY_METRICS_PAGE_H

#include "base/bytes.h"
#include "relay/counters.h"

/*
 * What Prometheus reads, in its text format (exposition format 0.0.4): the counters of the relay,
 * and what the process and its folder take up.
 */
struct sotto_metrics;

/* Opens what is looked at later, when the sandbox does not let anything more be opened. data: the
 * folder, borrowed. NULL: no memory. */
struct sotto_metrics *sotto_metrics_new(const char *data);
void sotto_metrics_free(struct sotto_metrics *m); /* NULL is fine */

/* What is known outside of the counters. */
struct sotto_metrics_now {
    uint64_t uptime_ms;
    size_t connections_max;
    int64_t certificate_s; /* until it expires; may be negative */
};
/* The sum of several counters. TOO_LARGE, NOMEM: the buffer holds a part. */
enum sotto_err sotto_metrics_print(struct sotto_metrics *m,
                                   const struct sotto_counters *const *counters, size_t count,
                                   const struct sotto_metrics_now *now, struct sotto_buf *buf);

#endif
