/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/ratchet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "people.h"

/* What travels of a message, and the key that the receiver has to come to. */
struct wire {
    uint8_t pub[32];
    uint32_t pn, n;
    struct sotto_secret32 key;
};

static struct sotto_env_fixed fixed;
static struct sotto_ratchet a, b;
static struct wire *w; /* room for the longest chain */

static int setup(void **state)
{
    struct sotto_secret32 root;
    struct sotto_dh_pair spk;

    sotto_env_fixed_init(&fixed, (const uint8_t[32]){"ratchet"}, 0);
    memset(&root, 0x33, sizeof root);
    w = calloc(SOTTO_JUMP_MAX + 10, sizeof *w);
    return w == NULL || sotto_dh_generate(&fixed.env, &spk) != 0 ||
           sotto_ratchet_start(&fixed.env, &root, spk.pub, &a) != 0 ||
           (sotto_ratchet_wait(&root, &spk, &b), 0);
}

static int teardown(void **state)
{
    sotto_ratchet_clear(&a);
    sotto_ratchet_clear(&b);
    free(w);
    return 0;
}

static struct wire out(struct sotto_ratchet *r)
{
    struct sotto_sending s;
    struct wire m;

    assert_int_equal(sotto_ratchet_send(&fixed.env, r, &s), 0);
    memcpy(m.pub, s.ours.pub, 32);
    m.pn = s.pn;
    m.n = s.n;
    m.key = s.key;
    sotto_ratchet_sent(r, &s);
    return m;
}

static struct sotto_buf record_of(const struct sotto_ratchet *r)
{
    struct sotto_buf buf = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);

    assert_int_equal(sotto_ratchet_write(r, &buf), 0);
    return buf;
}

static bool same(const struct sotto_buf *x, const struct sotto_buf *y)
{
    return x->n == y->n && memcmp(x->p, y->p, x->n) == 0;
}

/* Receives; whatever is refused must leave the record as it was. */
static enum sotto_err in(struct sotto_ratchet *r, const struct wire *m)
{
    SOTTO_AUTO_BUF before = record_of(r), after = {0};
    struct sotto_receiving step = {0};
    enum sotto_err e = sotto_ratchet_receive(r, m->pub, m->pn, m->n, &step);

    after = record_of(r);
    assert_true(same(&before, &after)); /* also when it is right, until it is taken over */
    if (e == 0 && memcmp(step.key.b, m->key.b, 32) != 0)
        e = SOTTO_ERR_BAD_TAG; /* what the cipher would say */
    if (e == 0)
        e = sotto_ratchet_received(r, &step);
    sotto_receiving_wipe(&step);
    return e;
}

static void turn(struct sotto_ratchet *from, struct sotto_ratchet *to)
{
    struct wire m = out(from);

    assert_int_equal(in(to, &m), 0);
}

static void turns_and_lazy_keys(void **state)
{
    struct sotto_sending s;
    uint8_t pub[32];

    assert_int_equal(a.phase, SOTTO_RATCHET_FIRST);
    assert_int_equal(b.phase, SOTTO_RATCHET_WAIT);
    assert_int_equal(sotto_ratchet_send(&fixed.env, &b, &s), SOTTO_ERR_STATE);
    turn(&a, &b);
    turn(&a, &b);
    for (int i = 0; i < 20; i++) {
        struct sotto_ratchet *from = i % 2 == 0 ? &b : &a, *to = i % 2 == 0 ? &a : &b;

        /* between receiving and sending there is no private key at all */
        assert_int_equal(from->phase, SOTTO_RATCHET_TURN);
        assert_true(sotto_is_zero(&from->ours, sizeof from->ours));
        assert_true(sotto_is_zero(&from->send, sizeof from->send));
        memcpy(pub, to->ours.pub, 32);
        turn(from, to);
        assert_int_equal(from->phase, SOTTO_RATCHET_BOTH);
        turn(from, to);
        turn(from, to);
    }
    assert_int_equal(a.skipped_room + b.skipped_room, 0);
}

