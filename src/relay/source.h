/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_SOURCE_H
#define SOTTO_RELAY_SOURCE_H

#include "relay/limits.h"

/*
 * Where a connection comes from, as far as limits go: an IPv4 address, or the /64 of an IPv6
 * address, as whoever has one address of a /64 has them all (RFC 6177). Many people may stand
 * behind one.
 */
struct sotto_source {
    uint8_t b[12];
};
/* From "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1" (the same as 192.0.2.1). Any
 * other text is a source of its own kind. */
void sotto_source_of(const char *address, struct sotto_source *ret);

/*
 * Counts the connections of each source, and how often it opened one. What it remembers is bounded
 * by the connections that are open. One thread.
 */
struct sotto_sources;
enum sotto_err sotto_sources_new(const struct sotto_env *env, struct sotto_sources **ret);
void sotto_sources_free(struct sotto_sources *s); /* NULL is fine */

struct sotto_source_limits {
    uint32_t connections;           /* at once */
    uint32_t handshakes_per_minute; /* 0, of either: no limit */
};
/* Before TLS begins. FULL: too many at once; AGAIN: too many in this minute; NOMEM. After
 * OK sotto_sources_leave() follows when the connection is over. */
enum sotto_err sotto_sources_enter(struct sotto_sources *s, const struct sotto_source *from,
                                   const struct sotto_source_limits *limits, uint64_t mono);
void sotto_sources_leave(struct sotto_sources *s, const struct sotto_source *from);
uint32_t sotto_sources_connections(const struct sotto_sources *s, const struct sotto_source *from);
/* True once a minute for each source and reason: what a log line is written for. */
bool sotto_sources_may_log(struct sotto_sources *s, const struct sotto_source *from,
                           const char *reason, uint64_t mono);
/* The same on a guard of the caller's. */
bool sotto_guard_line(struct guard *lines, const struct sotto_source *from, const char *reason,
                      uint64_t mono);

#endif
