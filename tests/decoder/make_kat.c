/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the known answers of docs/protocol.md as JSON (kat.json): what two people with keys from a
 * fixed seed sign, agree on and send each other, and the private keys of the one who opens it. A
 * decoder in another language, which knows the document and nothing of this code, opens it all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "people.h"

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The fixed source of random bytes, with a memory for those that became private keys: requests of
 * 32 bytes (X25519, of which the last one counts) and of 64 (seeds of ML-KEM keys). */
struct tape {
    struct sotto_env env;
    struct sotto_env_fixed fixed;
    uint8_t last_32[32];
    uint8_t seeds[16][64];
    size_t seed_count;
};
static struct tape tape;
static struct person alice, bob;
static uint8_t msg[SOTTO_MESSAGE_MAX], sealed[SOTTO_ENVELOPE_MAX];

static enum sotto_err tape_random(void *ctx, void *ret, size_t len)
{
    struct tape *t = ctx;

    MUST(sotto_random(&t->fixed.env, ret, len) == 0);
    if (len == sizeof t->last_32)
        memcpy(t->last_32, ret, len);
    if (len == sizeof t->seeds[0]) {
        MUST(t->seed_count < 16);
        memcpy(t->seeds[t->seed_count++], ret, len);
    }
    return SOTTO_OK;
}

static void hex(const char *name, const void *data, size_t len, const char *end)
{
    const uint8_t *p = data;

    printf("\"%s\": \"", name);
    for (size_t i = 0; i < len; i++)
        printf("%02x", p[i]);
    printf("\"%s", end);
}

static void print_person(const char *name, const struct person *p)
{
    printf(" \"%s\": {\n  \"name\": \"%s\",\n  ", name, p->account.name);
    hex("relay_id", p->account.relay_id, 32, ",\n  ");
    hex("account_seed", p->account_key.seed.b, 32, ",\n  ");
    hex("account_key", p->account.key, 32, ",\n  ");
    printf("\"device_id\": \"%016llx\",\n  ", (unsigned long long)p->device.id);
    hex("device_sign_seed", p->keys.sign.seed.b, 32, ",\n  ");
    hex("device_dh_private", p->keys.dh.priv.b, 32, ",\n  ");
    hex("device_sealing_private", p->keys.sealing.priv.b, 32, ",\n  ");
    hex("entry", p->entry, sizeof p->entry, "\n },\n");
}

/* Two lists of Alice: the second adds a device. */
static void print_lists(void)
{
    struct sotto_list l = {.account = alice.account, .version = 1, .time_ms = PEOPLE_NOW_MS};
    struct person laptop = alice;
    uint8_t bytes[SOTTO_LIST_MAX];
    size_t len;

    memcpy(l.entries[l.count++], alice.entry, SOTTO_ENTRY_BYTES);
    MUST(sotto_list_sign(&alice.account_key, &l, bytes, &len) == 0);
    printf(" \"lists\": [\n  {");
    hex("bytes", bytes, len, ", ");
    hex("hash", l.hash, 32, "},\n");

    MUST(sotto_device_keys_generate(&tape.env, &laptop.keys) == 0);
    laptop.device.capabilities = 5;
    person_update(&laptop);
    memcpy(l.entries[l.count++], laptop.entry, SOTTO_ENTRY_BYTES);
    memcpy(l.prev_hash, l.hash, 32);
    l.version = 2;
    l.time_ms += 1000;
    MUST(sotto_list_sign(&alice.account_key, &l, bytes, &len) == 0);
    printf("  {");
    hex("bytes", bytes, len, ", ");
    hex("hash", l.hash, 32, "}\n ],\n");
}

static void print_prekey(const char *name, const struct sotto_prekey *p,
                         const struct sotto_prekey_private *s, const uint8_t kem_seed[64],
                         const char *end)
{
    printf("  \"%s\": {", name);
    hex("bytes", p->bytes, sizeof p->bytes, ",\n    ");
    hex("dh_private", s->dh.priv.b, 32, ",\n    ");
    hex("kem_seed", kem_seed, 64, end);
}

/* One step of a conversation as Bob's decoder takes it: a message of either, in the order in which
 * they are opened. `turn`: Bob made a new ratchet key for it. */
struct step {
    uint8_t msg[2304];
    size_t len;
    char said[2048];
    bool by_bob, turn;
    uint8_t ratchet_private[32];
};

static struct step say(struct sotto_session *from, bool by_bob, bool turn, const char *what)
{
    struct step s = {.by_bob = by_bob, .turn = turn};

    snprintf(s.said, sizeof s.said, "%s", what);
    s.len = people_say(&tape.env, from, what, msg);
    MUST(s.len <= sizeof s.msg);
    memcpy(s.msg, msg, s.len);
    memcpy(s.ratchet_private, tape.last_32, 32);
    return s;
}

