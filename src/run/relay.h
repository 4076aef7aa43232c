/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_H
#define SOTTO_RUN_RELAY_H

#include "run/relay_options.h"

/*
 * What `sottod` does. Both print on stdout what is meant for programs (ready lines, the link), and
 * on stderr one line that says what is wrong and how to mend it. They return the exit code.
 */

/* Runs a relay until SIGTERM or SIGINT: 0. Anything that keeps it from running: 1. */
int sotto_relay_run(const struct sotto_relay_options *o);

/* Prints one invite link. */
int sotto_relay_invite(const struct sotto_relay_options *o, uint32_t uses, uint64_t lifetime_ms);

#endif
