/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2ee/session.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char long_name[] = "abcdefghijklmnopqrstuvwxyz012345";

/* Bytes that are the same in every run, and different at every place. */
static uint8_t pool[96 * 1024];

static struct sotto_bytes some(size_t offset, size_t len)
{
    if (pool[0] == 0) {
        uint64_t x = 0x9e3779b97f4a7c15;

        for (size_t i = 0; i < sizeof pool; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            pool[i] = (uint8_t)(x >> 32);
        }
        pool[0] = 0x5a;
    }
    if (offset + len > sizeof pool)
        abort();
    return (struct sotto_bytes){pool + offset, len};
}

static void fill(void *ret, size_t offset, size_t len)
{
    memcpy(ret, some(offset, len).p, len);
}
#define FILL(array, offset) fill(array, offset, sizeof(array))

const struct sotto_sign_pair *wire_relay_key(void)
{
    static struct sotto_sign_pair pair;
    struct sotto_secret32 seed;

    memset(seed.b, 0x11, sizeof seed.b);
    sotto_sign_from_seed(&seed, &pair);
    return &pair;
}

/* ---- requests ---- */

static struct sotto_request requests[40];
static size_t request_count;

static struct sotto_request *request(enum sotto_request_type type)
{
    struct sotto_request *r = &requests[request_count++];

    if (request_count > COUNT(requests))
        abort();
    r->type = type;
    r->id = (uint32_t)request_count * 77;
    return r;
}

static void sign_in_requests(void)
{
    struct sotto_request *r = request(SOTTO_REQ_SIGN_IN);

    strcpy(r->u.sign_in.name, "alice");
    r->u.sign_in.device = 0x1122334455667788;
    FILL(r->u.sign_in.lease, 10);
    FILL(r->u.sign_in.proof, 30);
    r = request(SOTTO_REQ_SIGN_IN);
    r->id = UINT32_MAX;
    strcpy(r->u.sign_in.name, long_name);
    r = request(SOTTO_REQ_BEGIN);
    r->u.begin.committed = (uint64_t)1 << 63 | 5;
    request(SOTTO_REQ_BEGIN);
    r = request(SOTTO_REQ_OPAQUE_REGISTER);
    strcpy(r->u.opaque_register.name, "+4915112345678");
    FILL(r->u.opaque_register.request, 50);
    r = request(SOTTO_REQ_OPAQUE_LOGIN);
    strcpy(r->u.opaque_login.name, "b");
    FILL(r->u.opaque_login.ke1, 70);
    r = request(SOTTO_REQ_OPAQUE_FINISH);
    FILL(r->u.opaque_finish.ke3, 90);
    r = request(SOTTO_REQ_DELETE_ACCOUNT);
    FILL(r->u.delete_account.proof, 110);
}

static void account_requests(void)
{
    struct sotto_request *r = request(SOTTO_REQ_REGISTER);

    strcpy(r->u.register_.name, "alice");
    r->u.register_.has_code = r->u.register_.has_certificate = true;
    FILL(r->u.register_.code, 130);
    FILL(r->u.register_.certificate, 150);
    r->u.register_.list = some(200, SOTTO_LIST_MAX);
    FILL(r->u.register_.opaque_record, 170);
    r->u.register_.signed_prekey = some(300, SOTTO_PREKEY_BYTES);
    r = request(SOTTO_REQ_REGISTER);
    strcpy(r->u.register_.name, "bob");
    r->u.register_.list = some(201, 1);
    r->u.register_.signed_prekey = some(301, SOTTO_PREKEY_BYTES);
    r = request(SOTTO_REQ_LINK);
    r->u.link.entry = some(400, SOTTO_ENTRY_BYTES);
    r->u.link.signed_prekey = some(500, SOTTO_PREKEY_BYTES);
    r = request(SOTTO_REQ_LINK);
    r->u.link.entry = some(401, SOTTO_ENTRY_BYTES);
    r->u.link.signed_prekey = some(501, SOTTO_PREKEY_BYTES);
    r->u.link.has_certificate = true;
    FILL(r->u.link.certificate, 160);
    request(SOTTO_REQ_GET_LINKS);
    r = request(SOTTO_REQ_PUT_LIST);
    r->u.put_list.list = some(600, 500);
    request(SOTTO_REQ_GET_LISTS);
    r = request(SOTTO_REQ_GET_LISTS);
    r->u.get_lists.count = SOTTO_GET_LISTS_MAX;
    for (size_t i = 0; i < SOTTO_GET_LISTS_MAX; i++) {
        snprintf(r->u.get_lists.known[i].name, sizeof(sotto_name), "member-%zu", i);
        r->u.get_lists.known[i].version = (uint32_t)(i * 1000003);
    }
}

