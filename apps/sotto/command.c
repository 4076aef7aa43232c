/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "guide.h"
#include "signals.h"
#include "suggest.h"
#include "view.h"

#define JSON                                                                                       \
    {                                                                                              \
        "--json", SOTTO_TAKES_NOTHING                                                              \
    }

const struct sotto_command sotto_commands[] = {
    {.name = "register",
     .usage = "INVITE|HOST:PORT --name NAME [--pin sha256:...]",
     .summary = "make an account on a relay, with this as its first device",
     .details =
         "Makes the keys, the encrypted profile and the account. An invite link brings the "
         "relay's\nkey along; for HOST:PORT (a relay that is open to all) the key is given with "
         "--pin or\ncompared by you. If the name is taken, try another with the same invite.",
     .example = "sotto register sotto://relay.example:12345/AUV... --name alice",
     .least = 1,
     .most = 1,
     .options = {{"--name", SOTTO_TAKES_VALUE}, {"--pin", SOTTO_TAKES_VALUE}},
     .run = sotto_cmd_register},
    {.name = "login",
     .usage = "INVITE|HOST:PORT --name NAME [--pin sha256:...]",
     .summary = "add this device to an account that exists",
     .details = "Shows a short code. A device that holds the account key has to approve it with\n"
                "'sotto devices approve CODE' within ten minutes. The passphrase is the account's.",
     .example = "sotto login relay.example:12345 --name alice",
     .least = 1,
     .most = 1,
     .options = {{"--name", SOTTO_TAKES_VALUE}, {"--pin", SOTTO_TAKES_VALUE}},
     .run = sotto_cmd_login},
    {.name = "devices",
     .usage = "[--json] | approve CODE | revoke ID",
     .summary = "show the account's devices, let one in, put one out",
     .details = "",
     .example = "sotto devices approve ABCD-EFGH",
     .least = 0,
     .most = 2,
     .options = {JSON},
     .start = sotto_cmd_devices},
    {.name = "send",
     .usage = "NAME TEXT|- [--wait delivered [SECONDS]]",
     .summary = "send a message",
     .details =
         "Prints the message's id and state, and ends once the relay has it stored. With - the "
         "text\ncomes from stdin, byte for byte. --wait delivered waits until it is on a device "
         "of the\nrecipient (30 seconds if nothing else is said). Without a connection the "
         "message is kept\n(exit 3) and goes out with the next command that connects.",
     .example = "sotto send bob 'Dinner at eight?' --wait delivered 10",
     .least = 2,
     .most = 2,
     .options = {{"--wait", SOTTO_TAKES_VALUE_NUMBER}},
     .run = sotto_cmd_send},
    {.name = "receive",
     .usage = "[--json] [--follow] [--wait SECONDS] [--count N]",
     .summary = "print messages that have not been printed before",
     .details =
         "Asks the relay once and ends; --wait goes on for so long, --follow until Ctrl-C, and\n"
         "--count ends it after N messages. No message is also a success.",
     .example = "sotto receive --json --wait 10 --count 1",
     .least = 0,
     .most = 0,
     .options = {JSON,
                 {"--follow", SOTTO_TAKES_NOTHING},
                 {"--wait", SOTTO_TAKES_VALUE},
                 {"--count", SOTTO_TAKES_VALUE}},
     .run = sotto_cmd_receive},
    {.name = "history",
     .usage = "NAME [--json] [--limit N] [--ids]",
     .summary = "print the conversation with somebody, oldest first",
     .details = "Sent and queued messages are included, with their state.",
     .example = "sotto history bob --limit 20",
     .least = 1,
     .most = 1,
     .options = {JSON, {"--limit", SOTTO_TAKES_VALUE}, {"--ids", SOTTO_TAKES_NOTHING}},
     .start = sotto_cmd_history},
    {.name = "contacts",
     .usage = "[--json]",
     .summary = "list contacts, requests and blocked accounts",
     .details = "",
     .example = "sotto contacts",
     .least = 0,
     .most = 0,
     .options = {JSON},
     .start = sotto_cmd_contacts},
    {.name = "accept",
     .usage = "NAME...",
     .summary = "accept somebody who wants to talk",
     .details = "",
     .example = "sotto accept bob",
     .least = 1,
     .most = SOTTO_COMMAND_WORDS_MAX,
     .start = sotto_cmd_accept,
     .each = true,
     .tells = true},
    {.name = "block",
     .usage = "NAME...",
     .summary = "take no more messages from somebody",
     .details = "",
     .example = "sotto block mallory",
     .least = 1,
     .most = SOTTO_COMMAND_WORDS_MAX,
     .start = sotto_cmd_block,
     .each = true,
     .tells = true},
    {.name = "unblock",
     .usage = "NAME...",
     .summary = "lift a block",
     .details = "",
     .example = "sotto unblock mallory",
     .least = 1,
     .most = SOTTO_COMMAND_WORDS_MAX,
     .start = sotto_cmd_unblock,
     .each = true,
     .tells = true},
    {.name = "verify",
     .usage = "NAME [--confirm DIGITS | --accept]",
     .summary = "show or confirm the safety number with somebody",
     .details =
         "Prints twelve groups of five digits. Both sides see the same ones; if not, somebody is "
         "in\nbetween. --confirm with the other side's digits marks the contact as verified. "
         "--accept\ntakes a new identity (exit 7 of other commands), and what waited is sent.",
     .example = "sotto verify bob",
     .least = 1,
     .most = 12,
     .options = {{"--confirm", SOTTO_TAKES_VALUE}, {"--accept", SOTTO_TAKES_NOTHING}},
     .start = sotto_cmd_verify},
    {.name = "trust-relay",
     .usage = "sha256:...|INVITE",
     .summary = "trust the relay's new key",
     .details =
         "After the relay's key changed (exit 7). Only if its operator confirms the new one.",
     .example = "sotto trust-relay sha256:mZ0F8W...",
     .least = 1,
     .most = 1,
     .start = sotto_cmd_trust_relay},
    {.name = "delete",
     .usage = "ID...",
     .summary = "delete messages, on this device only",
     .details = "",
     .example = "sotto delete 5f0c2d1a9b8e4f7700112233445566aa",
     .least = 1,
     .most = SOTTO_COMMAND_WORDS_MAX,
     .start = sotto_cmd_delete,
     .each = true},
    {.name = "resend",
     .usage = "ID...",
     .summary = "send a failed message again",
     .details = "",
     .example = "sotto resend 5f0c2d1a9b8e4f7700112233445566aa",
     .least = 1,
     .most = SOTTO_COMMAND_WORDS_MAX,
     .start = sotto_cmd_resend,
     .each = true,
     .tells = true},
    {.name = "status",
     .usage = "[--json]",
     .summary = "show account, relay, connection and queue",
     .details = "Exit 0 also without a connection; it then says why.",
     .example = "sotto status --json",
     .least = 0,
     .most = 0,
     .options = {JSON},
     .start = sotto_cmd_status},
    {.name = "account",
     .usage = "delete [--yes]",
     .summary = "delete the account on the relay",
     .details =
         "Asks for the name to be typed back; --yes is for scripts. The name is not given out "
         "again.\nWhat is in the profile stays readable.",
     .example = "sotto account delete",
     .least = 1,
     .most = 1,
     .options = {{"--yes", SOTTO_TAKES_NOTHING}},
     .run = sotto_cmd_account},
    {.name = "chat",
     .usage = "[NAME]",
     .summary = "talk, line by line",
     .details =
         "With a chat open, a line is a message; /help shows what else there is. Lines from a "
         "pipe\nwork as well.",
     .example = "sotto chat bob",
     .least = 0,
     .most = 1,
     .run = sotto_cmd_chat},
    {.name = "help",
     .usage = "[COMMAND]",
     .summary = "show how a command is used",
     .details = "",
     .example = "sotto help send",
     .least = 0,
     .most = 1,
     .run = sotto_command_help},
    {.name = "completion",
     .usage = "",
     .summary = "print the completion script for bash",
     .details = "",
     .example = "source <(sotto completion)",
     .least = 0,
     .most = 0,
     .run = sotto_cmd_completion},
    {.name = "__complete",
     .usage = "INDEX WORD...",
     .summary = "what the completion script asks",
     .details = "",
     .example = "",
     .least = 1,
     .most = SOTTO_COMMAND_WORDS_MAX,
     .run = sotto_cmd_complete,
     .hidden = true},
    {.name = NULL},
};

