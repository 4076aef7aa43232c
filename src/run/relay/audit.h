/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_AUDIT_H
#define SOTTO_RUN_RELAY_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * What operators did: DIR/audit.log (0600), one JSON line for each action, written and on disk
 * before the action begins:
 *
 *     {"time":"2026-11-21T08:00:00Z","uid":0,"action":"disable","subject":"alice","detail":"",
 *      "previous":"HEX"}                                                       (in one line)
 *
 * "previous" is the SHA-256 of the line before, without its line break; zeros in the first one. A
 * line that was changed, left out or put in breaks the chain. Lines that were cut off at the end do
 * not: for that, the last hash has to be kept elsewhere and given to sotto_audit_verify().
 */
#define SOTTO_AUDIT_LINE 1024
#define SOTTO_AUDIT_HASH 65 /* hex and NUL */

/* Appends. subject, detail: NULL is "". Half a line that a crash left is cut off first. LOCKED:
 * somebody else writes for too long; FULL, DENIED, IO: why says it. */
enum sotto_err sotto_audit_add(const char *dir, uint64_t now_ms, unsigned uid, const char *action,
                               const char *subject, const char *detail, char *why, size_t room);

struct sotto_audit_found {
    uint64_t lines;
    char head[SOTTO_AUDIT_HASH]; /* of the last line; zeros: none */
    uint64_t broken_line;        /* from 1; 0: none */
    bool wanted_seen;
};
/* wanted: a hash that has to be one of a line, in hex, or NULL. OK: also when it is broken. No file
 * is an empty log. IO, DENIED: why says it. */
enum sotto_err sotto_audit_verify(const char *dir, const char *wanted,
                                  struct sotto_audit_found *ret, char *why, size_t room);

#endif
