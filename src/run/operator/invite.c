/* SPDX-License-Identifier: Apache-2.0 */
/* Invites: made, listed, revoked; and the one for a name whose owner has lost the passphrase. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto/kdf.h"
#include "run/operator/command.h"
#include "run/operator/reach.h"
#include "run/relay/audit.h"
#include "run/relay/open.h"
#include "wire/invite.h"

#define ID_DIGITS  12 /* of the hash: what invites are called */
#define ID_AT_MOST 64

static uint64_t now_ms(void)
{
    return sotto_now_ms(sotto_env_system());
}

/* --- making --- */

/* --public, or where the relay said it was last reached. */
static enum sotto_err find_address(struct sotto_relay_parts *p, const struct sotto_relay_options *o,
                                   struct sotto_invite *inv, char *why, size_t room)
{
    char noted[SOTTO_RS_ADDRESS];
    enum sotto_err e = sotto_rs_address_get(p->store, noted);

    if (e == 0 && sotto_address_parse(noted, strlen(noted), inv->host, &inv->port) != 0)
        e = SOTTO_ERR_NOT_FOUND;
    if (e != 0 && e != SOTTO_ERR_NOT_FOUND) {
        snprintf(why, room, "the store cannot be read: %s", sotto_err_text(e));
        return e;
    }
    if (o->has_public) {
        memcpy(inv->host, o->public_address.host, sizeof inv->host);
        if (o->public_address.port != 0)
            inv->port = o->public_address.port;
        else if (e != 0)
            inv->port = SOTTO_DEFAULT_PORT;
        return SOTTO_OK;
    }
    if (e != 0)
        snprintf(why, room,
                 "no relay has run on %s yet, so nobody knows its address: start it once, or give "
                 "the address with --public HOST:PORT",
                 p->folder.path);
    return e;
}

struct making {
    const char *name; /* NULL: for whoever has it */
    uint32_t uses;
    uint64_t expires_ms;
    char link[SOTTO_INVITE_LINK_MAX];
};

static enum sotto_err audit(const struct sotto_relay_parts *p, const struct making *m,
                            const uint8_t hash[32], char *why, size_t room)
{
    char hex[65], detail[128], expires[SOTTO_REACH_TIME];

    sotto_hex_encode(hash, 32, hex);
    sotto_reach_time(m->expires_ms, expires);
    snprintf(detail, sizeof detail, "invite %.*s, uses %u, until %s", ID_DIGITS, hex, m->uses,
             expires);
    return sotto_audit_add(p->folder.path, now_ms(), getuid(), m->name != NULL ? "reset" : "invite",
                           m->name, detail, why, room);
}

static enum sotto_err make(struct sotto_relay_parts *p, const struct sotto_relay_options *o,
                           struct making *m, char *why, size_t room)
{
    const struct sotto_env *env = sotto_env_system();
    struct sotto_invite inv = {.has_code = true};
    struct sotto_rs_identity self = {0};
    uint8_t hash[32];
    enum sotto_err e = find_address(p, o, &inv, why, room);

    if (e != 0)
        return e;
    snprintf(why, room, "the invite cannot be stored in %s", p->folder.path);
    if ((e = sotto_rs_identity_load(p->store, env, &self)) != 0)
        return e;
    memcpy(inv.relay_id, self.key.pub, sizeof inv.relay_id);
    sotto_rs_identity_wipe(&self);
    inv.pin_count = sotto_relay_pins(&p->folder, p->cert, inv.pins);
    if ((e = sotto_random(env, inv.code, sizeof inv.code)) == 0)
        e = sotto_invite_print(&inv, m->link);
    sotto_sha256(inv.code, sizeof inv.code, hash);
    sotto_wipe(&inv, sizeof inv);
    if (e != 0 || (e = audit(p, m, hash, why, room)) != 0)
        return e;
    return m->name != NULL ? sotto_rs_invite_add_for(p->store, hash, m->name, m->expires_ms)
                           : sotto_rs_invite_add(p->store, hash, m->uses, m->expires_ms);
}

static int print_link(struct making *m)
{
    printf("%s\n", m->link);
    sotto_wipe(m->link, sizeof m->link);
    return fflush(stdout) == 0 ? 0 : 1;
}

static enum sotto_err open_parts(struct sotto_relay_parts *p, const struct sotto_command_args *a,
                                 bool create)
{
    char why[2048];
    enum sotto_err e = sotto_relay_parts_open(p, a->o, create, false, why, sizeof why);

    if (e == SOTTO_ERR_NOT_FOUND)
        (void)sotto_reach_fail("%s; no relay has run there: start it once, or give --data of the "
                               "one that runs",
                               why);
    else if (e != 0)
        (void)sotto_reach_fail("%s", why);
    return e;
}

int sotto_command_invite(const struct sotto_command_args *a)
{
    struct making m = {.uses = a->uses, .expires_ms = now_ms() + a->lifetime_ms};
    struct sotto_relay_parts p;
    char why[2048];
    enum sotto_err e;

    if (open_parts(&p, a, a->o->has_public) != 0)
        return 1;
    e = make(&p, a->o, &m, why, sizeof why);
    sotto_relay_parts_close(&p);
    return e != 0 ? sotto_reach_fail("%s", why) : print_link(&m);
}

/* --- a lost passphrase --- */