static const struct sotto_option global_options[] = {
    {"--profile", SOTTO_TAKES_VALUE},   {"--passphrase-file", SOTTO_TAKES_VALUE},
    {"--version", SOTTO_TAKES_NOTHING}, {"--help", SOTTO_TAKES_NOTHING},
    {"-h", SOTTO_TAKES_NOTHING},        {NULL, SOTTO_TAKES_NOTHING},
};

const struct sotto_command *sotto_command_find(const char *name)
{
    for (const struct sotto_command *c = sotto_commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

const char *sotto_command_suggest(const char *typed)
{
    const char *names[sizeof sotto_commands / sizeof sotto_commands[0]];
    size_t n = 0;

    for (const struct sotto_command *c = sotto_commands; c->name != NULL; c++) {
        if (!c->hidden)
            names[n++] = c->name;
    }
    names[n] = NULL;
    return sotto_suggest(typed, names);
}

bool sotto_command_fits(const struct sotto_command *c, const struct sotto_args *args, char *why)
{
    if (args->rest_count < c->least) {
        (void)snprintf(why, SOTTO_CLI_WHY, "%s needs more than that", c->name);
        return false;
    }
    /* The unquoted digits of a safety number are looked at by verify itself. */
    if (args->rest_count > c->most) {
        (void)snprintf(why, SOTTO_CLI_WHY, "%s does not know what to do with '%s'%s", c->name,
                       args->rest[c->most],
                       strcmp(c->name, "send") == 0 ? "; a text of several words needs quotes"
                                                    : "");
        return false;
    }
    return true;
}

void sotto_command_usage(const struct sotto_command *c)
{
    sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE, "usage: sotto %s%s%s", c->name,
              c->usage[0] != 0 ? " " : "", c->usage);
}

/* ---- help ------------------------------------------------------------------------------- */

static const char usage_all[] = "usage: sotto [--profile DIR] [--passphrase-file FILE] COMMAND ...";

static void help_all(enum sotto_out_kind kind)
{
    const struct sotto_out *out = &sotto_out_stdio;

    sotto_out(out, kind, "%s", usage_all);
    sotto_out(out, kind, "%s", "");
    for (const struct sotto_command *c = sotto_commands; c->name != NULL; c++) {
        if (!c->hidden)
            sotto_out(out, kind, "  %-12s %s", c->name, c->summary);
    }
    sotto_out(out, kind, "%s", "");
    sotto_out(out, kind, "'sotto help COMMAND' shows usage and an example.");
}

static void help_one(const struct sotto_command *c)
{
    const struct sotto_out *out = &sotto_out_stdio;

    sotto_out(out, SOTTO_OUT_RESULT, "usage: sotto %s%s%s", c->name, c->usage[0] != 0 ? " " : "",
              c->usage);
    sotto_out_text(out, SOTTO_OUT_RAW, "", 0, 0);
    sotto_out(out, SOTTO_OUT_RESULT, "%c%s.", c->summary[0] - 'a' + 'A', c->summary + 1);
    if (c->details[0] != 0)
        sotto_out_text(out, SOTTO_OUT_RAW, c->details, strlen(c->details), 0);
    sotto_out_text(out, SOTTO_OUT_RAW, "", 0, 0);
    sotto_out(out, SOTTO_OUT_RESULT, "example: %s", c->example);
}

static enum sotto_result unknown_command(const char *typed)
{
    const char *near = sotto_command_suggest(typed);

    sotto_out_error("there is no command '%s'%s%s%s ('sotto help' lists all)", typed,
                    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "");
    if (near != NULL)
        sotto_command_usage(sotto_command_find(near));
    return SOTTO_RESULT_USAGE;
}

enum sotto_result sotto_command_help(struct sotto_cli *cli, const struct sotto_args *args)
{
    const struct sotto_command *c;

    (void)cli;
    if (args->rest_count == 0) {
        help_all(SOTTO_OUT_RESULT);
        return SOTTO_RESULT_OK;
    }
    c = sotto_command_find(args->rest[0]);
    if (c == NULL || c->hidden)
        return unknown_command(args->rest[0]);
    help_one(c);
    return SOTTO_RESULT_OK;
}

/* ---- running one ------------------------------------------------------------------------ */

static void show_answer(void *ctx, const struct sotto_event *e)
{
    if (sotto_event_request(e) != 0)
        sotto_view_event(ctx, e);
}

static void show_offline(void *ctx, const struct sotto_event *e)
{
    const struct sotto_status_row *s = sotto_event_status(e);

    if (s != NULL && s->connection != SOTTO_ONLINE)
        sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE,
                  "There is no connection now, so the relay hears of it later: %s", s->why);
    (void)ctx;
}

