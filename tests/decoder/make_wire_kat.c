/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the known answers for sections 13 to 19 of docs/protocol.md as JSON (wire_kat.json):
 * frames of a sign-up, of both kinds of sign-in and of a delivery, contents, and what went into
 * them. A decoder in another language, which knows the document and nothing of this code, reads it
 * all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/opaque.h"
#include "auth/proof.h"
#include "people.h"
#include "wire/content.h"
#include "wire/invite.h"

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static struct sotto_env_fixed env;
static struct person alice, bob;
static struct sotto_sign_pair relay_key;
static struct sotto_opaque_server server;
static uint8_t exporter[SOTTO_EXPORTER], list_bytes[SOTTO_LIST_MAX];
static size_t list_len;
static struct sotto_list list;
static const char password[] = "correct horse battery staple";

static void hex(const char *name, const void *data, size_t len, const char *end)
{
    const uint8_t *p = data;

    printf("\"%s\": \"", name);
    for (size_t i = 0; i < len; i++)
        printf("%02x", p[i]);
    printf("\"%s", end);
}

static void print_request(const char *name, const struct sotto_request *r, const char *end)
{
    struct sotto_buf buf = SOTTO_BUF(SOTTO_FRAME_HEADER + SOTTO_FRAME_MAX);

    MUST(sotto_request_encode(r, &buf) == 0);
    hex(name, buf.p, buf.n, end);
    sotto_buf_free(&buf);
}

static void print_answer(const char *name, const struct sotto_answer *a, const char *end)
{
    struct sotto_buf buf = SOTTO_BUF(SOTTO_FRAME_HEADER + SOTTO_FRAME_MAX);

    MUST(sotto_answer_encode(a, &relay_key, &buf) == 0);
    hex(name, buf.p, buf.n, end);
    sotto_buf_free(&buf);
}

static void prepare(void)
{
    static const uint8_t seed[32] = "known answers of the wire";
    struct sotto_secret32 relay_seed;

    sotto_env_fixed_init(&env, seed, PEOPLE_NOW_MS);
    person_make(&env.env, "alice", &alice);
    person_make(&env.env, "+4915112345678", &bob);
    memset(relay_seed.b, 0x5a, sizeof relay_seed.b);
    sotto_sign_from_seed(&relay_seed, &relay_key);
    memcpy(alice.account.relay_id, relay_key.pub, 32);
    memcpy(bob.account.relay_id, relay_key.pub, 32);
    person_update(&alice);
    person_update(&bob);
    list.account = alice.account;
    list.version = 1;
    list.time_ms = PEOPLE_NOW_MS;
    list.count = 1;
    memcpy(list.entries[0], alice.entry, sizeof alice.entry);
    MUST(sotto_list_sign(&alice.account_key, &list, list_bytes, &list_len) == 0);
    MUST(sotto_random(&env.env, exporter, sizeof exporter) == 0);
    MUST(sotto_opaque_server_generate(&env.env, &server) == 0);
}

static void print_hello(void)
{
    struct sotto_answer a = {.type = SOTTO_ANS_HELLO};

    memcpy(a.u.hello.relay.id, relay_key.pub, 32);
    MUST(sotto_random(&env.env, a.u.hello.relay.incarnation, SOTTO_INCARNATION) == 0);
    a.u.hello.relay.pin_count = 2;
    MUST(sotto_random(&env.env, a.u.hello.relay.pins, 64) == 0);
    strcpy(a.u.hello.version, "sottod 0.1.0");
    a.u.hello.registration = SOTTO_REGISTRATION_INVITE;
    a.u.hello.time_ms = 1790000000000u;
    printf(" \"hello\": {\n  ");
    hex("relay_id", relay_key.pub, 32, ",\n  ");
    hex("incarnation", a.u.hello.relay.incarnation, SOTTO_INCARNATION, ",\n  ");
    hex("pins", a.u.hello.relay.pins, 64, ",\n  ");
    print_answer("frame", &a, "\n },\n");
}

/* The random bytes that the client's next steps will draw: sizes[0], sizes[1], ... */
static void print_draws(const char *name, const size_t *sizes, size_t count)
{
    struct sotto_env_fixed ahead = env;

    ahead.env.ctx = &ahead;
    printf("\"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        uint8_t drawn[64];

        MUST(sotto_random(&ahead.env, drawn, sizes[i]) == 0);
        printf("\"");
        for (size_t j = 0; j < sizes[i]; j++)
            printf("%02x", drawn[j]);
        printf("\"%s", i + 1 < count ? ", " : "");
    }
    printf("],\n  ");
}