static void print_step(const struct step *s, const char *end)
{
    printf("   {\"by\": \"%s\",\n    ", s->by_bob ? "bob" : "alice");
    hex("message", s->msg, s->len, ",\n    ");
    if (s->by_bob && s->turn)
        hex("ratchet_private", s->ratchet_private, 32, ",\n    ");
    hex("content", s->said, strlen(s->said), end);
}

static void hear(struct sotto_session *to, const struct step *s)
{
    MUST(people_hear(to, s->msg, s->len, s->said) == 0);
}

static struct sotto_session *answer(const struct step *first)
{
    struct sotto_session *s;

    MUST(people_respond(&tape.env, &bob, &alice, first->msg, first->len, &s) == 0);
    return s;
}

static void print_ephemeral(const struct sotto_session *from, const char *by, const char *end)
{
    size_t len;

    MUST(sotto_session_encrypt_ephemeral(&tape.env, from, "typing", 6, msg, sizeof msg, &len) == 0);
    printf("   {\"by\": \"%s\",\n    ", by);
    hex("message", msg, len, ",\n    ");
    hex("content", "typing", 6, end);
}

/* Both directions, several turns, messages that overtake others within a chain and beyond it. */
static void print_conversation(void)
{
    struct sotto_session *a, *b;
    struct step m[14];
    char longer[1001];

    memset(longer, 'x', 1000);
    longer[1000] = 0;
    MUST(people_initiate(&tape.env, &alice, &bob, true, &a) == 0);
    m[1] = say(a, false, true, "first");
    m[0] = say(a, false, false, "second, which overtakes the first");
    m[7] = say(a, false, false, "third, which comes when its chain is long over");
    b = answer(&m[0]);
    hear(b, &m[0]);
    hear(b, &m[1]);
    m[2] = say(b, true, true, "answer");
    m[3] = say(b, true, false, "");
    hear(a, &m[2]);
    hear(a, &m[3]);
    m[5] = say(a, false, true, "a new chain");
    m[4] = say(a, false, false, "and its second message");
    hear(b, &m[4]);
    hear(b, &m[5]);
    m[6] = say(b, true, true, "another turn");
    hear(b, &m[7]);
    hear(a, &m[6]);
    m[8] = say(a, false, true, longer);
    hear(b, &m[8]);
    m[9] = say(b, true, true, "\xc3\xa4\xf0\x9f\x90\x8c");
    printf(" \"conversation\": {\n  \"one_time\": true,\n  \"steps\": [\n");
    for (int i = 0; i < 10; i++)
        print_step(&m[i], i < 9 ? "},\n" : "}\n  ],\n");
    printf("  \"ephemeral\": [\n");
    print_ephemeral(a, "alice", "},\n");
    print_ephemeral(b, "bob", "}\n  ]\n },\n");
    sotto_session_free(a);
    sotto_session_free(b);
}

/* A handshake under the last-resort key, and its message in an envelope. */
static void print_sealed(void)
{
    struct sotto_session *a, *b;
    struct step s;
    size_t len;

    MUST(people_initiate(&tape.env, &alice, &bob, false, &a) == 0);
    s = say(a, false, true, "without a one-time key");
    b = answer(&s);
    hear(b, &s);
    MUST(sotto_envelope_seal(&tape.env, &bob.account, &bob.device, alice.account.name,
                             alice.device.id, SOTTO_ENVELOPE_MESSAGE, s.msg, s.len, sealed,
                             sizeof sealed, &len) == 0);
    printf(" \"sealed\": {\n  ");
    hex("envelope", sealed, len, ",\n  ");
    hex("content", s.said, strlen(s.said), "\n },\n");
    sotto_session_free(a);
    sotto_session_free(b);
}

int main(void)
{
    static const uint8_t seed[32] = "sotto known answers, version 1";
    char number[SOTTO_SAFETY_NUMBER], code[SOTTO_LINK_CODE + 1];

    sotto_env_fixed_init(&tape.fixed, seed, PEOPLE_NOW_MS);
    tape.env = (struct sotto_env){.ctx = &tape, .random = tape_random};
    person_make(&tape.env, "alice", &alice);
    person_make(&tape.env, "+4915112345678", &bob);
    MUST(tape.seed_count == 4); /* alice's two pre-keys, bob's two */
    printf("{\n");
    print_person("alice", &alice);
    print_person("bob", &bob);
    print_lists();
    printf(" \"prekeys\": {\n");
    print_prekey("signed", &bob.signed_prekey, &bob.signed_private, tape.seeds[2], "},\n");
    print_prekey("one_time", &bob.one_time, &bob.one_time_private, tape.seeds[3], "}\n },\n");
    print_conversation();
    print_sealed();
    sotto_safety_number(&alice.account, &bob.account, number);
    MUST(sotto_link_code(&alice.account, alice.entry, code) == 0);
    printf(" \"safety_number\": \"%s\",\n \"link_code\": \"%s\"\n}\n", number, code);
    return fflush(stdout) == 0 ? 0 : 1;
}
