/* SPDX-License-Identifier: Apache-2.0 */
/* Built as request.c is: get_ checks, put_ lays out, what we send passes our own checks. */
#include "wire/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "relay.pb-c.h"
#include "wire/proto.h"

#define SAME_NUMBER(ours, theirs)                                                                  \
    _Static_assert((int)SOTTO_##ours == (int)SOTTO__WIRE__##theirs, #ours)
SAME_NUMBER(ANS_ERROR, ANSWER__BODY_ERROR);
SAME_NUMBER(ANS_SUBMITTED, ANSWER__BODY_SUBMITTED);
SAME_NUMBER(ANS_DELIVER, ANSWER__BODY_DELIVER);
SAME_NUMBER(ANS_CLOSING, ANSWER__BODY_CLOSING);
SAME_NUMBER(RELAY_BAD_REQUEST, ERROR_CODE__ERROR_BAD_REQUEST);
SAME_NUMBER(RELAY_WRONG_PASSWORD, ERROR_CODE__ERROR_WRONG_PASSWORD);
SAME_NUMBER(RELAY_TOO_LARGE, ERROR_CODE__ERROR_TOO_LARGE);
SAME_NUMBER(REGISTRATION_CLOSED, REGISTRATION__REGISTRATION_CLOSED);
SAME_NUMBER(PARCEL_QUOTA, PARCEL_STATE__PARCEL_QUOTA);
SAME_NUMBER(CLOSING_IDLE, CLOSING_REASON__CLOSING_IDLE);

#define HELLO_PURPOSE "relay hello"
#define HELLO_VERSION 1
#define HELLO_MAX     (1 + 32 + SOTTO_INCARNATION + 1 + SOTTO_PINS_MAX * 32)

struct layout {
    Sotto__Wire__Answer msg;
    union {
        struct {
            Sotto__Wire__Error msg;
            ProtobufCBinaryData lists[SOTTO_LISTS_IN_FRAME];
        } error;
        struct {
            Sotto__Wire__Hello msg;
            uint8_t relay[HELLO_MAX], signature[SOTTO_SIGNATURE];
        } hello;
        Sotto__Wire__Done done;
        Sotto__Wire__SignedIn signed_in;
        Sotto__Wire__OpaqueRegistered opaque_registered;
        Sotto__Wire__OpaqueChallenge opaque_challenge;
        struct {
            Sotto__Wire__LoggedIn msg;
            ProtobufCBinaryData lists[SOTTO_LISTS_IN_FRAME];
        } logged_in;
        struct {
            Sotto__Wire__Links msg;
            Sotto__Wire__Links__Pending pending[SOTTO_LINKS_MAX];
            Sotto__Wire__Links__Pending *rows[SOTTO_LINKS_MAX];
        } links;
        struct {
            Sotto__Wire__Lists msg;
            Sotto__Wire__Lists__Since since[SOTTO_GET_LISTS_MAX];
            Sotto__Wire__Lists__Since *rows[SOTTO_GET_LISTS_MAX];
            ProtobufCBinaryData lists[SOTTO_GET_LISTS_MAX][SOTTO_LISTS_IN_FRAME];
        } lists;
        Sotto__Wire__Bundle bundle;
        Sotto__Wire__PrekeysKept prekeys_kept;
        struct {
            Sotto__Wire__Submitted msg;
            Sotto__Wire__Submitted__Result results[SOTTO_DEVICES_MAX];
            Sotto__Wire__Submitted__Result *rows[SOTTO_DEVICES_MAX];
        } submitted;
        Sotto__Wire__Deliver deliver;
        Sotto__Wire__Ephemeral ephemeral;
        Sotto__Wire__ListChanged list_changed;
        Sotto__Wire__LinkPending link_pending;
        Sotto__Wire__PrekeysLow prekeys_low;
        Sotto__Wire__Closing closing;
    } u;
};

static enum sotto_err get_lists(const ProtobufCBinaryData *f, size_t count, struct sotto_bytes *ret,
                                size_t *ret_count)
{
    return sotto_proto_views(f, count, SOTTO_LISTS_IN_FRAME, 1, SOTTO_LIST_MAX, ret, ret_count);
}

/* Lays out our views in room for SOTTO_LISTS_IN_FRAME. USAGE: more than that. */
static enum sotto_err put_lists(const struct sotto_bytes *lists, size_t count,
                                ProtobufCBinaryData *room, ProtobufCBinaryData **ret,
                                size_t *ret_count)
{
    if (count > SOTTO_LISTS_IN_FRAME)
        return SOTTO_ERR_USAGE;
    sotto_proto_put_views(lists, count, room);
    *ret = room;
    *ret_count = count;
    return SOTTO_OK;
}

static enum sotto_err get_error(const Sotto__Wire__Error *m, struct sotto_answer *a)
{
    enum sotto_err e;

    if ((int)m->code == 0)
        return SOTTO_ERR_MALFORMED;
    a->u.error.code = (int)m->code < 0 || (int)m->code > SOTTO_RELAY_TOO_LARGE
                          ? SOTTO_RELAY_DENIED
                          : (enum sotto_relay_error)m->code;
    a->u.error.retry_ms = m->retry_ms;
    if ((e = sotto_proto_line(&m->text, a->u.error.text, sizeof a->u.error.text)) != 0)
        return e;
    return get_lists(m->lists, m->n_lists, a->u.error.lists, &a->u.error.list_count);
}

static enum sotto_err put_error(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Error *m = l->msg.error = &l->u.error.msg;

    sotto__wire__error__init(m);
    if (a->u.error.code > SOTTO_RELAY_TOO_LARGE)
        return SOTTO_ERR_USAGE;
    m->code = (Sotto__Wire__ErrorCode)a->u.error.code;
    m->text = sotto_proto_put_text(a->u.error.text, sizeof a->u.error.text);
    m->retry_ms = a->u.error.retry_ms;
    return put_lists(a->u.error.lists, a->u.error.list_count, l->u.error.lists, &m->lists,
                     &m->n_lists);
}

/* The signature shows that whoever speaks has the key of the relay id that he names; whether it is
 * the relay that the client means, the client compares. */
static enum sotto_err get_identity(const Sotto__Wire__Hello *m, struct sotto_relay_identity *ret)
{
    struct sotto_reader r;
    uint8_t version, pins;
    enum sotto_err e;

    sotto_reader_init(&r, m->relay.data, m->relay.len);
    if (sotto_read_u8(&r, &version) != 0)
        return SOTTO_ERR_MALFORMED;
    if (version != HELLO_VERSION)
        return SOTTO_ERR_UNSUPPORTED;
    if (sotto_read_bytes(&r, ret->id, sizeof ret->id) != 0 ||
        sotto_read_bytes(&r, ret->incarnation, sizeof ret->incarnation) != 0 ||
        sotto_read_u8(&r, &pins) != 0 || pins == 0 || pins > SOTTO_PINS_MAX ||
        sotto_read_bytes(&r, ret->pins, 32 * (size_t)pins) != 0 || sotto_read_done(&r) != 0)
        return SOTTO_ERR_MALFORMED;
    ret->pin_count = pins;
    if (m->signature.len != SOTTO_SIGNATURE)
        return SOTTO_ERR_MALFORMED;
    e = sotto_sign_verify(ret->id, HELLO_PURPOSE, m->relay.data, m->relay.len, m->signature.data);
    return e;
}

static enum sotto_err get_hello(const Sotto__Wire__Hello *m, struct sotto_answer *a)
{
    int mode = (int)m->registration;
    enum sotto_err e;

    if ((e = sotto_proto_line(&m->version, a->u.hello.version, sizeof a->u.hello.version)) != 0)
        return e;
    a->u.hello.registration = mode < 0 || mode > SOTTO_REGISTRATION_CLOSED
                                  ? SOTTO_REGISTRATION_UNKNOWN
                                  : (enum sotto_registration)mode;
    a->u.hello.time_ms = m->time;
    return get_identity(m, &a->u.hello.relay);
}

static enum sotto_err put_hello(const struct sotto_answer *a,
                                const struct sotto_sign_pair *relay_key, struct layout *l)
{
    const struct sotto_relay_identity *id = &a->u.hello.relay;
    Sotto__Wire__Hello *m = l->msg.hello = &l->u.hello.msg;
    struct sotto_writer w;
    enum sotto_err e;
    size_t len;

    /* pin_count is checked before pins are read; that key and id belong together by get_hello(). */
    if (relay_key == NULL || id->pin_count > SOTTO_PINS_MAX)
        return SOTTO_ERR_USAGE;
    sotto_writer_init(&w, l->u.hello.relay, sizeof l->u.hello.relay);
    sotto_write_u8(&w, HELLO_VERSION);
    sotto_write_bytes(&w, id->id, sizeof id->id);
    sotto_write_bytes(&w, id->incarnation, sizeof id->incarnation);
    sotto_write_u8(&w, (uint8_t)id->pin_count);
    sotto_write_bytes(&w, id->pins, 32 * id->pin_count);
    if ((e = sotto_writer_done(&w, &len)) != 0 ||
        (e = sotto_sign(relay_key, HELLO_PURPOSE, l->u.hello.relay, len, l->u.hello.signature)) !=
            0)
        return e;
    sotto__wire__hello__init(m);
    m->relay = sotto_proto_put(l->u.hello.relay, len);
    m->signature = sotto_proto_put(l->u.hello.signature, SOTTO_SIGNATURE);
    m->version = sotto_proto_put_text(a->u.hello.version, sizeof a->u.hello.version);
    m->registration = (Sotto__Wire__Registration)a->u.hello.registration;
    m->time = a->u.hello.time_ms;
    return SOTTO_OK;
}

static enum sotto_err get_signed_in(const Sotto__Wire__SignedIn *m, struct sotto_answer *a)
{
    a->u.signed_in.previous_begun = m->previous_begun;
    a->u.signed_in.list_version = m->list_version;
    a->u.signed_in.one_time_left = m->one_time_left;
    a->u.signed_in.acked = m->acked;
    return sotto_proto_optional(&m->previous_lease, a->u.signed_in.previous_lease, SOTTO_LEASE,
                                &a->u.signed_in.has_previous);
}

static void put_signed_in(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__SignedIn *m = l->msg.signed_in = &l->u.signed_in;

    sotto__wire__signed_in__init(m);
    m->previous_lease =
        sotto_proto_put_if(a->u.signed_in.has_previous, a->u.signed_in.previous_lease, SOTTO_LEASE);
    m->previous_begun = a->u.signed_in.previous_begun;
    m->list_version = a->u.signed_in.list_version;
    m->one_time_left = a->u.signed_in.one_time_left;
    m->acked = a->u.signed_in.acked;
}

static void put_opaque_registered(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__OpaqueRegistered *m = l->msg.opaque_registered = &l->u.opaque_registered;

    sotto__wire__opaque_registered__init(m);
    m->response =
        sotto_proto_put(a->u.opaque_registered.response, sizeof a->u.opaque_registered.response);
}

static void put_opaque_challenge(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__OpaqueChallenge *m = l->msg.opaque_challenge = &l->u.opaque_challenge;

    sotto__wire__opaque_challenge__init(m);
    m->ke2 = sotto_proto_put(a->u.opaque_challenge.ke2, sizeof a->u.opaque_challenge.ke2);
}

static enum sotto_err put_logged_in(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__LoggedIn *m = l->msg.logged_in = &l->u.logged_in.msg;

    sotto__wire__logged_in__init(m);
    return put_lists(a->u.logged_in.lists, a->u.logged_in.count, l->u.logged_in.lists, &m->lists,
                     &m->n_lists);
}

static enum sotto_err get_links(const Sotto__Wire__Links *m, struct sotto_answer *a)
{
    enum sotto_err e;

    if (m->n_pending > SOTTO_LINKS_MAX)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_pending; i++) {
        if ((e = sotto_proto_view(&m->pending[i]->entry, SOTTO_ENTRY_BYTES, SOTTO_ENTRY_BYTES,
                                  &a->u.links.pending[i].entry)) != 0)
            return e;
        a->u.links.pending[i].asked_at_ms = m->pending[i]->asked_at_ms;
    }
    a->u.links.count = m->n_pending;
    return SOTTO_OK;
}

