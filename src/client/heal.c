/* SPDX-License-Identifier: Apache-2.0 */
#include "client/state.h"

#define YEAR_2020 1577836800ull /* its begin, in seconds since 1970 */

/*
 * This profile, or the relay, was put back to an older copy. Settings used here:
 *   heal.keys(the relay is to get new ones) heal.ms(the last time) heal.due(at the next sign-in)
 * list.leap(either was put back since a list was signed)
 */

/*
 * The next one; but the time, in seconds since 2020: a copy that is put back twice knows nothing of
 * the generation that it took the first time, and others have sessions and keys of that one. A
 * clock before 2020, or after 2087, does not count, so that no slip of it uses up the numbers.
 */
static uint32_t next_generation(const struct sotto_engine *e)
{
    const struct sotto_device *listed = sotto_list_find(&e->own_list, e->device);
    uint64_t now = sotto_now_ms(e->env) / 1000;
    uint32_t next = e->generation + 1;

    if (listed != NULL && listed->generation >= next)
        next = listed->generation + 1;
    if (now < YEAR_2020 || now - YEAR_2020 > UINT32_MAX / 2 || now - YEAR_2020 < next)
        return next;
    return (uint32_t)(now - YEAR_2020);
}

/*
 * The relay named a lease that this profile never wrote: one of the two is an older copy, and which
 * one cannot be told from here. So both are mended. If it is the profile: ratchets that went on
 * since must not be used again, and pre-keys handed out since are lost: next generation, new
 * keys, new sessions, and what was not delivered is encrypted again: its receipts may lie on the
 * lost line, and an envelope that comes twice gets no second one. If it is the relay (its whole
 * folder was put back, so it does not know): what was stored but not delivered is sent again, and
 * repeated envelopes are recognised by their ids; receipts are given again. Such a relay gives out
 * sequence numbers again that this device has acknowledged on the lost line; so from now on only
 * its own word counts.
 */
enum sotto_err sotto_heal(struct sotto_engine *e, uint64_t acked)
{
    uint32_t generation = next_generation(e);
    enum sotto_err err = sotto_profile_begin(e->p);

    if (err != SOTTO_OK)
        return err;
    if ((err = sotto_setting_put_u64(e->p, "device.generation", generation)) == 0 &&
        (err = sotto_setting_put_u64(e->p, "heal.keys", 1)) == SOTTO_OK &&
        (err = sotto_setting_put_u64(e->p, SOTTO_LIST_LEAP, 1)) == SOTTO_OK &&
        (err = sotto_setting_drop(e->p, SOTTO_HEAL_DUE)) == SOTTO_OK &&
        (err = sotto_setting_put_u64(e->p, "heal.ms", sotto_now_ms(e->env))) == SOTTO_OK &&
        (err = sotto_setting_put_u64(e->p, "inbox.committed", acked)) == SOTTO_OK &&
        (err = sotto_sessions_clear(e->p, NULL, 0)) == SOTTO_OK &&
        (err = sotto_item_reopen_stored(e->p)) == SOTTO_OK &&
        (err = sotto_receipts_again(e)) == SOTTO_OK && (err = sotto_item_unseal(e->p)) == SOTTO_OK)
        err = sotto_tokens_requeue_all(e);
    if ((err = sotto_profile_end(e->p, err)) != SOTTO_OK)
        return err;
    e->generation = generation;
    e->healed = true;
    sotto_notice(e,
                 "This profile (or the relay) was restored from an older copy. It goes on with "
                 "new keys; what this device sent or received since that copy was made may be "
                 "missing here, and what it sent since then and had not reached every device "
                 "may be missing there.%s",
                 e->holds_account_key ? " Devices that were removed since then may be back: see "
                                        "sotto devices."
                                      : "");
    return SOTTO_OK;
}

/*
 * A list of ours that is new to us. Did a later state of this profile sign it, as nobody else can,
 * or does it name a later generation of this device? Then we are an older copy, and neither lease
 * nor numbers showed it, as the relay is one, too.
 */
bool sotto_heal_shown(const struct sotto_engine *e, const struct sotto_list *list, bool ours)
{
    const struct sotto_device *d = sotto_list_find(list, e->device);
    bool lost = e->holds_account_key && !ours && !e->healed;

    return d != NULL && (d->generation > e->generation || lost);
}

static enum sotto_err note_newest(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                  struct sotto_bytes record, uint64_t used_ms)
{
    uint32_t *newest = ctx;
    struct sotto_session *s;
    enum sotto_err err;

    (void)id;
    (void)used_ms;
    if ((err = sotto_session_read(record.p, record.n, &s)) != SOTTO_OK)
        return err == SOTTO_ERR_NOMEM ? err : SOTTO_OK;
    if (sotto_session_their_generation(s) > *newest)
        *newest = sotto_session_their_generation(s);
    sotto_session_free(s);
    return SOTTO_OK;
}

/*
 * A device that was put back may have had envelopes that did not open, and forgets that it has to
 * ask for them; the relay has dropped them. So all goes once more that it has not confirmed. What
 * it has got it knows by the ids.
 */
enum sotto_err sotto_heal_theirs(struct sotto_engine *e, const char *name, uint64_t device,
                                 uint32_t known, uint32_t now)
{
    enum sotto_err err;

    if (now <= known || device == e->device)
        return SOTTO_OK;
    if ((err = sotto_sessions_each(e->p, name, device, note_newest, &known)) != SOTTO_OK ||
        now <= known)
        return err;
    return sotto_item_reopen_device(e->p, name, device);
}

/* The next one; but the time, after this profile or the relay was put back: the next one, and some
 * after it, may have been signed before that, and contacts know them. */
uint32_t sotto_heal_list_version(struct sotto_engine *e)
{
    uint64_t leap = 0, minutes = sotto_now_ms(e->env) / 60000;
    uint32_t next = e->own_list.version + 1;

    if (sotto_setting_get_u64(e->p, SOTTO_LIST_LEAP, &leap) != SOTTO_OK || leap == 0 ||
        minutes > UINT32_MAX / 2 || minutes < next)
        return next;
    return (uint32_t)minutes;
}
