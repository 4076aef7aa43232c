/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_NOTIFY_H
#define SOTTO_RUN_RELAY_NOTIFY_H

#include <stdint.h>

/*
 * Tells the service manager how it goes: sd_notify(3), without its library. The manager names a
 * datagram socket in $NOTIFY_SOCKET; where nobody does, nothing is said and nothing goes wrong.
 */
struct sotto_notify;

/* Looks at the environment, and takes the variables out of it. Call it before the sandbox, which
 * allows no connecting. NULL: nobody wants to hear. */
struct sotto_notify *sotto_notify_open(void);
void sotto_notify_free(struct sotto_notify *n); /* NULL is fine, here and below */

/* Accepts connections now, or again after a reload. status: a few words for `systemctl status`. */
void sotto_notify_ready(struct sotto_notify *n, const char *status);
void sotto_notify_reloading(struct sotto_notify *n);
void sotto_notify_stopping(struct sotto_notify *n);
/* Still alive: to be said once in every interval. */
void sotto_notify_alive(struct sotto_notify *n);
/* Half of what the manager allows, in milliseconds; 0: it does not watch. */
uint64_t sotto_notify_interval_ms(const struct sotto_notify *n);

#endif