static void shuffle(struct wire *m, size_t n)
{
    uint32_t r;

    for (size_t i = n; i > 1; i--) {
        struct wire t = m[i - 1];

        assert_int_equal(sotto_random(&fixed.env, &r, sizeof r), 0);
        m[i - 1] = m[r % i];
        m[r % i] = t;
    }
}

static void reordering_up_to_the_limit(void **state)
{
    for (int i = 0; i <= SOTTO_SKIPPED_MAX; i++)
        w[i] = out(&a);
    assert_int_equal(in(&b, &w[SOTTO_SKIPPED_MAX]), 0); /* the last one first */
    assert_int_equal(b.skipped_count, SOTTO_SKIPPED_MAX);
    shuffle(w, SOTTO_SKIPPED_MAX);
    for (int i = 0; i < SOTTO_SKIPPED_MAX; i++)
        assert_int_equal(in(&b, &w[i]), 0);
    assert_int_equal(b.skipped_count, 0);
    assert_true(sotto_is_zero(b.skipped, b.skipped_room * sizeof *b.skipped));
    turn(&b, &a);
}

static void reordering_beyond_the_limit(void **state)
{
    for (int i = 0; i <= SOTTO_SKIPPED_MAX + 1; i++)
        w[i] = out(&a);
    assert_int_equal(in(&b, &w[SOTTO_SKIPPED_MAX + 1]), 0); /* 1,001 passed over */
    assert_int_equal(b.skipped_count, SOTTO_SKIPPED_MAX);
    assert_int_equal(in(&b, &w[0]), SOTTO_ERR_TOO_FAR); /* said as it is: not a duplicate */
    for (int i = 1; i <= SOTTO_SKIPPED_MAX; i++) {
        assert_int_equal(in(&b, &w[i]), 0);
        assert_int_equal(in(&b, &w[i]), SOTTO_ERR_REPLAY);
    }
    assert_int_equal(in(&b, &w[SOTTO_SKIPPED_MAX + 1]), SOTTO_ERR_REPLAY);
    turn(&b, &a);
}

static void jump_up_to_the_limit_and_beyond(void **state)
{
    for (int i = 0; i <= SOTTO_JUMP_MAX + 1; i++)
        w[i] = out(&a);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX + 1]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX]), 0);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX + 1]), 0);
    assert_int_equal(b.skipped_count, SOTTO_SKIPPED_MAX);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX - SOTTO_SKIPPED_MAX - 1]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX - SOTTO_SKIPPED_MAX]), 0);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX - 1]), 0);
    /* and on from there */
    turn(&b, &a);
    turn(&a, &b);
}

/* The same limits for what the chain before left open, told by PN. */
static void jump_over_the_end_of_a_chain(void **state)
{
    struct wire m;

    w[0] = out(&a);
    assert_int_equal(in(&b, &w[0]), 0);
    for (int i = 1; i <= SOTTO_JUMP_MAX; i++)
        w[i] = out(&a);
    turn(&b, &a); /* from a state that has not seen those */
    m = out(&a);
    assert_int_equal(m.pn, SOTTO_JUMP_MAX + 1);
    assert_int_equal(m.n, 0);
    m.pn++;
    assert_int_equal(in(&b, &m), SOTTO_ERR_TOO_FAR);
    m.pn--;
    assert_int_equal(in(&b, &m), 0);
    assert_int_equal(b.skipped_count, SOTTO_SKIPPED_MAX);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX]), 0);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX]), SOTTO_ERR_REPLAY);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX - SOTTO_SKIPPED_MAX + 1]), 0);
    assert_int_equal(in(&b, &w[SOTTO_JUMP_MAX - SOTTO_SKIPPED_MAX]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &w[0]), SOTTO_ERR_TOO_FAR); /* below the floor: not known any more */
}

/* Old chains lose their keys to newer ones in the order in which they were passed over, and what
 * lost its key is called too old, not a duplicate. */