static enum sotto_err put_links(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Links *m = l->msg.links = &l->u.links.msg;

    if (a->u.links.count > SOTTO_LINKS_MAX)
        return SOTTO_ERR_USAGE;
    sotto__wire__links__init(m);
    m->n_pending = a->u.links.count;
    m->pending = l->u.links.rows;
    for (size_t i = 0; i < m->n_pending; i++) {
        Sotto__Wire__Links__Pending *p = l->u.links.rows[i] = &l->u.links.pending[i];

        sotto__wire__links__pending__init(p);
        p->entry = sotto_proto_put_view(a->u.links.pending[i].entry);
        p->asked_at_ms = a->u.links.pending[i].asked_at_ms;
    }
    return SOTTO_OK;
}

static enum sotto_err get_lists_since(const Sotto__Wire__Lists *m, struct sotto_answer *a)
{
    enum sotto_err e;

    if (m->n_since > SOTTO_GET_LISTS_MAX)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_since; i++) {
        const Sotto__Wire__Lists__Since *in = m->since[i];
        struct sotto_lists_since *s = &a->u.lists.since[i];

        if ((e = sotto_proto_name(&in->name, s->name)) != 0 ||
            (e = get_lists(in->lists, in->n_lists, s->lists, &s->count)) != 0)
            return e;
        s->unknown = in->unknown;
        s->gone = in->gone;
    }
    a->u.lists.count = m->n_since;
    return SOTTO_OK;
}