/* Without a connection it is done here all the same, and told with the next one. */
static void tell_relay(struct sotto_cli *cli)
{
    struct sotto_cli_done done;

    (void)sotto_cli_wait(cli, sotto_status(cli->client), -1, show_offline, NULL, &done);
}

/* The usual kind of command: ask, show, end. */
static enum sotto_result ask_library(struct sotto_cli *cli, const struct sotto_command *c,
                                     const struct sotto_args *args)
{
    struct sotto_view view = {.out = &sotto_out_stdio,
                              .json = sotto_args_has(args, "--json"),
                              .ids = sotto_args_has(args, "--ids")};
    enum sotto_result result = sotto_cli_open(cli, false), worst = SOTTO_RESULT_OK;
    size_t turns = c->each ? args->rest_count : 1;
    bool done = false;

    if (result != SOTTO_RESULT_OK)
        return result;
    cli->links_shown = c->start == sotto_cmd_devices;
    for (size_t i = 0; i < turns && cli->signal == 0; i++) {
        char why[SOTTO_CLI_WHY] = "";
        struct sotto_args one = *args;
        uint32_t request;

        if (c->each) {
            one.rest = args->rest + i;
            one.rest_count = 1;
        }
        request = c->start(cli->client, &one, why);
        if (request == 0) {
            sotto_out_error("%s", why);
            sotto_command_usage(c);
            return SOTTO_RESULT_USAGE;
        }
        result = sotto_cli_finish(cli, request, show_answer, &view);
        done |= result == SOTTO_RESULT_OK;
        if (worst == SOTTO_RESULT_OK)
            worst = result;
    }
    if (done && (c->tells || sotto_args_has(args, "--accept")) && cli->signal == 0)
        tell_relay(cli);
    return worst;
}

