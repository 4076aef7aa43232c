/* SPDX-License-Identifier: Apache-2.0 */
/* sottod: arguments and what they mean. Everything else is in src/run. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "run/relay.h"

#define EXIT_USAGE 2

static const char usage[] =
    "usage: sottod [--data DIR] [--listen HOST:PORT]... [--public HOST[:PORT]]\n"
    "              [--registration invite|code|open|closed] [--user NAME] [--config FILE]\n"
    "              [--client-certificates request|require|off] [--quota-messages N]\n"
    "              [--quota-bytes N] [--lifetime-days N] [--max-connections N]\n"
    "              [--requests-per-second N] [--metrics 127.0.0.1:PORT] [--log text|json]\n"
    "              [--sandbox on|off] [--no-sandbox]\n"
    "       sottod invite [--data DIR] [--public HOST[:PORT]] [--uses 1] [--expires 7d]\n"
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
    "  sottod invite         prints a link with which one person can sign up within a week\n"
    "\n"
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

struct arguments {
    struct sotto_relay_options options;
    bool invite;
    uint64_t uses, lifetime_ms;
};

/* A flag that is no setting, or one of `invite` alone. 0: taken; -1: a setting; else exit code. */
static int own_flag(struct arguments *a, const char *name, const char *value)
{
    if (strcmp(name, "config") == 0)
        return 0; /* was read before */
    if (!a->invite || (strcmp(name, "uses") != 0 && strcmp(name, "expires") != 0))
        return -1;
    if (strcmp(name, "uses") == 0 && sotto_relay_number_parse(value, 1, 1000000, &a->uses) != 0)
        return wrong("--uses has to be a number from 1 to 1000000");
    if (strcmp(name, "expires") == 0 && sotto_relay_duration_parse(value, &a->lifetime_ms) != 0)
        return wrong("--expires has to be a time like 30m, 12h, 7d or 2w");
    return 0;
}

/* The config file comes before all flags, wherever it stands. */
static int read_config(struct arguments *a, int argc, char **argv, int first)
{
    char name[64], why[1024];

    for (int i = first; i < argc; i++) {
        const char *value;

        if (strncmp(argv[i], "--", 2) != 0 || is_switch(argv[i]))
            continue;
        value = value_of(argc, argv, &i, name, sizeof name);
        if (value == NULL || strcmp(name, "config") != 0)
            continue;
        if (sotto_relay_options_read(&a->options, value, why, sizeof why) != 0) {
            fprintf(stderr, "sottod: %s\n", why);
            return 1;
        }
    }
    return 0;
}

static int read_flags(struct arguments *a, int argc, char **argv, int first)
{
    char name[64], text[128], why[1024];
    int code;

    for (int i = first; i < argc; i++) {
        const char *value;

        if (strncmp(argv[i], "--", 2) != 0) {
            snprintf(text, sizeof text, "\"%s\" is not understood", argv[i]);
            return wrong(text);
        }
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
    struct arguments a = {.uses = 1, .lifetime_ms = 7 * 24 * 3600 * 1000ull};
    int first = 1, code;

    if (argc > 1 && argv[1][0] != '-') {
        if (strcmp(argv[1], "invite") != 0)
            return wrong("the commands are: invite, help");
        a.invite = true;
        first = 2;
    }
    /* Without a home folder data stays empty, and the folder says so if it is not given. */
    (void)sotto_relay_options_init(&a.options);
    if ((code = read_config(&a, argc, argv, first)) != 0 ||
        (code = read_flags(&a, argc, argv, first)) != 0)
        return code;
    if (a.invite)
        return sotto_relay_invite(&a.options, (uint32_t)a.uses, a.lifetime_ms);
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
            return printf("%s%s", usage, help) < 0 || fflush(stdout) != 0;
    }
    return run(argc, argv);
}