static enum sotto_err find_account(struct sotto_relay_parts *p, const char *name, char *why,
                                   size_t room)
{
    struct sotto_rs_account account;
    enum sotto_err e = sotto_name_valid(name, strlen(name))
                           ? sotto_rs_account_find(p->store, name, &account)
                           : SOTTO_ERR_NOT_FOUND;

    if (e == SOTTO_ERR_NOT_FOUND) {
        snprintf(why, room, "there is no account %s here; sottod accounts lists them", name);
    } else if (e != 0) {
        snprintf(why, room, "the store cannot be read: %s", sotto_err_text(e));
    } else if (account.gone) {
        snprintf(why, room, "the account %s was deleted, and deleted names are not given out again",
                 name);
        e = SOTTO_ERR_GONE;
    }
    return e;
}

/* Nothing changes before the link is used: a passphrase that is remembered after all, or a call
 * that was a lie, costs nothing but the link. */
int sotto_command_reset(const struct sotto_command_args *a)
{
    const char *name = a->words[0];
    struct making m = {.name = name, .uses = 1, .expires_ms = now_ms() + a->lifetime_ms};
    struct sotto_relay_parts p;
    char why[2048], until[SOTTO_REACH_TIME];
    enum sotto_err e;

    if (open_parts(&p, a, false) != 0)
        return 1;
    if ((e = find_account(&p, name, why, sizeof why)) == 0)
        e = make(&p, a->o, &m, why, sizeof why);
    sotto_relay_parts_close(&p);
    if (e != 0)
        return sotto_reach_fail("%s", why);
    sotto_reach_time(m.expires_ms, until);
    fprintf(stderr,
            "Whoever opens this link becomes %s on this relay: be sure who asks, and hand it over "
            "in person. It works once, until %s, and only for this name, in a new profile. The "
            "account as it is now ends then: its devices and the mail that waits for them. All "
            "contacts are told of a new identity and have to accept it.\n",
            name, until);
    return print_link(&m);
}

/* --- list, revoke --- */

struct listing {
    bool json;
    size_t count;
    const char *prefix; /* revoke */
    uint8_t hash[32];
};

static const char *invite_state(const struct sotto_rs_invite *i)
{
    return i->uses == 0 ? "used up" : i->expires_ms <= now_ms() ? "expired" : "open";
}

static enum sotto_err list_one(void *ctx, const struct sotto_rs_invite *i)
{
    struct listing *l = ctx;
    char hex[65], until[SOTTO_REACH_TIME];

    sotto_hex_encode(i->hash, sizeof i->hash, hex);
    hex[ID_DIGITS] = '\0';
    sotto_reach_time(i->expires_ms, until);
    if (l->json)
        printf("{\"id\":\"%s\",\"state\":\"%s\",\"uses\":%u,\"expires\":\"%s\",\"name\":\"%s\"}\n",
               hex, invite_state(i), i->uses, until, i->name);
    else if (l->count == 0)
        printf("%-*s  %-7s  %4s  %-20s  %s\n", ID_DIGITS, "ID", "STATE", "USES", "EXPIRES", "FOR");
    if (!l->json)
        printf("%s  %-7s  %4u  %s  %s\n", hex, invite_state(i), i->uses, until,
               i->name[0] != '\0' ? i->name : "anybody");
    l->count++;
    return SOTTO_OK;
}

static enum sotto_err match_one(void *ctx, const struct sotto_rs_invite *i)
{
    struct listing *l = ctx;
    char hex[65];

    sotto_hex_encode(i->hash, sizeof i->hash, hex);
    if (strncmp(hex, l->prefix, strlen(l->prefix)) == 0) {
        memcpy(l->hash, i->hash, sizeof l->hash);
        l->count++;
    }
    return SOTTO_OK;
}

static int revoke_one(struct sotto_reach *c, const char *id)
{
    struct listing l = {.prefix = id};
    enum sotto_err e = SOTTO_OK;

    if (strlen(id) >= 4 && strlen(id) <= ID_AT_MOST)
        e = sotto_rs_invites_each(c->store, match_one, &l);
    if (e == 0 && l.count != 1)
        return sotto_reach_fail(l.count == 0
                                    ? "there is no invite %s; sottod invites lists them"
                                    : "%s is the beginning of several invites; give more of it",
                                id);
    if (e == 0 && (e = sotto_reach_audit(c, "revoke", NULL, id)) != 0)
        return sotto_reach_fail("%s", c->why);
    if (e == 0)
        e = sotto_rs_invite_drop(c->store, l.hash);
    if (e == SOTTO_ERR_NOT_FOUND)
        return sotto_reach_fail("the invite %s was gone already", id);
    if (e != 0)
        return sotto_reach_fail("the store in %s cannot be changed: %s", c->folder.path,
                                sotto_err_text(e));
    printf("the invite %s is revoked; whoever signed up with it stays\n", id);
    return 0;
}

int sotto_command_invites(const struct sotto_command_args *a)
{
    struct listing l = {.json = a->json};
    struct sotto_reach c;
    enum sotto_err e;
    int code = 0;

    if (a->word_count > 0 && strcmp(a->words[0], "revoke") != 0)
        return sotto_reach_fail("invites lists invites, invites revoke ID ends one; \"%s\" is "
                                "neither",
                                a->words[0]);
    if (a->word_count == 1)
        return sotto_reach_fail("which one? sottod invites lists them; then: sottod invites revoke "
                                "ID");
    if (sotto_reach_open(&c, a->o) != 0)
        return 1;
    if (a->word_count == 2) {
        code = revoke_one(&c, a->words[1]);
    } else if ((e = sotto_rs_invites_each(c.store, list_one, &l)) != 0) {
        code = sotto_reach_fail("the store in %s cannot be read: %s", c.folder.path,
                                sotto_err_text(e));
    } else if (l.count == 0 && !a->json) {
        printf("there are no invites; sottod invite makes one\n");
    }
    sotto_reach_close(&c);
    return fflush(stdout) == 0 ? code : 1;
}