static void prekey_requests(void)
{
    struct sotto_request *r = request(SOTTO_REQ_GET_BUNDLE);

    strcpy(r->u.get_bundle.name, "carol");
    r->u.get_bundle.device = UINT64_MAX;
    request(SOTTO_REQ_PUT_PREKEYS);
    r = request(SOTTO_REQ_PUT_PREKEYS);
    r->u.put_prekeys.signed_prekey = some(700, SOTTO_PREKEY_BYTES);
    r->u.put_prekeys.count = 1;
    r->u.put_prekeys.one_time[0] = some(701, SOTTO_PREKEY_BYTES);
    r = request(SOTTO_REQ_PUT_PREKEYS);
    r->u.put_prekeys.replace = true;
    r->u.put_prekeys.count = SOTTO_PAGE_PREKEYS;
    for (size_t i = 0; i < SOTTO_PAGE_PREKEYS; i++)
        r->u.put_prekeys.one_time[i] = some(800 + i, SOTTO_PREKEY_BYTES);
}

static void delivery_requests(void)
{
    struct sotto_request *r = request(SOTTO_REQ_SUBMIT);

    strcpy(r->u.submit.to, "bob");
    r->u.submit.list_version = 3;
    r->u.submit.has_token = true;
    FILL(r->u.submit.token, 180);
    r->u.submit.count = 1;
    r->u.submit.parcels[0] = (struct sotto_parcel){0xfedcba9876543210, some(900, 400), 2};
    r = request(SOTTO_REQ_SUBMIT);
    strcpy(r->u.submit.to, long_name);
    r->u.submit.more = r->u.submit.ephemeral = true;
    r->u.submit.count = SOTTO_DEVICES_MAX;
    for (size_t i = 0; i < SOTTO_DEVICES_MAX; i++)
        r->u.submit.parcels[i] = (struct sotto_parcel){i, some(1000 + i, 1 + i * 7), (uint32_t)i};
    r = request(SOTTO_REQ_SUBMIT);
    strcpy(r->u.submit.to, "dave");
    r->u.submit.count = 1;
    r->u.submit.parcels[0] = (struct sotto_parcel){1, some(1100, SOTTO_ENVELOPE_MAX), UINT32_MAX};
    r = request(SOTTO_REQ_ACK);
    r->id = 0;
    r->u.ack.seq = 0x0000010000000005;
    r = request(SOTTO_REQ_ACK);
    r->u.ack.seq = 1;
    request(SOTTO_REQ_SET_TOKENS);
    r = request(SOTTO_REQ_SET_TOKENS);
    r->u.set_tokens.add_count = SOTTO_TOKENS_MAX;
    r->u.set_tokens.remove_count = SOTTO_TOKENS_MAX;
    FILL(r->u.set_tokens.add, 1200);
    FILL(r->u.set_tokens.remove, 4000);
    request(SOTTO_REQ_PING);
    r = request(SOTTO_REQ_GOODBYE);
    r->id = 0;
    request(SOTTO_REQ_GOODBYE);
}

size_t wire_requests(const struct sotto_request **ret)
{
    if (request_count == 0) {
        sign_in_requests();
        account_requests();
        prekey_requests();
        delivery_requests();
    }
    *ret = requests;
    return request_count;
}

/* ---- answers ---- */

static struct sotto_answer answers[40];
static size_t answer_count;

static struct sotto_answer *answer(enum sotto_answer_type type)
{
    struct sotto_answer *a = &answers[answer_count++];

    if (answer_count > COUNT(answers))
        abort();
    a->type = type;
    if (type != SOTTO_ANS_HELLO && type < SOTTO_ANS_DELIVER)
        a->id = (uint32_t)answer_count * 99;
    return a;
}

