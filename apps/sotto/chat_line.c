/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "chat.h"
#include "command.h"
#include "commands.h"
#include "line.h"
#include "suggest.h"

/* ---- what a chat knows beside the commands of the table ------------------------------------ */

static void do_chat(struct sotto_chat *c, const struct sotto_line *l);
static void do_send(struct sotto_chat *c, const struct sotto_line *l);
static void do_help(struct sotto_chat *c, const struct sotto_line *l);
static void do_quit(struct sotto_chat *c, const struct sotto_line *l);

static const struct own {
    const char *name, *usage, *summary;
    void (*run)(struct sotto_chat *c, const struct sotto_line *l);
} own_commands[] = {
    {"chat", "[NAME]", "open a chat with somebody; without a name close this one", do_chat},
    {"send", "NAME MESSAGE", "send a message without opening a chat", do_send},
    {"who", "", "list contacts and requests", NULL}, /* contacts, in the table */
    {"help", "", "show this list", do_help},
    {"quit", "", "say good-bye to the relay and leave", do_quit},
};
enum { OWN_COMMANDS = sizeof own_commands / sizeof own_commands[0], WORDS_MAX = 40 };

/* Commands of the table whose name may be left away in a chat: the peer is meant. */
static const char *const about_peer[] = {"verify", "history", "accept", "block", "unblock", NULL};

static bool is_one_of(const char *const *list, const char *word)
{
    for (; *list != NULL; list++) {
        if (strcmp(*list, word) == 0)
            return true;
    }
    return false;
}

static const struct own *own_command(const char *name)
{
    for (size_t i = 0; i < OWN_COMMANDS; i++) {
        if (strcmp(own_commands[i].name, name) == 0)
            return &own_commands[i];
    }
    return NULL;
}

/* Names of all commands that work here. */
static void all_names(const char *ret[WORDS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < OWN_COMMANDS; i++)
        ret[n++] = own_commands[i].name;
    for (const struct sotto_command *t = sotto_commands; t->name != NULL && n + 1 < WORDS_MAX;
         t++) {
        if (t->start != NULL)
            ret[n++] = t->name;
    }
    ret[n] = NULL;
}

static const char *slash(const struct sotto_chat *c)
{
    return c->peer[0] != 0 ? "/" : "";
}

static void refuse(struct sotto_chat *c, const char *why, const char *name, const char *usage)
{
    sotto_out(&c->out, SOTTO_OUT_ERROR, "%s", why);
    if (name != NULL)
        sotto_out(&c->out, SOTTO_OUT_NOTE, "usage: %s%s%s%s", slash(c), name,
                  usage[0] != 0 ? " " : "", usage);
    sotto_chat_failed(c, SOTTO_RESULT_USAGE);
}

/* ---- messages --------------------------------------------------------------------------- */

static void send_text(struct sotto_chat *c, const char *peer, const char *text)
{
    size_t len = strlen(text);
    char why[SOTTO_CLI_WHY];
    uint32_t request;

    if (!sotto_cmd_text_fits(text, len, why)) {
        refuse(c, why, NULL, NULL);
        return;
    }
    request = sotto_send(c->cli->client, peer, text, len, SOTTO_WAIT_STORED, 0);
    if (!sotto_outgoing_add(&c->outgoing, request, peer, text, len, sotto_cli_now(),
                            sotto_cli_mono()))
        sotto_out(&c->out, SOTTO_OUT_ERROR,
                  "out of memory: the message is sent but not shown here");
}

static void do_send(struct sotto_chat *c, const struct sotto_line *l)
{
    const struct own *me = own_command("send");
    char why[SOTTO_CLI_WHY];

    if (l->count < 3)
        refuse(c, "send needs a name and a message", me->name, me->usage);
    else if (!sotto_cmd_name_fits(l->word[1], why))
        refuse(c, why, me->name, me->usage);
    else
        send_text(c, l->word[1], l->rest);
}

/* ---- the other commands of a chat ----------------------------------------------------------- */

static void do_chat(struct sotto_chat *c, const struct sotto_line *l)
{
    const struct own *me = own_command("chat");
    char why[SOTTO_CLI_WHY];

    if (l->count > 2)
        refuse(c, "chat takes one name", me->name, me->usage);
    else if (l->count == 2 && !sotto_cmd_name_fits(l->word[1], why))
        refuse(c, why, me->name, me->usage);
    else
        sotto_chat_open(c, l->count == 2 ? l->word[1] : "");
}