static enum sotto_err put_lists_since(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Lists *m = l->msg.lists = &l->u.lists.msg;
    enum sotto_err e;

    if (a->u.lists.count > SOTTO_GET_LISTS_MAX)
        return SOTTO_ERR_USAGE;
    sotto__wire__lists__init(m);
    m->n_since = a->u.lists.count;
    m->since = l->u.lists.rows;
    for (size_t i = 0; i < m->n_since; i++) {
        const struct sotto_lists_since *s = &a->u.lists.since[i];
        Sotto__Wire__Lists__Since *out = l->u.lists.rows[i] = &l->u.lists.since[i];

        sotto__wire__lists__since__init(out);
        out->name = sotto_proto_put_text(s->name, sizeof s->name);
        out->unknown = s->unknown;
        out->gone = s->gone;
        if ((e = put_lists(s->lists, s->count, l->u.lists.lists[i], &out->lists, &out->n_lists)) !=
            0)
            return e;
    }
    return SOTTO_OK;
}

static enum sotto_err get_bundle(const Sotto__Wire__Bundle *m, struct sotto_answer *a)
{
    if (m->one_time.len != 0 && m->one_time.len != SOTTO_PREKEY_BYTES)
        return SOTTO_ERR_MALFORMED;
    a->u.bundle.one_time = (struct sotto_bytes){m->one_time.data, m->one_time.len};
    return sotto_proto_view(&m->signed_prekey, SOTTO_PREKEY_BYTES, SOTTO_PREKEY_BYTES,
                            &a->u.bundle.signed_prekey);
}

