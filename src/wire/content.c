/* SPDX-License-Identifier: Apache-2.0 */
/* Built as request.c is: get_ checks, put_ lays out, what we send passes our own checks. */
#include "wire/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "content.pb-c.h"
#include "crypto/kdf.h"
#include "e2ee/session.h"
#include "wire/proto.h"

#define SAME_NUMBER(ours, theirs)                                                                  \
    _Static_assert((int)SOTTO_##ours == (int)SOTTO__WIRE__##theirs, #ours)
SAME_NUMBER(CONTENT_TEXT, CONTENT__KIND_TEXT);
SAME_NUMBER(CONTENT_GRANT, CONTENT__KIND_GRANT);
SAME_NUMBER(RECEIPT_READ, RECEIPT__STATE__READ);
SAME_NUMBER(CONTACT_BLOCKED, CONTACT_SYNC__STATE__BLOCKED);

/* Fields of Content from here on are kinds, those below are for every kind. */
#define FIRST_KIND 20

struct layout {
    Sotto__Wire__Content msg;
    Sotto__Wire__ListName sender_list, recipient_list;
    ProtobufCBinaryData members[SOTTO_MEMBERS_MAX];
    union {
        Sotto__Wire__Text text;
        struct {
            Sotto__Wire__Receipt msg;
            ProtobufCBinaryData ids[SOTTO_RECEIPT_IDS];
        } receipt;
        Sotto__Wire__Typing typing;
        Sotto__Wire__Retry retry;
        Sotto__Wire__ContactSync contact_sync;
        Sotto__Wire__EntryUpdate entry_update;
        Sotto__Wire__Grant grant;
    } u;
};

void sotto_conversation_direct(const uint8_t relay_id[32], const char *a, const char *b,
                               uint8_t ret[SOTTO_CONVERSATION_ID])
{
    static const char purpose[] = "sotto/1 conversation";
    bool in_order = strcmp(a, b) <= 0;
    const char *first = in_order ? a : b, *second = in_order ? b : a;
    uint8_t first_len = (uint8_t)strlen(first), second_len = (uint8_t)strlen(second);
    uint8_t hash[32];
    const struct sotto_bytes parts[] = {
        {(const uint8_t *)purpose, sizeof purpose}, /* with its NUL */
        {relay_id, 32},
        {&first_len, 1},
        {(const uint8_t *)first, first_len},
        {&second_len, 1},
        {(const uint8_t *)second, second_len},
    };

    sotto_sha256v(parts, sizeof parts / sizeof parts[0], hash);
    memcpy(ret, hash, SOTTO_CONVERSATION_ID);
}

static enum sotto_err get_text(const Sotto__Wire__Text *m, struct sotto_content *c)
{
    enum sotto_err e = sotto_proto_view(&m->text, 0, SOTTO_TEXT_MAX, &c->u.text.text);

    if (e == 0 && !sotto_utf8_valid(m->text.data, m->text.len))
        e = SOTTO_ERR_MALFORMED;
    return e;
}

static void put_text(const struct sotto_content *c, struct layout *l)
{
    Sotto__Wire__Text *m = l->msg.text = &l->u.text;

    sotto__wire__text__init(m);
    m->text = sotto_proto_put_view(c->u.text.text);
}

static enum sotto_err get_receipt(const Sotto__Wire__Receipt *m, struct sotto_content *c)
{
    int state = (int)m->state;
    enum sotto_err e;

    if (state < SOTTO_RECEIPT_DELIVERED || state > SOTTO_RECEIPT_READ || m->n_ids == 0 ||
        m->n_ids > SOTTO_RECEIPT_IDS)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_ids; i++)
        if ((e = sotto_proto_fixed(&m->ids[i], c->u.receipt.ids[i], SOTTO_CONTENT_ID)) != 0)
            return e;
    c->u.receipt.state = (enum sotto_receipt_state)state;
    c->u.receipt.count = m->n_ids;
    return SOTTO_OK;
}

static enum sotto_err put_receipt(const struct sotto_content *c, struct layout *l)
{
    Sotto__Wire__Receipt *m = l->msg.receipt = &l->u.receipt.msg;

    if (c->u.receipt.count > SOTTO_RECEIPT_IDS)
        return SOTTO_ERR_USAGE;
    sotto__wire__receipt__init(m);
    m->state = (Sotto__Wire__Receipt__State)c->u.receipt.state;
    m->n_ids = c->u.receipt.count;
    m->ids = l->u.receipt.ids;
    for (size_t i = 0; i < m->n_ids; i++)
        m->ids[i] = sotto_proto_put(c->u.receipt.ids[i], SOTTO_CONTENT_ID);
    return SOTTO_OK;
}

static void put_typing(const struct sotto_content *c, struct layout *l)
{
    Sotto__Wire__Typing *m = l->msg.typing = &l->u.typing;

    sotto__wire__typing__init(m);
    m->active = c->u.typing.active;
}

