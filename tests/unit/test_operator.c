/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's socket: what is said to the relay there, and what a relay may answer. */
#include "run/relay/operator.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay_rig.h"

static struct rig r;
static struct dev alice;
static struct client a;
static struct folder f;
static struct sotto_loop *loop;
static struct sotto_operator *operator;

static void turn(void *ctx)
{
    rig_turn(&r);
}

static int setup(void **state)
{
    rig_make(&r);
    dev_join(&r, &alice, &a, "alice");
    folder_make(&f);
    loop = sotto_loop_new();
    assert_non_null(loop);
    assert_int_equal(sotto_operator_listen(loop, f.path, r.relay, turn, NULL, &operator), 0);
    return 0;
}

static int teardown(void **state)
{
    sotto_operator_free(operator);
    sotto_loop_free(loop);
    client_free(&a);
    rig_free(&r);
    folder_remove(&f);
    return 0;
}

/* --- what is said to the relay --- */

static int dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s", folder_file(&f, "operator.sock"));
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

/* All that comes until the relay closes. */
static void listen_to(int fd, char *ret, size_t room)
{
    size_t n = 0;

    sotto_loop_dispatch(loop);
    for (;;) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN},
                             {.fd = sotto_loop_fd(loop), .events = POLLIN}};
        ssize_t got;

        assert_true(poll(p, 2, 30000) > 0);
        sotto_loop_dispatch(loop);
        if ((p[0].revents & (POLLIN | POLLHUP)) == 0)
            continue;
        got = recv(fd, ret + n, room - 1 - n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            break;
        assert_true(got > 0 || errno == EAGAIN);
        n += got > 0 ? (size_t)got : 0;
    }
    ret[n] = '\0';
    close(fd);
}

static void ask_bytes(const char *bytes, size_t len, size_t piece, char *ret, size_t room)
{
    int fd = dial();

    for (size_t at = 0; at < len; at += piece) {
        (void)send(fd, bytes + at, len - at < piece ? len - at : piece, MSG_NOSIGNAL);
        if (piece < len)
            sotto_loop_dispatch(loop);
    }
    (void)shutdown(fd, SHUT_WR);
    listen_to(fd, ret, room);
}

static const char *ask(const char *line)
{
    static char answer[4096];

    ask_bytes(line, strlen(line), strlen(line), answer, sizeof answer);
    return answer;
}

static void only_what_has_a_meaning_is_done(void **state)
{
    static const char *const nonsense[] = {
        "\n",
        " \n",
        "x\n",
        "Sessions\n",
        "sessions alice\n",
        "boxes x\n",
        "kick\n",
        "disable\n",
        "delete\n",
        "disable alice 1\n",
        "enable alice alice\n",
        "delete alice --yes\n",
        "kick alice 00000000000000aa more\n",
        "sessions x x x x x x x x x x x x x x x x x x x\n",
        "disable Alice\n",
        "disable ../alice\n",
        "disable al\tice\n",
        "disable \xff\xfe\n",
        "disable aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeee\n",
        "kick alice xyz\n",
        "kick alice 0000000000000000\n",
        "kick alice 00\n",
        "kick alice 00000000000000000001\n",
    };
    const size_t count = sizeof nonsense / sizeof nonsense[0];

    for (size_t i = 0; i < count; i++) {
        const char *answer = ask(nonsense[i]);

        if (strncmp(answer, "no -", 4) != 0 || strchr(answer, '\n') != strrchr(answer, '\n'))
            fail_msg("%s is answered by %s", nonsense[i], answer);
    }
    assert_non_null(a.conn); /* nothing happened to her */
    assert_non_null(strstr(ask("disable bob\n"), sotto_err_text(SOTTO_ERR_NOT_FOUND)));
}

static void what_is_asked_is_answered(void **state)
{
    char line[64];

    assert_int_equal(strncmp(ask("sessions\n"), "=alice ", 7), 0);
    assert_string_equal(ask("boxes\n"), "ok\n");
    assert_string_equal(ask("  boxes  \n"), "ok\n");
    assert_string_equal(ask("boxes\nsessions\n"), "ok\n"); /* one for each connection */
    snprintf(line, sizeof line, "kick alice %016llx\n", (unsigned long long)alice.p.device.id);
    assert_string_equal(ask(line), "ok 1\n");
    assert_string_equal(ask(line), "ok 0\n");
    assert_string_equal(ask("disable alice\n"), "ok 0\n");
    assert_string_equal(ask("sessions\n"), "ok\n");
}

