/* SPDX-License-Identifier: Apache-2.0 */
/* A listed device proves its key on this connection, swaps its lease, and begins. */
#include <string.h>

#include "base/log.h"
#include "relay/core.h"

/* The mode decides whether a certificate is asked for; one that is shown has to be the enrolled
 * one in every mode but `off`. */
static bool certificate_right(const struct sotto_relay_conn *c, const struct sotto_rs_device *d)
{
    switch (c->r->config.client_certificates) {
    case SOTTO_CLIENT_CERTS_OFF:
        return true;
    case SOTTO_CLIENT_CERTS_REQUEST:
        if (c->pin == NULL)
            return true;
        break;
    case SOTTO_CLIENT_CERTS_REQUIRE:
        if (c->pin == NULL)
            return false;
        break;
    }
    return d->adopt || (d->has_certificate && sotto_equal(c->pin, d->certificate, 32));
}

/*
 * Whose proof is to be checked: a device that is listed or was. Nobody learns here which names have
 * an account: a name without one looks like an account without this device. That an account was
 * deleted is told, as its other devices have to know and nothing of theirs is left to prove it by.
 */
static enum sotto_err find(struct sotto_relay_conn *c, const struct sotto_request *q,
                           struct sotto_rs_account *account, struct sotto_rs_device *device,
                           bool *ret_found)
{
    enum sotto_err e = sotto_rs_account_find(c->r->store, q->u.sign_in.name, account);

    *ret_found = false;
    if (e == 0 && account->gone) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_NAME_GONE, "this account was deleted");
        return SOTTO_OK;
    }
    if (e == 0)
        e = sotto_rs_device_find(c->r->store, account->id, q->u.sign_in.device, device);
    if (e == SOTTO_ERR_NOT_FOUND) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_UNKNOWN_DEVICE,
                           "this relay knows no such device of an account with this name");
        return SOTTO_OK;
    }
    *ret_found = e == 0;
    return e;
}

static enum sotto_err proof_right(struct sotto_relay_conn *c, const struct sotto_request *q,
                                  const struct sotto_rs_account *account,
                                  const struct sotto_rs_device *d, bool *ret_right)
{
    struct sotto_account who = {.name = {0}};
    struct sotto_device device;
    enum sotto_err e;

    memcpy(who.relay_id, sotto_relay_id(c->r), 32);
    memcpy(who.name, account->name, sizeof who.name);
    memcpy(who.key, account->key, 32);
    if ((e = sotto_entry_open(d->entry, sizeof d->entry, &who, &device)) != 0) {
        sotto_log_bug("a stored device entry does not open: %s", sotto_err_name(e));
        return SOTTO_ERR_BUG;
    }
    e = sotto_proof_verify(device.sign_pub, c->exporter, who.relay_id, who.name, d->id,
                           q->u.sign_in.lease, q->u.sign_in.proof);
    *ret_right = e == 0;
    return e == 0 || e == SOTTO_ERR_BAD_SIGNATURE ? SOTTO_OK : e;
}

static enum sotto_err enter(struct sotto_relay_conn *c, const struct sotto_request *q,
                            const struct sotto_rs_account *account, const struct sotto_rs_device *d)
{
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_SIGNED_IN};
    struct sotto_relay_store *s = c->r->store;
    const struct box *known = sotto_relay_box_known(c->r, d->box);
    struct effect *f;
    enum sotto_err e;

    if ((e = sotto_rs_one_time_count(s, d->box, &a.u.signed_in.one_time_left)) != 0 ||
        (e = sotto_rs_lease_try(s, d->box, q->u.sign_in.lease)) != 0)
        return e;
    if (d->adopt && (e = sotto_rs_certificate_adopt(s, d->box, c->pin)) != 0)
        return e;
    if ((f = sotto_relay_effect(c->r, EFFECT_ATTACH)) == NULL)
        return SOTTO_ERR_NOMEM;
    f->conn = c;
    a.u.signed_in.has_previous = d->has_lease;
    memcpy(a.u.signed_in.previous_lease, d->lease, sizeof d->lease);
    a.u.signed_in.previous_begun = d->has_lease && d->begun;
    a.u.signed_in.list_version = account->version;
    if (known != NULL)
        a.u.signed_in.acked = known->acked;
    c->s.stage = STAGE_SIGNED_IN;
    c->s.account = account->id;
    memcpy(c->s.name, account->name, sizeof c->s.name);
    c->s.device = d->id;
    c->s.box = d->box;
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}

enum sotto_err sotto_relay_sign_in(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_rs_account account;
    struct sotto_rs_device device;
    bool right = false;
    uint64_t wait;
    enum sotto_err e = find(c, q, &account, &device, &right);

    if (e != 0 || !right)
        return e;
    if ((e = proof_right(c, q, &account, &device, &right)) != 0)
        return e;
    if (!right) {
        if (sotto_relay_line_due(c, "proof"))
            sotto_log_peer("%s could not prove to be a device of %s", c->address, account.name);
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_PROOF,
                           "the proof is not by this device's key on this connection");
        return SOTTO_OK;
    }
    if (!device.listed) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_REVOKED,
                           "this device was removed from its account");
        return SOTTO_OK;
    }
    if (account.disabled) {
        sotto_log_peer("%s was refused: the account %s is disabled (sottod enable)", c->address,
                       account.name);
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_DENIED, DISABLED_TEXT);
        return SOTTO_OK;
    }
    if (!certificate_right(c, &device)) {
        if (sotto_relay_line_due(c, "certificate"))
            sotto_log_peer("%s: client certificate missing or not the enrolled one", c->address);
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_CERTIFICATE,
                           c->pin != NULL ? "the client certificate is not the enrolled one"
                                          : "this relay requires the client certificate");
        return SOTTO_OK;
    }
    /* Each costs a write, and puts an end to the connection before. */
    wait = sotto_relay_count(c, &c->r->sign_in_guard, &device.box, sizeof device.box,
                             c->r->config.sign_ins_per_minute, MINUTE_MS);
    if (wait > 0) {
        sotto_relay_refuse_until(c, q->id, wait, "this device signs in too often");
        return SOTTO_OK;
    }
    return enter(c, q, &account, &device);
}

/*
 * A number that was not given out cannot come from this relay as it is: it was restored without
 * anybody saying so, or it lied to the device in between, or the device is wrong. Nothing is
 * dropped on its word then.
 */
enum sotto_err sotto_relay_begin(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    uint64_t committed = q->u.begin.committed;
    struct box *b = sotto_relay_box(c->r, c->s.box);
    struct effect *f = sotto_relay_effect(c->r, EFFECT_BEGUN);
    enum sotto_err e;

    if (b == NULL || f == NULL)
        return SOTTO_ERR_NOMEM;
    if (committed >= sotto_box_next_seq(c->r, b)) {
        sotto_log_peer("a device claims to have committed what was never sent; ignored");
        committed = 0;
    }
    if ((e = sotto_rs_lease_begun(c->r->store, b->id, committed)) != 0)
        return e;
    f->conn = c;
    f->seq = committed;
    c->s.stage = STAGE_BEGUN;
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}
