/* SPDX-License-Identifier: Apache-2.0 */
/* sottod: arguments and what they mean. Everything else is in src/run. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "run/operator/command.h"
#include "run/relay/relay.h"

#define EXIT_USAGE 2

static const char usage[] =
    "usage: sottod [--data DIR] [--listen HOST:PORT]... [--public HOST[:PORT]]\n"
    "              [--registration invite|code|open|closed] [--user NAME] [--config FILE]\n"
    "              [--client-certificates request|require|off] [--quota-messages N]\n"
    "              [--quota-bytes N] [--lifetime-days N] [--max-connections N]\n"
    "              [--bytes-per-second N] [--sign-ins-per-minute N] [--sign-ups-per-hour N]\n"
    "              [--bundles-per-hour N] [--strangers-per-hour N] [--lock-minutes N]\n"
    "              [--connections-per-address N] [--handshakes-per-minute N]\n"
    "              [--idle-seconds N] [--requests-per-second N] [--metrics 127.0.0.1:PORT]\n"
    "              [--log text|json] [--threads N] [--sandbox on|off] [--no-sandbox]\n"
    "       sottod COMMAND [--data DIR] [--user NAME] [--config FILE] ...\n"
    "       sottod help | --version\n";

static const char help[] =
    "\n"
    "Runs a relay in the foreground: it stores and forwards what only its recipients can read.\n"
    "On stdout it prints a line per address once it accepts connections; it logs on stderr.\n"
    "\n"
    "  --data DIR            where everything is kept (root: /var/lib/sottod, others:\n"
    "                        ~/.local/share/sottod)\n"
    "  --listen HOST:PORT    may be given several times; port 0 picks a free one\n"
    "                        (default: everywhere, port 12345)\n"
    "  --public HOST[:PORT]  the address that invites name\n"
    "  --registration MODE   who may sign up: whoever has an invite (default), anybody (open),\n"
    "                        nobody (closed)\n"
    "  --user NAME           become this user once the addresses are bound\n"
    "  --no-sandbox          do without seccomp and Landlock: who takes the relay over gets what\n"
    "                        its user may do on this machine\n"
    "  --config FILE         lines of the form \"name = value\", the same names; flags win\n"
    "\n"
    "Commands, for a relay that runs or not:\n";

static const char examples[] = "\n"
                               "Example: a relay on this machine, and an invite to it\n"
                               "  sottod --data relay --listen 127.0.0.1:12345 &\n"
                               "  sottod invite --data relay\n"
                               "\n"
                               "More in the manual page, sottod(8).\n";

static int wrong(const char *text)
{
    fprintf(stderr, "sottod: %s\n%s", text, usage);
    return EXIT_USAGE;
}

/* The one flag without a value: it stands for "--sandbox off". */
static bool is_switch(const char *arg)
{
    return strcmp(arg, "--no-sandbox") == 0;
}

/* The value of "--name value" or "--name=value"; *i moves on to it. NULL: it has none. */
static const char *value_of(int argc, char **argv, int *i, char *name, size_t room)
{
    const char *arg = argv[*i] + 2, *equals = strchr(arg, '=');
    size_t len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);

    snprintf(name, room, "%.*s", (int)len, arg);
    if (equals != NULL)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

/* --- commands --- */

#define TAKES_LINK 1u /* --uses, --expires */
#define TAKES_TIME 2u /* --expires */
#define TAKES_JSON 4u
#define TAKES_YES  8u

