/* SPDX-License-Identifier: Apache-2.0 */
#include "join.h"

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "passphrase.h"

enum { PIN_TEXT = 50 }; /* sha256: and 43 characters */

struct progress {
    struct sotto_cli *cli;
    char pin[64]; /* that the relay showed */
};

bool sotto_join_address_fits(const char *address, const char *pin, char *why)
{
    bool invite = strncmp(address, "sotto://", 8) == 0;

    if (address[0] == 0 || (!invite && strpbrk(address, "/@ ") != NULL)) {
        (void)snprintf(why, SOTTO_CLI_WHY,
                       "'%s' is neither an invite link (sotto://...) nor HOST:PORT", address);
        return false;
    }
    if (pin != NULL && (strncmp(pin, "sha256:", 7) != 0 || strlen(pin) != PIN_TEXT)) {
        (void)snprintf(why, SOTTO_CLI_WHY,
                       "a pin looks like sha256:... with 43 characters, as the "
                       "relay prints it when it starts");
        return false;
    }
    if (invite && pin != NULL) {
        (void)snprintf(why, SOTTO_CLI_WHY, "an invite link carries its pins; leave --pin away");
        return false;
    }
    return true;
}

enum sotto_result sotto_join_open(struct sotto_cli *cli, struct sotto_join *j)
{
    j->made_profile = !sotto_profile_exists(cli->profile);
    return sotto_cli_open(cli, true);
}

static void on_event(void *ctx, const struct sotto_event *e)
{
    const struct sotto_connection *c = sotto_event_connection(e);
    const struct sotto_link *link = sotto_event_link(e);
    struct progress *p = ctx;

    if (c != NULL && c->result == SOTTO_RESULT_SECURITY && c->pin[0] != 0)
        (void)snprintf(p->pin, sizeof p->pin, "%s", c->pin);
    if (link != NULL && link->ours) {
        sotto_out(&sotto_out_stdio, SOTTO_OUT_RESULT, "code %s", link->code);
        (void)sotto_cli_flush();
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE,
                  "On a device that is signed in already, check that it shows the same code, then: "
                  "sotto devices approve %s",
                  link->code);
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE, "Waiting for up to ten minutes...");
    }
}

/* First contact with a relay that nothing vouches for. True: the person takes its key. */
static bool accept_pin(const char *address, const char *pin)
{
    if (!sotto_ask_possible()) {
        sotto_out_error(
            "nothing vouches for the relay at %s yet. It shows the key %s. If its operator "
            "confirms that: the same command with --pin %s",
            address, pin, pin);
        return false;
    }
    sotto_ask_say(
        "Nothing vouches for the relay at %s yet. It shows the key\n    %s\nCompare it with "
        "what its operator tells you (sottod prints it when it starts).",
        address, pin);
    return sotto_ask_yes("Is it the same? (yes/no) ");
}

enum sotto_result sotto_join(struct sotto_cli *cli, struct sotto_join *j)
{
    struct progress p = {.cli = cli};
    struct sotto_cli_done done;

    /* Shared engine, so nothing was asked so far; but the relay has to be shown that we know it. */
    if (cli->passphrase == NULL && sotto_passphrase_ask(cli) != SOTTO_RESULT_OK)
        return SOTTO_RESULT_PROFILE;
    for (;;) {
        uint32_t request =
            j->login ? sotto_login(cli->client, j->address, j->pin, j->name, cli->passphrase)
                     : sotto_register(cli->client, j->address, j->pin, j->name, cli->passphrase);
        bool first_contact;

        if (sotto_cli_wait(cli, request, -1, on_event, &p, &done) != SOTTO_CLI_DONE)
            return SOTTO_RESULT_FAILED;
        first_contact = done.result == SOTTO_RESULT_SECURITY && j->pin == NULL && p.pin[0] != 0 &&
                        strncmp(j->address, "sotto://", 8) != 0;
        if (!first_contact)
            break;
        if (!accept_pin(j->address, p.pin))
            return SOTTO_RESULT_SECURITY;
        j->pin = p.pin;
    }
    if (done.result != SOTTO_RESULT_OK) {
        sotto_out_error("%s", done.text);
        return done.result;
    }
    if (done.text[0] != 0)
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE, "%s", done.text);
    sotto_out(&sotto_out_stdio, SOTTO_OUT_RESULT, "%s %s", j->login ? "signed in" : "registered",
              j->name);
    return SOTTO_RESULT_OK;
}

void sotto_join_undo(struct sotto_cli *cli, struct sotto_join *j, enum sotto_result result)
{
    /*
     * A sign-up whose answer got lost may have made the account, and its only key is in this
     * profile: then the same command again completes it. Only what the relay refused is removed.
     */
    bool unsure = result == SOTTO_RESULT_UNREACHABLE || (cli->signal != 0 && !j->login);

    if (cli->client == NULL || !j->made_profile)
        return;
    if (unsure) {
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE,
                  "What was made so far is kept in %s; the same command again goes on from there.",
                  cli->profile);
        return;
    }
    sotto_client_discard(cli->client);
    cli->client = NULL;
}
