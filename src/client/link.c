/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/proof.h"
#include "client/state.h"

/*
 * The connection's life:
 *
 *   DOWN --connecting--> DIALLING --connected--> HELLO --hello is right--> OPEN
 *   OPEN --account known--> SIGNING --SignedIn, lease noted, Begin--> ONLINE
 *
 * and back to DOWN from everywhere. Nothing is asked before OPEN; sign-up and login run in OPEN.
 */

void sotto_connection_row(const struct sotto_engine *e, uint32_t retry_ms,
                          struct sotto_connection *ret)
{
    *ret = (struct sotto_connection){
        .state = e->phase == LINK_ONLINE ? SOTTO_ONLINE
                 : e->phase == LINK_DOWN ? SOTTO_OFFLINE
                                         : SOTTO_CONNECTING,
        .result = e->phase == LINK_ONLINE ? SOTTO_RESULT_OK : e->why_result,
        .text = e->phase == LINK_ONLINE ? "" : e->why_text,
        .pin = e->why_pin,
        .retry_ms = retry_ms,
    };
}

void sotto_connection_tell(struct sotto_engine *e, uint32_t retry_ms)
{
    struct sotto_connection row;

    sotto_connection_row(e, retry_ms, &row);
    e->connection_unsaid = !sotto_emit(e, (struct sotto_ref){0}, SOTTO_EVENT_CONNECTION, &row);
    if (e->connection_unsaid)
        sotto_say_later(e);
}

/* --- where to --- */

bool sotto_engine_target(const struct sotto_engine *e, struct sotto_engine_target *ret)
{
    const struct job *j = sotto_job_signing(e);

    if (!e->registered && j != NULL) {
        *ret = j->target;
        return true;
    }
    if (!e->registered || ((e->revoked || e->deleted) && e->end_heard) || e->security_stop)
        return false;
    memset(ret, 0, sizeof *ret);
    snprintf(ret->host, sizeof ret->host, "%s", e->host);
    ret->port = e->port;
    ret->pin_count = e->relay.pin_count;
    memcpy(ret->pins, e->relay.pins, sizeof ret->pins);
    return true;
}

/* --- up and down --- */

/* Every open request learns that no answer will come. No job is freed meanwhile: those behind still
 * name theirs. */
static void drop_pending(struct sotto_engine *e)
{
    struct pending *all = e->pending, *next;

    e->pending = NULL;
    e->iterating++;
    for (; all != NULL; all = next) {
        next = all->next;
        all->done(e, all, NULL);
        free(all);
    }
    e->iterating--;
    free(e->publish);
    e->publish = NULL;
}

void sotto_engine_connecting(struct sotto_engine *e)
{
    e->phase = LINK_DIALLING;
    e->replaced = false;
    e->why = SOTTO_OK;
    sotto_connection_tell(e, 0);
}

void sotto_engine_connected(struct sotto_engine *e, const struct sotto_engine_tls *tls)
{
    e->tls = *tls;
    e->phase = LINK_HELLO;
    e->why = SOTTO_OK;
    e->heard_mono = sotto_mono_ms(e->env);
    sotto_buf_clear(&e->out);
}

static enum sotto_result result_of(enum sotto_err why)
{
    switch (why) {
    case SOTTO_ERR_PIN:
    case SOTTO_ERR_NEW_IDENTITY:
    case SOTTO_ERR_FORK:
        return SOTTO_RESULT_SECURITY;
    case SOTTO_ERR_DENIED:
        return SOTTO_RESULT_PROFILE;
    case SOTTO_ERR_IO:
    case SOTTO_ERR_FULL:
    case SOTTO_ERR_NOMEM:
    case SOTTO_ERR_BUG:
    case SOTTO_ERR_RANDOM:
        return SOTTO_RESULT_FAILED;
    default:
        return SOTTO_RESULT_UNREACHABLE;
    }
}

