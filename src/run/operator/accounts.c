/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts and who is connected: accounts, sessions, kick, disable, enable, delete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/operator/command.h"
#include "run/operator/reach.h"
#include "run/relay/operator.h"

/* --- accounts --- */

static const char *state_of(const struct sotto_rs_account *a)
{
    return a->gone ? "deleted" : a->disabled ? "disabled" : "active";
}

static void print_accounts(const struct sotto_tally *t, size_t count)
{
    size_t width = 4;

    for (size_t i = 0; i < count; i++)
        if (strlen(t[i].account.name) > width)
            width = strlen(t[i].account.name);
    printf("%-*s  %-8s  %7s  %7s  %9s\n", (int)width, "NAME", "STATE", "DEVICES", "WAITING",
           "SIZE");
    for (size_t i = 0; i < count; i++) {
        char size[SOTTO_REACH_SIZE];

        sotto_reach_size(t[i].bytes, size);
        printf("%-*s  %-8s  %7u  %7llu  %9s\n", (int)width, t[i].account.name,
               state_of(&t[i].account), t[i].devices, (unsigned long long)t[i].waiting, size);
    }
}

/* Names and states need no escapes. */
static void print_accounts_json(const struct sotto_tally *t, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("{\"name\":\"%s\",\"state\":\"%s\",\"devices\":%u,\"list_version\":%u,"
               "\"waiting\":%llu,\"waiting_bytes\":%llu}\n",
               t[i].account.name, state_of(&t[i].account), t[i].devices, t[i].account.version,
               (unsigned long long)t[i].waiting, (unsigned long long)t[i].bytes);
}

int sotto_command_accounts(const struct sotto_command_args *a)
{
    struct sotto_reach c;
    struct sotto_tally *all = NULL;
    size_t count = 0;
    int code = 0;

    if (sotto_reach_open(&c, a->o) != 0)
        return 1;
    if (sotto_reach_tally(&c, &all, &count) != 0)
        code = sotto_reach_fail("%s", c.why);
    else if (a->json)
        print_accounts_json(all, count);
    else if (count == 0)
        printf("no accounts yet: sottod invite makes a link to sign up with\n");
    else
        print_accounts(all, count);
    free(all);
    sotto_reach_close(&c);
    return fflush(stdout) == 0 ? code : 1;
}

/* --- sessions --- */

static void print_session(char *line, bool json)
{
    char *save = NULL, *name = strtok_r(line, " ", &save), *device = strtok_r(NULL, " ", &save),
         *since = strtok_r(NULL, " ", &save), *address = strtok_r(NULL, " ", &save);
    char time[SOTTO_REACH_TIME];

    if (address == NULL)
        return;
    sotto_reach_time(strtoull(since, NULL, 10), time);
    if (json)
        printf("{\"name\":\"%s\",\"device\":\"%s\",\"since\":\"%s\",\"address\":\"%s\"}\n", name,
               device, time, address);
    else
        printf("%-32s  %s  %s  %s\n", name, device, time, address);
}

