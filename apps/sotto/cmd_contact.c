/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "commands.h"

/* Twelve groups of five, with as many spaces as somebody may have pasted. */
enum { DIGITS_ROOM = 256 };

uint32_t sotto_cmd_contacts(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    (void)args;
    (void)why;
    return sotto_contacts(c);
}

uint32_t sotto_cmd_accept(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    return sotto_cmd_name_fits(args->rest[0], why) ? sotto_accept(c, args->rest[0]) : 0;
}

uint32_t sotto_cmd_block(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    return sotto_cmd_name_fits(args->rest[0], why) ? sotto_block(c, args->rest[0]) : 0;
}

uint32_t sotto_cmd_unblock(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    return sotto_cmd_name_fits(args->rest[0], why) ? sotto_unblock(c, args->rest[0]) : 0;
}

/* The number may come as one word or, unquoted, as twelve. */
static bool collect_digits(const struct sotto_args *args, const char *first, char *ret, char *why)
{
    size_t n = 0, digits = 0;

    for (size_t i = 0; i < args->rest_count; i++) {
        const char *word = i == 0 ? first : args->rest[i];
        int m = snprintf(ret + n, DIGITS_ROOM - n, "%s%s", i == 0 ? "" : " ", word);

        if (m < 0 || (size_t)m >= DIGITS_ROOM - n)
            break;
        n += (size_t)m;
    }
    for (size_t i = 0; i < n; i++)
        digits += ret[i] >= '0' && ret[i] <= '9';
    if (digits == 60 && strspn(ret, "0123456789 ") == n)
        return true;
    (void)snprintf(why, SOTTO_CLI_WHY,
                   "--confirm needs the whole number that the other side sees: twelve groups of "
                   "five digits");
    return false;
}

uint32_t sotto_cmd_verify(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    const char *name = args->rest[0], *confirm = sotto_args_value(args, "--confirm");
    char digits[DIGITS_ROOM];

    if (!sotto_cmd_name_fits(name, why))
        return 0;
    if (sotto_args_has(args, "--accept") && (confirm != NULL || args->rest_count > 1)) {
        (void)snprintf(why, SOTTO_CLI_WHY,
                       "--accept stands alone: first take the new identity, "
                       "then compare the new number");
        return 0;
    }
    if (sotto_args_has(args, "--accept"))
        return sotto_verify_accept(c, name);
    if (confirm != NULL)
        return collect_digits(args, confirm, digits, why) ? sotto_verify_confirm(c, name, digits)
                                                          : 0;
    if (args->rest_count > 1) {
        (void)snprintf(why, SOTTO_CLI_WHY, "verify takes one name; digits go after --confirm");
        return 0;
    }
    return sotto_safety_of(c, name);
}