static void put_retry(const struct sotto_content *c, struct layout *l)
{
    Sotto__Wire__Retry *m = l->msg.retry = &l->u.retry;

    sotto__wire__retry__init(m);
    m->envelope_id = sotto_proto_put(c->u.retry.envelope_id, SOTTO_ENVELOPE_ID);
}

static enum sotto_err get_contact_sync(const Sotto__Wire__ContactSync *m, struct sotto_content *c)
{
    int state = (int)m->state;
    enum sotto_err e;

    if (state < SOTTO_CONTACT_NONE || state > SOTTO_CONTACT_BLOCKED)
        return SOTTO_ERR_MALFORMED;
    c->u.contact_sync.state = (enum sotto_contact_state)state;
    if ((e = sotto_proto_name(&m->name, c->u.contact_sync.name)) != 0 ||
        (e = sotto_proto_optional(&m->their_token, c->u.contact_sync.their_token, SOTTO_TOKEN,
                                  &c->u.contact_sync.has_their_token)) != 0 ||
        (e = sotto_proto_optional(&m->our_token, c->u.contact_sync.our_token, SOTTO_TOKEN,
                                  &c->u.contact_sync.has_our_token)) != 0)
        return e;
    return sotto_proto_optional(&m->verified_key, c->u.contact_sync.verified_key,
                                sizeof c->u.contact_sync.verified_key,
                                &c->u.contact_sync.has_verified_key);
}

static void put_contact_sync(const struct sotto_content *c, struct layout *l)
{
    Sotto__Wire__ContactSync *m = l->msg.contact_sync = &l->u.contact_sync;

    sotto__wire__contact_sync__init(m);
    m->name = sotto_proto_put_text(c->u.contact_sync.name, sizeof c->u.contact_sync.name);
    m->state = (Sotto__Wire__ContactSync__State)c->u.contact_sync.state;
    m->their_token = sotto_proto_put_if(c->u.contact_sync.has_their_token,
                                        c->u.contact_sync.their_token, SOTTO_TOKEN);
    m->our_token = sotto_proto_put_if(c->u.contact_sync.has_our_token, c->u.contact_sync.our_token,
                                      SOTTO_TOKEN);
    m->verified_key =
        sotto_proto_put_if(c->u.contact_sync.has_verified_key, c->u.contact_sync.verified_key,
                           sizeof c->u.contact_sync.verified_key);
}

static void put_entry_update(const struct sotto_content *c, struct layout *l)
{
    Sotto__Wire__EntryUpdate *m = l->msg.entry_update = &l->u.entry_update;

    sotto__wire__entry_update__init(m);
    m->entry = sotto_proto_put_view(c->u.entry_update.entry);
}

static void put_grant(struct layout *l)
{
    sotto__wire__grant__init(&l->u.grant);
    l->msg.grant = &l->u.grant;
}

/* A field that we do not know where kinds are: made by a newer client. */
static enum sotto_err get_unknown(const Sotto__Wire__Content *m)
{
    for (size_t i = 0; i < m->base.n_unknown_fields; i++)
        if (m->base.unknown_fields[i].tag >= FIRST_KIND)
            return SOTTO_OK;
    return SOTTO_ERR_MALFORMED;
}

static enum sotto_err get_kind(const Sotto__Wire__Content *m, struct sotto_content *c)
{
    c->kind = (enum sotto_content_kind)m->kind_case;
    switch (c->kind) {
    case SOTTO_CONTENT_TEXT:
        return get_text(m->text, c);
    case SOTTO_CONTENT_RECEIPT:
        return get_receipt(m->receipt, c);
    case SOTTO_CONTENT_TYPING:
        c->u.typing.active = m->typing->active;
        return SOTTO_OK;
    case SOTTO_CONTENT_RETRY:
        return sotto_proto_fixed(&m->retry->envelope_id, c->u.retry.envelope_id, SOTTO_ENVELOPE_ID);
    case SOTTO_CONTENT_CONTACT_SYNC:
        return get_contact_sync(m->contact_sync, c);
    case SOTTO_CONTENT_ENTRY_UPDATE:
        return sotto_proto_view(&m->entry_update->entry, SOTTO_ENTRY_BYTES, SOTTO_ENTRY_BYTES,
                                &c->u.entry_update.entry);
    case SOTTO_CONTENT_GRANT:
        return SOTTO_OK;
    case SOTTO_CONTENT_UNKNOWN:
        return get_unknown(m);
    }
    return SOTTO_ERR_MALFORMED;
}

static enum sotto_err put_kind(const struct sotto_content *c, struct layout *l)
{
    switch (c->kind) {
    case SOTTO_CONTENT_TEXT:
        return put_text(c, l), SOTTO_OK;
    case SOTTO_CONTENT_RECEIPT:
        return put_receipt(c, l);
    case SOTTO_CONTENT_TYPING:
        return put_typing(c, l), SOTTO_OK;
    case SOTTO_CONTENT_RETRY:
        return put_retry(c, l), SOTTO_OK;
    case SOTTO_CONTENT_CONTACT_SYNC:
        return put_contact_sync(c, l), SOTTO_OK;
    case SOTTO_CONTENT_ENTRY_UPDATE:
        return put_entry_update(c, l), SOTTO_OK;
    case SOTTO_CONTENT_GRANT:
        return put_grant(l), SOTTO_OK;
    case SOTTO_CONTENT_UNKNOWN:
        break;
    }
    return SOTTO_ERR_USAGE;
}

