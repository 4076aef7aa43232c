/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "base/env.h"
#include "passphrase.h"
#include "signals.h"

enum { PASSPHRASE_TRIES = 3 };

uint64_t sotto_cli_mono(void)
{
    return sotto_mono_ms(sotto_env_system());
}

uint64_t sotto_cli_now(void)
{
    return sotto_now_ms(sotto_env_system());
}

static char *default_profile(void)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int n = -1;

    /* The XDG base directory rules: a relative path there is to be ignored. */
    if (data != NULL && data[0] == '/')
        n = asprintf(&path, "%s/sotto", data);
    else if (home != NULL && home[0] == '/')
        n = asprintf(&path, "%s/.local/share/sotto", home);
    return n < 0 ? NULL : path;
}

bool sotto_cli_init(struct sotto_cli *cli, const char *profile, const char *passphrase_file)
{
    *cli = (struct sotto_cli){.passphrase_file = passphrase_file, .signals = -1};
    cli->profile = profile != NULL ? strdup(profile) : default_profile();
    if (cli->profile == NULL)
        sotto_out_error("there is no home directory to keep a profile in; give --profile DIR");
    return cli->profile != NULL;
}

void sotto_cli_end(struct sotto_cli *cli)
{
    sotto_client_close(cli->client);
    cli->client = NULL;
    sotto_passphrase_forget(cli);
    sotto_signals_close(cli->signals);
    cli->signals = -1;
    free(cli->profile);
    cli->profile = NULL;
}

/* A passphrase, if this open needs one. */
static enum sotto_result prepare(struct sotto_cli *cli, bool create)
{
    bool exists = sotto_profile_exists(cli->profile);
    enum sotto_result result;

    if (!exists && !create) {
        sotto_out_error(
            "there is no profile in %s yet; make one with 'sotto register INVITE --name "
            "NAME', or name another with --profile DIR",
            cli->profile);
        return SOTTO_RESULT_PROFILE;
    }
    if (cli->passphrase != NULL)
        return SOTTO_RESULT_OK;
    result = sotto_passphrase_given(cli);
    if (result != SOTTO_RESULT_OK || cli->passphrase != NULL)
        return result;
    if (!exists)
        return sotto_passphrase_ask_new(cli);
    /* Signing up and in prove the passphrase to the relay; all else can share a running engine. */
    if (!create && sotto_profile_running(cli->profile))
        return SOTTO_RESULT_OK;
    return sotto_passphrase_ask(cli);
}

enum sotto_result sotto_cli_open(struct sotto_cli *cli, bool create)
{
    char why[SOTTO_CLI_WHY] = "";
    enum sotto_result result;

    cli->opened = true;
    result = prepare(cli, create);
    if (result != SOTTO_RESULT_OK)
        return result;
    for (int tries = 1;; tries++) {
        struct sotto_options options = {
            .profile = cli->profile, .passphrase = cli->passphrase, .create = create};

        result = sotto_client_open(&options, &cli->client, why, sizeof why);
        if (result != SOTTO_RESULT_PROFILE || tries == PASSPHRASE_TRIES)
            break;
        /* The running engine may have ended between the question and the open; and a person who
         * mistyped gets another try. Everything else that is wrong does not mend by asking. */
        if (cli->passphrase != NULL && (!cli->prompted || strstr(why, "passphrase") == NULL))
            break;
        if (cli->passphrase != NULL)
            sotto_out_error("%s", why);
        if (cli->passphrase == NULL && !sotto_ask_possible())
            break;
        result = sotto_passphrase_ask(cli);
        if (result != SOTTO_RESULT_OK)
            return result;
    }
    if (result != SOTTO_RESULT_OK) {
        sotto_out_error("%s", why[0] != 0 ? why : "the profile cannot be opened");
        return result;
    }
    cli->signals = sotto_signals_open(false);
    return SOTTO_RESULT_OK;
}

static int clamp_timeout(int64_t ms)
{
    return ms < 0 ? -1 : ms > 3600 * 1000 ? 3600 * 1000 : (int)ms;
}

