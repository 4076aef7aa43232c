/* SPDX-License-Identifier: Apache-2.0 */
/* How sessions begin, and what keeps one from beginning. */
#include "e2ee/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "e2ee/message.h"
#include "people.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct pair p;
static uint8_t msg[SOTTO_MESSAGE_MAX], msg2[SOTTO_MESSAGE_MAX];
static size_t msg_len, msg2_len;

/* Alice has sent her first message under a one-time key, Bob has not opened it. */
static int setup(void **state)
{
    pair_start(&p, "session", true);
    return 0;
}

static int teardown(void **state)
{
    pair_end(&p);
    return 0;
}

static void first_messages_with_and_without_one_time_key(void **state)
{
    for (int one_time = 0; one_time < 2; one_time++) {
        struct sotto_message_info info;

        pair_end(&p);
        pair_start(&p, "first", one_time);
        assert_int_equal(sotto_message_peek(p.first, p.first_len, &info), 0);
        assert_true(info.has_handshake && !info.ephemeral);
        assert_int_equal(info.signed_prekey_id, 7);
        assert_int_equal(info.one_time_prekey_id, one_time ? 21 : 0);
        assert_int_equal(info.sender_generation, 1);
        assert_memory_equal(info.session_id, sotto_session_id(p.a), SOTTO_SESSION_ID);
        pair_accept(&p);
        assert_memory_equal(sotto_session_id(p.a), sotto_session_id(p.b), SOTTO_SESSION_ID);
        assert_true(sotto_session_created_ms(p.b) == PEOPLE_NOW_MS);
        pair_talk(&p);
        pair_talk(&p);
    }
}

static void handshake_repeats_until_the_first_answer(void **state)
{
    struct sotto_message_info first, info;

    assert_int_equal(sotto_message_peek(p.first, p.first_len, &first), 0);
    assert_false(sotto_session_confirmed(p.a));
    msg_len = people_say(p.env, p.a, "second", msg);
    assert_int_equal(sotto_message_peek(msg, msg_len, &info), 0);
    assert_true(info.has_handshake);
    assert_memory_equal(info.handshake_digest, first.handshake_digest, 32);
    /* any of them opens the session */
    assert_int_equal(people_respond(p.env, &p.bob, &p.alice, msg, msg_len, &p.b), 0);
    assert_false(sotto_session_confirmed(p.b));
    assert_int_equal(people_hear(p.b, msg, msg_len, "second"), 0);
    assert_true(sotto_session_confirmed(p.b));
    assert_int_equal(people_hear(p.b, p.first, p.first_len, "first"), 0);
    msg_len = people_say(p.env, p.b, "answer", msg);
    assert_int_equal(sotto_message_peek(msg, msg_len, &info), 0);
    assert_false(info.has_handshake);
    assert_int_equal(people_hear(p.a, msg, msg_len, "answer"), 0);
    assert_true(sotto_session_confirmed(p.a));
    msg_len = people_say(p.env, p.a, "third", msg);
    assert_int_equal(sotto_message_peek(msg, msg_len, &info), 0);
    assert_false(info.has_handshake);
    assert_int_equal(msg_len, 19 + 40 + 16 + 256 + 16);
    assert_int_equal(people_hear(p.b, msg, msg_len, "third"), 0);
}

static void responder_speaks_only_after_the_first_message(void **state)
{
    size_t n = 4711;

    assert_int_equal(people_respond(p.env, &p.bob, &p.alice, p.first, p.first_len, &p.b), 0);
    assert_int_equal(sotto_session_encrypt(p.env, p.b, "x", 1, msg, sizeof msg, &n),
                     SOTTO_ERR_STATE);
    assert_int_equal(n, 4711);
    assert_int_equal(people_hear(p.b, p.first, p.first_len, "first"), 0);
    pair_talk(&p);
}

/*
 * The first message once more, to a recipient who has dropped the session. Under a one-time key it
 * cannot open again, because that private key went with the first opening. Under the last-resort
 * key it would, so the digest of the handshake is what the recipient remembers.
 */