void sotto_engine_disconnected(struct sotto_engine *e, enum sotto_err why, const char *text,
                               const uint8_t *pin, uint32_t retry_ms)
{
    struct sotto_engine_target target;
    struct job *j;

    e->phase = LINK_DOWN;
    if ((e->revoked || e->deleted) && result_of(why) == SOTTO_RESULT_UNREACHABLE) {
        why = SOTTO_ERR_DENIED; /* as far as we know */
        text = e->deleted ? "the account was deleted. Its messages stay readable here"
                          : "this device was removed from the account. Its messages stay "
                            "readable here";
    }
    if (e->why == SOTTO_OK) {
        e->why = why;
        snprintf(e->why_text, sizeof e->why_text, "%s", text);
    }
    e->why_result = result_of(e->why);
    e->why_pin[0] = '\0';
    if (pin != NULL)
        sotto_pin_print(pin, e->why_pin);
    if (pin != NULL && e->why == SOTTO_ERR_PIN && e->registered) {
        char old[SOTTO_PIN_TEXT] = "";

        e->security_stop = true;
        if (e->relay.pin_count > 0)
            sotto_pin_print(e->relay.pins[0], old);
        snprintf(e->why_text, sizeof e->why_text,
                 "the relay shows another key: pinned %s, shown %s. If the operator confirms the "
                 "new one: sotto trust-relay %s",
                 old, e->why_pin, e->why_pin);
    } else if (pin != NULL && e->why == SOTTO_ERR_PIN && sotto_engine_target(e, &target) &&
               target.pin_count > 0) {
        char want[SOTTO_PIN_TEXT];

        sotto_pin_print(target.pins[0], want);
        snprintf(e->why_text, sizeof e->why_text,
                 "the relay shows another key than it should: expected %s, shown %s. Somebody may "
                 "be in between; ask its operator for the right key or a new invite",
                 want, e->why_pin);
    }
    /* Before what ends because of it: a sign-up needs the pin. */
    sotto_connection_tell(e, sotto_engine_target(e, &target) ? retry_ms : 0);
    sotto_wipe(&e->tls.exporter, sizeof e->tls.exporter);
    sotto_buf_clear(&e->out);
    sotto_inbox_clear(e);
    e->uploading = e->tokens_busy = e->queue_drained = e->entry_told = false;
    drop_pending(e);
    sotto_outbox_offline(e);
    e->iterating++;
    for (j = e->jobs; j != NULL; j = j->next)
        if (!j->dead && j->needs_online)
            sotto_job_offline(e, j);
    e->iterating--;
    sotto_jobs_sweep(e);
}

/* Nothing here trusts a clock for more than order and age; but a person would wonder about the
 * times on the screen, and keys and messages would expire early or late. */
static void compare_clocks(struct sotto_engine *e, uint64_t theirs)
{
    int64_t off = (int64_t)sotto_now_ms(e->env) - (int64_t)theirs;
    uint64_t by = (uint64_t)(off < 0 ? -off : off) / 1000;
    char text[64];

    e->clock_known = theirs > 0 && theirs < INT64_MAX / 2;
    e->clock_off_ms = e->clock_known ? off : 0;
    if (!e->clock_known || by <= SOTTO_CLOCK_OFF_MS / 1000)
        return;
    if (by < 2 * 3600)
        snprintf(text, sizeof text, "%u minutes", (unsigned)(by / 60));
    else if (by < 2 * 86400)
        snprintf(text, sizeof text, "%u hours", (unsigned)(by / 3600));
    else
        snprintf(text, sizeof text, "%llu days", (unsigned long long)(by / 86400));
    sotto_notice(
        e,
        "The clock of this device is %s %s the relay's: one of the two is wrong, and times "
        "of messages may be too.",
        text, off > 0 ? "ahead of" : "behind");
}

/* The hello must come from the relay that we know (or were invited to), and must name the TLS key
 * that we are talking to. */
