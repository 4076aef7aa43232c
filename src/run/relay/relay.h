/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_RELAY_H
#define SOTTO_RUN_RELAY_RELAY_H

#include "run/relay/options.h"

/* Runs a relay until SIGTERM or SIGINT: 0. Anything that keeps it from running: 1. */
int sotto_relay_run(const struct sotto_relay_options *o);

#endif
