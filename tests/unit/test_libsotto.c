/* SPDX-License-Identifier: Apache-2.0 */
/* libsotto where several processes share a profile, and the one that runs the engine ends. */
#include "sotto/sotto.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared_profile.h"

static struct shared_profile p;

static int setup(void **state)
{
    shared_make(&p, true);
    return 0;
}

static int setup_empty(void **state)
{
    shared_make(&p, false);
    return 0;
}

static int teardown(void **state)
{
    shared_remove(&p);
    return 0;
}

static void calls_outlive_the_engine_that_had_them(void **state)
{
    struct sotto_client *c;
    uint32_t requests[6];

    shared_forget(&p);
    shared_start_other(&p);
    c = shared_open(&p, false);
    assert_non_null(c);
    assert_false(sotto_client_is_engine(c));
    shared_halt_other(&p);
    requests[0] = sotto_contacts(c);
    requests[1] = sotto_status(c);
    requests[2] = sotto_receive(c, "nobody");
    requests[3] = sotto_contacts(c);
    requests[4] = sotto_delete(c, "nonsense");
    requests[5] = sotto_contacts(c);
    shared_end_other(&p);
    for (unsigned i = 0; i < 6; i++)
        shared_wait(&p, c, &p.done[requests[i]], 1);
    assert_true(sotto_client_is_engine(c));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(p.done[requests[i]], 1);
    sotto_client_close(c);
}

static void no_message_is_handed_out_twice_when_the_engine_ends(void **state)
{
    struct sotto_client *c;
    uint32_t request;

    shared_forget(&p);
    shared_start_other(&p);
    c = shared_open(&p, false);
    assert_non_null(c);
    request = sotto_receive(c, NULL);
    shared_wait(&p, c, &p.message[SHARED_MESSAGES], 1);
    shared_wait(&p, c, &p.done[request], 1); /* the relay is not there */
    shared_halt_other(&p);
    sotto_shown(c, "01010101010101010101010101010101"); /* the engine will not hear of it */
    shared_end_other(&p);
    while (!sotto_client_is_engine(c)) {
        struct pollfd fd = {.fd = sotto_client_fd(c), .events = POLLIN};

        assert_int_equal(poll(&fd, 1, SHARED_PATIENCE_MS), 1);
        sotto_client_dispatch(c);
    }
    sotto_shown(c, "02020202020202020202020202020202");
    request = sotto_status(c);
    shared_wait(&p, c, &p.done[request], 1);
    for (unsigned i = 1; i <= SHARED_MESSAGES; i++)
        assert_int_equal(p.message[i], 1);
    sotto_client_close(c);
    /* What was confirmed, to whomever, is so. */
    shared_forget(&p);
    c = shared_open(&p, false);
    assert_non_null(c);
    request = sotto_receive(c, NULL);
    shared_wait(&p, c, &p.done[request], 1);
    assert_int_equal(p.message[1], 0);
    assert_int_equal(p.message[2], 0);
    assert_int_equal(p.message[3], 1);
    sotto_client_close(c);
}

/* Waits for a sign, then for the lock of the profile; ends with 0 when there is none any more. */
static void start_heir(int *ret_sign, int *ret_ready)
{
    int sign[2], ready[2];
    char lock[320], one;

    snprintf(lock, sizeof lock, "%s/lock", p.dir);
    assert_int_equal(pipe(sign), 0);
    assert_int_equal(pipe(ready), 0);
    p.other = fork();
    assert_true(p.other >= 0);
    if (p.other == 0) {
        int fd = read(sign[0], &one, 1) == 1 ? open(lock, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0 || write(ready[1], "r", 1) != 1 || flock(fd, LOCK_EX) != 0)
            _exit(2);
        _exit(sotto_profile_exists(p.dir) ? 1 : 0);
    }
    close(sign[0]);
    close(ready[1]);
    *ret_sign = sign[1];
    *ret_ready = ready[0];
}

/* Whoever gets the lock of a profile that was thrown away finds none: what he makes is his. */
static void a_profile_is_thrown_away_before_another_can_have_it(void **state)
{
    for (unsigned i = 0; i < 10; i++) {
        struct sotto_client *c;
        int status, sign, ready;
        char one;

        start_heir(&sign, &ready); /* before there is a lock that it would inherit */
        c = shared_open(&p, true);
        assert_non_null(c);
        assert_true(sotto_client_is_engine(c));
        assert_true(sotto_profile_exists(p.dir));
        assert_int_equal(write(sign, "s", 1), 1);
        assert_int_equal(read(ready, &one, 1), 1);
        close(sign);
        close(ready);
        sotto_client_discard(c);
        assert_int_equal(waitpid(p.other, &status, 0), p.other);
        p.other = 0;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(calls_outlive_the_engine_that_had_them, setup),
        T(no_message_is_handed_out_twice_when_the_engine_ends, setup),
        T(a_profile_is_thrown_away_before_another_can_have_it, setup_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
