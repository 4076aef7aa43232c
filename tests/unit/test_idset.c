/* SPDX-License-Identifier: Apache-2.0 */
/* The set of ids against one that is too simple to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/idset.h"

#define KEYS 600

static struct sotto_idset set;
static bool naive[KEYS];
static uint64_t keys[KEYS];

/* Repeatable; of no other worth. */
static uint64_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 20;
}

static void expect_same(void)
{
    size_t count = 0;

    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(sotto_idset_has(&set, keys[i]), naive[i]);
        count += naive[i];
    }
    assert_int_equal(set.count, count);
}

/* Adds and removes at random, mostly adding in one half of the time and removing in the other. */
static void battle(uint64_t seed)
{
    memset(naive, 0, sizeof naive);
    for (unsigned step = 0; step < 40000; step++) {
        size_t i = draw(&seed) % KEYS;
        bool add = draw(&seed) % 100 < (step / 5000 % 2 == 0 ? 70 : 30);

        if (add)
            assert_true(sotto_idset_add(&set, keys[i]));
        else
            sotto_idset_remove(&set, keys[i]);
        naive[i] = add;
        if (step % 97 == 0)
            expect_same();
    }
    expect_same();
    for (size_t i = 0; i < KEYS; i++) {
        sotto_idset_remove(&set, keys[i]);
        naive[i] = false;
    }
    expect_same();
    assert_int_equal(set.count, 0);
    sotto_idset_free(&set);
}

static void test_random(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t s = seed;

        for (size_t i = 0; i < KEYS; i++)
            keys[i] = sotto_idset_key((int64_t)(draw(&s) % 5), draw(&s) << 24 ^ draw(&s));
        battle(seed);
    }
}

/* All at home in a few places next to each other, also over the end of the table. */
static void test_crowded(void **state)
{
    for (size_t i = 0; i < KEYS; i++)
        keys[i] = (uint64_t)(i + 1) << 40 | (uint64_t)(0xfe + i % 3) << 8;
    battle(99);
}

/* A key is never the mark of a free place, and boxes have keys of their own. */
static void test_keys(void **state)
{
    assert_int_not_equal(sotto_idset_key(0, 0), 0);
    assert_int_not_equal(sotto_idset_key(1, 0x9e3779b97f4a7c15u), 0);
    assert_int_not_equal(sotto_idset_key(1, 5), sotto_idset_key(2, 5));
}

static void test_empty(void **state)
{
    assert_false(sotto_idset_has(&set, 1));
    sotto_idset_remove(&set, 1);
    assert_true(sotto_idset_add(&set, 1));
    assert_true(sotto_idset_add(&set, 1));
    assert_int_equal(set.count, 1);
    sotto_idset_remove(&set, 2);
    assert_true(sotto_idset_has(&set, 1));
    sotto_idset_free(&set);
    assert_false(sotto_idset_has(&set, 1));
}

/* What came and went leaves nothing behind that makes the table grow. */
static void test_does_not_grow(void **state)
{
    size_t room = 0;

    for (uint64_t i = 1; i < 100000; i++) {
        assert_true(sotto_idset_add(&set, sotto_idset_key(1, i * 0x9e3779b97f4a7c15u)));
        if (i > 100)
            sotto_idset_remove(&set, sotto_idset_key(1, (i - 100) * 0x9e3779b97f4a7c15u));
        if (i == 1000)
            room = set.room;
    }
    assert_int_equal(set.count, 100);
    assert_int_equal(set.room, room);
    sotto_idset_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),        cmocka_unit_test(test_crowded),
        cmocka_unit_test(test_keys),          cmocka_unit_test(test_empty),
        cmocka_unit_test(test_does_not_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