static enum sotto_err get_list_name(const Sotto__Wire__ListName *m, struct sotto_list_name *ret)
{
    if (m == NULL || m->version == 0)
        return SOTTO_ERR_MALFORMED;
    ret->version = m->version;
    return sotto_proto_fixed(&m->hash, ret->hash, sizeof ret->hash);
}

static enum sotto_err get_members(const Sotto__Wire__Content *m, struct sotto_content *c)
{
    enum sotto_err e;

    if (m->n_members > SOTTO_MEMBERS_MAX)
        return SOTTO_ERR_MALFORMED;
    for (size_t i = 0; i < m->n_members; i++) {
        if ((e = sotto_proto_name(&m->members[i], c->members[i])) != 0)
            return e;
        if (i > 0 && strcmp(c->members[i - 1], c->members[i]) >= 0)
            return SOTTO_ERR_MALFORMED;
    }
    c->member_count = m->n_members;
    return SOTTO_OK;
}

/* ret is zero on entry. */
static enum sotto_err get_content(const Sotto__Wire__Content *m, struct sotto_content *ret)
{
    enum sotto_err e;

    if ((e = sotto_proto_fixed(&m->id, ret->id, SOTTO_CONTENT_ID)) != 0 ||
        (e = sotto_proto_fixed(&m->conversation, ret->conversation, SOTTO_CONVERSATION_ID)) != 0 ||
        (e = get_members(m, ret)) != 0 ||
        (e = get_list_name(m->sender_list, &ret->sender_list)) != 0 ||
        (e = get_list_name(m->recipient_list, &ret->recipient_list)) != 0 ||
        (e = sotto_proto_optional(&m->delivery_token, ret->delivery_token, SOTTO_TOKEN,
                                  &ret->has_token)) != 0)
        return e;
    ret->counter = m->counter;
    ret->sent_at_ms = m->sent_at_ms;
    return get_kind(m, ret);
}

static void put_list_name(const struct sotto_list_name *n, Sotto__Wire__ListName *m)
{
    sotto__wire__list_name__init(m);
    m->version = n->version;
    m->hash = sotto_proto_put(n->hash, sizeof n->hash);
}

static enum sotto_err put_content(const struct sotto_content *c, struct layout *l)
{
    Sotto__Wire__Content *m = &l->msg;

    if (c->member_count > SOTTO_MEMBERS_MAX)
        return SOTTO_ERR_USAGE;
    sotto__wire__content__init(m);
    m->id = sotto_proto_put(c->id, SOTTO_CONTENT_ID);
    m->conversation = sotto_proto_put(c->conversation, SOTTO_CONVERSATION_ID);
    m->n_members = c->member_count;
    m->members = l->members;
    for (size_t i = 0; i < m->n_members; i++)
        m->members[i] = sotto_proto_put_text(c->members[i], sizeof c->members[i]);
    m->counter = c->counter;
    put_list_name(&c->sender_list, m->sender_list = &l->sender_list);
    put_list_name(&c->recipient_list, m->recipient_list = &l->recipient_list);
    m->sent_at_ms = c->sent_at_ms;
    m->delivery_token = sotto_proto_put_if(c->has_token, c->delivery_token, SOTTO_TOKEN);
    m->kind_case = (Sotto__Wire__Content__KindCase)c->kind;
    return put_kind(c, l);
}

enum sotto_err sotto_content_decode(const uint8_t *data, size_t len, struct sotto_content **ret)
{
    struct sotto_content *c;
    struct sotto_proto *p;
    enum sotto_err e;

    if (len > SOTTO_CONTENT_MAX)
        return SOTTO_ERR_MALFORMED;
    if ((e = sotto_proto_unpack(&sotto__wire__content__descriptor, data, len, &p)) != 0)
        return e;
    if ((c = calloc(1, sizeof *c)) == NULL) {
        sotto_proto_free(p);
        return SOTTO_ERR_NOMEM;
    }
    c->owner = p;
    if ((e = get_content(sotto_proto_message(p), c)) != 0) {
        sotto_content_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}

void sotto_content_free(struct sotto_content *c)
{
    if (c == NULL)
        return;
    sotto_proto_free(c->owner);
    sotto_wipe(c, sizeof *c);
    free(c);
}

enum sotto_err sotto_content_encode(const struct sotto_content *c, struct sotto_buf *buf)
{
    struct sotto_content check = {0};
    struct layout l;
    enum sotto_err e;

    if ((e = put_content(c, &l)) != 0)
        return e;
    e = get_content(&l.msg, &check);
    sotto_wipe(&check, sizeof check);
    if (e != 0)
        return SOTTO_ERR_USAGE;
    return sotto_proto_append(&l.msg.base, false, SOTTO_CONTENT_MAX, buf);
}