static void oldest_keys_go_first(void **state)
{
    struct wire first[5], second[5], m;

    for (int i = 0; i < 5; i++)
        first[i] = out(&a);
    assert_int_equal(in(&b, &first[4]), 0); /* open: first[0..3] */
    turn(&b, &a);
    for (int i = 0; i < 5; i++)
        second[i] = out(&a);
    assert_int_equal(in(&b, &second[4]), 0); /* open: first[0..3], second[0..3] */
    assert_int_equal(b.skipped_count, 8);
    turn(&b, &a);
    for (int i = 0; i <= 994; i++)
        w[i] = out(&a);
    assert_int_equal(in(&b, &w[994]), 0); /* two too many: first[0], first[1] go */
    assert_int_equal(b.skipped_count, SOTTO_SKIPPED_MAX);
    assert_int_equal(in(&b, &first[0]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &first[1]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &first[2]), 0);
    assert_int_equal(in(&b, &first[2]), SOTTO_ERR_REPLAY);
    assert_int_equal(in(&b, &first[4]), SOTTO_ERR_REPLAY);
    assert_int_equal(in(&b, &second[0]), 0);
    assert_int_equal(b.skipped_count, 998);
    /* a chain whose gap alone fills the room pushes out everything else */
    turn(&b, &a);
    for (int i = 0; i < 1200; i++)
        m = out(&a);
    assert_int_equal(in(&b, &m), 0);
    assert_int_equal(b.skipped_count, SOTTO_SKIPPED_MAX);
    assert_int_equal(in(&b, &first[3]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &second[3]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &w[993]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(in(&b, &w[994]), SOTTO_ERR_REPLAY);
}

/* One message that leaves two gaps, together beyond the limit: the newer chain's is kept whole. */
static void two_gaps_at_once(void **state)
{
    struct wire m;

    for (int i = 0; i < 900; i++)
        w[i] = out(&a);
    turn(&a, &b); /* passes over 0..899 */
    assert_int_equal(b.skipped_count, 900);
    for (int i = 900; i < 1700; i++)
        w[i] = out(&a);
    turn(&b, &a);
    for (int i = 0; i < 600; i++)
        w[1700 + i] = out(&a);
    m = out(&a); /* open at once: 800 of the old chain, 600 of the new one */
    assert_int_equal(in(&b, &m), 0);
    assert_int_equal(b.skipped_count, SOTTO_SKIPPED_MAX);
    for (int i = 0; i < 600; i++)
        assert_int_equal(in(&b, &w[1700 + i]), 0);
    for (int i = 1300; i < 1700; i++)
        assert_int_equal(in(&b, &w[i]), 0);
    for (int i = 0; i < 1300; i++)
        assert_int_equal(in(&b, &w[i]), SOTTO_ERR_TOO_FAR);
    assert_int_equal(b.skipped_count, 0);
}

static void duplicates_are_known_for_three_chains(void **state)
{
    struct wire m[6], never;

    for (int i = 0; i < 6; i++) {
        m[i] = out(&a);
        assert_int_equal(in(&b, &m[i]), 0);
        assert_int_equal(in(&b, &m[i]), SOTTO_ERR_REPLAY);
        turn(&b, &a);
    }
    turn(&a, &b);
    for (int i = 3; i < 6; i++)
        assert_int_equal(in(&b, &m[i]), SOTTO_ERR_REPLAY);
    never = m[5];
    never.n = 1; /* the chain had one message */
    assert_int_equal(in(&b, &never), SOTTO_ERR_BAD_TAG);
    for (int i = 0; i < 3; i++)
        assert_int_equal(in(&b, &m[i]), SOTTO_ERR_BAD_TAG);
}

static void low_order_ratchet_key(void **state)
{
    struct wire m = out(&a);

    for (int i = 0; i < 2; i++) {
        memset(m.pub, 0, 32);
        m.pub[0] = (uint8_t)i;
        assert_int_equal(in(&b, &m), SOTTO_ERR_BAD_KEY);
    }
}

static void unknown_key_out_of_turn(void **state)
{
    struct sotto_receiving step = {0};
    struct wire m;

    turn(&a, &b);
    m = out(&a);
    m.pub[0] ^= 1;
    /* b has not answered, so no new key can come: refused before anything is computed */
    assert_int_equal(sotto_ratchet_receive(&b, m.pub, m.pn, m.n, &step), SOTTO_ERR_BAD_TAG);
    turn(&b, &a);
    assert_int_equal(in(&b, &m), SOTTO_ERR_BAD_TAG); /* by the cipher */
    m = out(&a);
    assert_int_equal(in(&a, &m), SOTTO_ERR_BAD_TAG); /* one's own message sent back */
}

static void number_limits(void **state)
{
    struct sotto_sending s;
    struct wire m = out(&a);

    m.n = UINT32_MAX;
    assert_int_equal(in(&b, &m), SOTTO_ERR_MALFORMED);
    m.n = UINT32_MAX - 1;
    assert_int_equal(in(&b, &m), SOTTO_ERR_TOO_FAR);
    a.ns = UINT32_MAX;
    assert_int_equal(sotto_ratchet_send(&fixed.env, &a, &s), SOTTO_ERR_STATE);
}

static void failing_random_leaves_the_state(void **state)
{
    SOTTO_AUTO_BUF before = {0}, after = {0};
    struct sotto_sending s;
    struct sotto_ratchet r;
    struct sotto_secret32 root = {{1}};

    turn(&a, &b);
    before = record_of(&b);
    fixed.fail_random = 1;
    assert_int_equal(sotto_ratchet_send(&fixed.env, &b, &s), SOTTO_ERR_RANDOM);
    assert_int_equal(sotto_ratchet_start(&fixed.env, &root, a.ours.pub, &r), SOTTO_ERR_RANDOM);
    fixed.fail_random = 0;
    after = record_of(&b);
    assert_true(same(&before, &after));
    turn(&b, &a);
}

/* A peer that went back to an older copy of itself says a PN below what was received. */
static void peer_that_went_back(void **state)
{
    struct wire m, answer;
    struct sotto_ratchet old;

    turn(&a, &b);
    turn(&b, &a);
    turn(&a, &b); /* a: BOTH */
    old = a;
    turn(&a, &b);
    turn(&a, &b);
    answer = out(&b);
    a = old;
    assert_int_equal(in(&a, &answer), 0);
    m = out(&a);
    assert_int_equal(m.pn, 1); /* b has had three */
    assert_int_equal(in(&b, &m), 0);
    turn(&b, &a);
}

/* No key that is ever derived in a long conversation equals another: chain, root, message, and the
 * cipher keys under the salt of each message. */
struct keys {
    struct sotto_secret32 *k;
    size_t n, room;
};

static void collect(struct keys *keys, const struct sotto_secret32 *k)
{
    assert_true(keys->n < keys->room);
    keys->k[keys->n++] = *k;
}

static int compare(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct sotto_secret32));
}