static const struct command {
    const char *name, *words; /* as in the help */
    size_t least, most;       /* words */
    unsigned takes;
    sotto_command_fn *run;
    const char *what;
} commands[] = {
    {"invite", "[--uses 1] [--expires 7d]", 0, 0, TAKES_LINK, sotto_command_invite,
     "prints a link with which one person can sign up within a week"},
    {"invites", "[--json]", 0, 2, TAKES_JSON, sotto_command_invites,
     "lists them; invites revoke ID ends one"},
    {"accounts", "[--json]", 0, 0, TAKES_JSON, sotto_command_accounts,
     "who has an account, and what waits for whom"},
    {"sessions", "[--json]", 0, 0, TAKES_JSON, sotto_command_sessions,
     "which devices are connected, since when and from where"},
    {"kick", "NAME [DEVICE]", 1, 2, 0, sotto_command_kick,
     "ends connections; the devices may come again"},
    {"disable", "NAME", 1, 1, 0, sotto_command_disable,
     "nobody signs in to the account; nothing is deleted"},
    {"enable", "NAME", 1, 1, 0, sotto_command_enable, "the way back"},
    {"reset", "NAME [--expires 7d]", 1, 1, TAKES_TIME, sotto_command_reset,
     "a lost passphrase: prints a link with which NAME signs up anew"},
    {"delete", "NAME --yes", 1, 1, TAKES_YES, sotto_command_delete,
     "deletes the account for good; the name stays taken"},
    {"usage", "[--json]", 0, 0, TAKES_JSON, sotto_command_usage, "where every byte is"},
    {"check", "", 0, 0, 0, sotto_command_check, "looks for what is wrong, and says how to mend it"},
    {"backup", "TO", 1, 1, 0, sotto_command_backup,
     "copies the relay as it is now into a new folder, and verifies it"},
    {"restore", "FROM", 1, 1, 0, sotto_command_restore, "puts a backup into the data folder"},
    {"rotate", "[--yes]", 0, 0, TAKES_YES, sotto_command_rotate,
     "another TLS key, that clients know before it is used"},
    {"audit", "verify [HASH]", 1, 2, 0, sotto_command_audit,
     "checks the log of what operators did"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static int print_help(void)
{
    printf("%s%s", usage, help);
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-8s %-26s %s\n", commands[i].name, commands[i].words, commands[i].what);
    printf("%s", examples);
    return fflush(stdout) != 0;
}

static int wrong_words(const struct command *c)
{
    fprintf(stderr, "sottod: usage: sottod %s [--data DIR] %s%s\n", c->name,
            strcmp(c->name, "invites") == 0 ? "[revoke ID] " : "", c->words);
    return EXIT_USAGE;
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "sottod: there is no command \"%s\"; the commands are:", name);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, " %s,", commands[i].name);
    fprintf(stderr, " help\n");
    return EXIT_USAGE;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

/* Other programs take their options before a command, so people write it here as well. */
static int stray_word(const char *word)
{
    if (find_command(word) == NULL)
        fprintf(stderr, "sottod: \"%s\" is not understood; see: sottod help\n", word);
    else
        fprintf(stderr, "sottod: the command comes first: sottod %s [--data DIR] ...\n", word);
    return EXIT_USAGE;
}

struct arguments {
    struct sotto_relay_options options;
    const struct command *command; /* NULL: run a relay */
    struct sotto_command_args of;
    uint64_t uses;
};

/* A flag that is no setting. 0: taken; -1: a setting; else exit code. */
static int own_flag(struct arguments *a, const char *name, const char *value)
{
    unsigned takes = a->command != NULL ? a->command->takes : 0;

    if (strcmp(name, "config") == 0)
        return 0; /* was read before */
    if (strcmp(name, "uses") == 0 && (takes & TAKES_LINK) != 0) {
        if (sotto_relay_number_parse(value, 1, 1000000, &a->uses) != 0)
            return wrong("--uses has to be a number from 1 to 1000000");
        a->of.uses = (uint32_t)a->uses;
        return 0;
    }
    if (strcmp(name, "expires") == 0 && (takes & (TAKES_LINK | TAKES_TIME)) != 0)
        return sotto_relay_duration_parse(value, &a->of.lifetime_ms) == 0
                   ? 0
                   : wrong("--expires has to be a time like 30m, 12h, 7d or 2w");
    return -1;
}

/* Flags of commands that have no value. */
static bool own_switch(struct arguments *a, const char *arg)
{
    unsigned takes = a->command != NULL ? a->command->takes : 0;

    if (strcmp(arg, "--json") == 0 && (takes & TAKES_JSON) != 0)
        a->of.json = true;
    else if (strcmp(arg, "--yes") == 0 && (takes & TAKES_YES) != 0)
        a->of.yes = true;
    else
        return false;
    return true;
}

static bool own_word(struct arguments *a, const char *arg)
{
    if (a->command == NULL || strncmp(arg, "--", 2) == 0)
        return false;
    if (a->of.word_count < sizeof a->of.words / sizeof a->of.words[0])
        a->of.words[a->of.word_count] = arg;
    a->of.word_count++;
    return true;
}

/* The config file comes before all flags, wherever it stands. */
static int read_config(struct arguments *a, int argc, char **argv, int first)
{
    char name[64], why[1024];

    for (int i = first; i < argc; i++) {
        const char *value;

        if (strncmp(argv[i], "--", 2) != 0 || is_switch(argv[i]) || own_switch(a, argv[i]))
            continue;
        value = value_of(argc, argv, &i, name, sizeof name);
        if (value == NULL || strcmp(name, "config") != 0)
            continue;
        if (sotto_relay_options_read(&a->options, value, why, sizeof why) != 0) {
            fprintf(stderr, "sottod: %s\n", why);
            return 1;
        }
        a->of.config = value;
    }
    return 0;
}

static int read_flags(struct arguments *a, int argc, char **argv, int first)
{
    char name[64], text[128], why[1024];
    int code;

    for (int i = first; i < argc; i++) {
        const char *value;

        if (own_switch(a, argv[i]) || own_word(a, argv[i]))
            continue;
        if (strncmp(argv[i], "--", 2) != 0)
            return stray_word(argv[i]);
        if (is_switch(argv[i])) {
            snprintf(name, sizeof name, "sandbox");
            value = "off";
        } else if ((value = value_of(argc, argv, &i, name, sizeof name)) == NULL) {
            snprintf(text, sizeof text, "--%s needs a value", name);
            return wrong(text);
        }
        if ((code = own_flag(a, name, value)) >= 0) {
            if (code != 0)
                return code;
            continue;
        }
        if (sotto_relay_options_flag(&a->options, name, value, why, sizeof why) != 0)
            return wrong(why);
    }
    return 0;
}

static int run(int argc, char **argv)
{
    struct arguments a = {.of = {.uses = 1, .lifetime_ms = 7 * 24 * 3600 * 1000ull}};
    int first = 1, code;

    if (argc > 1 && argv[1][0] != '-') {
        if ((a.command = find_command(argv[1])) == NULL)
            return unknown_command(argv[1]);
        first = 2;
    }
    /* Without a home folder data stays empty, and the folder says so if it is not given. */
    (void)sotto_relay_options_init(&a.options);
    if ((code = read_config(&a, argc, argv, first)) != 0 ||
        (code = read_flags(&a, argc, argv, first)) != 0)
        return code;
    a.of.o = &a.options;
    if (a.command != NULL)
        return a.of.word_count < a.command->least || a.of.word_count > a.command->most
                   ? wrong_words(a.command)
                   : a.command->run(&a.of);
    sotto_log_set(sotto_log_stderr, NULL, SOTTO_LOG_INFO);
    return sotto_relay_run(&a.options);
}

int main(int argc, char **argv)
{
    sotto_secret_harden_process();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0)
            return printf("sottod " SOTTO_VERSION "\n") < 0 || fflush(stdout) != 0;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
            (i == 1 && strcmp(argv[i], "help") == 0))
            return print_help();
    }
    return run(argc, argv);
}