static void put_bundle(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Bundle *m = l->msg.bundle = &l->u.bundle;

    sotto__wire__bundle__init(m);
    m->signed_prekey = sotto_proto_put_view(a->u.bundle.signed_prekey);
    m->one_time = sotto_proto_put_view(a->u.bundle.one_time);
}

static enum sotto_err get_submitted(const Sotto__Wire__Submitted *m, struct sotto_answer *a)
{
    if (m->n_results > SOTTO_DEVICES_MAX)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_results; i++) {
        int state = (int)m->results[i]->state;

        if (state < SOTTO_PARCEL_STORED || state > SOTTO_PARCEL_QUOTA)
            return SOTTO_ERR_MALFORMED;
        a->u.submitted.results[i].device = m->results[i]->device;
        a->u.submitted.results[i].state = (enum sotto_parcel_state)state;
    }
    a->u.submitted.count = m->n_results;
    return SOTTO_OK;
}

static enum sotto_err put_submitted(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Submitted *m = l->msg.submitted = &l->u.submitted.msg;

    if (a->u.submitted.count > SOTTO_DEVICES_MAX)
        return SOTTO_ERR_USAGE;
    sotto__wire__submitted__init(m);
    m->n_results = a->u.submitted.count;
    m->results = l->u.submitted.rows;
    for (size_t i = 0; i < m->n_results; i++) {
        Sotto__Wire__Submitted__Result *r = l->u.submitted.rows[i] = &l->u.submitted.results[i];

        sotto__wire__submitted__result__init(r);
        r->device = a->u.submitted.results[i].device;
        r->state = (Sotto__Wire__ParcelState)a->u.submitted.results[i].state;
    }
    return SOTTO_OK;
}

