/* SPDX-License-Identifier: Apache-2.0 */
#include "base/env.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/secret.h"

/*
 * Takes the place of the C library's getrandom() in this program, so that the system's generator
 * can be made to fail, to be interrupted and to answer in parts.
 */
static _Thread_local struct {
    int fail_errno;      /* non-zero: fails so */
    int interrupt;       /* so many EINTR first */
    size_t at_most;      /* non-zero: gives so many bytes a call */
    size_t fail_after;   /* non-zero: fails once so many bytes were given */
    size_t given, calls; /* counted */
} gen;

__attribute__((visibility("default"))) ssize_t getrandom(void *buf, size_t len, unsigned flags);
ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
    ssize_t n;

    gen.calls++;
    if (gen.interrupt > 0) {
        gen.interrupt--;
        errno = EINTR;
        return -1;
    }
    if (gen.fail_errno != 0 || (gen.fail_after != 0 && gen.given >= gen.fail_after)) {
        errno = gen.fail_errno ? gen.fail_errno : EIO;
        return -1;
    }
    if (gen.at_most != 0 && len > gen.at_most)
        len = gen.at_most;
    n = syscall(SYS_getrandom, buf, len, flags);
    if (n > 0)
        gen.given += (size_t)n;
    return n;
}

static int gen_reset(void **state)
{
    memset(&gen, 0, sizeof gen);
    return 0;
}

static void *fresh_thread(void *fn)
{
    ((void (*)(void))fn)();
    return NULL;
}

/* A new thread has an empty pool. */
static void in_fresh_thread(void (*fn)(void))
{
    pthread_t t;

    assert_int_equal(pthread_create(&t, NULL, fresh_thread, (void *)fn), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
}

/* Rough by intent: a pool that hands out a byte twice or a stuck one shows here. */
static void random_bytes_do_not_repeat(void **state)
{
    static uint8_t seen[20000][16];

    for (size_t i = 0; i < 20000; i++) {
        assert_int_equal(sotto_random(sotto_env_system(), seen[i], 16), 0);
        assert_false(sotto_is_zero(seen[i], 16));
    }
    for (size_t i = 1; i < 20000; i++)
        assert_memory_not_equal(seen[i], seen[i - 1], 16);
    for (size_t i = 256; i < 20000; i++)
        assert_memory_not_equal(seen[i], seen[i - 255], 16); /* one pool apart */
}

static void every_length_is_filled(void **state)
{
    static uint8_t out[10002], or_of_all[10002];

    for (size_t len = 0; len <= 10000; len += len < 600 ? 1 : 97) {
        memset(or_of_all, 0, len);
        for (int k = 0; k < 6; k++) {
            memset(out, 0, sizeof out);
            out[len] = 0xee;
            assert_int_equal(sotto_random(sotto_env_system(), out, len), 0);
            assert_int_equal(out[len], 0xee);
            for (size_t i = 0; i < len; i++)
                or_of_all[i] |= out[i];
        }
        for (size_t i = 0; i < len; i++)
            assert_true(or_of_all[i] != 0); /* 2^-48 each by chance */
    }
}

static void system_calls_are_batched(void **state)
{
    uint8_t b[16];
    size_t before = gen.calls;

    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(sotto_random(sotto_env_system(), b, sizeof b), 0);
    assert_in_range(gen.calls - before, 1, 6);
}

static void generator_fails(void)
{
    static const size_t lens[] = {1, 16, 32, 512, 513, 5000};
    static _Thread_local uint8_t out[5000];

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        memset(&gen, 0, sizeof gen);
        gen.fail_errno = ENOSYS;
        assert_int_equal(sotto_random(sotto_env_system(), out, lens[i]), SOTTO_ERR_RANDOM);
        assert_true(sotto_is_zero(out, sizeof out));
    }
    /* It fails half-way: no half-filled answer, neither now nor out of the pool later. */
    gen.fail_errno = 0;
    gen.at_most = 100;
    gen.fail_after = 300;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        gen.given = 0;
        assert_int_equal(sotto_random(sotto_env_system(), out, lens[i]), SOTTO_ERR_RANDOM);
        assert_true(sotto_is_zero(out, sizeof out));
    }
    /* And works again when the generator does. */
    memset(&gen, 0, sizeof gen);
    gen.at_most = 7;
    gen.interrupt = 3;
    assert_int_equal(sotto_random(sotto_env_system(), out, 5000), 0);
    assert_int_equal(sotto_random(sotto_env_system(), out, 32), 0);
    assert_false(sotto_is_zero(out, 32));
}