void sotto_link_hello(struct sotto_engine *e, const struct sotto_answer *a)
{
    const struct sotto_relay_identity *r = &a->u.hello.relay;
    const struct job *j = sotto_job_signing(e);
    bool named = false;

    if (e->registered && !sotto_equal(r->id, e->relay.id, 32)) {
        e->security_stop = true;
        sotto_engine_trouble(e, SOTTO_ERR_NEW_IDENTITY,
                             "another relay answers under this address (its relay id differs). "
                             "Ask its operator; nothing was sent to it");
        return;
    }
    if (!e->registered && j != NULL && j->has_relay_id &&
        !sotto_equal(r->id, j->invite.relay_id, 32)) {
        sotto_engine_trouble(e, SOTTO_ERR_NEW_IDENTITY,
                             "another relay answers than the one that the invite names. Ask for "
                             "a new invite");
        return;
    }
    for (size_t i = 0; i < r->pin_count; i++)
        named = named || sotto_equal(r->pins[i], e->tls.pin, 32);
    if (!named) {
        e->security_stop = e->registered;
        sotto_engine_trouble(e, SOTTO_ERR_PIN,
                             "the relay does not vouch for the TLS key it shows: somebody may be "
                             "in between");
        return;
    }
    e->hello = *r;
    snprintf(e->relay_version, sizeof e->relay_version, "%s", a->u.hello.version);
    e->phase = LINK_OPEN;
    compare_clocks(e, a->u.hello.time_ms);
    if (e->registered)
        sotto_sign_in(e);
    else
        sotto_account_open(e);
}

/* --- signing in --- */

/* Settings, newest last: "lease.now" is the one that began, and those under which Begin was sent
 * since; "lease.tried" those of attempts to sign in since. The relay names the last one that began.
 * One that is in neither, or that began on the relay without our note of it, was written by a later
 * state of this profile: we are an older copy.
 */
static enum sotto_err lease_make(struct sotto_engine *e, uint8_t ret[SOTTO_LEASE])
{
    SOTTO_AUTO_BUF tried = SOTTO_BUF((SOTTO_LEASES + 1) * SOTTO_LEASE);
    uint8_t lease[SOTTO_LEASE];
    enum sotto_err err;

    if ((err = sotto_random(e->env, lease, sizeof lease)) != SOTTO_OK)
        return err;
    err = sotto_setting_get(e->p, "lease.tried", &tried);
    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    if (tried.n >= SOTTO_LEASES * SOTTO_LEASE)
        sotto_buf_consume(&tried, SOTTO_LEASE);
    if ((err = sotto_buf_add(&tried, lease, sizeof lease)) != SOTTO_OK ||
        (err = sotto_setting_put(e->p, "lease.tried", tried.p, tried.n)) != SOTTO_OK)
        return err;
    memcpy(ret, lease, sizeof lease);
    return SOTTO_OK;
}

static bool has_lease(const struct sotto_buf *list, const uint8_t lease[SOTTO_LEASE])
{
    for (size_t i = 0; i + SOTTO_LEASE <= list->n; i += SOTTO_LEASE)
        if (sotto_equal(list->p + i, lease, SOTTO_LEASE))
            return true;
    return false;
}

/* Begin is about to be sent. The first one is the last that is known to have begun: it stays. */
static enum sotto_err lease_note(struct sotto_engine *e, const uint8_t lease[SOTTO_LEASE])
{
    SOTTO_AUTO_BUF now = SOTTO_BUF((SOTTO_LEASES + 1) * SOTTO_LEASE);
    enum sotto_err err = sotto_setting_get(e->p, "lease.now", &now);

    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    if (now.n >= SOTTO_LEASES * SOTTO_LEASE) {
        memmove(now.p + SOTTO_LEASE, now.p + (size_t)2 * SOTTO_LEASE,
                now.n - (size_t)2 * SOTTO_LEASE);
        now.n -= SOTTO_LEASE;
    }
    if ((err = sotto_buf_add(&now, lease, SOTTO_LEASE)) != SOTTO_OK ||
        (err = sotto_setting_put(e->p, "lease.now", now.p, now.n)) != SOTTO_OK)
        return err;
    return sotto_setting_drop(e->p, "lease.tried");
}

/* The newest one has begun: a relay that names one before it is an older copy itself. */
static enum sotto_err lease_begun(struct sotto_engine *e)
{
    SOTTO_AUTO_BUF now = SOTTO_BUF((SOTTO_LEASES + 1) * SOTTO_LEASE);
    enum sotto_err err = sotto_setting_get(e->p, "lease.now", &now);

