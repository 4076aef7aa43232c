/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pair of functions for each type: get_ checks a message of a stranger and copies it into our
 * struct, put_ lays out our struct for packing. What we send is held against the same checks before
 * it leaves, so that nothing is sent that the other side would refuse.
 */
#include "wire/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "relay.pb-c.h"
#include "wire/proto.h"

/* The numbers of our enum are those of the schema. */
#define SAME_NUMBER(ours, theirs)                                                                  \
    _Static_assert((int)SOTTO_REQ_##ours == (int)SOTTO__WIRE__REQUEST__BODY_##theirs, #ours)
SAME_NUMBER(SIGN_IN, SIGN_IN);
SAME_NUMBER(OPAQUE_FINISH, OPAQUE_FINISH);
SAME_NUMBER(SUBMIT, SUBMIT);
SAME_NUMBER(GOODBYE, GOODBYE);

/* What put_ needs besides the caller's memory, while the message is packed. */
struct layout {
    Sotto__Wire__Request msg;
    union {
        Sotto__Wire__SignIn sign_in;
        Sotto__Wire__Begin begin;
        Sotto__Wire__OpaqueRegister opaque_register;
        Sotto__Wire__Register register_;
        Sotto__Wire__OpaqueLogin opaque_login;
        Sotto__Wire__OpaqueFinish opaque_finish;
        Sotto__Wire__Link link;
        Sotto__Wire__GetLinks get_links;
        Sotto__Wire__PutList put_list;
        struct {
            Sotto__Wire__GetLists msg;
            Sotto__Wire__GetLists__Known known[SOTTO_GET_LISTS_MAX];
            Sotto__Wire__GetLists__Known *rows[SOTTO_GET_LISTS_MAX];
        } get_lists;
        Sotto__Wire__GetBundle get_bundle;
        struct {
            Sotto__Wire__PutPrekeys msg;
            ProtobufCBinaryData one_time[SOTTO_PAGE_PREKEYS];
        } put_prekeys;
        struct {
            Sotto__Wire__Submit msg;
            Sotto__Wire__Submit__Parcel parcels[SOTTO_DEVICES_MAX];
            Sotto__Wire__Submit__Parcel *rows[SOTTO_DEVICES_MAX];
        } submit;
        Sotto__Wire__Ack ack;
        struct {
            Sotto__Wire__SetTokens msg;
            ProtobufCBinaryData add[SOTTO_TOKENS_MAX], remove[SOTTO_TOKENS_MAX];
        } set_tokens;
        Sotto__Wire__DeleteAccount delete_account;
        Sotto__Wire__Ping ping;
        Sotto__Wire__Goodbye goodbye;
    } u;
};

#define PUT(array) sotto_proto_put(array, sizeof(array))

static enum sotto_err get_sign_in(const Sotto__Wire__SignIn *m, struct sotto_request *r)
{
    enum sotto_err e;

    if ((e = sotto_proto_name(&m->name, r->u.sign_in.name)) != 0 ||
        (e = sotto_proto_fixed(&m->lease, r->u.sign_in.lease, SOTTO_LEASE)) != 0 ||
        (e = sotto_proto_fixed(&m->proof, r->u.sign_in.proof, SOTTO_SIGNATURE)) != 0)
        return e;
    r->u.sign_in.device = m->device;
    return SOTTO_OK;
}

static void put_sign_in(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__SignIn *m = l->msg.sign_in = &l->u.sign_in;

    sotto__wire__sign_in__init(m);
    m->name = sotto_proto_put_text(r->u.sign_in.name, sizeof r->u.sign_in.name);
    m->device = r->u.sign_in.device;
    m->lease = PUT(r->u.sign_in.lease);
    m->proof = PUT(r->u.sign_in.proof);
}

static void put_begin(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__Begin *m = l->msg.begin = &l->u.begin;

    sotto__wire__begin__init(m);
    m->committed = r->u.begin.committed;
}

static enum sotto_err get_opaque_register(const Sotto__Wire__OpaqueRegister *m,
                                          struct sotto_request *r)
{
    enum sotto_err e = sotto_proto_name(&m->name, r->u.opaque_register.name);

    return e != 0 ? e
                  : sotto_proto_fixed(&m->request, r->u.opaque_register.request,
                                      sizeof r->u.opaque_register.request);
}

static void put_opaque_register(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__OpaqueRegister *m = l->msg.opaque_register = &l->u.opaque_register;

    sotto__wire__opaque_register__init(m);
    m->name = sotto_proto_put_text(r->u.opaque_register.name, sizeof r->u.opaque_register.name);
    m->request = PUT(r->u.opaque_register.request);
}

static enum sotto_err get_register(const Sotto__Wire__Register *m, struct sotto_request *r)
{
    enum sotto_err e;

    if ((e = sotto_proto_name(&m->name, r->u.register_.name)) != 0 ||
        (e = sotto_proto_optional(&m->code, r->u.register_.code, SOTTO_INVITE_CODE,
                                  &r->u.register_.has_code)) != 0 ||
        (e = sotto_proto_view(&m->list, 1, SOTTO_LIST_MAX, &r->u.register_.list)) != 0 ||
        (e = sotto_proto_fixed(&m->opaque_record, r->u.register_.opaque_record,
                               SOTTO_OPAQUE_RECORD)) != 0 ||
        (e = sotto_proto_view(&m->signed_prekey, SOTTO_PREKEY_BYTES, SOTTO_PREKEY_BYTES,
                              &r->u.register_.signed_prekey)) != 0 ||
        (e = sotto_proto_optional(&m->certificate, r->u.register_.certificate,
                                  sizeof r->u.register_.certificate,
                                  &r->u.register_.has_certificate)) != 0)
        return e;
    return SOTTO_OK;
}

static void put_register(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__Register *m = l->msg.register_ = &l->u.register_;

    sotto__wire__register__init(m);
    m->name = sotto_proto_put_text(r->u.register_.name, sizeof r->u.register_.name);
    m->code = sotto_proto_put_if(r->u.register_.has_code, r->u.register_.code, SOTTO_INVITE_CODE);
    m->list = sotto_proto_put_view(r->u.register_.list);
    m->opaque_record = PUT(r->u.register_.opaque_record);
    m->signed_prekey = sotto_proto_put_view(r->u.register_.signed_prekey);
    m->certificate = sotto_proto_put_if(r->u.register_.has_certificate, r->u.register_.certificate,
                                        sizeof r->u.register_.certificate);
}

static enum sotto_err get_opaque_login(const Sotto__Wire__OpaqueLogin *m, struct sotto_request *r)
{
    enum sotto_err e = sotto_proto_name(&m->name, r->u.opaque_login.name);

    return e != 0 ? e
                  : sotto_proto_fixed(&m->ke1, r->u.opaque_login.ke1, sizeof r->u.opaque_login.ke1);
}

static void put_opaque_login(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__OpaqueLogin *m = l->msg.opaque_login = &l->u.opaque_login;

    sotto__wire__opaque_login__init(m);
    m->name = sotto_proto_put_text(r->u.opaque_login.name, sizeof r->u.opaque_login.name);
    m->ke1 = PUT(r->u.opaque_login.ke1);
}

static void put_opaque_finish(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__OpaqueFinish *m = l->msg.opaque_finish = &l->u.opaque_finish;

    sotto__wire__opaque_finish__init(m);
    m->ke3 = PUT(r->u.opaque_finish.ke3);
}

static enum sotto_err get_link(const Sotto__Wire__Link *m, struct sotto_request *r)
{
    enum sotto_err e;

    if ((e = sotto_proto_view(&m->entry, SOTTO_ENTRY_BYTES, SOTTO_ENTRY_BYTES, &r->u.link.entry)) !=
            0 ||
        (e = sotto_proto_view(&m->signed_prekey, SOTTO_PREKEY_BYTES, SOTTO_PREKEY_BYTES,
                              &r->u.link.signed_prekey)) != 0)
        return e;
    return sotto_proto_optional(&m->certificate, r->u.link.certificate,
                                sizeof r->u.link.certificate, &r->u.link.has_certificate);
}

static void put_link(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__Link *m = l->msg.link = &l->u.link;

    sotto__wire__link__init(m);
    m->entry = sotto_proto_put_view(r->u.link.entry);
    m->signed_prekey = sotto_proto_put_view(r->u.link.signed_prekey);
    m->certificate = sotto_proto_put_if(r->u.link.has_certificate, r->u.link.certificate,
                                        sizeof r->u.link.certificate);
}

static void put_put_list(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__PutList *m = l->msg.put_list = &l->u.put_list;

    sotto__wire__put_list__init(m);
    m->list = sotto_proto_put_view(r->u.put_list.list);
}

static enum sotto_err get_get_lists(const Sotto__Wire__GetLists *m, struct sotto_request *r)
{
    enum sotto_err e;

    if (m->n_known > SOTTO_GET_LISTS_MAX)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_known; i++) {
        if ((e = sotto_proto_name(&m->known[i]->name, r->u.get_lists.known[i].name)) != 0)
            return e;
        r->u.get_lists.known[i].version = m->known[i]->version;
    }
    r->u.get_lists.count = m->n_known;
    return SOTTO_OK;
}