static void first_message_again(void **state)
{
    struct sotto_message_info info, again;
    struct sotto_session *s = NULL;

    pair_accept(&p);
    assert_int_equal(sotto_session_respond(p.env, &p.bob.party, &p.bob.keys.dh, &p.alice.party,
                                           p.first, p.first_len, &p.bob.signed_private, NULL,
                                           PEOPLE_NOW_MS, &s),
                     SOTTO_ERR_USAGE);
    assert_null(s);

    pair_end(&p);
    pair_start(&p, "last resort", false);
    pair_accept(&p);
    assert_int_equal(people_respond(p.env, &p.bob, &p.alice, p.first, p.first_len, &s), 0);
    assert_int_equal(people_hear(s, p.first, p.first_len, "first"), 0); /* it does open */
    sotto_session_free(s);
    assert_int_equal(sotto_message_peek(p.first, p.first_len, &info), 0);
    msg_len = people_say(p.env, p.a, "second", msg);
    assert_int_equal(sotto_message_peek(msg, msg_len, &again), 0);
    assert_memory_equal(info.handshake_digest, again.handshake_digest, 32);
    /* what an attacker may change in the header without the key does not give it a new name */
    memcpy(msg, p.first, p.first_len);
    msg[3] ^= 1;                /* session id */
    msg[19 + 3] ^= 1;           /* generation */
    msg[p.first_len - 1] ^= 1;  /* ciphertext */
    msg[19 + 1612 + 3] ^= 0x10; /* ratchet key */
    assert_int_equal(sotto_message_peek(msg, p.first_len, &again), 0);
    assert_memory_equal(info.handshake_digest, again.handshake_digest, 32);
    /* another handshake of the same two under the same keys has another name */
    assert_int_equal(people_initiate(p.env, &p.alice, &p.bob, false, &s), 0);
    msg_len = people_say(p.env, s, "new", msg);
    assert_int_equal(sotto_message_peek(msg, msg_len, &again), 0);
    assert_memory_not_equal(info.handshake_digest, again.handshake_digest, 32);
    sotto_session_free(s);
}

/* Both open a session at the same moment. Each sends on the one that the other has proved to hold,
 * and as soon as both are proved, both choose the same. */
static void both_sides_starting_at_once(void **state)
{
    struct sotto_session *a2, *b1, *chosen_a, *chosen_b;

    assert_int_equal(people_initiate(p.env, &p.bob, &p.alice, true, &b1), 0);
    msg_len = people_say(p.env, b1, "from bob", msg);
    /* the first messages cross */
    pair_accept(&p);
    assert_int_equal(people_respond(p.env, &p.alice, &p.bob, msg, msg_len, &a2), 0);
    assert_int_equal(people_hear(a2, msg, msg_len, "from bob"), 0);
    assert_true(sotto_session_prefer(a2, p.a) < 0);
    assert_true(sotto_session_prefer(p.b, b1) < 0);
    /* and the answers */
    msg_len = people_say(p.env, a2, "alice's answer", msg);
    msg2_len = people_say(p.env, p.b, "bob's answer", msg2);
    assert_int_equal(people_hear(b1, msg, msg_len, "alice's answer"), 0);
    assert_int_equal(people_hear(p.a, msg2, msg2_len, "bob's answer"), 0);
    chosen_a = sotto_session_prefer(p.a, a2) < 0 ? p.a : a2;
    chosen_b = sotto_session_prefer(p.b, b1) < 0 ? p.b : b1;
    assert_memory_equal(sotto_session_id(chosen_a), sotto_session_id(chosen_b), SOTTO_SESSION_ID);
    msg_len = people_say(p.env, chosen_a, "here", msg);
    assert_int_equal(people_hear(chosen_b, msg, msg_len, "here"), 0);
    msg_len = people_say(p.env, chosen_b, "yes, here", msg);
    assert_int_equal(people_hear(chosen_a, msg, msg_len, "yes, here"), 0);
    /* what was under way on the other one still opens */
    msg_len = people_say(p.env, chosen_a == p.a ? a2 : p.a, "late", msg);
    assert_int_equal(people_hear(chosen_b == p.b ? b1 : p.b, msg, msg_len, "late"), 0);
    sotto_session_free(a2);
    sotto_session_free(b1);
}