static enum sotto_result run(struct sotto_cli *cli, const struct sotto_command *c,
                             const struct sotto_args *args)
{
    enum sotto_result result;

    result = c->run != NULL ? c->run(cli, args) : ask_library(cli, c, args);
    if (result == SOTTO_RESULT_USAGE && c->run != NULL && c->run != sotto_command_help &&
        !cli->opened)
        sotto_command_usage(c);
    if (sotto_cli_flush() != SOTTO_RESULT_OK && result == SOTTO_RESULT_OK)
        result = SOTTO_RESULT_FAILED;
    return result;
}

/* Global options and those of the command in one list, so that any may stand anywhere. */
static void all_options(const struct sotto_command *c, struct sotto_option *ret)
{
    size_t n = 0;

    for (size_t i = 0; global_options[i].name != NULL; i++)
        ret[n++] = global_options[i];
    for (size_t i = 0; c != NULL && c->options[i].name != NULL; i++)
        ret[n++] = c->options[i];
    ret[n] = (struct sotto_option){0};
}

/* The place of the first word that is neither a global option nor its value; count: none. */
static size_t command_at(const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (words[i][0] != '-' || words[i][1] == 0)
            return i;
        if (strcmp(words[i], "--") == 0)
            return i + 1;
        if (strcmp(words[i], "--profile") == 0 || strcmp(words[i], "--passphrase-file") == 0)
            i++;
    }
    return count;
}