    if (err != SOTTO_OK || now.n <= SOTTO_LEASE)
        return err;
    return sotto_setting_put(e->p, "lease.now", now.p + now.n - SOTTO_LEASE, SOTTO_LEASE);
}

static enum sotto_err lease_is_older_copy(struct sotto_engine *e, const struct sotto_answer *a,
                                          bool *ret)
{
    SOTTO_AUTO_BUF tried = SOTTO_BUF((SOTTO_LEASES + 1) * SOTTO_LEASE);
    const uint8_t *previous = a->u.signed_in.previous_lease;
    SOTTO_AUTO_BUF now = SOTTO_BUF((SOTTO_LEASES + 1) * SOTTO_LEASE);
    uint64_t committed = 0, due = 0;
    enum sotto_err err[4];

    err[0] = sotto_setting_get_u64(e->p, "inbox.committed", &committed);
    err[1] = sotto_setting_get(e->p, "lease.now", &now);
    err[2] = sotto_setting_get(e->p, "lease.tried", &tried);
    err[3] = sotto_setting_get_u64(e->p, SOTTO_HEAL_DUE, &due);
    for (size_t i = 0; i < sizeof err / sizeof err[0]; i++)
        if (err[i] != SOTTO_OK && err[i] != SOTTO_ERR_NOT_FOUND)
            return err[i];
    /* A copy taken while connected may know the lease; not what was acknowledged after it. */
    *ret = due != 0 || (err[0] == SOTTO_OK && a->u.signed_in.acked > committed);
    if (*ret || !a->u.signed_in.has_previous || has_lease(&now, previous))
        return SOTTO_OK;
    *ret = a->u.signed_in.previous_begun || !has_lease(&tried, previous);
    return SOTTO_OK;
}

/* When two pings in a row come back and nothing was delivered meanwhile, the mailbox was empty. One
 * is not enough: the relay takes an acknowledgement and answers a ping in the same turn, and sends
 * what the acknowledgement made room for after it. A relay that always has one more, but nothing
 * that anybody said, is not listened to for ever. */
static void drained(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    bool quiet = (uint64_t)p->item == e->delivered && e->in_first == NULL;

    e->draining = false;
    if (a == NULL)
        return;
    if (e->said != e->said_before)
        e->empty_rounds = 0;
    e->said_before = e->said;
    e->quiet_pings = quiet || ++e->empty_rounds > SOTTO_EMPTY_ROUNDS ? e->quiet_pings + 1 : 0;
    if (e->quiet_pings < 2) {
        sotto_ask_drained(e);
        return;
    }
    e->queue_drained = true;
    sotto_receive_feed(e);
}

void sotto_ask_drained(struct sotto_engine *e)
{
    struct sotto_request ping = {.type = SOTTO_REQ_PING};
    struct pending *p;

    /* What waits for a list is looked at when that came. */
    if (e->draining || e->queue_drained || e->in_first != NULL || e->phase != LINK_ONLINE)
        return;
    if ((p = sotto_ask(e, &ping, drained, NULL)) == NULL)
        return;
    p->item = (int64_t)e->delivered;
    e->draining = true;
}

static void begun(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    enum sotto_err err;

    (void)p;
    if (a == NULL)
        return;
    if (a->type != SOTTO_ANS_DONE) {
        sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay refused to begin");
        return;
    }
    if ((err = lease_begun(e)) != SOTTO_OK) {
        sotto_engine_trouble(e, err, "the profile cannot be written");
        return;
    }
    e->phase = LINK_ONLINE;
    e->why_result = SOTTO_RESULT_OK;
    e->why_text[0] = '\0';
    e->why_pin[0] = '\0';
    sotto_connection_tell(e, 0);
    e->quiet_pings = 0;
    e->empty_rounds = 0;
    sotto_ask_drained(e);
    sotto_account_online(e);
    if ((err = sotto_lost_load(e)) != SOTTO_OK)
        sotto_engine_trouble(e, err, "the profile cannot be read");
    sotto_lost_tick(e);
    sotto_tokens_flush(e);
    sotto_receipts_flush(e); /* those that the last connection or process did not get to */
    sotto_outbox_pump(e);
    sotto_jobs_online(e);
}

