/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "e2ee/message.h"
#include "e2ee/padding.h"
#include "e2ee/ratchet.h"
#include "people.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct pair p;
static uint8_t msg[SOTTO_MESSAGE_MAX], msg2[SOTTO_MESSAGE_MAX], text[SOTTO_MESSAGE_MAX];
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

/* An exchange both ways, so that it is seen that nothing broke. */
static void still_talking(void)
{
    msg_len = people_say(p.env, p.a, "still there?", msg);
    assert_int_equal(people_hear(p.b, msg, msg_len, "still there?"), 0);
    msg_len = people_say(p.env, p.b, "yes", msg);
    assert_int_equal(people_hear(p.a, msg, msg_len, "yes"), 0);
}

/* Opening fails with `want`, and the session is the same bytes afterwards. */
static void refused(struct sotto_session *s, const uint8_t *m, size_t len, enum sotto_err want)
{
    struct sotto_session *before = people_copy(s);
    size_t n = 4711;
    enum sotto_err e = sotto_session_decrypt(p.env, s, m, len, text, &n);

    if (e != want)
        fail_msg("%s instead of %s", sotto_err_name(e), sotto_err_name(want));
    assert_int_equal(n, 4711);
    assert_true(people_same(before, s));
    sotto_session_free(before);
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
        still_talking();
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
    still_talking();
}

static void contents_of_all_sizes(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   100,
                                   254,
                                   255,
                                   256,
                                   300,
                                   1000,
                                   4095,
                                   4096,
                                   30000,
                                   32768,
                                   40000,
                                   SOTTO_CONTENT_MAX - 1,
                                   SOTTO_CONTENT_MAX};
    static uint8_t content[SOTTO_CONTENT_MAX + 1];
    size_t n;

    pair_talk(&p);
    for (size_t i = 0; i < LEN(sizes); i++) {
        size_t room = sotto_session_room(sizes[i]);

        assert_int_equal(sotto_random(p.env, content, sizes[i]), 0);
        assert_int_equal(sotto_session_encrypt(p.env, p.a, content, sizes[i], msg, room - 1, &n),
                         SOTTO_ERR_TOO_LARGE);
        assert_int_equal(sotto_session_encrypt(p.env, p.a, content, sizes[i], msg, room, &n), 0);
        assert_true(n <= room && n <= SOTTO_MESSAGE_MAX);
        assert_int_equal(n, 19 + 40 + 16 + sotto_padme(sizes[i] + 1, SOTTO_PADDED_MIN) + 16);
        assert_int_equal(sotto_session_decrypt(p.env, p.b, msg, n, text, &n), 0);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(text, content, n);
    }
    assert_int_equal(
        sotto_session_encrypt(p.env, p.a, content, SOTTO_CONTENT_MAX + 1, msg, sizeof msg, &n),
        SOTTO_ERR_TOO_LARGE);
    /* the largest content with a handshake fits too */
    assert_true(sotto_session_room(SOTTO_CONTENT_MAX) <= SOTTO_MESSAGE_MAX);
    still_talking();
}

static void every_changed_byte_is_refused(void **state)
{
    size_t step;

    pair_accept(&p);
    for (int steady = 0; steady < 2; steady++) {
        msg_len = people_say(p.env, p.a, "whole", msg);
        step = steady ? 1 : 7;
        for (size_t i = 0; i < msg_len; i += step) {
            struct sotto_session *before = people_copy(p.b);
            size_t n;

            msg[i] ^= 1 << i % 8;
            assert_int_not_equal(sotto_session_decrypt(p.env, p.b, msg, msg_len, text, &n), 0);
            assert_true(people_same(before, p.b));
            msg[i] ^= 1 << i % 8;
            sotto_session_free(before);
        }
        for (size_t n = 0; n < msg_len; n += step) {
            size_t out;

            assert_int_not_equal(sotto_session_decrypt(p.env, p.b, msg, n, text, &out), 0);
        }
        msg[msg_len] = 0;
        refused(p.b, msg, msg_len + 1, SOTTO_ERR_BAD_TAG);
        assert_int_equal(people_hear(p.b, msg, msg_len, "whole"), 0);
        pair_talk(&p);
    }
    still_talking();
}