enum sotto_cli_woken sotto_cli_turn(struct sotto_cli *cli, int fd, int64_t timeout_ms)
{
    struct pollfd fds[3] = {{.fd = sotto_client_fd(cli->client), .events = POLLIN},
                            {.fd = cli->signals, .events = POLLIN},
                            {.fd = fd, .events = POLLIN}};

    if (poll(fds, 3, clamp_timeout(timeout_ms)) < 0)
        return SOTTO_CLI_WORKED;
    if (fds[1].revents != 0) {
        int number = sotto_signals_take(cli->signals);

        if (number != 0) {
            cli->signal = number;
            return SOTTO_CLI_SIGNALLED;
        }
    }
    if (fds[0].revents != 0)
        sotto_client_dispatch(cli->client);
    return fds[2].revents != 0 ? SOTTO_CLI_INPUT : SOTTO_CLI_WORKED;
}

void sotto_cli_show_other(struct sotto_cli *cli, const struct sotto_event *e)
{
    const struct sotto_link *link = sotto_event_link(e);

    if (sotto_event_type(e) == SOTTO_EVENT_NOTICE)
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE, "%s", sotto_event_notice(e));
    else if (link != NULL && !link->ours && !cli->links_shown)
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE,
                  "A device asks to join this account and shows the code %s. If it is yours: sotto "
                  "devices approve %s",
                  link->code, link->code);
}

static void copy_done(struct sotto_cli_done *ret, const struct sotto_done *done)
{
    ret->result = done->result;
    (void)snprintf(ret->text, sizeof ret->text, "%s", done->text);
    (void)snprintf(ret->id, sizeof ret->id, "%s", done->id);
}

/* Takes what has come; true once the request is done. */
static bool take_events(struct sotto_cli *cli, uint32_t request, sotto_cli_event *fn, void *ctx,
                        struct sotto_cli_done *ret)
{
    struct sotto_event *e;
    bool done = false;

    while (!done && (e = sotto_client_next_event(cli->client)) != NULL) {
        uint32_t of = sotto_event_request(e);

        if (of == request && sotto_event_type(e) == SOTTO_EVENT_DONE) {
            copy_done(ret, sotto_event_done(e));
            done = true;
        } else if (of == request || of == 0) {
            if (fn != NULL)
                fn(ctx, e);
            if (of == 0)
                sotto_cli_show_other(cli, e);
        }
        sotto_event_free(e);
    }
    return done;
}

enum sotto_cli_end sotto_cli_wait(struct sotto_cli *cli, uint32_t request, int64_t timeout_ms,
                                  sotto_cli_event *fn, void *ctx, struct sotto_cli_done *ret)
{
    uint64_t end = timeout_ms < 0 ? UINT64_MAX : sotto_cli_mono() + (uint64_t)timeout_ms;

    while (!take_events(cli, request, fn, ctx, ret)) {
        uint64_t now = sotto_cli_mono();

        if (now >= end)
            return SOTTO_CLI_TIMEOUT;
        if (sotto_cli_turn(cli, -1, end == UINT64_MAX ? -1 : (int64_t)(end - now)) ==
            SOTTO_CLI_SIGNALLED)
            return SOTTO_CLI_SIGNAL;
    }
    return SOTTO_CLI_DONE;
}

enum sotto_result sotto_cli_finish(struct sotto_cli *cli, uint32_t request, sotto_cli_event *fn,
                                   void *ctx)
{
    struct sotto_cli_done done;

    if (sotto_cli_wait(cli, request, -1, fn, ctx, &done) != SOTTO_CLI_DONE)
        return SOTTO_RESULT_FAILED;
    if (done.result != SOTTO_RESULT_OK)
        sotto_out_error("%s", done.text);
    else if (done.text[0] != 0)
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE, "%s", done.text);
    return done.result;
}

enum sotto_result sotto_cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return SOTTO_RESULT_OK;
    sotto_out_error("what was to be printed could not be written: %s", strerror(errno));
    __fpurge(stdout); /* said once; the end of the program must not try it again */
    clearerr(stdout);
    return SOTTO_RESULT_FAILED;
}
