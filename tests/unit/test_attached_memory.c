/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that is attached to the engine of another one, and has no memory once, at each request
 * of ours: what it asked for is answered once, and what it is to show comes once.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "scarce.h"
#include "shared_profile.h"

static struct shared_profile p;

static int setup(void **state)
{
    shared_make(&p, true);
    shared_start_other(&p);
    return 0;
}

static int teardown(void **state)
{
    shared_remove(&p);
    return 0;
}

static bool all_there(const uint32_t *requests, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (p.done[requests[i]] == 0)
            return false;
    for (unsigned i = 1; i <= SHARED_MESSAGES; i++)
        if (p.message[i] == 0 && p.failed[requests[0]] == 0)
            return false;
    return true;
}

/* Returns whether memory ran out. */
static bool play(unsigned long n)
{
    struct sotto_client *c = shared_open(&p, false);
    uint32_t requests[4];

    assert_non_null(c);
    assert_false(sotto_client_is_engine(c));
    shared_forget(&p);
    scarce_from_now(SCARCE_OURS, n);
    scarce_enter();
    requests[0] = sotto_receive(c, NULL);
    requests[1] = sotto_contacts(c);
    requests[2] = sotto_status(c);
    requests[3] = sotto_devices(c);
    while (!all_there(requests, 4)) {
        struct pollfd fd = {.fd = sotto_client_fd(c), .events = POLLIN};

        if (poll(&fd, 1, SHARED_PATIENCE_MS) != 1)
            fail_msg("request %lu: nothing happens any more", n);
        sotto_client_dispatch(c);
        scarce_leave();
        shared_take_all(&p, c);
        scarce_enter();
    }
    scarce_leave();
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(p.done[requests[i]], 1);
    for (unsigned i = 1; i <= SHARED_MESSAGES; i++)
        assert_int_equal(p.message[i], p.failed[requests[0]] == 0);
    sotto_client_close(c);
    return scarce_happened();
}

static void an_attached_process_without_memory(void **state)
{
    unsigned long n = 0;
    size_t before;

    play(0);
    before = scarce_blocks();
    while (play(++n))
        assert_int_equal(scarce_blocks(), before);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_attached_process_without_memory, setup, teardown),
    };

    scarce_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