static void peek_limits(void **state)
{
    struct sotto_message_info info, before;
    size_t full = p.first_len;

    memset(&info, 0xee, sizeof info);
    before = info;
    memcpy(msg, p.first, full);
    for (size_t n = 0; n < 3 + 16 + SOTTO_HANDSHAKE_BYTES + 56 + 272; n++)
        assert_int_equal(sotto_message_peek(msg, n, &info), SOTTO_ERR_TRUNCATED);
    assert_int_equal(sotto_message_peek(msg, SOTTO_MESSAGE_MAX + 1, &info), SOTTO_ERR_TOO_LARGE);
    msg[0] = 2;
    assert_int_equal(sotto_message_peek(msg, full, &info), SOTTO_ERR_UNSUPPORTED);
    msg[0] = 1;
    msg[1] = 2;
    assert_int_equal(sotto_message_peek(msg, full, &info), SOTTO_ERR_UNSUPPORTED);
    msg[1] = 1;
    msg[2] = 4;
    assert_int_equal(sotto_message_peek(msg, full, &info), SOTTO_ERR_UNSUPPORTED);
    msg[2] = 3;
    assert_int_equal(sotto_message_peek(msg, full, &info), SOTTO_ERR_MALFORMED);
    assert_memory_equal(&info, &before, sizeof info);
}