static struct sotto_opaque_ids opaque_ids(uint8_t context[15 + SOTTO_EXPORTER])
{
    memcpy(context, "sotto/1 opaque", 15);
    memcpy(context + 15, exporter, SOTTO_EXPORTER);
    return (struct sotto_opaque_ids){
        {relay_key.pub, 32}, {(const uint8_t *)"alice", 5}, {context, 15 + SOTTO_EXPORTER}, NULL};
}

static void print_sign_up(uint8_t record[SOTTO_OPAQUE_REG_RECORD])
{
    const struct sotto_bytes id = {(const uint8_t *)"alice", 5};
    static const size_t draws[] = {64, 32};
    struct sotto_request q = {.id = 1, .type = SOTTO_REQ_OPAQUE_REGISTER}, r = {.id = 2};
    struct sotto_answer a = {.id = 1, .type = SOTTO_ANS_OPAQUE_REGISTERED};
    uint8_t context[15 + SOTTO_EXPORTER], export_key[64];
    struct sotto_opaque_ids ids = opaque_ids(context);
    struct sotto_opaque_client *c;

    printf(" \"sign_up\": {\n  ");
    hex("exporter", exporter, sizeof exporter, ",\n  ");
    hex("password", password, strlen(password), ",\n  ");
    print_draws("draws", draws, 2);
    strcpy(q.u.opaque_register.name, "alice");
    MUST(sotto_opaque_register_start(&env.env, password, strlen(password),
                                     q.u.opaque_register.request, &c) == 0);
    print_request("opaque_register", &q, ",\n  ");
    MUST(sotto_opaque_register_answer(&server, &id, q.u.opaque_register.request,
                                      a.u.opaque_registered.response) == 0);
    print_answer("opaque_registered", &a, ",\n  ");
    MUST(sotto_opaque_register_finish(&env.env, c, &ids, a.u.opaque_registered.response, record,
                                      export_key) == 0);
    sotto_opaque_client_free(c);
    r.type = SOTTO_REQ_REGISTER;
    strcpy(r.u.register_.name, "alice");
    r.u.register_.has_code = r.u.register_.has_certificate = true;
    memset(r.u.register_.code, 0xc0, SOTTO_INVITE_CODE);
    memset(r.u.register_.certificate, 0xce, 32);
    r.u.register_.list = (struct sotto_bytes){list_bytes, list_len};
    memcpy(r.u.register_.opaque_record, record, SOTTO_OPAQUE_REG_RECORD);
    r.u.register_.signed_prekey =
        (struct sotto_bytes){alice.signed_prekey.bytes, SOTTO_PREKEY_BYTES};
    print_request("register", &r, ",\n  ");
    hex("export_key", export_key, 64, "\n },\n");
}

static void print_login(const uint8_t record[SOTTO_OPAQUE_REG_RECORD])
{
    const struct sotto_bytes id = {(const uint8_t *)"alice", 5};
    static const size_t draws[] = {64, 32, 32};
    struct sotto_request q = {.id = 3, .type = SOTTO_REQ_OPAQUE_LOGIN};
    struct sotto_request r = {.id = 4, .type = SOTTO_REQ_OPAQUE_FINISH};
    struct sotto_answer a = {.id = 3, .type = SOTTO_ANS_OPAQUE_CHALLENGE};
    uint8_t context[15 + SOTTO_EXPORTER], session_key[64], export_key[64];
    struct sotto_opaque_ids ids = opaque_ids(context);
    struct sotto_opaque_client *c;
    struct sotto_opaque_login login;

    printf(" \"login\": {\n  ");
    print_draws("draws", draws, 3);
    strcpy(q.u.opaque_login.name, "alice");
    MUST(sotto_opaque_login_start(&env.env, password, strlen(password), q.u.opaque_login.ke1, &c) ==
         0);
    print_request("opaque_login", &q, ",\n  ");
    MUST(sotto_opaque_login_answer(&env.env, &server, &ids, &id, record, q.u.opaque_login.ke1,
                                   a.u.opaque_challenge.ke2, &login) == 0);
    print_answer("opaque_challenge", &a, ",\n  ");
    MUST(sotto_opaque_login_finish(c, &ids, a.u.opaque_challenge.ke2, r.u.opaque_finish.ke3,
                                   session_key, export_key) == 0);
    MUST(sotto_opaque_login_check(&login, r.u.opaque_finish.ke3) == 0);
    sotto_opaque_client_free(c);
    print_request("opaque_finish", &r, ",\n  ");
    hex("session_key", session_key, 64, "\n },\n");
}