static enum sotto_err put_get_lists(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__GetLists *m = l->msg.get_lists = &l->u.get_lists.msg;

    if (r->u.get_lists.count > SOTTO_GET_LISTS_MAX)
        return SOTTO_ERR_USAGE;
    sotto__wire__get_lists__init(m);
    m->n_known = r->u.get_lists.count;
    m->known = l->u.get_lists.rows;
    for (size_t i = 0; i < m->n_known; i++) {
        Sotto__Wire__GetLists__Known *k = l->u.get_lists.rows[i] = &l->u.get_lists.known[i];

        sotto__wire__get_lists__known__init(k);
        k->name =
            sotto_proto_put_text(r->u.get_lists.known[i].name, sizeof r->u.get_lists.known[i].name);
        k->version = r->u.get_lists.known[i].version;
    }
    return SOTTO_OK;
}

static void put_get_bundle(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__GetBundle *m = l->msg.get_bundle = &l->u.get_bundle;

    sotto__wire__get_bundle__init(m);
    m->name = sotto_proto_put_text(r->u.get_bundle.name, sizeof r->u.get_bundle.name);
    m->device = r->u.get_bundle.device;
}

static enum sotto_err get_put_prekeys(const Sotto__Wire__PutPrekeys *m, struct sotto_request *r)
{
    if (m->signed_prekey.len != 0 && m->signed_prekey.len != SOTTO_PREKEY_BYTES)
        return SOTTO_ERR_MALFORMED;
    r->u.put_prekeys.signed_prekey =
        (struct sotto_bytes){m->signed_prekey.data, m->signed_prekey.len};
    r->u.put_prekeys.replace = m->replace;
    return sotto_proto_views(m->one_time, m->n_one_time, SOTTO_PAGE_PREKEYS, SOTTO_PREKEY_BYTES,
                             SOTTO_PREKEY_BYTES, r->u.put_prekeys.one_time,
                             &r->u.put_prekeys.count);
}

