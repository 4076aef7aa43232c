/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_COMMAND_H
#define SOTTO_APP_COMMAND_H

#include "args.h"
#include "cli.h"

/*
 * The table of commands. Most are one question to the library and a list of events as its answer:
 * those have start and work in a chat too, where the answer must not hold up the typing. The rest
 * have run.
 */
struct sotto_command {
    const char *name;
    const char *usage;    /* what follows the name */
    const char *summary;  /* in one line */
    const char *details;  /* for help; "" if the summary says it all */
    const char *example;  /* one line, to be typed as it is */
    unsigned least, most; /* words that are no options */
    struct sotto_option options[6];
    /* Needs the client in cli only when it opens it. Exit code. */
    enum sotto_result (*run)(struct sotto_cli *cli, const struct sotto_args *args);
    /* The request; 0: the words make no sense, why (SOTTO_CLI_WHY bytes) says so. */
    uint32_t (*start)(struct sotto_client *client, const struct sotto_args *args, char *why);
    bool each; /* start is called for each word by itself */
    bool
        tells; /* the relay or somebody behind it has to hear of it: not over before it was tried */
    bool hidden;
};

#define SOTTO_COMMAND_WORDS_MAX 1024

extern const struct sotto_command sotto_commands[]; /* ends with name NULL */

const struct sotto_command *sotto_command_find(const char *name);
/* The nearest visible command, NULL when none is near. */
const char *sotto_command_suggest(const char *typed);
/* Are there too few or too many words? False then, with why. */
bool sotto_command_fits(const struct sotto_command *c, const struct sotto_args *args, char *why);

/* Reads the words after the program's name and does what they say; the exit code. */
enum sotto_result sotto_command_main(int argc, char **argv);

/* help [COMMAND] */
enum sotto_result sotto_command_help(struct sotto_cli *cli, const struct sotto_args *args);
/* One line on stderr about the usage of c. */
void sotto_command_usage(const struct sotto_command *c);

#endif
