/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "commands.h"
#include "completion_bash.h"

enum { NAMES_MS = 1000 }; /* a person waits with a finger on Tab */

enum sotto_result sotto_cmd_completion(struct sotto_cli *cli, const struct sotto_args *args)
{
    (void)cli;
    (void)args;
    (void)fputs(sotto_completion_bash, stdout);
    return sotto_cli_flush();
}

static void offer(const char *word, const char *typed)
{
    if (strncmp(word, typed, strlen(typed)) == 0)
        sotto_out(&sotto_out_stdio, SOTTO_OUT_RESULT, "%s", word);
}

static void offer_contact(void *ctx, const struct sotto_event *e)
{
    const struct sotto_contact *c = sotto_event_contact(e);

    if (c != NULL && sotto_event_request(e) != 0)
        offer(c->name, ctx);
}

/* Only from an engine that runs: completing must not ask for a passphrase. */
static void offer_contacts(const char *profile, const char *typed)
{
    struct sotto_options options = {0};
    struct sotto_cli_done done;
    struct sotto_cli cli;
    char why[SOTTO_CLI_WHY];

    if (!sotto_cli_init(&cli, profile, NULL))
        return;
    options.profile = cli.profile;
    if (sotto_profile_running(cli.profile) &&
        sotto_client_open(&options, &cli.client, why, sizeof why) == SOTTO_RESULT_OK)
        (void)sotto_cli_wait(&cli, sotto_contacts(cli.client), NAMES_MS, offer_contact,
                             (void *)(uintptr_t)typed, &done);
    sotto_cli_end(&cli);
}

/* Commands and options whose next word is NAME. */
static bool takes_name(const struct sotto_command *c, size_t place)
{
    bool names = strncmp(c->usage, "NAME", 4) == 0 || strncmp(c->usage, "[NAME]", 6) == 0;

    return names && (place == 0 || c->each);
}

/* What stands before the word that is completed. */
struct before {
    const struct sotto_command *command;
    const char *profile;
    const char *value_of; /* the option that the word is the value of; NULL */
    size_t words;         /* after the command, options excepted */
};

static struct before look(const char *const *words, size_t count)
{
    static const char *const take_value[] = {
        "--profile", "--passphrase-file", "--name",    "--pin", "--wait",
        "--count",   "--limit",           "--confirm", NULL};
    const char *waits = NULL; /* an option whose value comes next */
    struct before b = {0};

    for (size_t i = 0; i < count; i++) {
        if (waits != NULL) {
            if (strcmp(waits, "--profile") == 0)
                b.profile = words[i];
            waits = NULL;
            continue;
        }
        for (size_t k = 0; take_value[k] != NULL; k++) {
            if (strcmp(words[i], take_value[k]) == 0)
                waits = take_value[k];
        }
        if (words[i][0] == '-' && words[i][1] != 0)
            continue;
        if (b.command == NULL)
            b.command = sotto_command_find(words[i]);
        else
            b.words++;
    }
    b.value_of = waits;
    return b;
}

static void offer_words(const struct before *b, const char *typed)
{
    if (b->command == NULL || strcmp(b->command->name, "help") == 0) {
        for (const struct sotto_command *c = sotto_commands; c->name != NULL; c++) {
            if (!c->hidden)
                offer(c->name, typed);
        }
        return;
    }
    if (strcmp(b->command->name, "devices") == 0 && b->words == 0) {
        offer("approve", typed);
        offer("revoke", typed);
    }
    if (strcmp(b->command->name, "account") == 0 && b->words == 0)
        offer("delete", typed);
    if (takes_name(b->command, b->words))
        offer_contacts(b->profile, typed);
}

enum sotto_result sotto_cmd_complete(struct sotto_cli *cli, const struct sotto_args *args)
{
    const char *typed;
    struct before b;
    uint64_t index;

    (void)cli;
    /* INDEX, then the words of the line, the program's own name first. */
    if (!sotto_args_count(args->rest[0], SOTTO_COMMAND_WORDS_MAX, &index) || index == 0)
        return SOTTO_RESULT_USAGE;
    typed = index + 1 < args->rest_count ? args->rest[index + 1] : "";
    if (index + 1 > args->rest_count)
        return SOTTO_RESULT_USAGE;
    b = look(args->rest + 2, (size_t)index - 1);
    if (b.value_of != NULL) {
        if (strcmp(b.value_of, "--profile") == 0 || strcmp(b.value_of, "--passphrase-file") == 0)
            sotto_out(&sotto_out_stdio, SOTTO_OUT_RESULT, "//files");
        else if (strcmp(b.value_of, "--wait") == 0)
            offer("delivered", typed);
        return sotto_cli_flush();
    }
    if (typed[0] == '-') {
        offer("--profile", typed);
        offer("--passphrase-file", typed);
        offer("--help", typed);
        for (size_t i = 0; b.command != NULL && b.command->options[i].name != NULL; i++)
            offer(b.command->options[i].name, typed);
        return sotto_cli_flush();
    }
    offer_words(&b, typed);
    return sotto_cli_flush();
}