static enum sotto_err put_put_prekeys(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__PutPrekeys *m = l->msg.put_prekeys = &l->u.put_prekeys.msg;

    if (r->u.put_prekeys.count > SOTTO_PAGE_PREKEYS)
        return SOTTO_ERR_USAGE;
    sotto__wire__put_prekeys__init(m);
    m->signed_prekey = sotto_proto_put_view(r->u.put_prekeys.signed_prekey);
    m->n_one_time = r->u.put_prekeys.count;
    m->one_time = l->u.put_prekeys.one_time;
    sotto_proto_put_views(r->u.put_prekeys.one_time, m->n_one_time, m->one_time);
    m->replace = r->u.put_prekeys.replace;
    return SOTTO_OK;
}

/* One envelope for a device: two in one frame would be two in one transaction, of which the second
 * has nobody to answer for it. */
static bool device_is_new(const struct sotto_request *r, size_t count, uint64_t device)
{
    for (size_t i = 0; i < count; i++)
        if (r->u.submit.parcels[i].device == device)
            return false;
    return true;
}

static enum sotto_err get_submit(const Sotto__Wire__Submit *m, struct sotto_request *r)
{
    enum sotto_err e;

    if ((e = sotto_proto_name(&m->to, r->u.submit.to)) != 0 ||
        (e = sotto_proto_optional(&m->token, r->u.submit.token, SOTTO_TOKEN,
                                  &r->u.submit.has_token)) != 0)
        return e;
    if (m->n_parcels == 0 || m->n_parcels > SOTTO_DEVICES_MAX)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_parcels; i++) {
        struct sotto_parcel *p = &r->u.submit.parcels[i];

        if (!device_is_new(r, i, m->parcels[i]->device))
            return SOTTO_ERR_MALFORMED;
        if ((e = sotto_proto_view(&m->parcels[i]->envelope, 1, SOTTO_ENVELOPE_MAX, &p->envelope)) !=
            0)
            return e;
        p->device = m->parcels[i]->device;
        p->lane = m->parcels[i]->lane;
    }
    r->u.submit.count = m->n_parcels;
    r->u.submit.list_version = m->list_version;
    r->u.submit.more = m->more;
    r->u.submit.ephemeral = m->ephemeral;
    return SOTTO_OK;
}

