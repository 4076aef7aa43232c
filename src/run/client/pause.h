/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_CLIENT_PAUSE_H
#define SOTTO_RUN_CLIENT_PAUSE_H

#include <stdint.h>

#include "base/env.h"

/*
 * How long to wait before a lost connection is made again: doubled each time, from half a second up
 * to a minute, of which a random half is taken off, so that the clients of a relay that came back
 * do not arrive all at once. *longest_ms: what the last one was drawn from; 0: the first attempt.
 * Without random bytes the shortest one: nothing secret depends on it.
 */
uint32_t sotto_pause_next(const struct sotto_env *env, uint32_t *longest_ms);

#endif
