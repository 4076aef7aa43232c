/* SPDX-License-Identifier: Apache-2.0 */
#include "run/client/pause.h"

#define PAUSE_MS     500
#define PAUSE_MAX_MS 60000

uint32_t sotto_pause_next(const struct sotto_env *env, uint32_t *longest_ms)
{
    uint32_t half;
    uint16_t dice = 0;

    *longest_ms = *longest_ms == 0                 ? PAUSE_MS
                  : *longest_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS
                                                   : *longest_ms * 2;
    half = *longest_ms / 2;
    (void)sotto_random(env, &dice, sizeof dice);
    return half + (uint32_t)((uint64_t)half * dice / 65535);
}