static void error_answers(void)
{
    struct sotto_answer *a = answer(SOTTO_ANS_ERROR);

    a->u.error.code = SOTTO_RELAY_LIST_CHANGED;
    strcpy(a->u.error.text, "the device list of bob has changed \xe2\x80\x93 fetch it");
    a->u.error.list_count = 3;
    for (size_t i = 0; i < 3; i++)
        a->u.error.lists[i] = some(2000 + i, 300 + i);
    a = answer(SOTTO_ANS_ERROR);
    a->id = 0;
    a->u.error.code = SOTTO_RELAY_TOO_MANY;
    a->u.error.retry_ms = 1500;
    memset(a->u.error.text, 'x', sizeof a->u.error.text - 1);
    a = answer(SOTTO_ANS_ERROR);
    a->u.error.code = SOTTO_RELAY_BAD_REQUEST;
    a->u.error.list_count = SOTTO_LISTS_IN_FRAME;
    for (size_t i = 0; i < SOTTO_LISTS_IN_FRAME; i++)
        a->u.error.lists[i] = some(2100 + i, SOTTO_LIST_MAX);
}

static void hello_answers(void)
{
    struct sotto_answer *a = answer(SOTTO_ANS_HELLO);

    memcpy(a->u.hello.relay.id, wire_relay_key()->pub, 32);
    FILL(a->u.hello.relay.incarnation, 60);
    a->u.hello.relay.pin_count = 1;
    fill(a->u.hello.relay.pins[0], 61, 32);
    strcpy(a->u.hello.version, "0.1.0");
    a->u.hello.registration = SOTTO_REGISTRATION_INVITE;
    a->u.hello.time_ms = 1790000000000u;
    a = answer(SOTTO_ANS_HELLO);
    memcpy(a->u.hello.relay.id, wire_relay_key()->pub, 32);
    a->u.hello.relay.pin_count = SOTTO_PINS_MAX;
    FILL(a->u.hello.relay.pins, 62);
    a->u.hello.registration = SOTTO_REGISTRATION_CLOSED;
    memset(a->u.hello.version, 'v', sizeof a->u.hello.version - 1);
}

static void sign_in_answers(void)
{
    struct sotto_answer *a;

    answer(SOTTO_ANS_DONE);
    a = answer(SOTTO_ANS_SIGNED_IN);
    a->u.signed_in.has_previous = a->u.signed_in.previous_begun = true;
    FILL(a->u.signed_in.previous_lease, 63);
    a->u.signed_in.list_version = 7;
    a->u.signed_in.one_time_left = 99;
    a->u.signed_in.acked = (uint64_t)3 << 40 | 12;
    a->u.signed_in.acked = 1ull << 40 | 5;
    answer(SOTTO_ANS_SIGNED_IN);
    a = answer(SOTTO_ANS_OPAQUE_REGISTERED);
    FILL(a->u.opaque_registered.response, 64);
    a = answer(SOTTO_ANS_OPAQUE_CHALLENGE);
    FILL(a->u.opaque_challenge.ke2, 65);
    a = answer(SOTTO_ANS_LOGGED_IN);
    a->u.logged_in.count = 2;
    a->u.logged_in.lists[0] = some(66, 1);
    a->u.logged_in.lists[1] = some(67, SOTTO_LIST_MAX);
    answer(SOTTO_ANS_LOGGED_IN);
}

static void list_answers(void)
{
    struct sotto_answer *a = answer(SOTTO_ANS_LINKS);

    a->u.links.count = SOTTO_LINKS_MAX;
    for (size_t i = 0; i < SOTTO_LINKS_MAX; i++) {
        a->u.links.pending[i].entry = some(3000 + i, SOTTO_ENTRY_BYTES);
        a->u.links.pending[i].asked_at_ms = 1790000000000 + i;
    }
    answer(SOTTO_ANS_LINKS);
    a = answer(SOTTO_ANS_LISTS);
    a->u.lists.count = SOTTO_GET_LISTS_MAX;
    for (size_t i = 0; i < SOTTO_GET_LISTS_MAX; i++) {
        struct sotto_lists_since *s = &a->u.lists.since[i];

        snprintf(s->name, sizeof s->name, "member_%zu", i);
        s->unknown = i == 1;
        s->gone = i == 2;
        s->count = i < 3 ? 0 : i;
        for (size_t j = 0; j < s->count; j++)
            s->lists[j] = some(3100 + 10 * i + j, 200 + i);
    }
    answer(SOTTO_ANS_LISTS);
    a = answer(SOTTO_ANS_LISTS);
    a->u.lists.count = 2;
    strcpy(a->u.lists.since[0].name, "erin");
    a->u.lists.since[0].count = 2;
    a->u.lists.since[0].lists[0] = some(3600, 90);
    a->u.lists.since[0].lists[1] = some(3700, 95);
    strcpy(a->u.lists.since[1].name, "frank");
    a->u.lists.since[1].gone = true;
    a = answer(SOTTO_ANS_LIST_CHANGED);
    a->u.list_changed.list = some(3500, 321);
}