static void preference_is_an_order(void **state)
{
    struct sotto_session *s[4];
    struct pair q;

    pair_talk(&p);
    pair_start(&q, "other", false);
    s[0] = q.a; /* unconfirmed */
    s[1] = p.a;
    assert_true(sotto_session_prefer(s[1], s[0]) < 0 && sotto_session_prefer(s[0], s[1]) > 0);
    pair_talk(&q);
    assert_true((sotto_session_prefer(s[0], s[1]) < 0) ==
                (memcmp(sotto_session_id(s[0]), sotto_session_id(s[1]), SOTTO_SESSION_ID) < 0));
    assert_int_equal(sotto_session_prefer(s[0], s[0]), 0);
    pair_end(&q);
    /* a later generation of either side wins, whoever initiated */
    p.bob.party.generation = p.bob.device.generation = 2;
    person_prekeys(p.env, &p.bob);
    assert_int_equal(people_initiate(p.env, &p.alice, &p.bob, true, &s[2]), 0);
    msg_len = people_say(p.env, s[2], "hello, generation two", msg);
    assert_int_equal(people_respond(p.env, &p.bob, &p.alice, msg, msg_len, &s[3]), 0);
    assert_int_equal(people_hear(s[3], msg, msg_len, "hello, generation two"), 0);
    assert_int_equal(sotto_session_their_generation(s[2]), 2);
    assert_int_equal(sotto_session_our_generation(s[3]), 2);
    assert_true(sotto_session_prefer(s[3], p.b) < 0);
    msg_len = people_say(p.env, s[3], "hello", msg);
    assert_int_equal(people_hear(s[2], msg, msg_len, "hello"), 0);
    assert_true(sotto_session_prefer(s[2], p.a) < 0);
    sotto_session_free(s[2]);
    sotto_session_free(s[3]);
}

/* Bob's one-time private key is gone (a lost database, a bundle of long ago): he cannot answer that
 * handshake, and one without a one-time key opens a session all the same. */
static void lost_one_time_keys(void **state)
{
    struct sotto_session *s = NULL;
    struct person other = p.bob;

    person_update(&other);
    assert_int_equal(sotto_session_respond(p.env, &p.bob.party, &p.bob.keys.dh, &p.alice.party,
                                           p.first, p.first_len, &p.bob.signed_private, NULL,
                                           PEOPLE_NOW_MS, &s),
                     SOTTO_ERR_USAGE);
    person_prekeys(p.env, &other); /* a different key under the same number */
    assert_int_equal(sotto_session_respond(p.env, &p.bob.party, &p.bob.keys.dh, &p.alice.party,
                                           p.first, p.first_len, &p.bob.signed_private,
                                           &other.one_time_private, PEOPLE_NOW_MS, &s),
                     SOTTO_ERR_BAD_TAG);
    pair_end(&p);
    pair_start(&p, "without", false);
    pair_talk(&p);
    pair_talk(&p);
}