static void print_sign_in(void)
{
    struct sotto_request q = {.id = 5, .type = SOTTO_REQ_SIGN_IN};
    struct sotto_request d = {.id = 6, .type = SOTTO_REQ_DELETE_ACCOUNT};
    struct sotto_request b = {.id = 7, .type = SOTTO_REQ_BEGIN, .u.begin = {(5ull << 40) | 77}};
    struct sotto_answer a = {.id = 5, .type = SOTTO_ANS_SIGNED_IN};

    strcpy(q.u.sign_in.name, "alice");
    q.u.sign_in.device = alice.device.id;
    memset(q.u.sign_in.lease, 0x1e, SOTTO_LEASE);
    MUST(sotto_proof_sign(&alice.keys.sign, exporter, relay_key.pub, "alice", alice.device.id,
                          q.u.sign_in.lease, q.u.sign_in.proof) == 0);
    MUST(sotto_delete_proof_sign(&alice.account_key, exporter, relay_key.pub, "alice",
                                 d.u.delete_account.proof) == 0);
    a.u.signed_in.has_previous = a.u.signed_in.previous_begun = true;
    memset(a.u.signed_in.previous_lease, 0x0e, SOTTO_LEASE);
    a.u.signed_in.list_version = 1;
    a.u.signed_in.one_time_left = 96;
    a.u.signed_in.acked = (5ull << 40) | 76;
    printf(" \"sign_in\": {\n  ");
    hex("device_key", alice.device.sign_pub, 32, ",\n  ");
    hex("account_key", alice.account.key, 32, ",\n  ");
    printf("\"device\": \"%016llx\",\n  ", (unsigned long long)alice.device.id);
    hex("lease", q.u.sign_in.lease, SOTTO_LEASE, ",\n  ");
    hex("previous_lease", a.u.signed_in.previous_lease, SOTTO_LEASE, ",\n  ");
    print_request("frame", &q, ",\n  ");
    print_answer("signed_in", &a, ",\n  ");
    print_request("begin", &b, ",\n  ");
    print_request("delete_account", &d, "\n },\n");
}

static void print_delivery(void)
{
    static const uint8_t one[] = "an envelope", two[] = "another envelope";
    struct sotto_request s = {.id = 8,
                              .type = SOTTO_REQ_SUBMIT,
                              .u.submit = {.list_version = 300, .has_token = true, .count = 1}};
    struct sotto_request ack = {.type = SOTTO_REQ_ACK, .u.ack = {(5ull << 40) | 78}};
    struct sotto_answer a = {.id = 8, .type = SOTTO_ANS_SUBMITTED, .u.submitted.count = 2};
    struct sotto_answer d = {.type = SOTTO_ANS_DELIVER};
    struct sotto_answer e = {.id = 9, .type = SOTTO_ANS_ERROR};

    strcpy(s.u.submit.to, "+4915112345678");
    memset(s.u.submit.token, 0x70, SOTTO_TOKEN);
    s.u.submit.parcels[0] = (struct sotto_parcel){bob.device.id, {one, sizeof one - 1}, 0};
    s.u.submit.more = true;
    printf(" \"delivery\": {\n  \"device\": \"%016llx\",\n  ", (unsigned long long)bob.device.id);
    hex("token", s.u.submit.token, SOTTO_TOKEN, ",\n  ");
    print_request("submit_1", &s, ",\n  ");
    s.u.submit.more = false;
    s.u.submit.parcels[0] = (struct sotto_parcel){1, {two, sizeof two - 1}, 4000000000};
    print_request("submit_2", &s, ",\n  ");
    a.u.submitted.results[0].device = bob.device.id;
    a.u.submitted.results[0].state = SOTTO_PARCEL_STORED;
    a.u.submitted.results[1].device = 1;
    a.u.submitted.results[1].state = SOTTO_PARCEL_GONE;
    print_answer("submitted", &a, ",\n  ");
    d.u.deliver.seq = (5ull << 40) | 78;
    d.u.deliver.envelope = (struct sotto_bytes){one, sizeof one - 1};
    d.u.deliver.request = true;
    print_answer("deliver", &d, ",\n  ");
    print_request("ack", &ack, ",\n  ");
    e.u.error.code = SOTTO_RELAY_LIST_CHANGED;
    strcpy(e.u.error.text, "the device list is another one");
    e.u.error.list_count = 1;
    e.u.error.lists[0] = (struct sotto_bytes){list_bytes, list_len};
    e.u.error.retry_ms = 1500;
    print_answer("error", &e, ",\n  ");
    hex("list", list_bytes, list_len, "\n },\n");
}