static enum sotto_err put_submit(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__Submit *m = l->msg.submit = &l->u.submit.msg;

    if (r->u.submit.count > SOTTO_DEVICES_MAX)
        return SOTTO_ERR_USAGE;
    sotto__wire__submit__init(m);
    m->to = sotto_proto_put_text(r->u.submit.to, sizeof r->u.submit.to);
    m->list_version = r->u.submit.list_version;
    m->token = sotto_proto_put_if(r->u.submit.has_token, r->u.submit.token, SOTTO_TOKEN);
    m->n_parcels = r->u.submit.count;
    m->parcels = l->u.submit.rows;
    for (size_t i = 0; i < m->n_parcels; i++) {
        Sotto__Wire__Submit__Parcel *p = l->u.submit.rows[i] = &l->u.submit.parcels[i];

        sotto__wire__submit__parcel__init(p);
        p->device = r->u.submit.parcels[i].device;
        p->envelope = sotto_proto_put_view(r->u.submit.parcels[i].envelope);
        p->lane = r->u.submit.parcels[i].lane;
    }
    m->more = r->u.submit.more;
    m->ephemeral = r->u.submit.ephemeral;
    return SOTTO_OK;
}

static void put_ack(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__Ack *m = l->msg.ack = &l->u.ack;

    sotto__wire__ack__init(m);
    m->seq = r->u.ack.seq;
}

static enum sotto_err get_set_tokens(const Sotto__Wire__SetTokens *m, struct sotto_request *r)
{
    enum sotto_err e;

    if (m->n_add > SOTTO_TOKENS_MAX || m->n_remove > SOTTO_TOKENS_MAX)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_add; i++)
        if ((e = sotto_proto_fixed(&m->add[i], r->u.set_tokens.add[i], 32)) != 0)
            return e;
    for (size_t i = 0; i < m->n_remove; i++)
        if ((e = sotto_proto_fixed(&m->remove[i], r->u.set_tokens.remove[i], 32)) != 0)
            return e;
    r->u.set_tokens.add_count = m->n_add;
    r->u.set_tokens.remove_count = m->n_remove;
    return SOTTO_OK;
}

