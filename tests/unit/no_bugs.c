/* SPDX-License-Identifier: Apache-2.0 */
#include "no_bugs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"

static void look(void *ctx, enum sotto_log_level level, const char *line)
{
    if (level == SOTTO_LOG_BUG)
        fail_msg("%s", line);
}

void no_bugs(void)
{
    sotto_log_set(look, NULL, SOTTO_LOG_DEBUG);
}