static void replays(void **state)
{
    pair_accept(&p);
    refused(p.b, p.first, p.first_len, SOTTO_ERR_REPLAY);
    msg_len = people_say(p.env, p.a, "once", msg);
    assert_int_equal(people_hear(p.b, msg, msg_len, "once"), 0);
    refused(p.b, msg, msg_len, SOTTO_ERR_REPLAY);
    pair_talk(&p);
    refused(p.b, msg, msg_len, SOTTO_ERR_REPLAY); /* of the chain before */
    still_talking();
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

static void reordering(void **state)
{
    enum { N = 300 };
    static uint8_t m[N][512];
    static size_t len[N];
    char t[16];

    pair_talk(&p);
    for (int i = 0; i < N; i++) {
        snprintf(t, sizeof t, "text %d", i);
        len[i] = people_say(p.env, p.a, t, msg);
        assert_true(len[i] <= sizeof m[i]);
        memcpy(m[i], msg, len[i]);
        if (i % 40 == 20)
            still_talking(); /* a new chain in between */
    }
    for (int i = N - 1; i >= 0; i--) {
        snprintf(t, sizeof t, "text %d", i);
        assert_int_equal(people_hear(p.b, m[i], len[i], t), 0);
    }
    for (int i = 0; i < N; i++)
        assert_int_not_equal(people_hear(p.b, m[i], len[i], ""), 0);
    still_talking();
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
    still_talking();
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
    alice.device.generation = 2; /* Alice's list no longer allows generation 1 */
    EXPECT(SOTTO_ERR_EXPIRED,
           RESPOND(msg, p.first_len, &bob.signed_private, &bob.one_time_private));
    alice.device.generation = 1;
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

static void low_order_ratchet_key(void **state)
{
    static const size_t key_at = 19 + SOTTO_HANDSHAKE_BYTES;

    assert_int_equal(people_respond(p.env, &p.bob, &p.alice, p.first, p.first_len, &p.b), 0);
    memcpy(msg, p.first, p.first_len);
    for (int i = 0; i < 2; i++) {
        memset(msg + key_at, 0, 32);
        msg[key_at] = (uint8_t)i;
        refused(p.b, msg, p.first_len, SOTTO_ERR_BAD_KEY);
    }
    assert_int_equal(people_hear(p.b, p.first, p.first_len, "first"), 0);
}

/*
 * Alice's device goes back to an older copy of its profile and writes something else under the
 * same ratchet number. The 16 random bytes give each message its own key and nonce, so the two
 * ciphertexts together say nothing: with one key stream their difference would be the difference
 * of the two texts.
 */
static void restored_older_state(void **state)
{
    struct sotto_session *older;
    static uint8_t zero[300], one[300];
    uint8_t difference[256];
    size_t n;

    pair_talk(&p);
    memset(one, 0xff, sizeof one);
    older = people_copy(p.a);
    assert_int_equal(sotto_session_encrypt(p.env, p.a, zero, 100, msg, sizeof msg, &msg_len), 0);
    assert_int_equal(sotto_session_encrypt(p.env, older, one, 100, msg2, sizeof msg2, &msg2_len),
                     0);
    assert_int_equal(msg_len, msg2_len);
    assert_memory_equal(msg, msg2, 19 + 40); /* the same key of the chain, the same number */
    assert_memory_not_equal(msg + 59, msg2 + 59, 16);
    for (size_t i = 0; i < sizeof difference; i++)
        difference[i] = msg[75 + i] ^ msg2[75 + i];
    assert_memory_not_equal(difference, one, 100);
    assert_false(sotto_is_zero(difference + 101, 155)); /* the padding is equal */
    assert_int_equal(sotto_session_decrypt(p.env, p.b, msg2, msg2_len, text, &n), 0);
    assert_memory_equal(text, one, 100);
    refused(p.b, msg, msg_len, SOTTO_ERR_REPLAY);
    sotto_session_free(p.a);
    p.a = older;
    still_talking();
}

/* A thief copies Bob's whole session. Nothing that was opened before opens with it. */
static void stolen_state_opens_nothing_of_the_past(void **state)
{
    enum { N = 12 };
    static uint8_t m[N][4096];
    static size_t len[N];
    struct sotto_session *stolen;
    size_t n;

    pair_accept(&p);
    for (int i = 0; i < N; i++) {
        bool from_alice = i % 4 < 2;

        len[i] = people_say(p.env, from_alice ? p.a : p.b, "past", msg);
        assert_true(len[i] <= sizeof m[i]);
        memcpy(m[i], msg, len[i]);
        assert_int_equal(people_hear(from_alice ? p.b : p.a, m[i], len[i], "past"), 0);
    }
    for (int whose = 0; whose < 2; whose++) {
        for (int i = 0; i < N; i++) {
            stolen = people_copy(whose == 0 ? p.a : p.b);
            assert_int_not_equal(sotto_session_decrypt(p.env, stolen, m[i], len[i], text, &n), 0);
            sotto_session_free(stolen);
        }
    }
    /* That their keys are not in the record either is shown by the ratchet's own test. */
}

/* He can follow what comes next, until one round trip of messages that he only listens to. */
static void stolen_state_opens_nothing_after_a_round_trip(void **state)
{
    struct sotto_session *thief_a, *thief_b;
    size_t n;

    pair_talk(&p);
    thief_a = people_copy(p.a);
    thief_b = people_copy(p.b);
    msg_len = people_say(p.env, p.a, "read by the thief", msg);
    assert_int_equal(sotto_session_decrypt(p.env, thief_b, msg, msg_len, text, &n), 0);
    assert_int_equal(people_hear(p.b, msg, msg_len, "read by the thief"), 0);
    /* Bob answers under a new key, and Alice under a new one of hers */
    msg_len = people_say(p.env, p.b, "there", msg);
    (void)sotto_session_decrypt(p.env, thief_a, msg, msg_len, text, &n);
    assert_int_equal(people_hear(p.a, msg, msg_len, "there"), 0);
    msg_len = people_say(p.env, p.a, "and back", msg);
    (void)sotto_session_decrypt(p.env, thief_b, msg, msg_len, text, &n);
    assert_int_equal(people_hear(p.b, msg, msg_len, "and back"), 0);
    for (int i = 0; i < 6; i++) {
        struct sotto_session *from = i % 2 == 0 ? p.b : p.a, *to = i % 2 == 0 ? p.a : p.b;

        msg_len = people_say(p.env, from, "healed", msg);
        assert_int_not_equal(sotto_session_decrypt(p.env, thief_a, msg, msg_len, text, &n), 0);
        assert_int_not_equal(sotto_session_decrypt(p.env, thief_b, msg, msg_len, text, &n), 0);
        assert_int_equal(people_hear(to, msg, msg_len, "healed"), 0);
    }
    sotto_session_free(thief_a);
    sotto_session_free(thief_b);
}

static void failing_random_stops_and_changes_nothing(void **state)
{
    struct sotto_session *before, *s = NULL;
    struct people_failing f;
    unsigned n;
    size_t len = 4711;
    enum sotto_err e;

    for (n = 0;; n++) {
        people_failing_init(&f, p.env, n);
        e = people_initiate(&f.env, &p.alice, &p.bob, true, &s);
        if (e == 0)
            break;
        assert_int_equal(e, SOTTO_ERR_RANDOM);
        assert_null(s);
    }
    assert_int_equal(n, 3); /* EK, encapsulation, ratchet key */
    sotto_session_free(s);
    pair_accept(&p);
    before = people_copy(p.b);
    for (n = 0;; n++) { /* Bob's turn: salt, ratchet key */
        people_failing_init(&f, p.env, n);
        e = sotto_session_encrypt(&f.env, p.b, "x", 1, msg, sizeof msg, &len);
        if (e == 0)
            break;
        assert_int_equal(e, SOTTO_ERR_RANDOM);
        assert_true(people_same(before, p.b));
        assert_int_equal(len, 4711);
    }
    assert_int_equal(n, 2);
    people_failing_init(&f, p.env, 0);
    assert_int_equal(
        sotto_session_encrypt_ephemeral(&f.env, p.b, "x", 1, msg2, sizeof msg2, &msg2_len),
        SOTTO_ERR_RANDOM);
    assert_int_equal(people_hear(p.a, msg, len, "x"), 0);
    sotto_session_free(before);
    still_talking();
}

static void a_thousand_messages_without_heap(void **state)
{
    SOTTO_AUTO_BUF record = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);
    size_t before;

    pair_talk(&p);
    assert_int_equal(sotto_buf_reserve(&record, 4096), 0);
    before = alloc_count();
    for (int i = 0; i < 1000; i++) {
        struct sotto_session *from = i / 3 % 2 == 0 ? p.a : p.b, *to = from == p.a ? p.b : p.a;
        size_t n;

        if (sotto_session_encrypt(p.env, from, "a hundred", 9, msg, sizeof msg, &msg_len) != 0 ||
            sotto_session_decrypt(p.env, to, msg, msg_len, text, &n) != 0 || n != 9)
            fail();
        record.n = 0;
        if (sotto_session_write(to, &record) != 0)
            fail();
    }
    assert_int_equal(alloc_count(), before);
}

static void steady_record_is_small(void **state)
{
    SOTTO_AUTO_BUF record = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);

    for (int i = 0; i < 10; i++)
        pair_talk(&p);
    for (int i = 0; i < 4; i++) {
        record.n = 0;
        assert_int_equal(sotto_session_write(i % 2 == 0 ? p.a : p.b, &record), 0);
        assert_true(record.n < 400);
        if (i == 1)
            msg_len = people_say(p.env, p.b, "x", msg);
    }
    record.n = 0;
    record.cap = 100;
    assert_int_equal(sotto_session_write(p.a, &record), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(record.n, 0);
}

static void record_refuses(void **state)
{
    SOTTO_AUTO_BUF record = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);
    struct sotto_session *s = NULL;

    pair_talk(&p);
    assert_int_equal(sotto_session_write(p.a, &record), 0);
    for (size_t n = 0; n < record.n; n++)
        assert_int_equal(sotto_session_read(record.p, n, &s), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_buf_add(&record, "", 1), 0);
    assert_int_equal(sotto_session_read(record.p, record.n, &s), SOTTO_ERR_MALFORMED);
    record.n--;
    for (int i = 0; i < 2; i++) {
        record.p[i] = 2; /* version, suite */
        assert_int_equal(sotto_session_read(record.p, record.n, &s), SOTTO_ERR_UNSUPPORTED);
        record.p[i] = 1;
    }
    for (int flags = 0; flags < 256; flags++) {
        record.p[2] = (uint8_t)flags;
        if (flags == 2 || flags == 3)
            continue; /* the one who initiated, and the one who did not */
        assert_int_equal(sotto_session_read(record.p, record.n, &s), SOTTO_ERR_MALFORMED);
    }
    assert_null(s);
}

