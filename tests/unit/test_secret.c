/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void wipe_clears(void **state)
{
    struct sotto_secret32 s;
    uint8_t b[5] = {1, 2, 3, 4, 5};

    memset(&s, 0xab, sizeof s);
    sotto_secret32_wipe(&s);
    assert_true(sotto_is_zero(&s, sizeof s));
    sotto_wipe(b + 1, 3);
    assert_memory_equal(b, "\1\0\0\0\5", 5);
    sotto_wipe(NULL, 0);
}

static void equal_and_zero(void **state)
{
    uint8_t a[33] = {0}, b[33] = {0};

    assert_true(sotto_equal(NULL, NULL, 0));
    assert_true(sotto_is_zero(NULL, 0));
    for (size_t i = 0; i < sizeof a; i++) {
        for (int bit = 0; bit < 8; bit++) {
            a[i] = (uint8_t)(1 << bit);
            assert_false(sotto_equal(a, b, sizeof a));
            assert_true(sotto_equal(a, b, i));
            assert_false(sotto_is_zero(a, sizeof a));
            assert_true(sotto_is_zero(a, i));
        }
        a[i] = 0;
    }
    assert_true(sotto_equal(a, b, sizeof a));
}

static void alloc_is_zero_and_aligned(void **state)
{
    for (size_t len = 1; len < 5000; len += 333) {
        uint8_t *p = sotto_secret_alloc(len);

        assert_non_null(p);
        assert_true(sotto_is_zero(p, len));
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        memset(p, 0xff, len);
        sotto_secret_free(p);
    }
    sotto_secret_free(NULL);
    assert_null(sotto_secret_alloc(SIZE_MAX));
}

/* Runs fn in a child; the signal that ended it, or 0. */
static int child_signal(void (*fn)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* not the sanitizer's report */
        signal(SIGBUS, SIG_DFL);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void write_past_the_end(void)
{
    volatile uint8_t *p = sotto_secret_alloc(32);

    p[32] = 1;
}

static void write_inside(void)
{
    volatile uint8_t *p = sotto_secret_alloc(32);

    p[31] = 1;
}

static void alloc_has_a_guard_page(void **state)
{
    assert_int_equal(child_signal(write_inside), 0);
    assert_int_equal(child_signal(write_past_the_end), SIGSEGV);
}

static void check_hardened(void)
{
    struct rlimit r;

    sotto_secret_harden_process();
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || getrlimit(RLIMIT_CORE, &r) != 0 ||
        r.rlim_cur != 0 || r.rlim_max != 0)
        raise(SIGUSR1);
}

static void hardened_process_leaves_no_core(void **state)
{
    assert_int_equal(child_signal(check_hardened), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wipe_clears),
        cmocka_unit_test(equal_and_zero),
        cmocka_unit_test(alloc_is_zero_and_aligned),
        cmocka_unit_test(alloc_has_a_guard_page),
        cmocka_unit_test(hardened_process_leaves_no_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