static void initiate_refuses(void **state)
{
    struct sotto_session *s = NULL;
    struct person q, alice = p.alice;
    const struct sotto_env *env = p.env;

#define INITIATE(us, dh, them, spk, otk, now)                                                      \
    sotto_session_initiate(env, &(us)->party, dh, &(them)->party, spk, otk, now, &s)
#define EXPECT(want, call) assert_int_equal(call, want)
    q = p.bob;
    person_update(&q);
    person_update(&alice);
    EXPECT(SOTTO_ERR_USAGE, INITIATE(&alice, &q.keys.dh, &q, &q.signed_prekey, NULL, 0));
    EXPECT(SOTTO_ERR_USAGE,
           INITIATE(&alice, &alice.keys.dh, &alice, &alice.signed_prekey, NULL, 0));
    EXPECT(SOTTO_ERR_USAGE, INITIATE(&alice, &alice.keys.dh, &q, &alice.signed_prekey, NULL, 0));
    EXPECT(SOTTO_ERR_USAGE, INITIATE(&alice, &alice.keys.dh, &q, &q.one_time, NULL, 0));
    EXPECT(SOTTO_ERR_USAGE,
           INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, &q.signed_prekey, 0));
    EXPECT(SOTTO_ERR_EXPIRED, INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, NULL,
                                       q.signed_prekey.expires_ms + 1));
    EXPECT(SOTTO_ERR_EXPIRED,
           INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, &q.one_time, UINT64_MAX));
    q.signed_prekey.bytes[SOTTO_PREKEY_BYTES - 1] ^= 1; /* wrong signature */
    EXPECT(SOTTO_ERR_BAD_SIGNATURE,
           INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, NULL, 0));
    q.signed_prekey = p.bob.signed_prekey;
    q.one_time.bytes[20] ^= 1;
    EXPECT(SOTTO_ERR_BAD_SIGNATURE,
           INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, &q.one_time, 0));
    q.one_time = p.bob.one_time;
    q.device.generation = 2; /* the list says that older ones are no longer his */
    EXPECT(SOTTO_ERR_EXPIRED, INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, NULL, 0));
    q.device.generation = 1;
    q.party.generation = 2;
    person_prekeys(env, &q);
    EXPECT(SOTTO_ERR_EXPIRED, /* the relay mixes two bundles */
           INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, &p.bob.one_time, 0));
    memset(q.device.dh_pub, 0, 32); /* low-order identity */
    EXPECT(SOTTO_ERR_BAD_KEY, INITIATE(&alice, &alice.keys.dh, &q, &q.signed_prekey, NULL, 0));
    assert_null(s);
}

/* Pre-keys that their owner signed but that are no keys. */
static void initiate_refuses_bad_keys(void **state)
{
    enum { BODY = SOTTO_PREKEY_BYTES - SOTTO_SIGNATURE, AT_DH = 25, AT_KEM = 57 };
    static const struct {
        size_t at, len;
        uint8_t fill;
    } t[] = {{AT_DH, 32, 0x00}, {AT_KEM, 3, 0xff}, {AT_KEM + 1533, 3, 0xff}};
    struct sotto_session *s = NULL;

    for (size_t i = 0; i < LEN(t); i++) {
        struct sotto_prekey k[2] = {p.bob.signed_prekey, p.bob.one_time};

        for (int which = 0; which < 2; which++) {
            struct sotto_prekey bad;

            memset(k[which].bytes + t[i].at, t[i].fill, t[i].len);
            assert_int_equal(sotto_sign(&p.bob.keys.sign, "pre-key", k[which].bytes, BODY,
                                        k[which].bytes + BODY),
                             0);
            assert_int_equal(sotto_prekey_parse(k[which].bytes, SOTTO_PREKEY_BYTES, &bad), 0);
            assert_int_equal(sotto_session_initiate(p.env, &p.alice.party, &p.alice.keys.dh,
                                                    &p.bob.party,
                                                    which == 0 ? &bad : &p.bob.signed_prekey,
                                                    which == 1 ? &bad : NULL, PEOPLE_NOW_MS, &s),
                             SOTTO_ERR_BAD_KEY);
        }
    }
    assert_null(s);
}

/* She was put back to an older copy, and has a new generation: the message was on its way. */
static void what_was_written_before_a_rollback_opens(void **state)
{
    struct sotto_session *s = NULL;
    struct person alice = p.alice;

    alice.device.generation = alice.party.generation = 2;
    person_update(&alice);
    assert_int_equal(people_respond(p.env, &p.bob, &alice, p.first, p.first_len, &s), 0);
    assert_int_equal(people_hear(s, p.first, p.first_len, "first"), 0);
    assert_int_equal(sotto_session_their_generation(s), 1);
    sotto_session_free(s);
}