static void messages_of_another_session_or_kind(void **state)
{
    struct pair q;
    size_t n;

    pair_talk(&p);
    pair_start(&q, "elsewhere", true);
    pair_talk(&q);
    msg_len = people_say(q.env, q.a, "x", msg);
    refused(p.b, msg, msg_len, SOTTO_ERR_STATE);
    memcpy(msg + 3, sotto_session_id(p.b), SOTTO_SESSION_ID);
    refused(p.b, msg, msg_len, SOTTO_ERR_BAD_TAG);
    msg_len = people_say(p.env, p.a, "x", msg);
    assert_int_equal(sotto_session_decrypt_ephemeral(p.b, msg, msg_len, text, &n), SOTTO_ERR_STATE);
    assert_int_equal(
        sotto_session_encrypt_ephemeral(p.env, p.a, "t", 1, msg2, sizeof msg2, &msg2_len), 0);
    refused(p.b, msg2, msg2_len, SOTTO_ERR_STATE);
    pair_end(&q);
}

static void ephemeral_messages(void **state)
{
    struct sotto_session *before_a, *before_b;
    struct sotto_message_info info;
    size_t n;

    pair_talk(&p);
    before_a = people_copy(p.a);
    before_b = people_copy(p.b);
    assert_int_equal(
        sotto_session_encrypt_ephemeral(p.env, p.a, "typing", 6, msg, sizeof msg, &msg_len), 0);
    assert_int_equal(msg_len, 3 + 16 + 16 + 256 + 16);
    assert_int_equal(sotto_message_peek(msg, msg_len, &info), 0);
    assert_true(info.ephemeral && !info.has_handshake);
    assert_int_equal(sotto_session_decrypt_ephemeral(p.b, msg, msg_len, text, &n), 0);
    assert_int_equal(n, 6);
    assert_memory_equal(text, "typing", 6);
    assert_true(people_same(before_a, p.a) && people_same(before_b, p.b));
    /* each direction has its own key: sent back to Alice it does not open */
    assert_int_equal(sotto_session_decrypt_ephemeral(p.a, msg, msg_len, text, &n),
                     SOTTO_ERR_BAD_TAG);
    for (size_t i = 0; i < msg_len; i++) {
        msg[i] ^= 1 << i % 8;
        assert_int_not_equal(sotto_session_decrypt_ephemeral(p.b, msg, msg_len, text, &n), 0);
        msg[i] ^= 1 << i % 8;
    }
    assert_int_equal(
        sotto_session_encrypt_ephemeral(p.env, p.b, "typing", 6, msg2, sizeof msg2, &msg2_len), 0);
    assert_int_equal(sotto_session_decrypt_ephemeral(p.a, msg2, msg2_len, text, &n), 0);
    assert_int_equal(sotto_session_encrypt_ephemeral(p.env, p.a, msg, SOTTO_EPHEMERAL_MAX + 1, msg2,
                                                     sizeof msg2, &n),
                     SOTTO_ERR_TOO_LARGE);
    sotto_session_free(before_a);
    sotto_session_free(before_b);
}

