/* SPDX-License-Identifier: Apache-2.0 */
#include "guide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "chat.h"
#include "commands.h"
#include "join.h"

enum { ADDRESS_ROOM = 1024, NAME_ROOM = 64 };

static void banner(void)
{
    const char *off = getenv("SOTTO_NO_BANNER");

    if (off != NULL && off[0] != 0)
        return;
    (void)puts("\n"
               "  \xe2\x96\x84\xe2\x96\x80\xe2\x96\x80 \xe2\x96\x84\xe2\x96\x80\xe2\x96\x84 "
               "\xe2\x96\x80\xe2\x96\x88\xe2\x96\x80 \xe2\x96\x80\xe2\x96\x88\xe2\x96\x80 "
               "\xe2\x96\x84\xe2\x96\x80\xe2\x96\x84\n"
               "  \xe2\x96\x84\xe2\x96\x88\xe2\x96\x80 \xe2\x96\x80\xe2\x96\x84\xe2\x96\x80  "
               "\xe2\x96\x88   \xe2\x96\x88  \xe2\x96\x80\xe2\x96\x84\xe2\x96\x80\n"
               "  messages that only the two of you can read\n");
}

static void keep_name(void *ctx, const struct sotto_event *e)
{
    const struct sotto_status_row *s = sotto_event_status(e);

    if (s != NULL)
        (void)snprintf(ctx, NAME_ROOM, "%s", s->name);
}

/* Asks until the answer fits. False: the person has had enough. */
static bool ask_address(char *ret)
{
    char why[SOTTO_CLI_WHY];

    for (;;) {
        if (!sotto_ask_line("Invite link (sotto://...), or HOST:PORT of the relay: ", ret,
                            ADDRESS_ROOM))
            return false;
        ret[strcspn(ret, " \t")] = 0; /* a link that was pasted with what came after it */
        if (sotto_join_address_fits(ret, NULL, why))
            return true;
        sotto_ask_say("%s", why);
    }
}

static bool ask_name(char *ret)
{
    char why[SOTTO_CLI_WHY];

    for (;;) {
        if (!sotto_ask_line("Name: ", ret, NAME_ROOM))
            return false;
        if (sotto_cmd_name_fits(ret, why))
            return true;
        sotto_ask_say("%s", why);
    }
}

/* One go. A name that is taken leaves the profile in place for another one. */
static enum sotto_result try_join(struct sotto_cli *cli, struct sotto_join *j)
{
    enum sotto_result result = SOTTO_RESULT_OK;

    if (cli->client == NULL)
        result = sotto_join_open(cli, j);
    return result == SOTTO_RESULT_OK ? sotto_join(cli, j) : result;
}

static enum sotto_result sign_up(struct sotto_cli *cli)
{
    char address[ADDRESS_ROOM], name[NAME_ROOM];
    struct sotto_join j = {.address = address, .name = name};
    enum sotto_result result;

    sotto_ask_say("There is no account on this computer yet. You need an invite from whoever runs "
                  "the relay.");
    if (!ask_address(address))
        return SOTTO_RESULT_FAILED;
    j.login = sotto_ask_yes("Do you have an account there already, on another device? (yes/no) ");
    for (;;) {
        if (!ask_name(name)) {
            sotto_join_undo(cli, &j, SOTTO_RESULT_FAILED);
            return SOTTO_RESULT_FAILED;
        }
        result = try_join(cli, &j);
        if (result != SOTTO_RESULT_FAILED || cli->client == NULL || cli->signal != 0)
            break;
        sotto_ask_say("Try another name, or Ctrl-D to stop.");
    }
    if (result != SOTTO_RESULT_OK)
        sotto_join_undo(cli, &j, result);
    return result;
}

enum sotto_result sotto_guide(struct sotto_cli *cli)
{
    enum sotto_result result = SOTTO_RESULT_OK;
    struct sotto_cli_done done;
    char name[NAME_ROOM] = "";

    banner();
    if (sotto_profile_exists(cli->profile)) {
        result = sotto_cli_open(cli, false);
        if (result != SOTTO_RESULT_OK)
            return result;
        /* A sign-up that was broken off has left a profile without an account. */
        if (sotto_cli_wait(cli, sotto_status(cli->client), -1, keep_name, name, &done) !=
            SOTTO_CLI_DONE)
            return SOTTO_RESULT_FAILED;
    }
    if (name[0] == 0)
        result = sign_up(cli);
    if (result != SOTTO_RESULT_OK)
        return result;
    sotto_out(&sotto_out_stdio, SOTTO_OUT_RESULT,
              "'chat NAME' opens a chat, 'help' shows what else there is.");
    return sotto_chat(cli, NULL);
}