static enum sotto_err get_deliver(const Sotto__Wire__Deliver *m, struct sotto_answer *a)
{
    a->u.deliver.seq = m->seq;
    a->u.deliver.request = m->request;
    return sotto_proto_view(&m->envelope, 1, SOTTO_ENVELOPE_MAX, &a->u.deliver.envelope);
}

static void put_deliver(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Deliver *m = l->msg.deliver = &l->u.deliver;

    sotto__wire__deliver__init(m);
    m->seq = a->u.deliver.seq;
    m->envelope = sotto_proto_put_view(a->u.deliver.envelope);
    m->request = a->u.deliver.request;
}

static void put_ephemeral(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Ephemeral *m = l->msg.ephemeral = &l->u.ephemeral;

    sotto__wire__ephemeral__init(m);
    m->envelope = sotto_proto_put_view(a->u.ephemeral.envelope);
}

static void put_list_changed(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__ListChanged *m = l->msg.list_changed = &l->u.list_changed;

    sotto__wire__list_changed__init(m);
    m->list = sotto_proto_put_view(a->u.list_changed.list);
}

static enum sotto_err get_closing(const Sotto__Wire__Closing *m, struct sotto_answer *a)
{
    int reason = (int)m->reason;

    if (reason < SOTTO_CLOSING_SHUTDOWN || reason > SOTTO_CLOSING_IDLE)
        return SOTTO_ERR_MALFORMED;
    a->u.closing.reason = (enum sotto_closing)reason;
    return sotto_proto_line(&m->text, a->u.closing.text, sizeof a->u.closing.text);
}

static void put_closing(const struct sotto_answer *a, struct layout *l)
{
    Sotto__Wire__Closing *m = l->msg.closing = &l->u.closing;

    sotto__wire__closing__init(m);
    m->reason = (Sotto__Wire__ClosingReason)a->u.closing.reason;
    m->text = sotto_proto_put_text(a->u.closing.text, sizeof a->u.closing.text);
}