static void delivery_answers(void)
{
    struct sotto_answer *a = answer(SOTTO_ANS_BUNDLE);

    a->u.bundle.signed_prekey = some(4000, SOTTO_PREKEY_BYTES);
    a->u.bundle.one_time = some(4001, SOTTO_PREKEY_BYTES);
    a = answer(SOTTO_ANS_BUNDLE);
    a->u.bundle.signed_prekey = some(4002, SOTTO_PREKEY_BYTES);
    a = answer(SOTTO_ANS_PREKEYS_KEPT);
    a->u.prekeys_kept.one_time_left = 100;
    a = answer(SOTTO_ANS_SUBMITTED);
    a->u.submitted.count = SOTTO_DEVICES_MAX;
    for (size_t i = 0; i < SOTTO_DEVICES_MAX; i++) {
        a->u.submitted.results[i].device = i * 0x0101010101010101;
        a->u.submitted.results[i].state = (enum sotto_parcel_state)(1 + i % SOTTO_PARCEL_QUOTA);
    }
    answer(SOTTO_ANS_SUBMITTED);
    a = answer(SOTTO_ANS_DELIVER);
    a->u.deliver.seq = (uint64_t)1 << 40 | 9;
    a->u.deliver.envelope = some(5000, 700);
    a->u.deliver.request = true;
    a = answer(SOTTO_ANS_DELIVER);
    a->u.deliver.envelope = some(5001, SOTTO_ENVELOPE_MAX);
    a = answer(SOTTO_ANS_EPHEMERAL);
    a->u.ephemeral.envelope = some(5002, 350);
    answer(SOTTO_ANS_LINK_PENDING);
    a = answer(SOTTO_ANS_PREKEYS_LOW);
    a->u.prekeys_kept.one_time_left = 4;
    a = answer(SOTTO_ANS_CLOSING);
    a->u.closing.reason = SOTTO_CLOSING_SHUTDOWN;
    strcpy(a->u.closing.text, "the relay is being stopped; try again in a minute");
    a = answer(SOTTO_ANS_CLOSING);
    a->u.closing.reason = SOTTO_CLOSING_IDLE;
}

size_t wire_answers(const struct sotto_answer **ret)
{
    if (answer_count == 0) {
        error_answers();
        hello_answers();
        sign_in_answers();
        list_answers();
        delivery_answers();
    }
    *ret = answers;
    return answer_count;
}

/* ---- contents ---- */

static struct sotto_content contents[24];
static size_t content_count;

static struct sotto_content *content(enum sotto_content_kind kind)
{
    struct sotto_content *c = &contents[content_count++];

    if (content_count > COUNT(contents))
        abort();
    c->kind = kind;
    FILL(c->id, 6000 + content_count);
    FILL(c->conversation, 6100 + content_count);
    c->member_count = 2;
    strcpy(c->members[0], "alice");
    strcpy(c->members[1], "bob");
    c->counter = content_count;
    c->sender_list.version = 1;
    c->recipient_list.version = 2 + (uint32_t)content_count;
    FILL(c->sender_list.hash, 6200);
    FILL(c->recipient_list.hash, 6300);
    c->sent_at_ms = 1790000000000;
    return c;
}