static void respond_refuses(void **state)
{
    struct sotto_session *s = NULL;
    struct person alice = p.alice, bob = p.bob;

#define RESPOND(m, len, spk, otk)                                                                  \
    sotto_session_respond(p.env, &bob.party, &bob.keys.dh, &alice.party, m, len, spk, otk, 0, &s)
    person_update(&alice);
    person_update(&bob);
    memcpy(msg, p.first, p.first_len);
    EXPECT(SOTTO_ERR_TRUNCATED, RESPOND(msg, 1000, &bob.signed_private, &bob.one_time_private));
    EXPECT(SOTTO_ERR_USAGE,
           RESPOND(msg, p.first_len, &bob.one_time_private, &bob.one_time_private));
    EXPECT(SOTTO_ERR_USAGE, RESPOND(msg, p.first_len, &bob.signed_private, &bob.signed_private));
    EXPECT(SOTTO_ERR_USAGE, RESPOND(msg, p.first_len, &bob.signed_private, NULL));
    bob.signed_private.id++;
    EXPECT(SOTTO_ERR_USAGE, RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private));
    bob.signed_private.id--;
    bob.one_time_private.generation++;
    EXPECT(SOTTO_ERR_USAGE, RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private));
    bob.one_time_private.generation--;
    bob.device.generation = 2;
    EXPECT(SOTTO_ERR_EXPIRED,
           RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private));
    bob.device.generation = 1;
    memset(msg + 19 + 12, 0, 32); /* low-order EK */
    EXPECT(SOTTO_ERR_BAD_KEY,
           RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private));
    memcpy(msg, p.first, p.first_len);
    memset(alice.device.dh_pub, 0, 32); /* low-order identity */
    EXPECT(SOTTO_ERR_BAD_KEY,
           RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private));
    person_update(&alice);
    for (size_t i = 0; i < SOTTO_HANDSHAKE_BYTES; i += 13) { /* any part of the handshake */
        msg[19 + i] ^= 0x10;
        assert_int_not_equal(RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private),
                             0);
        msg[19 + i] ^= 0x10;
    }
    assert_int_equal(sotto_device_keys_generate(p.env, &alice.keys), 0);
    person_update(&alice); /* the claimed sender is not the one who made it */
    EXPECT(SOTTO_ERR_BAD_TAG,
           RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private));
    assert_null(s);
    pair_accept(&p);
    msg_len = people_say(p.env, p.b, "no handshake", msg);
    EXPECT(SOTTO_ERR_USAGE, RESPOND(msg, msg_len, &bob.signed_private, &bob.one_time_private));
}

/*
 * Mallory signs a device of his own that has Bob's X25519 identity, and pre-keys that are Bob's,
 * so that Alice, who means to write to Mallory, makes a message that only Bob could open. Passed on
 * to Bob it must not open as one that was meant for him.
 */
static void another_devices_keys_listed_as_ones_own(void **state)
{
    enum { BODY = SOTTO_PREKEY_BYTES - SOTTO_SIGNATURE };
    struct person mallory;
    struct sotto_session *to_mallory, *s = NULL;
    struct sotto_prekey k = p.bob.signed_prekey;

    person_make(p.env, "mallory", &mallory);
    mallory.keys.dh = p.bob.keys.dh; /* only the public part is used */
    person_update(&mallory);
    sotto_put_u64(k.bytes + 5, mallory.device.id);
    assert_int_equal(sotto_sign(&mallory.keys.sign, "pre-key", k.bytes, BODY, k.bytes + BODY), 0);
    assert_int_equal(sotto_prekey_parse(k.bytes, SOTTO_PREKEY_BYTES, &k), 0);
    assert_int_equal(sotto_session_initiate(p.env, &p.alice.party, &p.alice.keys.dh, &mallory.party,
                                            &k, NULL, PEOPLE_NOW_MS, &to_mallory),
                     0);
    msg_len = people_say(p.env, to_mallory, "for mallory's eyes", msg);
    assert_int_equal(people_respond(p.env, &p.bob, &p.alice, msg, msg_len, &s), SOTTO_ERR_BAD_TAG);
    assert_null(s);
    sotto_session_free(to_mallory);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(first_messages_with_and_without_one_time_key),
        TEST(handshake_repeats_until_the_first_answer),
        TEST(responder_speaks_only_after_the_first_message),
        TEST(first_message_again),
        TEST(both_sides_starting_at_once),
        TEST(preference_is_an_order),
        TEST(lost_one_time_keys),
        TEST(initiate_refuses),
        TEST(initiate_refuses_bad_keys),
        TEST(what_was_written_before_a_rollback_opens),
        TEST(respond_refuses),
        TEST(another_devices_keys_listed_as_ones_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
