/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/allowance.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORK  400u
#define BYTES 1000u
#define FULL  (WORK * BUCKET_MS / 1000)

static struct allowances all;

static int teardown(void **state)
{
    sotto_allowances_free(&all);
    return 0;
}

static struct allowance *joined(int64_t account, uint32_t used, uint64_t mono)
{
    struct allowance *own = sotto_allowance_new(WORK, BYTES, mono);

    assert_non_null(own);
    sotto_bucket_take(&own->work, used, mono);
    return sotto_allowances_join(&all, own, account, WORK, BYTES, mono);
}

static void test_one_for_all_connections(void **state)
{
    struct allowance *a = joined(7, 0, 0), *b = joined(7, 0, 0), *other = joined(8, 0, 0);

    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, other);
    assert_int_equal(all.count, 2);
    sotto_bucket_take(&a->work, FULL + WORK, 0);
    assert_int_equal(sotto_allowance_debt_ms(b, 0), 1000);
    assert_int_equal(sotto_allowance_debt_ms(other, 0), 0);
    sotto_bucket_take(&other->bytes, BYTES * BUCKET_MS / 1000 + BYTES, 0);
    assert_int_equal(sotto_allowance_debt_ms(other, 0), 1000);
    /* The same connection signs in once, whatever happens. */
    assert_ptr_equal(sotto_allowances_join(&all, a, 7, WORK, BYTES, 0), a);
    assert_int_equal(a->users, 2);
    for (int i = 0; i < 2; i++)
        sotto_allowances_leave(&all, a, 0);
    sotto_allowances_leave(&all, other, 0);
}

/* Whoever hangs up and comes again has what was left, and what coming costs is counted. */
static void test_coming_again_gives_nothing(void **state)
{
    struct allowance *a;
    uint32_t used = 0;

    for (int i = 0; i < 10; i++) {
        a = joined(7, 20, 0);
        sotto_bucket_take(&a->work, 100, 0);
        used += 120;
        assert_int_equal(sotto_allowance_debt_ms(a, 0),
                         used > FULL ? (used - FULL) * 1000 / WORK : 0);
        sotto_allowances_leave(&all, a, 0);
        sotto_allowances_sweep(&all, 0);
        assert_int_equal(all.count, 1);
    }
}

static void test_forgotten_when_full(void **state)
{
    struct allowance *a = joined(7, 0, 0), *b = joined(8, 0, 0);

    sotto_bucket_take(&a->work, 2 * WORK, 0);
    sotto_allowances_leave(&all, a, 0);
    sotto_allowances_sweep(&all, 1999);
    assert_int_equal(all.count, 2);
    sotto_allowances_sweep(&all, 2000);
    assert_int_equal(all.count, 1); /* the other one is in use */
    sotto_allowances_leave(&all, b, 2000);
    assert_int_equal(all.count, 0);
    /* One that never signed in was never in the table. */
    sotto_allowances_leave(&all, sotto_allowance_new(WORK, BYTES, 0), 0);
    sotto_allowances_leave(&all, NULL, 0);
}

static void test_many_accounts(void **state)
{
    enum { MANY = 3000 };
    struct allowance *a[MANY];

    for (int i = 0; i < MANY; i++)
        a[i] = joined(i + 1, 0, 0);
    assert_int_equal(all.count, MANY);
    assert_true(all.room >= MANY);
    for (int i = 0; i < MANY; i++) {
        assert_ptr_equal(joined(i + 1, 0, 0), a[i]);
        assert_int_equal(a[i]->account, i + 1);
    }
    for (int i = 0; i < 2 * MANY; i++)
        sotto_allowances_leave(&all, a[i % MANY], 0);
    assert_int_equal(all.count, 0);
}

/* Rates that were changed are those of whoever signs in next; debts stay, unless there is no limit
 * any more. */
static void test_other_rates(void **state)
{
    struct allowance *a = joined(7, 0, 0), *b;

    sotto_bucket_take(&a->work, FULL + WORK, 0);
    sotto_bucket_take(&a->bytes, 1000000, 0);
    b = sotto_allowances_join(&all, sotto_allowance_new(2 * WORK, 0, 0), 7, 2 * WORK, 0, 0);
    assert_ptr_equal(a, b);
    assert_int_equal(sotto_allowance_debt_ms(a, 0), 500);
    b = sotto_allowances_join(&all, sotto_allowance_new(2 * WORK, BYTES, 0), 7, 2 * WORK, BYTES, 0);
    assert_ptr_equal(a, b);
    assert_true(sotto_bucket_full(&a->bytes, 0));
    for (int i = 0; i < 3; i++)
        sotto_allowances_leave(&all, a, 0);
    assert_int_equal(all.count, 1);
    sotto_allowances_sweep(&all, 500 + BUCKET_MS);
    assert_int_equal(all.count, 0);
}

#define CASE(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_for_all_connections),
        CASE(test_coming_again_gives_nothing),
        CASE(test_forgotten_when_full),
        CASE(test_many_accounts),
        CASE(test_other_rates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