static void failing_generator_gives_no_bytes(void **state)
{
    in_fresh_thread(generator_fails);
}

static void child_has_other_bytes(void **state)
{
    uint8_t ours[64], theirs[64];
    int fd[2], status;
    pid_t pid;

    assert_int_equal(sotto_random(sotto_env_system(), ours, 1), 0); /* the pool is full now */
    assert_int_equal(pipe(fd), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (sotto_random(sotto_env_system(), theirs, sizeof theirs) != 0)
            _exit(1);
        _exit(write(fd[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    assert_int_equal(sotto_random(sotto_env_system(), ours, sizeof ours), 0);
    assert_int_equal(read(fd[0], theirs, sizeof theirs), sizeof theirs);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (size_t i = 0; i + 8 <= sizeof ours; i++) {
        for (size_t j = 0; j + 8 <= sizeof theirs; j++)
            assert_memory_not_equal(ours + i, theirs + j, 8);
    }
    close(fd[0]);
    close(fd[1]);
}

static void clocks_tell_the_time(void **state)
{
    const struct sotto_env *env = sotto_env_system();
    uint64_t before = (uint64_t)time(NULL), now = sotto_now_ms(env), mono = sotto_mono_ms(env);

    assert_true(now / 1000 >= before && now / 1000 <= (uint64_t)time(NULL));
    assert_true(mono > 0 && sotto_mono_ms(env) >= mono);
}

/* Request n is the ChaCha20 key stream of nonce n: known values (computed with another
 * implementation, python3-cryptography), so that known-answer files stay valid. */
static void fixed_env_is_deterministic(void **state)
{
    static const uint8_t seed[32] = "seed for the known-answer values";
    static const uint8_t want[2][16] = {
        {0x03, 0x1e, 0x6d, 0x5f, 0x47, 0xcc, 0xc6, 0x66, 0x90, 0xdd, 0xcb, 0xd0, 0xb8, 0x2a, 0xd4,
         0xee},
        {0x0e, 0xb3, 0x0c, 0xc4, 0xc9, 0xf9, 0x81, 0x04, 0x68, 0xc4, 0x94, 0xac, 0x47, 0x49, 0x75,
         0x4b},
    };
    struct sotto_env_fixed a, b;
    uint8_t x[100], y[100];

    sotto_env_fixed_init(&a, seed, 1234567);
    sotto_env_fixed_init(&b, seed, 1234567);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sotto_random(&a.env, x, 100), 0);
        assert_int_equal(sotto_random(&b.env, y, 100), 0);
        assert_memory_equal(x, y, 100);
        assert_memory_equal(x, want[i], 16);
    }
    assert_true(sotto_now_ms(&a.env) == 1234567 && sotto_mono_ms(&a.env) == 0);
    a.now += 5;
    a.mono += 7;
    assert_true(sotto_now_ms(&a.env) == 1234572 && sotto_mono_ms(&a.env) == 7);
    a.fail_random = 1;
    assert_int_equal(sotto_random(&a.env, x, 100), SOTTO_ERR_RANDOM);
    assert_memory_equal(x, y, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(random_bytes_do_not_repeat, gen_reset),
        cmocka_unit_test_setup(every_length_is_filled, gen_reset),
        cmocka_unit_test_setup(system_calls_are_batched, gen_reset),
        cmocka_unit_test_setup(failing_generator_gives_no_bytes, gen_reset),
        cmocka_unit_test_setup(child_has_other_bytes, gen_reset),
        cmocka_unit_test_setup(clocks_tell_the_time, gen_reset),
        cmocka_unit_test(fixed_env_is_deterministic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