/* Types that are nothing or one number. */
static void put_small(const struct sotto_answer *a, struct layout *l)
{
    if (a->type == SOTTO_ANS_DONE) {
        sotto__wire__done__init(&l->u.done);
        l->msg.done = &l->u.done;
    } else if (a->type == SOTTO_ANS_PREKEYS_KEPT) {
        sotto__wire__prekeys_kept__init(&l->u.prekeys_kept);
        l->u.prekeys_kept.one_time_left = a->u.prekeys_kept.one_time_left;
        l->msg.prekeys_kept = &l->u.prekeys_kept;
    } else if (a->type == SOTTO_ANS_PREKEYS_LOW) {
        sotto__wire__prekeys_low__init(&l->u.prekeys_low);
        l->u.prekeys_low.one_time_left = a->u.prekeys_kept.one_time_left;
        l->msg.prekeys_low = &l->u.prekeys_low;
    } else {
        sotto__wire__link_pending__init(&l->u.link_pending);
        l->msg.link_pending = &l->u.link_pending;
    }
}

static enum sotto_err get_body(const Sotto__Wire__Answer *m, struct sotto_answer *a)
{
    switch (a->type) {
    case SOTTO_ANS_ERROR:
        return get_error(m->error, a);
    case SOTTO_ANS_HELLO:
        return get_hello(m->hello, a);
    case SOTTO_ANS_SIGNED_IN:
        return get_signed_in(m->signed_in, a);
    case SOTTO_ANS_OPAQUE_REGISTERED:
        return sotto_proto_fixed(&m->opaque_registered->response, a->u.opaque_registered.response,
                                 sizeof a->u.opaque_registered.response);
    case SOTTO_ANS_OPAQUE_CHALLENGE:
        return sotto_proto_fixed(&m->opaque_challenge->ke2, a->u.opaque_challenge.ke2,
                                 sizeof a->u.opaque_challenge.ke2);
    case SOTTO_ANS_LOGGED_IN:
        return get_lists(m->logged_in->lists, m->logged_in->n_lists, a->u.logged_in.lists,
                         &a->u.logged_in.count);
    case SOTTO_ANS_LINKS:
        return get_links(m->links, a);
    case SOTTO_ANS_LISTS:
        return get_lists_since(m->lists, a);
    case SOTTO_ANS_BUNDLE:
        return get_bundle(m->bundle, a);
    case SOTTO_ANS_PREKEYS_KEPT:
        a->u.prekeys_kept.one_time_left = m->prekeys_kept->one_time_left;
        return SOTTO_OK;
    case SOTTO_ANS_SUBMITTED:
        return get_submitted(m->submitted, a);
    case SOTTO_ANS_DELIVER:
        return get_deliver(m->deliver, a);
    case SOTTO_ANS_EPHEMERAL:
        return sotto_proto_view(&m->ephemeral->envelope, 1, SOTTO_ENVELOPE_MAX,
                                &a->u.ephemeral.envelope);
    case SOTTO_ANS_LIST_CHANGED:
        return sotto_proto_view(&m->list_changed->list, 1, SOTTO_LIST_MAX, &a->u.list_changed.list);
    case SOTTO_ANS_PREKEYS_LOW:
        a->u.prekeys_kept.one_time_left = m->prekeys_low->one_time_left;
        return SOTTO_OK;
    case SOTTO_ANS_CLOSING:
        return get_closing(m->closing, a);
    case SOTTO_ANS_DONE:
    case SOTTO_ANS_LINK_PENDING:
        return SOTTO_OK;
    }
    return SOTTO_ERR_MALFORMED;
}

/* A push may not look like an answer, nor an answer like a push; an error may be either. */
static bool id_fits(const struct sotto_answer *a)
{
    if (a->type == SOTTO_ANS_ERROR)
        return true;
    return (a->id == 0) == (a->type == SOTTO_ANS_HELLO || a->type >= SOTTO_ANS_DELIVER);
}

/* ret is zero on entry. A newer relay may push what this version does not know: the field that is
 * set then is none of ours, and the frame can be skipped. */
static enum sotto_err get_answer(const Sotto__Wire__Answer *m, struct sotto_answer *ret)
{
    ret->id = m->id;
    ret->type = (enum sotto_answer_type)m->body_case;
    if (m->body_case == SOTTO__WIRE__ANSWER__BODY__NOT_SET)
        return m->base.n_unknown_fields > 0 ? SOTTO_ERR_UNSUPPORTED : SOTTO_ERR_MALFORMED;
    return id_fits(ret) ? get_body(m, ret) : SOTTO_ERR_MALFORMED;
}