static enum sotto_err put_set_tokens(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__SetTokens *m = l->msg.set_tokens = &l->u.set_tokens.msg;

    if (r->u.set_tokens.add_count > SOTTO_TOKENS_MAX ||
        r->u.set_tokens.remove_count > SOTTO_TOKENS_MAX)
        return SOTTO_ERR_USAGE;
    sotto__wire__set_tokens__init(m);
    m->n_add = r->u.set_tokens.add_count;
    m->add = l->u.set_tokens.add;
    for (size_t i = 0; i < m->n_add; i++)
        m->add[i] = PUT(r->u.set_tokens.add[i]);
    m->n_remove = r->u.set_tokens.remove_count;
    m->remove = l->u.set_tokens.remove;
    for (size_t i = 0; i < m->n_remove; i++)
        m->remove[i] = PUT(r->u.set_tokens.remove[i]);
    return SOTTO_OK;
}

static void put_delete_account(const struct sotto_request *r, struct layout *l)
{
    Sotto__Wire__DeleteAccount *m = l->msg.delete_account = &l->u.delete_account;

    sotto__wire__delete_account__init(m);
    m->proof = PUT(r->u.delete_account.proof);
}

static void put_empty(enum sotto_request_type type, struct layout *l)
{
    if (type == SOTTO_REQ_GET_LINKS) {
        sotto__wire__get_links__init(&l->u.get_links);
        l->msg.get_links = &l->u.get_links;
    } else if (type == SOTTO_REQ_PING) {
        sotto__wire__ping__init(&l->u.ping);
        l->msg.ping = &l->u.ping;
    } else {
        sotto__wire__goodbye__init(&l->u.goodbye);
        l->msg.goodbye = &l->u.goodbye;
    }
}

static enum sotto_err get_body(const Sotto__Wire__Request *m, struct sotto_request *r)
{
    switch (r->type) {
    case SOTTO_REQ_SIGN_IN:
        return get_sign_in(m->sign_in, r);
    case SOTTO_REQ_BEGIN:
        r->u.begin.committed = m->begin->committed;
        return SOTTO_OK;
    case SOTTO_REQ_OPAQUE_REGISTER:
        return get_opaque_register(m->opaque_register, r);
    case SOTTO_REQ_REGISTER:
        return get_register(m->register_, r);
    case SOTTO_REQ_OPAQUE_LOGIN:
        return get_opaque_login(m->opaque_login, r);
    case SOTTO_REQ_OPAQUE_FINISH:
        return sotto_proto_fixed(&m->opaque_finish->ke3, r->u.opaque_finish.ke3,
                                 sizeof r->u.opaque_finish.ke3);
    case SOTTO_REQ_LINK:
        return get_link(m->link, r);
    case SOTTO_REQ_PUT_LIST:
        return sotto_proto_view(&m->put_list->list, 1, SOTTO_LIST_MAX, &r->u.put_list.list);
    case SOTTO_REQ_GET_LISTS:
        return get_get_lists(m->get_lists, r);
    case SOTTO_REQ_GET_BUNDLE:
        r->u.get_bundle.device = m->get_bundle->device;
        return sotto_proto_name(&m->get_bundle->name, r->u.get_bundle.name);
    case SOTTO_REQ_PUT_PREKEYS:
        return get_put_prekeys(m->put_prekeys, r);
    case SOTTO_REQ_SUBMIT:
        return get_submit(m->submit, r);
    case SOTTO_REQ_ACK:
        r->u.ack.seq = m->ack->seq;
        return SOTTO_OK;
    case SOTTO_REQ_SET_TOKENS:
        return get_set_tokens(m->set_tokens, r);
    case SOTTO_REQ_DELETE_ACCOUNT:
        return sotto_proto_fixed(&m->delete_account->proof, r->u.delete_account.proof,
                                 SOTTO_SIGNATURE);
    case SOTTO_REQ_GET_LINKS:
    case SOTTO_REQ_PING:
    case SOTTO_REQ_GOODBYE:
        return SOTTO_OK;
    }
    return SOTTO_ERR_MALFORMED;
}

/* An answer to a request without an id would look like a push. */
static bool id_fits(const struct sotto_request *r)
{
    return r->id != 0 || r->type == SOTTO_REQ_ACK || r->type == SOTTO_REQ_GOODBYE;
}

