/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "commands.h"
#include "join.h"

/* ---- register, login -------------------------------------------------------------------- */

static enum sotto_result join(struct sotto_cli *cli, const struct sotto_args *args, bool login)
{
    const char *name = sotto_args_value(args, "--name");
    struct sotto_join j = {.address = args->rest[0],
                           .pin = sotto_args_value(args, "--pin"),
                           .name = name,
                           .login = login};
    char typed[64], why[SOTTO_CLI_WHY];
    enum sotto_result result;

    if (name == NULL && sotto_ask_possible() && sotto_ask_line("Name: ", typed, sizeof typed))
        j.name = name = typed;
    if (name == NULL) {
        sotto_out_error("%s needs --name NAME", login ? "login" : "register");
        return SOTTO_RESULT_USAGE;
    }
    if (!sotto_cmd_name_fits(name, why)) {
        sotto_out_error("%s", why);
        return SOTTO_RESULT_USAGE;
    }
    if (!sotto_join_address_fits(j.address, j.pin, why)) {
        sotto_out_error("%s", why);
        return SOTTO_RESULT_USAGE;
    }
    result = sotto_join_open(cli, &j);
    if (result == SOTTO_RESULT_OK)
        result = sotto_join(cli, &j);
    if (result != SOTTO_RESULT_OK)
        sotto_join_undo(cli, &j, result);
    return result;
}

enum sotto_result sotto_cmd_register(struct sotto_cli *cli, const struct sotto_args *args)
{
    return join(cli, args, false);
}

enum sotto_result sotto_cmd_login(struct sotto_cli *cli, const struct sotto_args *args)
{
    return join(cli, args, true);
}

/* ---- account delete --------------------------------------------------------------------- */

static void keep_name(void *ctx, const struct sotto_event *e)
{
    const struct sotto_status_row *s = sotto_event_status(e);

    if (s != NULL)
        (void)snprintf(ctx, 64, "%s", s->name);
}

/* Has the person meant it? The name typed back is harder to do by accident than a "y". */
static enum sotto_result confirm_delete(const char *name)
{
    char question[256], typed[64];

    if (!sotto_ask_possible()) {
        sotto_out_error(
            "deleting the account %s cannot be undone, and there is no terminal to ask; "
            "say --yes if it is meant",
            name);
        return SOTTO_RESULT_USAGE;
    }
    (void)snprintf(
        question, sizeof question,
        "The account %s, its devices and what waits for it on the relay will be gone, and "
        "the name is not given out again.\nType the name to delete it: ",
        name);
    if (sotto_ask_line(question, typed, sizeof typed) && strcmp(typed, name) == 0)
        return SOTTO_RESULT_OK;
    sotto_out_error("that is not the name; nothing was deleted");
    return SOTTO_RESULT_FAILED;
}

enum sotto_result sotto_cmd_account(struct sotto_cli *cli, const struct sotto_args *args)
{
    struct sotto_cli_done done;
    enum sotto_result result;
    char name[64] = "";

    if (strcmp(args->rest[0], "delete") != 0) {
        sotto_out_error("account can only 'delete'");
        return SOTTO_RESULT_USAGE;
    }
    result = sotto_cli_open(cli, false);
    if (result != SOTTO_RESULT_OK)
        return result;
    if (!sotto_args_has(args, "--yes")) {
        if (sotto_cli_wait(cli, sotto_status(cli->client), -1, keep_name, name, &done) !=
            SOTTO_CLI_DONE)
            return SOTTO_RESULT_FAILED;
        if (name[0] == 0) {
            sotto_out_error("this profile has no account");
            return SOTTO_RESULT_PROFILE;
        }
        result = confirm_delete(name);
        if (result != SOTTO_RESULT_OK)
            return result;
    }
    return sotto_cli_finish(cli, sotto_account_delete(cli->client), NULL, NULL);
}

/* ---- devices ---------------------------------------------------------------------------- */

static bool is_hex(const char *id, size_t len)
{
    return strlen(id) == len && strspn(id, "0123456789abcdef") == len;
}

uint32_t sotto_cmd_devices(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    const char *what = args->rest_count > 0 ? args->rest[0] : NULL;

    if (what == NULL)
        return sotto_devices(c);
    if (strcmp(what, "approve") == 0 && args->rest_count == 2)
        return sotto_device_approve(c, args->rest[1]);
    if (strcmp(what, "revoke") == 0 && args->rest_count == 2) {
        if (is_hex(args->rest[1], 16))
            return sotto_device_revoke(c, args->rest[1]);
        (void)snprintf(why, SOTTO_CLI_WHY,
                       "'%s' is not a device id: 16 hex digits, as 'devices' shows them",
                       args->rest[1]);
        return 0;
    }
    (void)snprintf(why, SOTTO_CLI_WHY,
                   "it is 'devices', 'devices approve CODE' or 'devices revoke "
                   "ID'");
    return 0;
}