static void do_quit(struct sotto_chat *c, const struct sotto_line *l)
{
    (void)l;
    c->leaving = true;
}

static void do_help(struct sotto_chat *c, const struct sotto_line *l)
{
    (void)l;
    for (size_t i = 0; i < OWN_COMMANDS; i++)
        sotto_out(&c->out, SOTTO_OUT_NOTE, "  %s%-12s %-14s %s", slash(c), own_commands[i].name,
                  own_commands[i].usage, own_commands[i].summary);
    for (const struct sotto_command *t = sotto_commands; t->name != NULL; t++) {
        if (t->start != NULL)
            sotto_out(&c->out, SOTTO_OUT_NOTE, "  %s%-12s %s", slash(c), t->name, t->summary);
    }
    if (c->peer[0] != 0)
        sotto_out(
            &c->out, SOTTO_OUT_NOTE,
            "Everything else is a message to %s; // at the beginning writes one slash. chat "
            "NAME, send NAME MESSAGE, who, verify, help and quit also work without the slash.",
            c->peer);
}

static void wait_for(struct sotto_chat *c, uint32_t request)
{
    for (size_t i = 0; i < SOTTO_CHAT_PENDING; i++) {
        if (c->pending[i] == 0) {
            c->pending[i] = request;
            return;
        }
    }
}

/* A command of the table: its answer comes as events. */
static void ask_library(struct sotto_chat *c, const struct sotto_command *t,
                        const struct sotto_line *l)
{
    const char *words[SOTTO_LINE_WORDS + 1], *rest[SOTTO_LINE_WORDS + 1];
    struct sotto_args args, one;
    char why[SOTTO_CLI_WHY] = "";
    size_t n = 0, turns;

    for (size_t i = 1; i < l->count; i++)
        words[n++] = l->word[i];
    if (!sotto_args_read(&args, t->options, words, n, rest, why, sizeof why)) {
        refuse(c, why, t->name, t->usage);
        return;
    }
    if (args.rest_count == 0 && c->peer[0] != 0 && is_one_of(about_peer, t->name))
        rest[args.rest_count++] = c->peer;
    if (!sotto_command_fits(t, &args, why)) {
        refuse(c, why, t->name, t->usage);
        return;
    }
    turns = t->each ? args.rest_count : 1;
    if (sotto_chat_pending(c) + turns > SOTTO_CHAT_PENDING) {
        refuse(c, "too much at once; wait for the answers", NULL, NULL);
        return;
    }
    for (size_t i = 0; i < turns; i++) {
        uint32_t request;

        one = args;
        if (t->each) {
            one.rest = args.rest + i;
            one.rest_count = 1;
        }
        request = t->start(c->cli->client, &one, why);
        if (request == 0) {
            refuse(c, why, t->name, t->usage);
            return;
        }
        wait_for(c, request);
    }
}

static void unknown(struct sotto_chat *c, const char *typed)
{
    const char *names[WORDS_MAX], *near;
    const struct sotto_command *t = sotto_command_find(typed);
    const struct own *own;
    char why[SOTTO_CLI_WHY];

    if (t != NULL && !t->hidden) {
        (void)snprintf(why, sizeof why, "'%s' works outside of a chat: sotto %s %s", typed, t->name,
                       t->usage);
        refuse(c, why, NULL, NULL);
        return;
    }
    all_names(names);
    near = sotto_suggest(typed, names);
    (void)snprintf(why, sizeof why, "there is no command '%s'%s%s%s%s (%shelp lists all)", typed,
                   near != NULL ? "; did you mean '" : "", near != NULL ? slash(c) : "",
                   near != NULL ? near : "", near != NULL ? "'?" : "", slash(c));
    own = near != NULL ? own_command(near) : NULL;
    t = near != NULL ? sotto_command_find(near) : NULL;
    if (own != NULL)
        refuse(c, why, near, own->usage);
    else
        refuse(c, why, near, t != NULL ? t->usage : "");
}

static void run_command(struct sotto_chat *c, const struct sotto_line *l)
{
    const char *name = strcmp(l->word[0], "who") == 0 ? "contacts" : l->word[0];
    const struct own *own = own_command(name);
    const struct sotto_command *t = sotto_command_find(name);

    if (own != NULL && own->run != NULL)
        own->run(c, l);
    else if (t != NULL && t->start != NULL)
        ask_library(c, t, l);
    else
        unknown(c, name);
}