int sotto_command_sessions(const struct sotto_command_args *a)
{
    SOTTO_AUTO_BUF lines = SOTTO_BUF(SOTTO_OPERATOR_LINES + 1);
    struct sotto_reach c;
    enum sotto_err e;
    char *save = NULL;

    if (sotto_reach_open(&c, a->o) != 0)
        return 1;
    e = sotto_reach_ask(&c, "sessions", &lines);
    sotto_reach_close(&c);
    if (e == SOTTO_ERR_STATE)
        return sotto_reach_fail("no relay runs on %s, so nobody is connected", c.folder.path);
    if (e != 0 || (e = sotto_buf_add(&lines, "", 1)) != 0)
        return sotto_reach_fail("%s", c.why[0] != '\0' ? c.why : sotto_err_text(e));
    if (!a->json && lines.n > 1)
        printf("%-32s  %-16s  %-20s  %s\n", "NAME", "DEVICE", "SINCE", "ADDRESS");
    else if (!a->json)
        printf("nobody is connected\n");
    for (char *p = strtok_r((char *)lines.p, "\n", &save); p != NULL;
         p = strtok_r(NULL, "\n", &save))
        print_session(p, a->json);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* --- changes --- */

static bool name_right(const char *name)
{
    if (sotto_name_valid(name, strlen(name)))
        return true;
    (void)sotto_reach_fail("\"%s\" is no account name; sottod accounts lists them", name);
    return false;
}

static int failed(const struct sotto_reach *c, const char *name, enum sotto_err e)
{
    switch (e) {
    case SOTTO_ERR_NOT_FOUND:
        return sotto_reach_fail("there is no account %s here; sottod accounts lists them", name);
    case SOTTO_ERR_GONE:
        return sotto_reach_fail("the account %s was deleted; nothing of it is left but the name",
                                name);
    case SOTTO_ERR_FULL:
        return sotto_reach_fail("the disk of %s is full, so nothing was changed; make room and try "
                                "again",
                                c->folder.path);
    default:
        return sotto_reach_fail("%s; nothing was changed",
                                c->why[0] != '\0' ? c->why : sotto_err_text(e));
    }
}

typedef enum sotto_err store_fn(struct sotto_relay_store *s, int64_t account);

static enum sotto_err store_disable(struct sotto_relay_store *s, int64_t account)
{
    return sotto_rs_account_disable(s, account, true);
}

static enum sotto_err store_enable(struct sotto_relay_store *s, int64_t account)
{
    return sotto_rs_account_disable(s, account, false);
}

/* No relay runs, and none can start: the folder is locked. */
static enum sotto_err change_store(struct sotto_reach *c, const char *verb, const char *name,
                                   store_fn *fn)
{
    struct sotto_rs_account account;
    enum sotto_err e = sotto_rs_account_find(c->store, name, &account);

    c->why[0] = '\0';
    if (e == 0 && account.gone)
        e = SOTTO_ERR_GONE;
    if (e != 0 || (e = sotto_reach_audit(c, verb, name, NULL)) != 0 ||
        (e = sotto_rs_begin(c->store)) != 0)
        return e;
    if ((e = fn(c->store, account.id)) != 0)
        sotto_rs_rollback(c->store);
    else
        e = sotto_rs_commit(c->store);
    if (e != 0)
        (void)sotto_reach_audit(c, "failed", name, sotto_err_text(e));
    return e;
}

static int change(const struct sotto_command_args *a, const char *verb, store_fn *fn,
                  const char *done)
{
    SOTTO_AUTO_BUF lines = SOTTO_BUF(4096);
    const char *name = a->words[0];
    char request[SOTTO_OPERATOR_LINE];
    struct sotto_reach c;
    enum sotto_err e;
    int code = 0;

    if (!name_right(name) || sotto_reach_open(&c, a->o) != 0)
        return 1;
    snprintf(request, sizeof request, "%s %s", verb, name);
    e = sotto_reach_change(&c, request, &lines);
    if (e == SOTTO_ERR_STATE)
        e = change_store(&c, verb, name, fn);
    if (e != 0)
        code = failed(&c, name, e);
    else
        printf("%s %s\n", name, done);
    sotto_reach_close(&c);
    return fflush(stdout) == 0 ? code : 1;
}

int sotto_command_disable(const struct sotto_command_args *a)
{
    return change(a, "disable", store_disable,
                  "is disabled: its connections have ended, and its devices are refused with the "
                  "reason. Nothing was deleted, mail for it waits. The way back is sottod enable");
}

int sotto_command_enable(const struct sotto_command_args *a)
{
    return change(a, "enable", store_enable, "is enabled: its devices may sign in");
}

int sotto_command_delete(const struct sotto_command_args *a)
{
    if (!a->yes && name_right(a->words[0]))
        return sotto_reach_fail("this deletes the account %s on the relay for good, with its "
                                "devices and all mail that waits for them, and the name is never "
                                "given out again; if you mean it: sottod delete %s --yes",
                                a->words[0], a->words[0]);
    return change(a, "delete", sotto_rs_account_delete,
                  "is deleted; the name is not given out again");
}

int sotto_command_kick(const struct sotto_command_args *a)
{
    SOTTO_AUTO_BUF lines = SOTTO_BUF(4096);
    const char *name = a->words[0], *device = a->word_count > 1 ? a->words[1] : "";
    char request[SOTTO_OPERATOR_LINE];
    uint8_t raw[8];
    size_t len = 0;
    struct sotto_reach c;
    enum sotto_err e;
    int code = 0;

    if (!name_right(name))
        return 1;
    if (device[0] != '\0' &&
        (sotto_hex_decode(device, strlen(device), raw, sizeof raw, &len) != 0 || len != sizeof raw))
        return sotto_reach_fail("\"%s\" is no device; sottod sessions lists those that are "
                                "connected, 16 hexadecimal digits each",
                                device);
    if (sotto_reach_open(&c, a->o) != 0)
        return 1;
    snprintf(request, sizeof request, "kick %s %s", name, device);
    e = sotto_reach_change(&c, request, &lines);
    if (e == SOTTO_ERR_STATE)
        code = sotto_reach_fail("no relay runs on %s, so nobody is connected", c.folder.path);
    else if (e != 0)
        code = failed(&c, name, e);
    else if (strcmp(c.why, "0") == 0)
        code = sotto_reach_fail("no device %s%sof %s is connected; sottod sessions lists who is",
                                device, device[0] != '\0' ? " " : "", name);
    else
        printf("%s connection%s of %s ended; a device comes back by itself unless the account is "
               "disabled (sottod disable %s)\n",
               c.why, strcmp(c.why, "1") == 0 ? "" : "s", name, name);
    sotto_reach_close(&c);
    return fflush(stdout) == 0 ? code : 1;
}
