/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_WHEN_H
#define SOTTO_APP_WHEN_H

#include <stdint.h>

#define SOTTO_WHEN_ROOM 32

/* Times are milliseconds since 1970; what lies past the year 9999 is shown as its end. */

/* RFC 3339 in UTC with milliseconds, "2026-11-21T03:45:00.123Z": what scripts get. */
void sotto_when_utc(uint64_t ms, char ret[SOTTO_WHEN_ROOM]);
/* For people, in local time: "2026-11-21 04:45". */
void sotto_when_local(uint64_t ms, char ret[SOTTO_WHEN_ROOM]);
/* The same, but "04:45" when it is the same day as now. */
void sotto_when_short(uint64_t ms, uint64_t now_ms, char ret[SOTTO_WHEN_ROOM]);

#endif