/* ret is zero on entry. */
static enum sotto_err get_request(const Sotto__Wire__Request *m, struct sotto_request *ret)
{
    ret->id = m->id;
    ret->type = (enum sotto_request_type)m->body_case;
    return id_fits(ret) ? get_body(m, ret) : SOTTO_ERR_MALFORMED;
}

static enum sotto_err put_body(const struct sotto_request *r, struct layout *l)
{
    switch (r->type) {
    case SOTTO_REQ_SIGN_IN:
        return put_sign_in(r, l), SOTTO_OK;
    case SOTTO_REQ_BEGIN:
        return put_begin(r, l), SOTTO_OK;
    case SOTTO_REQ_OPAQUE_REGISTER:
        return put_opaque_register(r, l), SOTTO_OK;
    case SOTTO_REQ_REGISTER:
        return put_register(r, l), SOTTO_OK;
    case SOTTO_REQ_OPAQUE_LOGIN:
        return put_opaque_login(r, l), SOTTO_OK;
    case SOTTO_REQ_OPAQUE_FINISH:
        return put_opaque_finish(r, l), SOTTO_OK;
    case SOTTO_REQ_LINK:
        return put_link(r, l), SOTTO_OK;
    case SOTTO_REQ_PUT_LIST:
        return put_put_list(r, l), SOTTO_OK;
    case SOTTO_REQ_GET_LISTS:
        return put_get_lists(r, l);
    case SOTTO_REQ_GET_BUNDLE:
        return put_get_bundle(r, l), SOTTO_OK;
    case SOTTO_REQ_PUT_PREKEYS:
        return put_put_prekeys(r, l);
    case SOTTO_REQ_SUBMIT:
        return put_submit(r, l);
    case SOTTO_REQ_ACK:
        return put_ack(r, l), SOTTO_OK;
    case SOTTO_REQ_SET_TOKENS:
        return put_set_tokens(r, l);
    case SOTTO_REQ_DELETE_ACCOUNT:
        return put_delete_account(r, l), SOTTO_OK;
    case SOTTO_REQ_GET_LINKS:
    case SOTTO_REQ_PING:
    case SOTTO_REQ_GOODBYE:
        return put_empty(r->type, l), SOTTO_OK;
    }
    return SOTTO_ERR_USAGE;
}

enum sotto_err sotto_request_decode(const uint8_t *frame, size_t len, struct sotto_request **ret)
{
    struct sotto_request *r;
    struct sotto_proto *p;
    enum sotto_err e;

    if (len > SOTTO_FRAME_MAX)
        return SOTTO_ERR_MALFORMED;
    if ((e = sotto_proto_unpack(&sotto__wire__request__descriptor, frame, len, &p)) != 0)
        return e;
    if ((r = calloc(1, sizeof *r)) == NULL) {
        sotto_proto_free(p);
        return SOTTO_ERR_NOMEM;
    }
    r->owner = p;
    if ((e = get_request(sotto_proto_message(p), r)) != 0) {
        sotto_request_free(r);
        return e;
    }
    *ret = r;
    return SOTTO_OK;
}

void sotto_request_free(struct sotto_request *r)
{
    if (r == NULL)
        return;
    sotto_proto_free(r->owner);
    sotto_wipe(r, sizeof *r);
    free(r);
}

enum sotto_err sotto_request_encode(const struct sotto_request *r, struct sotto_buf *buf)
{
    struct sotto_request check = {0};
    struct layout l;
    enum sotto_err e;

    sotto__wire__request__init(&l.msg);
    l.msg.id = r->id;
    l.msg.body_case = (Sotto__Wire__Request__BodyCase)r->type;
    if ((e = put_body(r, &l)) != 0)
        return e;
    e = get_request(&l.msg, &check);
    sotto_wipe(&check, sizeof check);
    if (e != 0)
        return SOTTO_ERR_USAGE;
    return sotto_proto_append(&l.msg.base, true, SOTTO_FRAME_MAX, buf);
}
