/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"

static struct folder folder;
static int manager = -1;

/* Listens at PATH, or at "@name", and puts that into the environment. */
static void listen_at(const char *where)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(where);

    assert_true(len < sizeof a.sun_path);
    memcpy(a.sun_path, where, len);
    if (where[0] == '@')
        a.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", where, 1), 0);
}

static int setup(void **state)
{
    folder_make(&folder);
    manager = -1;
    return 0;
}

static int teardown(void **state)
{
    if (manager >= 0)
        close(manager);
    folder_remove(&folder);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

static const char *heard(void)
{
    static char text[1024];
    ssize_t n = recv(manager, text, sizeof text - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void everything_that_is_said(struct sotto_notify *n)
{
    unsigned long long usec;
    struct timespec now;

    assert_non_null(n);
    sotto_notify_ready(n, "serving");
    assert_string_equal(heard(), "READY=1\nSTATUS=serving\n");
    sotto_notify_reloading(n);
    assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &usec), 1);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    assert_true(usec > 0 && usec <= (unsigned long long)now.tv_sec * 1000000 +
                                        (unsigned long long)now.tv_nsec / 1000);
    sotto_notify_alive(n);
    assert_string_equal(heard(), "WATCHDOG=1\n");
    sotto_notify_stopping(n);
    assert_non_null(strstr(heard(), "STOPPING=1\n"));
}

static void by_path(void **state)
{
    struct sotto_notify *n;

    listen_at(folder_file(&folder, "notify"));
    n = sotto_notify_open();
    everything_that_is_said(n);
    assert_null(getenv("NOTIFY_SOCKET"));
    sotto_notify_free(n);
}

static void by_abstract_name(void **state)
{
    struct sotto_notify *n;
    char name[64];

    snprintf(name, sizeof name, "@sotto-test-%ld", (long)getpid());
    listen_at(name);
    n = sotto_notify_open();
    everything_that_is_said(n);
    sotto_notify_free(n);
}

static void nobody_listens(void **state)
{
    static const char *const names[] = {"", "/nowhere/at/all", "relative", "@", "vsock:2:1234"};

    assert_null(sotto_notify_open());
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        assert_null(sotto_notify_open());
        assert_null(getenv("NOTIFY_SOCKET"));
    }
    sotto_notify_ready(NULL, "x");
    sotto_notify_reloading(NULL);
    sotto_notify_stopping(NULL);
    sotto_notify_alive(NULL);
    assert_int_equal(sotto_notify_interval_ms(NULL), 0);
    sotto_notify_free(NULL);
}

static void manager_goes_away(void **state)
{
    struct sotto_notify *n;

    listen_at(folder_file(&folder, "notify"));
    n = sotto_notify_open();
    assert_non_null(n);
    close(manager);
    manager = -1;
    sotto_notify_alive(n);
    sotto_notify_free(n);
}

static void watchdog(void **state)
{
    static const struct {
        const char *usec, *pid; /* pid: "own" for ours */
        uint64_t interval;
    } table[] = {
        {"30000000", NULL, 15000},
        {"30000000", "own", 15000},
        {"30000000", "1", 0},
        {"30000000", "x", 0},
        {"0", NULL, 0},
        {"-1", NULL, 0},
        {NULL, "own", 0},
        {"4000", NULL, 2},
    };
    char own[32], where[128];

    snprintf(own, sizeof own, "%ld", (long)getpid());
    snprintf(where, sizeof where, "%s", folder_file(&folder, "notify"));
    listen_at(where);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *pid = table[i].pid;
        struct sotto_notify *n;

        setenv("NOTIFY_SOCKET", where, 1);
        if (table[i].usec != NULL)
            setenv("WATCHDOG_USEC", table[i].usec, 1);
        if (pid != NULL)
            setenv("WATCHDOG_PID", strcmp(pid, "own") == 0 ? own : pid, 1);
        n = sotto_notify_open();
        assert_int_equal(sotto_notify_interval_ms(n), table[i].interval);
        sotto_notify_free(n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_path, setup, teardown),
        cmocka_unit_test_setup_teardown(by_abstract_name, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(manager_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(watchdog, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