/* Alice's session object with its message keys known to the test: what comes out is a message with
 * a right tag over `padded`. */
static void forge(const uint8_t *padded, size_t len)
{
    enum { HEAD = 3 + 16 + 32 + 8 + 4 + 4 + 64 };
    SOTTO_AUTO_BUF record = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);
    struct sotto_ratchet r;
    struct sotto_sending s;
    struct sotto_reader in;
    struct sotto_writer w;
    struct sotto_secret32 key;
    uint8_t out[44], ad[32 + 75], salt[16] = {7};

    assert_int_equal(sotto_session_write(p.a, &record), 0);
    sotto_reader_init(&in, record.p + HEAD, record.n - HEAD);
    assert_int_equal(sotto_ratchet_read(&in, &r), 0);
    assert_int_equal(sotto_ratchet_send(p.env, &r, &s), 0);
    memcpy(ad, record.p + 19, 32);
    sotto_writer_init(&w, ad + 32, sizeof ad - 32);
    sotto_message_begin(&w, 0, sotto_session_id(p.a));
    sotto_write_bytes(&w, s.ours.pub, 32);
    sotto_write_u32(&w, s.pn);
    sotto_write_u32(&w, s.n);
    sotto_write_bytes(&w, salt, 16);
    assert_int_equal(w.len, 75);
    sotto_hkdf_sha256(salt, 16, s.key.b, 32, "sotto/1 message", 16, out, sizeof out);
    memcpy(key.b, out, 32);
    memcpy(msg, ad + 32, 75);
    assert_int_equal(sotto_aead_seal(&key, out + 32, ad, sizeof ad, padded, len, msg + 75), 0);
    msg_len = 75 + len + 16;
    sotto_ratchet_clear(&r);
}