static void collect_state(struct keys *keys, const struct sotto_ratchet *r)
{
    collect(keys, &r->root);
    if (r->phase == SOTTO_RATCHET_FIRST || r->phase == SOTTO_RATCHET_BOTH) {
        collect(keys, &r->send);
        collect(keys, &r->ours.priv);
    }
}

static void collect_message(struct keys *keys, const struct wire *m)
{
    uint8_t salt[16], out44[44];
    struct sotto_secret32 k;

    assert_int_equal(sotto_random(&fixed.env, salt, sizeof salt), 0);
    sotto_hkdf_sha256(salt, sizeof salt, m->key.b, 32, "sotto/1 message", 16, out44, 44);
    memcpy(k.b, out44, 32);
    collect(keys, &m->key);
    collect(keys, &k);
}

static void no_derived_key_equals_another(void **state)
{
    struct keys keys = {.room = 20000};
    uint8_t r[2];

    keys.k = calloc(keys.room, sizeof *keys.k);
    assert_non_null(keys.k);
    collect_state(&keys, &a);
    for (int i = 0; i < 2000; i++) {
        struct sotto_ratchet *from = &a, *to = &b;
        bool step;
        struct wire m;

        assert_int_equal(sotto_random(&fixed.env, r, sizeof r), 0);
        if (b.phase != SOTTO_RATCHET_WAIT && r[0] % 2 == 0) {
            from = &b;
            to = &a;
        }
        step = from->phase == SOTTO_RATCHET_TURN;
        m = out(from);
        collect_message(&keys, &m);
        collect(&keys, &from->send);
        if (step) { /* the other end comes to the same root key, so it is collected here only */
            collect(&keys, &from->root);
            collect(&keys, &from->ours.priv);
        }
        assert_int_equal(in(to, &m), 0);
    }
    qsort(keys.k, keys.n, sizeof *keys.k, compare);
    for (size_t i = 1; i < keys.n; i++)
        assert_int_not_equal(compare(&keys.k[i - 1], &keys.k[i]), 0);
    assert_true(keys.n > 6000);
    free(keys.k);
}

