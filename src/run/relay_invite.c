/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "crypto/kdf.h"
#include "run/relay.h"
#include "run/relay_open.h"
#include "wire/invite.h"

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

static enum sotto_err make(struct sotto_relay_parts *p, const struct sotto_relay_options *o,
                           uint32_t uses, uint64_t lifetime_ms, char link[SOTTO_INVITE_LINK_MAX],
                           char *why, size_t room)
{
    const struct sotto_env *env = sotto_env_system();
    struct sotto_invite inv = {.pin_count = 1, .has_code = true};
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
    sotto_cert_pin(p->cert, inv.pins[0]);
    if ((e = sotto_random(env, inv.code, sizeof inv.code)) != 0 ||
        (e = sotto_invite_print(&inv, link)) != 0)
        return e;
    sotto_sha256(inv.code, sizeof inv.code, hash);
    e = sotto_rs_invite_add(p->store, hash, uses, sotto_now_ms(env) + lifetime_ms);
    sotto_wipe(&inv, sizeof inv);
    return e;
}

int sotto_relay_invite(const struct sotto_relay_options *o, uint32_t uses, uint64_t lifetime_ms)
{
    struct sotto_relay_parts p;
    char why[2048], link[SOTTO_INVITE_LINK_MAX];
    enum sotto_err e = sotto_relay_parts_open(&p, o, o->has_public, false, why, sizeof why);

    if (e == SOTTO_ERR_NOT_FOUND) {
        fprintf(stderr,
                "sottod: %s; no relay has run there: start it once, or give --data of the one that "
                "runs\n",
                why);
        return 1;
    }
    if (e == 0) {
        e = make(&p, o, uses, lifetime_ms, link, why, sizeof why);
        sotto_relay_parts_close(&p);
    }
    if (e != 0) {
        fprintf(stderr, "sottod: %s\n", why);
        return 1;
    }
    printf("%s\n", link);
    sotto_wipe(link, sizeof link);
    return fflush(stdout) == 0 ? 0 : 1;
}