/* A relay that lets us in takes back that we were removed, or that the account was deleted. */
static enum sotto_err note_not_ended(struct sotto_engine *e)
{
    enum sotto_err err;

    if (!e->revoked && !e->deleted)
        return SOTTO_OK;
    if ((err = sotto_setting_drop(e->p, "account.revoked")) == SOTTO_OK &&
        (err = sotto_setting_drop(e->p, "account.deleted")) == SOTTO_OK)
        e->revoked = e->deleted = false;
    return err;
}

/* Notes the lease, the hello's pins and (when it is another) that the relay was restored. */
static enum sotto_err note_signed_in(struct sotto_engine *e, const uint8_t lease[SOTTO_LEASE])
{
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if ((err = lease_note(e, lease)) == SOTTO_OK)
        err = sotto_setting_put(e->p, "relay.pins", e->hello.pins, e->hello.pin_count * 32);
    if (!sotto_equal(e->hello.incarnation, e->relay.incarnation, SOTTO_INCARNATION))
        e->relay_restored = true;
    if ((err = sotto_profile_end(e->p, err)) != SOTTO_OK)
        return err;
    e->relay.pin_count = e->hello.pin_count;
    memcpy(e->relay.pins, e->hello.pins, sizeof e->relay.pins);
    return SOTTO_OK;
}

static void sign_in_refused(struct sotto_engine *e, const struct sotto_answer *a)
{
    char text[320];

    if (a->u.error.code == SOTTO_RELAY_REVOKED || a->u.error.code == SOTTO_RELAY_NAME_GONE) {
        bool deleted = a->u.error.code == SOTTO_RELAY_NAME_GONE;

        e->end_heard = true;
        e->revoked = e->revoked || !deleted;
        e->deleted = e->deleted || deleted;
        (void)sotto_setting_put_u64(e->p, deleted ? "account.deleted" : "account.revoked", 1);
        snprintf(text, sizeof text,
                 !deleted
                     ? "this device was removed from the account. Its messages stay readable here"
                     : "the account was deleted. Its messages stay readable here");
        sotto_engine_trouble(e, SOTTO_ERR_DENIED, text);
        return;
    }
    /* A restored relay may not know this device yet: the owner of the account key tells it. */
    snprintf(text, sizeof text, "the relay refused to sign this device in: %.120s%s",
             a->u.error.text[0] != '\0' ? a->u.error.text : "no reason given",
             a->u.error.code == SOTTO_RELAY_BAD_PROOF
                 ? ". Somebody with the relay's key may be in between: try another network, and "
                   "ask the operator; with a new key of the relay: sotto trust-relay sha256:..."
                 : "");
    sotto_engine_trouble(e,
                         a->u.error.code == SOTTO_RELAY_TOO_MANY ||
                                 a->u.error.code == SOTTO_RELAY_UNAVAILABLE
                             ? SOTTO_ERR_CLOSED
                             : SOTTO_ERR_DENIED,
                         text);
}

static void signed_in(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct sotto_request begin = {.type = SOTTO_REQ_BEGIN};
    uint8_t lease[SOTTO_LEASE];
    SOTTO_AUTO_BUF tried = SOTTO_BUF((SOTTO_LEASES + 1) * SOTTO_LEASE);
    enum sotto_err err;
    bool older = false;

    (void)p;
    if (a == NULL)
        return;
    if (a->type == SOTTO_ANS_ERROR) {
        sign_in_refused(e, a);
        return;
    }
    if (a->type != SOTTO_ANS_SIGNED_IN) {
        sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay gave a wrong answer");
        return;
    }
    if ((err = lease_is_older_copy(e, a, &older)) == SOTTO_OK)
        err = sotto_setting_get(e->p, "lease.tried", &tried);
    if (err == SOTTO_OK && tried.n >= SOTTO_LEASE)
        memcpy(lease, tried.p + tried.n - SOTTO_LEASE, SOTTO_LEASE);
    else
        err = err != SOTTO_OK ? err : SOTTO_ERR_MALFORMED;
    if (err == SOTTO_OK)
        err = note_not_ended(e);
    /* The heal comes before the note: a crash between the two heals once more. */
    if (err == SOTTO_OK && older)
        err = sotto_heal(e, a->u.signed_in.acked);
    if (err == SOTTO_OK)
        err = note_signed_in(e, lease);
    if (err == SOTTO_OK)
        err = sotto_setting_get_u64(e->p, "inbox.committed", &begin.u.begin.committed);
    if (err != SOTTO_OK) {
        sotto_engine_trouble(e, err, "the profile cannot be written");
        return;
    }
    e->in_top = a->u.signed_in.acked;
    e->one_time_left = a->u.signed_in.one_time_left;
    e->relay_list_version = a->u.signed_in.list_version;
    sotto_ask(e, &begin, begun, NULL);
}