void sotto_chat_line(struct sotto_chat *c, const char *text)
{
    struct sotto_line line;

    if (!sotto_line_read(text, c->peer[0] != 0, &line)) {
        refuse(c, "out of memory; the line was not used", NULL, NULL);
        return;
    }
    if (line.kind == SOTTO_LINE_MESSAGE)
        send_text(c, c->peer, line.message);
    else if (line.kind == SOTTO_LINE_COMMAND)
        run_command(c, &line);
    sotto_line_free(&line);
}

bool sotto_chat_must_wait(const struct sotto_chat *c, const char *text)
{
    struct sotto_line line;
    bool wait = false;

    /* Messages follow each other by themselves; what asks for something wants the result of all
     * that was written before it. */
    if (sotto_line_read(text, c->peer[0] != 0, &line) && line.kind == SOTTO_LINE_COMMAND)
        wait = strcmp(line.word[0], "chat") != 0 && strcmp(line.word[0], "send") != 0 &&
               strcmp(line.word[0], "help") != 0;
    else
        wait = sotto_chat_pending(c) > 0;
    sotto_line_free(&line);
    return wait;
}

/* ---- Tab -------------------------------------------------------------------------------- */

struct completion {
    const char *found[WORDS_MAX];
    size_t count;
    size_t common; /* letters that all have in common */
};

static void consider(struct completion *m, const char *word, const char *typed)
{
    size_t len = strlen(typed), same = 0;

    if (strncmp(word, typed, len) != 0 || m->count == WORDS_MAX)
        return;
    if (m->count == 0)
        m->common = strlen(word);
    while (m->count > 0 && same < m->common && word[same] == m->found[0][same])
        same++;
    if (m->count > 0)
        m->common = same;
    m->found[m->count++] = word;
}

static void list_found(struct sotto_chat *c, const struct completion *m)
{
    char line[512];
    size_t n = 0;

    for (size_t i = 0; i < m->count && n < sizeof line; i++) {
        int k = snprintf(line + n, sizeof line - n, "%s%s", i > 0 ? "  " : "", m->found[i]);

        n += k > 0 ? (size_t)k : 0;
    }
    sotto_out(&c->out, SOTTO_OUT_NOTE, "%s", line);
}

const wchar_t *sotto_chat_complete(void *chat, const wchar_t *text, size_t len)
{
    static const char *const take_names[] = {"chat",   "send",  "verify",  "history",
                                             "accept", "block", "unblock", NULL};
    struct sotto_chat *c = chat;
    const char *names[WORDS_MAX];
    struct completion m = {0};
    struct sotto_line line;
    char typed[128];
    size_t i, words = 1;

    if (c->peer[0] != 0 && (len == 0 || text[0] != L'/'))
        return NULL;
    for (i = 0; i < len && i + 1 < sizeof typed; i++) {
        typed[i] = text[i] > 0 && text[i] < 0x7f ? (char)text[i] : '?';
        words += i > 0 && text[i] == L' ' && text[i - 1] != L' ';
    }
    typed[i] = 0;
    if (i < len || !sotto_line_read(typed, c->peer[0] != 0, &line))
        return L"";
    all_names(names);
    if (words == 1) {
        const char *word = typed[0] == '/' ? typed + 1 : typed;

        for (i = 0; names[i] != NULL; i++)
            consider(&m, names[i], word);
        words = strlen(word);
    } else if (words == 2 && line.count > 0 && is_one_of(take_names, line.word[0])) {
        const char *word = line.count > 1 ? line.word[1] : "";

        for (i = 0; i < c->contact_count; i++)
            consider(&m, c->contact[i], word);
        words = strlen(word);
    }
    sotto_line_free(&line);
    c->completion[0] = 0;
    if (m.count == 0)
        return c->completion;
    for (i = 0; words + i < m.common && i + 2 < sizeof c->completion / sizeof c->completion[0]; i++)
        c->completion[i] = (wchar_t)m.found[0][words + i];
    if (m.count == 1)
        c->completion[i++] = L' ';
    else if (i == 0)
        list_found(c, &m);
    c->completion[i] = 0;
    return c->completion;
}