static void text_contents(void)
{
    static char long_text[SOTTO_TEXT_MAX];
    static const char text[] = "Gr\xc3\xbc\xc3\x9f"
                               "e\n\xf0\x9f\x9a\x80 and a NUL: \0.";
    struct sotto_content *c = content(SOTTO_CONTENT_TEXT);

    c->u.text.text = (struct sotto_bytes){(const uint8_t *)text, sizeof text - 1};
    c->has_token = true;
    FILL(c->delivery_token, 6400);
    c = content(SOTTO_CONTENT_TEXT); /* the longest one: all of it in three-byte characters */
    for (size_t i = 0; i + 3 <= sizeof long_text; i += 3)
        memcpy(long_text + i, "\xe2\x82\xac", 3);
    long_text[sizeof long_text - 2] = long_text[sizeof long_text - 1] = '.';
    c->u.text.text = (struct sotto_bytes){(const uint8_t *)long_text, sizeof long_text};
    c->counter = UINT64_MAX;
    c = content(SOTTO_CONTENT_TEXT); /* to oneself, empty */
    c->member_count = 1;
    memset(c->members[1], 0, sizeof c->members[1]);
}

static void small_contents(void)
{
    struct sotto_content *c = content(SOTTO_CONTENT_RECEIPT);

    c->u.receipt.state = SOTTO_RECEIPT_DELIVERED;
    c->u.receipt.count = 1;
    fill(c->u.receipt.ids[0], 6500, SOTTO_CONTENT_ID);
    c = content(SOTTO_CONTENT_RECEIPT);
    c->u.receipt.state = SOTTO_RECEIPT_READ;
    c->u.receipt.count = SOTTO_RECEIPT_IDS;
    FILL(c->u.receipt.ids, 6600);
    c = content(SOTTO_CONTENT_TYPING);
    c->u.typing.active = true;
    c->counter = 0;
    content(SOTTO_CONTENT_TYPING);
    c = content(SOTTO_CONTENT_RETRY);
    FILL(c->u.retry.envelope_id, 7000);
    c->member_count = 0;
    memset(c->members, 0, sizeof c->members);
    c = content(SOTTO_CONTENT_CONTACT_SYNC);
    strcpy(c->u.contact_sync.name, "+12345678");
    c->u.contact_sync.state = SOTTO_CONTACT_ACCEPTED;
    c->u.contact_sync.has_their_token = c->u.contact_sync.has_our_token = true;
    c->u.contact_sync.has_verified_key = true;
    FILL(c->u.contact_sync.their_token, 7100);
    FILL(c->u.contact_sync.our_token, 7200);
    FILL(c->u.contact_sync.verified_key, 7300);
    c = content(SOTTO_CONTENT_CONTACT_SYNC);
    strcpy(c->u.contact_sync.name, "mallory");
    c->u.contact_sync.state = SOTTO_CONTACT_BLOCKED;
    c = content(SOTTO_CONTENT_ENTRY_UPDATE);
    c->u.entry_update.entry = some(7400, SOTTO_ENTRY_BYTES);
    c = content(SOTTO_CONTENT_GRANT);
    c->has_token = true;
    FILL(c->delivery_token, 7500);
}

size_t wire_contents(const struct sotto_content **ret)
{
    if (content_count == 0) {
        text_contents();
        small_contents();
    }
    *ret = contents;
    return content_count;
}

/* ---- comparing: the views by what they show, everything else byte for byte ---- */

enum { VIEWS_MAX = SOTTO_GET_LISTS_MAX * SOTTO_LISTS_IN_FRAME };

static bool views_equal(struct sotto_bytes **a, size_t a_count, struct sotto_bytes **b,
                        size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++) {
        if (a[i]->n != b[i]->n || (a[i]->n > 0 && memcmp(a[i]->p, b[i]->p, a[i]->n) != 0))
            return false;
        a[i]->p = b[i]->p = NULL;
    }
    return true;
}

static size_t request_views(struct sotto_request *r, struct sotto_bytes **ret)
{
    size_t n = 0;

    switch (r->type) {
    case SOTTO_REQ_REGISTER:
        ret[n++] = &r->u.register_.list;
        ret[n++] = &r->u.register_.signed_prekey;
        break;
    case SOTTO_REQ_LINK:
        ret[n++] = &r->u.link.entry;
        ret[n++] = &r->u.link.signed_prekey;
        break;
    case SOTTO_REQ_PUT_LIST:
        ret[n++] = &r->u.put_list.list;
        break;
    case SOTTO_REQ_PUT_PREKEYS:
        ret[n++] = &r->u.put_prekeys.signed_prekey;
        for (size_t i = 0; i < r->u.put_prekeys.count; i++)
            ret[n++] = &r->u.put_prekeys.one_time[i];
        break;
    case SOTTO_REQ_SUBMIT:
        for (size_t i = 0; i < r->u.submit.count; i++)
            ret[n++] = &r->u.submit.parcels[i].envelope;
        break;
    default:
        break;
    }
    return n;
}