static void wrong_padding_under_a_right_tag(void **state)
{
    uint8_t padded[512] = {0};
    struct sotto_session *good;
    size_t n;

    pair_talk(&p);
    forge(padded, 256); /* no mark */
    refused(p.b, msg, msg_len, SOTTO_ERR_MALFORMED);
    padded[3] = 0x80;
    padded[200] = 1;
    forge(padded, 256);
    refused(p.b, msg, msg_len, SOTTO_ERR_MALFORMED);
    padded[200] = 0;
    forge(padded, 257); /* longer than the rule says */
    refused(p.b, msg, msg_len, SOTTO_ERR_MALFORMED);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = 0xee;
    good = people_copy(p.b);
    forge(padded, 256); /* and the forger's tool itself is right */
    assert_int_equal(sotto_session_decrypt(p.env, good, msg, msg_len, text, &n), 0);
    assert_int_equal(n, 3);
    sotto_session_free(good);
    still_talking();
}

/*
 * A random conversation from a seed: both sides write, messages are lost, repeated, turned around;
 * after every step both sessions go through their records. What opens is what was written, once.
 */
struct flight {
    bool to_bob, heard;
    char said[24];
    size_t len;
    uint8_t m[2200];
};

static unsigned dice(unsigned sides)
{
    uint32_t r;

    assert_int_equal(sotto_random(p.env, &r, sizeof r), 0);
    return r % sides;
}

static void through_the_record(struct sotto_session **s)
{
    struct sotto_session *copy = people_copy(*s);

    assert_true(people_same(copy, *s));
    sotto_session_free(*s);
    *s = copy;
}

static void deliver(struct flight *f)
{
    struct sotto_session *to = f->to_bob ? p.b : p.a;
    enum sotto_err e;

    if (f->heard) {
        e = people_hear(to, f->m, f->len, f->said);
        assert_true(e == SOTTO_ERR_REPLAY || e == SOTTO_ERR_BAD_TAG);
        return;
    }
    assert_int_equal(people_hear(to, f->m, f->len, f->said), 0);
    f->heard = true;
}

static void random_conversation(const char *seed, int steps)
{
    static struct flight air[64];
    size_t count = 0, said = 0;

    pair_end(&p);
    pair_start(&p, seed, true);
    pair_accept(&p);
    for (int i = 0; i < steps; i++) {
        unsigned what = dice(10);

        if (count < LEN(air) && what < 5) {
            struct flight *f = &air[count++];

            *f = (struct flight){.to_bob = dice(3) > 0};
            snprintf(f->said, sizeof f->said, "message %zu", said++);
            f->len = people_say(p.env, f->to_bob ? p.a : p.b, f->said, msg);
            assert_true(f->len <= sizeof f->m);
            memcpy(f->m, msg, f->len);
        } else if (count > 0 && what < 9) {
            deliver(&air[dice((unsigned)count)]); /* in any order, some more than once */
        } else if (count > 0) {
            air[dice((unsigned)count)] = air[count - 1]; /* lost, or no longer repeated */
            count--;
        }
        through_the_record(&p.a);
        through_the_record(&p.b);
    }
    still_talking();
}

static void random_conversations_through_records(void **state)
{
    char seed[16];

    for (int i = 0; i < 30; i++) {
        snprintf(seed, sizeof seed, "talk %d", i);
        random_conversation(seed, 250);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(first_messages_with_and_without_one_time_key),
        TEST(handshake_repeats_until_the_first_answer),
        TEST(responder_speaks_only_after_the_first_message),
        TEST(contents_of_all_sizes),
        TEST(every_changed_byte_is_refused),
        TEST(peek_limits),
        TEST(replays),
        TEST(first_message_again),
        TEST(reordering),
        TEST(both_sides_starting_at_once),
        TEST(preference_is_an_order),
        TEST(lost_one_time_keys),
        TEST(initiate_refuses),
        TEST(initiate_refuses_bad_keys),
        TEST(respond_refuses),
        TEST(another_devices_keys_listed_as_ones_own),
        TEST(low_order_ratchet_key),
        TEST(restored_older_state),
        TEST(stolen_state_opens_nothing_of_the_past),
        TEST(stolen_state_opens_nothing_after_a_round_trip),
        TEST(failing_random_stops_and_changes_nothing),
        TEST(a_thousand_messages_without_heap),
        TEST(steady_record_is_small),
        TEST(record_refuses),
        TEST(messages_of_another_session_or_kind),
        TEST(ephemeral_messages),
        TEST(wrong_padding_under_a_right_tag),
        TEST(random_conversations_through_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