/* A line in any pieces; one that has no end, is too long, or holds a NUL gets nothing. */
static void lines_of_all_forms(void **state)
{
    static const char whole[] = "sessions\n", cut[] = "sessions", nul[] = "sess\0ions\n";
    static char big[4 * SOTTO_OPERATOR_LINE];
    char answer[4096];

    for (size_t piece = 1; piece < sizeof whole; piece++) {
        ask_bytes(whole, sizeof whole - 1, piece, answer, sizeof answer);
        assert_int_equal(strncmp(answer, "=alice ", 7), 0);
    }
    ask_bytes(cut, sizeof cut - 1, sizeof cut, answer, sizeof answer);
    assert_string_equal(answer, "");
    ask_bytes(nul, sizeof nul - 1, sizeof nul, answer, sizeof answer);
    assert_string_equal(answer, "");
    memset(big, 'x', sizeof big);
    ask_bytes(big, sizeof big, sizeof big, answer, sizeof answer);
    assert_string_equal(answer, "");
    ask_bytes(big, sizeof big, 100, answer, sizeof answer);
    assert_string_equal(answer, "");
    big[SOTTO_OPERATOR_LINE - 1] = '\n';
    ask_bytes(big, SOTTO_OPERATOR_LINE, SOTTO_OPERATOR_LINE, answer, sizeof answer);
    assert_int_equal(strncmp(answer, "no -", 4), 0);
    for (unsigned seed = 1; seed <= 300; seed++) { /* and anything else */
        uint32_t dice = seed * 2654435761u;

        for (size_t i = 0; i < SOTTO_OPERATOR_LINE; i++) {
            dice = dice * 1664525u + 1013904223u;
            big[i] = (char)(dice >> 24);
        }
        ask_bytes(big, SOTTO_OPERATOR_LINE, 64, answer, sizeof answer);
        assert_true(answer[0] == '\0' || strncmp(answer, "no -", 4) == 0);
    }
    assert_non_null(a.conn);
    assert_int_equal(strncmp(ask("sessions\n"), "=alice ", 7), 0);
}

/* Who says nothing keeps nobody else out for ever, and hangs nothing up. */
static void silent_callers(void **state)
{
    int fds[20];
    char answer[4096];

    for (size_t i = 0; i < 20; i++) {
        fds[i] = dial();
        sotto_loop_dispatch(loop);
    }
    for (size_t i = 0; i < 20; i++) /* those that are too many are let go at once */
        if (i >= 8)
            listen_to(fds[i], answer, sizeof answer);
    for (size_t i = 0; i < 8; i++)
        close(fds[i]);
    for (int i = 0; i < 20; i++)
        sotto_loop_dispatch(loop);
    assert_int_equal(strncmp(ask("sessions\n"), "=alice ", 7), 0);
}

/* --- what a relay may answer --- */

struct other { /* in the relay's place */
    int listener;
    const char *answer;
    size_t len;
};

static void *answer_once(void *arg)
{
    const struct other *o = arg;
    char line[SOTTO_OPERATOR_LINE];
    int fd = accept(o->listener, NULL, NULL);

    (void)recv(fd, line, sizeof line, 0);
    (void)send(fd, o->answer, o->len, MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static enum sotto_err call(const char *answer, size_t len, struct sotto_buf *lines, char *text,
                           size_t room)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct other o = {.answer = answer, .len = len};
    pthread_t thread;
    enum sotto_err e;

    o.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", folder_file(&f, "operator.sock"));
    (void)unlink(at.sun_path);
    assert_int_equal(bind(o.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(o.listener, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_once, &o), 0);
    e = sotto_operator_call(f.path, "sessions", lines, text, room);
    pthread_join(thread, NULL);
    close(o.listener);
    return e;
}

static void answers_are_not_trusted(void **state)
{
#define ANSWER(s) s, sizeof(s) - 1
    static const struct {
        const char *answer;
        size_t len;
        enum sotto_err e;
        const char *lines, *text;
    } t[] = {
        {ANSWER("ok\n"), SOTTO_OK, "", ""},
        {ANSWER("ok 7\n"), SOTTO_OK, "", "7"},
        {ANSWER("=one\n=two\nok\n"), SOTTO_OK, "one\ntwo\n", ""},
        {ANSWER("=\nok\n"), SOTTO_OK, "\n", ""},
        {ANSWER("no -5 because\n"), (enum sotto_err) - 5, "", "because"},
        {ANSWER("=one\nno -5 because\n"), (enum sotto_err) - 5, "one\n", "because"},
        {ANSWER(""), SOTTO_ERR_AGAIN, "", NULL},
        {ANSWER("ok"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("=one\n"), SOTTO_ERR_CLOSED, NULL, NULL},
        {ANSWER("=one"), SOTTO_ERR_CLOSED, NULL, NULL},
        {ANSWER("\n"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("no\n"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("no 5 because\n"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("no -0 because\n"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("no - because\n"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("maybe\n"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("\0\n"), SOTTO_ERR_CLOSED, "", NULL},
        {ANSWER("=a\0b\nok\n"), SOTTO_ERR_CLOSED, NULL, NULL},
    };

    sotto_operator_free(operator);
    operator= NULL;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        SOTTO_AUTO_BUF lines = SOTTO_BUF(4096);
        char text[256] = "untouched";
        enum sotto_err e = call(t[i].answer, t[i].len, &lines, text, sizeof text);

        if (e != t[i].e)
            fail_msg("%s: %d", t[i].answer, (int)e);
        assert_true(e == SOTTO_OK || text[0] != '\0'); /* says why */
        if (t[i].lines != NULL) {
            assert_int_equal(lines.n, strlen(t[i].lines));
            assert_memory_equal(lines.p, t[i].lines, lines.n);
        }
        if (t[i].text != NULL)
            assert_string_equal(text, t[i].text);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(only_what_has_a_meaning_is_done),
        CASE(what_is_asked_is_answered),
        CASE(lines_of_all_forms),
        CASE(silent_callers),
        CASE(answers_are_not_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