bool wire_request_equal(const struct sotto_request *a, const struct sotto_request *b)
{
    struct sotto_bytes *a_views[VIEWS_MAX], *b_views[VIEWS_MAX];
    struct sotto_request x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    x.owner = y.owner = NULL;
    return views_equal(a_views, request_views(&x, a_views), b_views, request_views(&y, b_views)) &&
           memcmp(&x, &y, sizeof x) == 0;
}

static size_t add_views(struct sotto_bytes *v, size_t count, struct sotto_bytes **ret, size_t n)
{
    for (size_t i = 0; i < count; i++)
        ret[n++] = &v[i];
    return n;
}

static size_t answer_views(struct sotto_answer *a, struct sotto_bytes **ret)
{
    size_t n = 0;

    switch (a->type) {
    case SOTTO_ANS_ERROR:
        return add_views(a->u.error.lists, a->u.error.list_count, ret, n);
    case SOTTO_ANS_LOGGED_IN:
        return add_views(a->u.logged_in.lists, a->u.logged_in.count, ret, n);
    case SOTTO_ANS_LINKS:
        for (size_t i = 0; i < a->u.links.count; i++)
            n = add_views(&a->u.links.pending[i].entry, 1, ret, n);
        return n;
    case SOTTO_ANS_LISTS:
        for (size_t i = 0; i < a->u.lists.count; i++)
            n = add_views(a->u.lists.since[i].lists, a->u.lists.since[i].count, ret, n);
        return n;
    case SOTTO_ANS_BUNDLE:
        n = add_views(&a->u.bundle.signed_prekey, 1, ret, n);
        return add_views(&a->u.bundle.one_time, 1, ret, n);
    case SOTTO_ANS_DELIVER:
        return add_views(&a->u.deliver.envelope, 1, ret, n);
    case SOTTO_ANS_EPHEMERAL:
        return add_views(&a->u.ephemeral.envelope, 1, ret, n);
    case SOTTO_ANS_LIST_CHANGED:
        return add_views(&a->u.list_changed.list, 1, ret, n);
    default:
        return 0;
    }
}

bool wire_answer_equal(const struct sotto_answer *a, const struct sotto_answer *b)
{
    struct sotto_bytes *a_views[VIEWS_MAX], *b_views[VIEWS_MAX];
    struct sotto_answer x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    x.owner = y.owner = NULL;
    return views_equal(a_views, answer_views(&x, a_views), b_views, answer_views(&y, b_views)) &&
           memcmp(&x, &y, sizeof x) == 0;
}

static size_t content_views(struct sotto_content *c, struct sotto_bytes **ret)
{
    if (c->kind == SOTTO_CONTENT_TEXT)
        return add_views(&c->u.text.text, 1, ret, 0);
    if (c->kind == SOTTO_CONTENT_ENTRY_UPDATE)
        return add_views(&c->u.entry_update.entry, 1, ret, 0);
    return 0;
}

bool wire_content_equal(const struct sotto_content *a, const struct sotto_content *b)
{
    struct sotto_bytes *a_views[1], *b_views[1];
    struct sotto_content x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    x.owner = y.owner = NULL;
    return views_equal(a_views, content_views(&x, a_views), b_views, content_views(&y, b_views)) &&
           memcmp(&x, &y, sizeof x) == 0;
}

/* ---- one form for all three ---- */

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "wire: %s\n", what);
    abort();
}

/* Drops the length and checks that it was right. */
static void unframe(struct sotto_buf *body)
{
    require(body->n >= SOTTO_FRAME_HEADER && sotto_get_u32(body->p) == body->n - SOTTO_FRAME_HEADER,
            "the frame's length is not that of its body");
    sotto_buf_consume(body, SOTTO_FRAME_HEADER);
}

