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
    pair_talk(&p);
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
    pair_talk(&p);
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
    pair_talk(&p);
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
            pair_talk(&p); /* a new chain in between */
    }
    for (int i = N - 1; i >= 0; i--) {
        snprintf(t, sizeof t, "text %d", i);
        assert_int_equal(people_hear(p.b, m[i], len[i], t), 0);
    }
    for (int i = 0; i < N; i++)
        assert_int_not_equal(people_hear(p.b, m[i], len[i], ""), 0);
    pair_talk(&p);
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
    pair_talk(&p);
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
    pair_talk(&p);
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
    pair_talk(&p);
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
    pair_talk(&p);
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
        TEST(contents_of_all_sizes),
        TEST(every_changed_byte_is_refused),
        TEST(peek_limits),
        TEST(replays),
        TEST(reordering),
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