/* What a thief of the record finds: no key of a message that was opened, no chain key before them,
 * no private key that was left behind; nor is any of them one derivation away. */
static void record_holds_nothing_of_the_past(void **state)
{
    SOTTO_AUTO_BUF record = {0};
    struct keys past = {.room = 2000};
    struct sotto_secret32 k;

    past.k = calloc(past.room, sizeof *past.k);
    assert_non_null(past.k);
    for (int i = 0; i < 200; i++) {
        struct sotto_ratchet *from = i / 4 % 2 == 0 ? &a : &b, *to = from == &a ? &b : &a;
        struct wire m;

        if (from->phase == SOTTO_RATCHET_BOTH || from->phase == SOTTO_RATCHET_FIRST)
            collect(&past, &from->send);
        collect(&past, &from->root);
        m = out(from);
        collect(&past, &m.key);
        if (m.n == 3)
            collect(&past, &from->ours.priv); /* it will have been answered */
        if (i % 4 == 2)
            w[i] = m; /* comes late */
        else
            assert_int_equal(in(to, &m), 0);
        if (i % 4 == 3)
            assert_int_equal(in(to, &w[i - 1]), 0);
    }
    turn(&a, &b);
    turn(&b, &a);
    for (int whose = 0; whose < 2; whose++) {
        record = record_of(whose == 0 ? &a : &b);
        for (size_t at = 0; at + 32 <= record.n; at++) {
            for (uint8_t step = 0; step < 3; step++) {
                memcpy(k.b, record.p + at, 32);
                if (step > 0)
                    sotto_hmac_sha256(record.p + at, 32, &step, 1, k.b);
                for (size_t i = 0; i < past.n; i++)
                    assert_memory_not_equal(k.b, past.k[i].b, 32);
            }
        }
        sotto_buf_free(&record);
    }
    free(past.k);
}

static void record_round_trip_and_limits(void **state)
{
    SOTTO_AUTO_BUF bytes = {0}, again = {0};
    struct sotto_ratchet r;
    struct sotto_reader reader;

    for (int i = 0; i < 30; i++)
        w[i] = out(&a);
    assert_int_equal(in(&b, &w[9]), 0);
    turn(&b, &a);
    for (int i = 30; i < 40; i++)
        w[i] = out(&a);
    assert_int_equal(in(&b, &w[35]), 0);
    turn(&b, &a);
    bytes = record_of(&b);
    sotto_reader_init(&reader, bytes.p, bytes.n);
    assert_int_equal(sotto_ratchet_read(&reader, &r), 0);
    assert_int_equal(sotto_read_done(&reader), 0);
    again = record_of(&r);
    assert_true(same(&bytes, &again));
    for (int i = 36; i < 40; i++)
        assert_int_equal(in(&r, &w[i]), 0);
    for (int i = 0; i < 9; i++)
        assert_int_equal(in(&r, &w[i]), 0);
    sotto_ratchet_clear(&r);
    for (size_t n = 0; n < bytes.n; n++) {
        sotto_reader_init(&reader, bytes.p, n);
        assert_int_equal(sotto_ratchet_read(&reader, &r), SOTTO_ERR_TRUNCATED);
        assert_int_equal(sotto_reader_left(&reader), n);
    }
}