static enum sotto_result no_command(struct sotto_cli *cli)
{
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        return sotto_guide(cli);
    help_all(SOTTO_OUT_NOTE);
    return SOTTO_RESULT_USAGE;
}

/* Opens what the options name, runs c (NULL: none was named) and closes again. */
static enum sotto_result with_cli(const struct sotto_command *c, const struct sotto_args *args)
{
    struct sotto_cli cli;
    enum sotto_result result;
    int signal;

    if (!sotto_cli_init(&cli, sotto_args_value(args, "--profile"),
                        sotto_args_value(args, "--passphrase-file"))) {
        sotto_cli_end(&cli);
        return SOTTO_RESULT_PROFILE;
    }
    result = c != NULL ? run(&cli, c, args) : no_command(&cli);
    signal = cli.signal;
    sotto_cli_end(&cli);
    if (signal != 0)
        sotto_signals_die(signal);
    return result;
}

enum sotto_result sotto_command_main(int argc, char **argv)
{
    const char *words[SOTTO_COMMAND_WORDS_MAX], *rest[SOTTO_COMMAND_WORDS_MAX];
    struct sotto_option options[SOTTO_ARGS_OPTIONS];
    size_t count = argc > 1 ? (size_t)argc - 1 : 0, at;
    const struct sotto_command *c = NULL;
    char why[SOTTO_CLI_WHY];
    struct sotto_args args;

    if (count > SOTTO_COMMAND_WORDS_MAX) {
        sotto_out_error("more than %d words", SOTTO_COMMAND_WORDS_MAX);
        return SOTTO_RESULT_USAGE;
    }
    for (size_t i = 0; i < count; i++)
        words[i] = argv[i + 1];
    at = command_at(words, count);
    if (at < count && (c = sotto_command_find(words[at])) == NULL)
        return unknown_command(words[at]);
    all_options(c, options);
    if (!sotto_args_read(&args, options, words, count, rest, why, sizeof why)) {
        sotto_out_error("%s", why);
        if (c != NULL)
            sotto_command_usage(c);
        else
            sotto_out(&sotto_out_stdio, SOTTO_OUT_NOTE, "%s", usage_all);
        return SOTTO_RESULT_USAGE;
    }
    if (sotto_args_has(&args, "--version")) {
        sotto_out(&sotto_out_stdio, SOTTO_OUT_RESULT, "sotto %s", sotto_version());
        return sotto_cli_flush();
    }
    if (c != NULL) { /* its own name is the first of the rest */
        args.rest++;
        args.rest_count--;
    }
    if (sotto_args_has(&args, "--help") || sotto_args_has(&args, "-h")) {
        if (c != NULL)
            help_one(c);
        else
            help_all(SOTTO_OUT_RESULT);
        return sotto_cli_flush();
    }
    if (c != NULL && !sotto_command_fits(c, &args, why)) {
        sotto_out_error("%s", why);
        sotto_command_usage(c);
        return SOTTO_RESULT_USAGE;
    }
    return with_cli(c, &args);
}
