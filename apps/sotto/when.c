/* SPDX-License-Identifier: Apache-2.0 */
#include "when.h"

#include <stdio.h>
#include <time.h>

/* The last millisecond of the year 9999: RFC 3339 has four digits, and a sender may claim more. */
static const uint64_t latest_ms = 253402300799999;

static uint64_t clamped(uint64_t ms)
{
    return ms > latest_ms ? latest_ms : ms;
}

void sotto_when_utc(uint64_t ms, char ret[SOTTO_WHEN_ROOM])
{
    time_t seconds = (time_t)(clamped(ms) / 1000);
    char day[SOTTO_WHEN_ROOM];
    struct tm tm;

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(ret, SOTTO_WHEN_ROOM, "%.19s.%03uZ", day, (unsigned)(clamped(ms) % 1000));
}

static struct tm local(uint64_t ms)
{
    time_t seconds = (time_t)(clamped(ms) / 1000);
    struct tm tm;

    (void)localtime_r(&seconds, &tm);
    return tm;
}

void sotto_when_local(uint64_t ms, char ret[SOTTO_WHEN_ROOM])
{
    struct tm tm = local(ms);

    (void)strftime(ret, SOTTO_WHEN_ROOM, "%Y-%m-%d %H:%M", &tm);
}

void sotto_when_short(uint64_t ms, uint64_t now_ms, char ret[SOTTO_WHEN_ROOM])
{
    struct tm tm = local(ms), now = local(now_ms);

    if (tm.tm_year == now.tm_year && tm.tm_yday == now.tm_yday)
        (void)strftime(ret, SOTTO_WHEN_ROOM, "%H:%M", &tm);
    else
        sotto_when_local(ms, ret);
}