static void record_refuses(void **state)
{
    /* offsets in the record of b in BOTH: phase 1, root 32, ours 64, send 32, ns 4, pn 4, theirs
     * 32, recv 32, nr 4, floor 4, ended 1, 3 x (tag 8, end 4, floor 4), skipped 2, theirs 32, run 2
     */
    enum { FLOOR = 1 + 32 + 64 + 32 + 8 + 64 + 4, ENDED = FLOOR + 4, END_FLOOR = ENDED + 1 + 12 };
    enum { SKIPPED = ENDED + 1 + 16, RUN = SKIPPED + 2 + 32, SECOND_N = RUN + 2 + 36 };
    const struct {
        size_t at;
        uint32_t value;
        int bytes;
    } t[] = {
        {0, 0, 1},          {0, 5, 1},
        {FLOOR, 1000, 4},   {ENDED, SOTTO_ENDED_MAX + 1, 1},
        {END_FLOOR, 99, 4}, {SKIPPED, SOTTO_SKIPPED_MAX + 1, 2},
        {SKIPPED, 1, 2}, /* fewer than the run */
        {RUN, 0, 2},        {RUN, 4, 2},
        {SECOND_N, 0, 4}, /* not rising */
    };
    SOTTO_AUTO_BUF good = {0};
    struct sotto_reader reader;
    struct sotto_ratchet r;

    turn(&a, &b);
    turn(&b, &a);
    for (int i = 0; i < 4; i++)
        w[i] = out(&a);
    assert_int_equal(in(&b, &w[3]), 0);
    turn(&b, &a);
    good = record_of(&b);
    assert_int_equal(good.n, RUN + 2 + 3 * 36);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        uint8_t bad[512];

        memcpy(bad, good.p, good.n);
        if (t[i].bytes == 1)
            bad[t[i].at] = (uint8_t)t[i].value;
        else if (t[i].bytes == 2)
            sotto_put_u16(bad + t[i].at, (uint16_t)t[i].value);
        else
            sotto_put_u32(bad + t[i].at, t[i].value);
        sotto_reader_init(&reader, bad, good.n);
        if (sotto_ratchet_read(&reader, &r) != SOTTO_ERR_MALFORMED)
            fail_msg("case %zu was accepted", i);
    }
    /* two runs of one chain: not what is written */
    {
        uint8_t bad[512];

        memcpy(bad, good.p, good.n);
        sotto_put_u16(bad + RUN, 1);
        memmove(bad + SECOND_N + 34, bad + SECOND_N, good.n - SECOND_N);
        memcpy(bad + SECOND_N, bad + SKIPPED + 2, 32);
        sotto_put_u16(bad + SECOND_N + 32, 2);
        sotto_reader_init(&reader, bad, good.n + 34);
        assert_int_equal(sotto_ratchet_read(&reader, &r), SOTTO_ERR_MALFORMED);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(turns_and_lazy_keys),
        TEST(reordering_up_to_the_limit),
        TEST(reordering_beyond_the_limit),
        TEST(jump_up_to_the_limit_and_beyond),
        TEST(jump_over_the_end_of_a_chain),
        TEST(oldest_keys_go_first),
        TEST(two_gaps_at_once),
        TEST(duplicates_are_known_for_three_chains),
        TEST(low_order_ratchet_key),
        TEST(unknown_key_out_of_turn),
        TEST(number_limits),
        TEST(failing_random_leaves_the_state),
        TEST(peer_that_went_back),
        TEST(no_derived_key_equals_another),
        TEST(record_holds_nothing_of_the_past),
        TEST(record_round_trip_and_limits),
        TEST(record_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