static void print_invite(void)
{
    struct sotto_invite inv = {.host = "relay.example.org", .port = 12345, .pin_count = 1};
    char link[SOTTO_INVITE_LINK_MAX], pin[SOTTO_PIN_TEXT];

    memcpy(inv.relay_id, relay_key.pub, 32);
    MUST(sotto_random(&env.env, inv.pins[0], 32) == 0);
    inv.has_code = true;
    MUST(sotto_random(&env.env, inv.code, SOTTO_INVITE_CODE) == 0);
    MUST(sotto_invite_print(&inv, link) == 0);
    sotto_pin_print(inv.pins[0], pin);
    printf(" \"invite\": {\n  \"link\": \"%s\",\n  \"pin_text\": \"%s\",\n  ", link, pin);
    hex("pin", inv.pins[0], 32, ",\n  ");
    hex("code", inv.code, SOTTO_INVITE_CODE, "\n },\n");
}

static void print_content(const char *name, const struct sotto_content *c, const char *end)
{
    struct sotto_buf buf = SOTTO_BUF(48 * 1024);

    MUST(sotto_content_encode(c, &buf) == 0);
    hex(name, buf.p, buf.n, end);
    sotto_buf_free(&buf);
}

static void print_contents(void)
{
    static const char text[] = "Gr\xc3\xbc\xc3\x9f dich\nBob \xf0\x9f\xa6\x8a";
    struct sotto_content c;

    memset(&c, 0, sizeof c);
    memset(c.id, 0x1d, sizeof c.id);
    sotto_conversation_direct(relay_key.pub, alice.account.name, bob.account.name, c.conversation);
    c.member_count = 2;
    strcpy(c.members[0], bob.account.name); /* '+' comes before letters */
    strcpy(c.members[1], alice.account.name);
    c.counter = 1;
    c.sender_list.version = 1;
    memcpy(c.sender_list.hash, list.hash, 32);
    c.recipient_list.version = 200;
    memset(c.recipient_list.hash, 0xbb, 32);
    c.sent_at_ms = PEOPLE_NOW_MS;
    c.has_token = true;
    memset(c.delivery_token, 0x70, SOTTO_TOKEN);
    printf(" \"contents\": {\n  ");
    hex("id", c.id, sizeof c.id, ",\n  ");
    hex("conversation", c.conversation, sizeof c.conversation, ",\n  ");
    hex("list_hash", list.hash, 32, ",\n  ");
    c.kind = SOTTO_CONTENT_TEXT;
    c.u.text.text = (struct sotto_bytes){(const uint8_t *)text, sizeof text - 1};
    hex("text_bytes", text, sizeof text - 1, ",\n  ");
    print_content("text", &c, ",\n  ");
    c.kind = SOTTO_CONTENT_RECEIPT;
    memset(&c.u, 0, sizeof c.u);
    c.u.receipt.state = SOTTO_RECEIPT_READ;
    c.u.receipt.count = 2;
    memset(c.u.receipt.ids[0], 0x1d, SOTTO_CONTENT_ID);
    memset(c.u.receipt.ids[1], 0x2d, SOTTO_CONTENT_ID);
    print_content("receipt", &c, ",\n  ");
    c.kind = SOTTO_CONTENT_CONTACT_SYNC;
    memset(&c.u, 0, sizeof c.u);
    strcpy(c.u.contact_sync.name, "carol");
    c.u.contact_sync.state = SOTTO_CONTACT_ACCEPTED;
    c.u.contact_sync.has_our_token = true;
    memset(c.u.contact_sync.our_token, 0x0c, SOTTO_TOKEN);
    print_content("contact", &c, ",\n  ");
    c.kind = SOTTO_CONTENT_ENTRY_UPDATE;
    memset(&c.u, 0, sizeof c.u);
    c.u.entry_update.entry = (struct sotto_bytes){alice.entry, sizeof alice.entry};
    print_content("entry", &c, "\n }\n");
}

int main(void)
{
    uint8_t record[SOTTO_OPAQUE_REG_RECORD];

    prepare();
    printf("{\n");
    print_hello();
    print_sign_up(record);
    print_login(record);
    print_sign_in();
    print_delivery();
    print_invite();
    print_contents();
    printf("}\n");
    return 0;
}