static enum sotto_err request_decode(const uint8_t *data, size_t len, void **ret)
{
    struct sotto_request *r = NULL;
    enum sotto_err e = sotto_request_decode(data, len, &r);

    require((r != NULL) == (e == 0), "a result with an error");
    *ret = r;
    return e;
}

static enum sotto_err request_encode(const void *msg, struct sotto_buf *body)
{
    enum sotto_err e = sotto_request_encode(msg, body);

    if (e == 0)
        unframe(body);
    return e;
}

static void request_free(void *msg)
{
    sotto_request_free(msg);
}

static bool request_equal(const void *a, const void *b)
{
    return wire_request_equal(a, b);
}

static enum sotto_err answer_decode(const uint8_t *data, size_t len, void **ret)
{
    struct sotto_answer *a = NULL;
    enum sotto_err e = sotto_answer_decode(data, len, &a);

    require((a != NULL) == (e == 0), "a result with an error");
    *ret = a;
    return e;
}

static enum sotto_err answer_encode(const void *msg, struct sotto_buf *body)
{
    const struct sotto_answer *a = msg;
    enum sotto_err e =
        sotto_answer_encode(a, a->type == SOTTO_ANS_HELLO ? wire_relay_key() : NULL, body);

    if (e == 0)
        unframe(body);
    return e;
}

static void answer_free(void *msg)
{
    sotto_answer_free(msg);
}

static bool answer_equal(const void *a, const void *b)
{
    return wire_answer_equal(a, b);
}

static enum sotto_err content_decode(const uint8_t *data, size_t len, void **ret)
{
    struct sotto_content *c = NULL;
    enum sotto_err e = sotto_content_decode(data, len, &c);

    require((c != NULL) == (e == 0), "a result with an error");
    *ret = c;
    return e;
}

static enum sotto_err content_encode(const void *msg, struct sotto_buf *body)
{
    return sotto_content_encode(msg, body);
}

static void content_free(void *msg)
{
    sotto_content_free(msg);
}

static bool content_equal(const void *a, const void *b)
{
    return wire_content_equal(a, b);
}

const struct wire_codec wire_request_codec = {request_decode, request_encode, request_free,
                                              request_equal, SOTTO_FRAME_MAX};
const struct wire_codec wire_answer_codec = {answer_decode, answer_encode, answer_free,
                                             answer_equal, SOTTO_FRAME_MAX};
const struct wire_codec wire_content_codec = {content_decode, content_encode, content_free,
                                              content_equal, SOTTO_CONTENT_MAX};

static bool can_be_encoded(const struct wire_codec *codec, const void *msg)
{
    if (codec == &wire_answer_codec) {
        const struct sotto_answer *a = msg;

        return a->type != SOTTO_ANS_HELLO ||
               memcmp(a->u.hello.relay.id, wire_relay_key()->pub, 32) == 0;
    }
    if (codec == &wire_content_codec)
        return ((const struct sotto_content *)msg)->kind != SOTTO_CONTENT_UNKNOWN;
    return true;
}

enum sotto_err wire_check(const struct wire_codec *codec, const uint8_t *data, size_t len)
{
    struct sotto_buf first = SOTTO_BUF(SOTTO_FRAME_HEADER + SOTTO_FRAME_MAX);
    struct sotto_buf second = SOTTO_BUF(SOTTO_FRAME_HEADER + SOTTO_FRAME_MAX);
    void *msg, *again = NULL;
    enum sotto_err e = codec->decode(data, len, &msg);

    if (e != 0)
        return e;
    if (can_be_encoded(codec, msg)) {
        require(codec->encode(msg, &first) == 0, "what was accepted cannot be sent on");
        require(first.n <= codec->max, "what was encoded is too long");
        require(codec->decode(first.p, first.n, &again) == 0, "what was sent on is refused");
        require(codec->equal(msg, again), "what was sent on reads differently");
        require(codec->encode(again, &second) == 0, "the second time it cannot be sent on");
        require(first.n == second.n && memcmp(first.p, second.p, first.n) == 0,
                "the second time it is written differently");
    }
    codec->free(again);
    codec->free(msg);
    sotto_buf_free(&first);
    sotto_buf_free(&second);
    return SOTTO_OK;
}
