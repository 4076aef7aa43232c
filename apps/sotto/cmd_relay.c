/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "commands.h"

uint32_t sotto_cmd_status(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    (void)args;
    (void)why;
    return sotto_status(c);
}

uint32_t sotto_cmd_trust_relay(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    const char *word = args->rest[0];

    if (strncmp(word, "sha256:", 7) != 0 && strncmp(word, "sotto://", 8) != 0) {
        (void)snprintf(why, SOTTO_CLI_WHY,
                       "trust-relay needs the relay's new key, 'sha256:...', as its operator reads "
                       "it out, or a new invite link of the same relay");
        return 0;
    }
    return sotto_trust_relay(c, word);
}