static enum sotto_err put_body(const struct sotto_answer *a,
                               const struct sotto_sign_pair *relay_key, struct layout *l)
{
    switch (a->type) {
    case SOTTO_ANS_ERROR:
        return put_error(a, l);
    case SOTTO_ANS_HELLO:
        return put_hello(a, relay_key, l);
    case SOTTO_ANS_SIGNED_IN:
        return put_signed_in(a, l), SOTTO_OK;
    case SOTTO_ANS_OPAQUE_REGISTERED:
        return put_opaque_registered(a, l), SOTTO_OK;
    case SOTTO_ANS_OPAQUE_CHALLENGE:
        return put_opaque_challenge(a, l), SOTTO_OK;
    case SOTTO_ANS_LOGGED_IN:
        return put_logged_in(a, l);
    case SOTTO_ANS_LINKS:
        return put_links(a, l);
    case SOTTO_ANS_LISTS:
        return put_lists_since(a, l);
    case SOTTO_ANS_BUNDLE:
        return put_bundle(a, l), SOTTO_OK;
    case SOTTO_ANS_SUBMITTED:
        return put_submitted(a, l);
    case SOTTO_ANS_DELIVER:
        return put_deliver(a, l), SOTTO_OK;
    case SOTTO_ANS_EPHEMERAL:
        return put_ephemeral(a, l), SOTTO_OK;
    case SOTTO_ANS_LIST_CHANGED:
        return put_list_changed(a, l), SOTTO_OK;
    case SOTTO_ANS_CLOSING:
        return put_closing(a, l), SOTTO_OK;
    case SOTTO_ANS_DONE:
    case SOTTO_ANS_PREKEYS_KEPT:
    case SOTTO_ANS_PREKEYS_LOW:
    case SOTTO_ANS_LINK_PENDING:
        return put_small(a, l), SOTTO_OK;
    }
    return SOTTO_ERR_USAGE;
}

enum sotto_err sotto_answer_decode(const uint8_t *frame, size_t len, struct sotto_answer **ret)
{
    struct sotto_answer *a;
    struct sotto_proto *p;
    enum sotto_err e;

    if (len > SOTTO_FRAME_MAX)
        return SOTTO_ERR_MALFORMED;
    if ((e = sotto_proto_unpack(&sotto__wire__answer__descriptor, frame, len, &p)) != 0)
        return e;
    if ((a = calloc(1, sizeof *a)) == NULL) {
        sotto_proto_free(p);
        return SOTTO_ERR_NOMEM;
    }
    a->owner = p;
    if ((e = get_answer(sotto_proto_message(p), a)) != 0) {
        sotto_answer_free(a);
        return e;
    }
    *ret = a;
    return SOTTO_OK;
}

void sotto_answer_free(struct sotto_answer *a)
{
    if (a == NULL)
        return;
    sotto_proto_free(a->owner);
    sotto_wipe(a, sizeof *a);
    free(a);
}

enum sotto_err sotto_answer_encode(const struct sotto_answer *a,
                                   const struct sotto_sign_pair *relay_key, struct sotto_buf *buf)
{
    struct sotto_answer check = {0};
    struct layout l;
    enum sotto_err e;

    sotto__wire__answer__init(&l.msg);
    l.msg.id = a->id;
    l.msg.body_case = (Sotto__Wire__Answer__BodyCase)a->type;
    if ((e = put_body(a, relay_key, &l)) != 0)
        return e;
    e = get_answer(&l.msg, &check);
    sotto_wipe(&check, sizeof check);
    if (e != 0)
        return SOTTO_ERR_USAGE;
    return sotto_proto_append(&l.msg.base, true, SOTTO_FRAME_MAX, buf);
}