void sotto_sign_in(struct sotto_engine *e)
{
    struct sotto_request r = {.type = SOTTO_REQ_SIGN_IN};
    enum sotto_err err;

    if (e->phase != LINK_OPEN || !e->registered)
        return;
    memcpy(r.u.sign_in.name, e->us.name, sizeof e->us.name);
    r.u.sign_in.device = e->device;
    if ((err = lease_make(e, r.u.sign_in.lease)) != SOTTO_OK ||
        (err = sotto_proof_sign(&e->keys.sign, e->tls.exporter, e->hello.id, e->us.name, e->device,
                                r.u.sign_in.lease, r.u.sign_in.proof)) != SOTTO_OK) {
        sotto_engine_trouble(e, err, "the profile cannot be written");
        return;
    }
    e->phase = LINK_SIGNING;
    sotto_ask(e, &r, signed_in, NULL);
}

void sotto_link_closing(struct sotto_engine *e, const struct sotto_answer *a)
{
    /* To whom it has not let in a relay cannot say that. */
    if (a->u.closing.reason == SOTTO_CLOSING_REVOKED && e->phase >= LINK_SIGNING) {
        e->revoked = e->end_heard = true;
        (void)sotto_setting_put_u64(e->p, "account.revoked", 1);
        sotto_engine_trouble(e, SOTTO_ERR_DENIED,
                             "this device was removed from the account. Its messages stay "
                             "readable here");
        return;
    }
    e->replaced = a->u.closing.reason == SOTTO_CLOSING_REPLACED;
    if (e->replaced)
        sotto_engine_trouble(e, SOTTO_ERR_CLOSED,
                             "this device signed in on another connection. If a copy of this "
                             "profile is in use somewhere, end one of the two");
    else
        sotto_engine_trouble(e, SOTTO_ERR_CLOSED,
                             a->u.closing.text[0] != '\0' ? a->u.closing.text
                                                          : "the relay closed the connection");
}

/* --- its time --- */

static void ponged(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    (void)e;
    (void)p;
    (void)a;
}

/* When the silence has lasted too long. An answer may be late behind a full mailbox on a slow line,
 * so anything that is heard counts, but not for ever. */
uint64_t sotto_link_deadline(const struct sotto_engine *e)
{
    uint64_t silent = e->heard_mono + SOTTO_ANSWER_MS, asked, stalled;

    if (e->phase == LINK_HELLO)
        return silent;
    if (e->pending == NULL)
        return e->heard_mono + SOTTO_PING_MS;
    asked = e->pending->sent_mono + SOTTO_ANSWER_MS;
    stalled = e->pending->sent_mono + SOTTO_STALL_MS;
    if (asked > silent)
        silent = asked;
    return silent < stalled ? silent : stalled;
}

void sotto_link_tick(struct sotto_engine *e, uint64_t now)
{
    struct sotto_request ping = {.type = SOTTO_REQ_PING};

    if (e->phase < LINK_HELLO || now < sotto_link_deadline(e))
        return;
    if (e->phase == LINK_HELLO)
        sotto_engine_trouble(e, SOTTO_ERR_TIMEOUT, "the relay did not say hello");
    else if (e->pending != NULL)
        sotto_engine_trouble(e, SOTTO_ERR_TIMEOUT, "the relay does not answer any more");
    else
        sotto_ask(e, &ping, ponged, NULL);
}
