/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket, with the engine's side in a thread of its own and with one that is none. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"
#include "run/client/control.h"

#define PATIENCE_MS 20000
#define RIGHT       "the right passphrase"

static struct folder dir;

static int setup(void **state)
{
    folder_make(&dir);
    return 0;
}

static int teardown(void **state)
{
    folder_remove(&dir);
    return 0;
}

static struct sockaddr_un socket_name(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *path = folder_file(&dir, "engine.sock");

    assert_true(strlen(path) < sizeof at.sun_path);
    memcpy(at.sun_path, path, strlen(path) + 1);
    return at;
}

/* --- the engine's side: answers each call with a notice that repeats it, then DONE --- */

static struct engine {
    struct sotto_loop *loop;
    struct sotto_control *control;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint gone, calls;
} engine;

static bool on_passphrase(void *ctx, const void *passphrase, size_t len)
{
    return len == strlen(RIGHT) && memcmp(passphrase, RIGHT, len) == 0;
}

static void on_call(void *ctx, const struct sotto_call *call)
{
    struct sotto_done done = {.result = SOTTO_RESULT_FULL, .text = "done", .id = "0123"};
    char said[256];

    engine.calls++;
    (void)snprintf(said, sizeof said, "%d %u %u %.*s|%.*s|%zu|%zu", (int)call->op, call->n[0],
                   call->n[1], (int)call->s[0].n, (const char *)call->s[0].p, (int)call->s[1].n,
                   (const char *)call->s[1].p, call->s[2].n, call->s[3].n);
    sotto_control_emit(engine.control, call->ref, SOTTO_EVENT_NOTICE, said);
    sotto_control_emit(engine.control, call->ref, SOTTO_EVENT_DONE, &done);
}

static void on_gone(void *ctx, uint32_t origin)
{
    engine.gone++;
}

static void *run_engine(void *unused)
{
    while (!engine.stop) {
        struct pollfd p = {.fd = sotto_loop_fd(engine.loop), .events = POLLIN};

        (void)poll(&p, 1, 10); /* to see `stop` */
        sotto_loop_dispatch(engine.loop);
    }
    return unused;
}

static void engine_start(void)
{
    static const struct sotto_control_ops ops = {
        .passphrase_right = on_passphrase, .call = on_call, .gone = on_gone};

    engine.stop = false;
    engine.gone = 0;
    engine.loop = sotto_loop_new();
    assert_non_null(engine.loop);
    assert_int_equal(sotto_control_listen(engine.loop, dir.path, &ops, NULL, &engine.control), 0);
    assert_int_equal(pthread_create(&engine.thread, NULL, run_engine, NULL), 0);
}

static void engine_stop(void)
{
    engine.stop = true;
    assert_int_equal(pthread_join(engine.thread, NULL), 0);
    sotto_control_free(engine.control);
    sotto_loop_free(engine.loop);
}

/* --- the other side --- */

static struct caller {
    struct sotto_loop *loop;
    struct sotto_attached *attached;
    char notice[256];
    unsigned notices, done, gone;
    uint32_t request;
} caller;

static void on_event(void *ctx, struct sotto_event *e)
{
    const char *notice = sotto_event_notice(e);

    if (notice != NULL) {
        (void)snprintf(caller.notice, sizeof caller.notice, "%s", notice);
        caller.notices++;
    }
    if (sotto_event_done(e) != NULL) {
        assert_int_equal(sotto_event_done(e)->result, SOTTO_RESULT_FULL);
        assert_string_equal(sotto_event_done(e)->text, "done");
        assert_string_equal(sotto_event_done(e)->id, "0123");
        caller.request = sotto_event_request(e);
        caller.done++;
    }
    sotto_event_free(e);
}

static void on_engine_gone(void *ctx)
{
    caller.gone++;
    sotto_attached_free(caller.attached);
    caller.attached = NULL;
}

static enum sotto_err attach(const char *passphrase, int timeout_ms)
{
    static const struct sotto_attached_ops ops = {.event = on_event, .gone = on_engine_gone};
    enum sotto_err err;

    memset(&caller, 0, sizeof caller);
    caller.loop = sotto_loop_new();
    assert_non_null(caller.loop);
    err = sotto_attach(caller.loop, dir.path, passphrase, timeout_ms, &ops, NULL, &caller.attached);
    if (err != 0)
        sotto_loop_free(caller.loop);
    return err;
}

static void detach(void)
{
    sotto_attached_free(caller.attached);
    sotto_loop_free(caller.loop);
}

static void dispatch_until(const unsigned *counter, unsigned wanted)
{
    while (*counter < wanted) {
        struct pollfd p = {.fd = sotto_loop_fd(caller.loop), .events = POLLIN};

        sotto_loop_dispatch(caller.loop);
        if (*counter < wanted)
            assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    }
}

static struct sotto_bytes text(const char *s)
{
    return (struct sotto_bytes){(const uint8_t *)s, strlen(s)};
}

static void calls_and_events(void **state)
{
    char wanted[64];

    engine_start();
    assert_int_equal(attach(NULL, PATIENCE_MS), 0);
    for (int op = SOTTO_OP_REGISTER; op <= SOTTO_OP_LAST; op++) {
        struct sotto_call call = {.ref = {0, (uint32_t)op + 100},
                                  .op = (enum sotto_op)op,
                                  .n = {1, UINT32_MAX},
                                  .s = {text("bob"), text("hello"), text("x"), text("")}};

        assert_int_equal(sotto_attached_call(caller.attached, &call), 0);
        dispatch_until(&caller.done, (unsigned)op);
        (void)snprintf(wanted, sizeof wanted, "%d 1 4294967295 bob|hello|1|0", op);
        assert_string_equal(caller.notice, wanted);
        assert_int_equal(caller.request, op + 100);
    }
    assert_int_equal(caller.notices, SOTTO_OP_LAST);
    detach();
    for (int ms = 0; engine.gone == 0; ms++) { /* it sees that the caller went */
        assert_true(ms < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    engine_stop();
    assert_int_equal(engine.gone, 1);
}

/* Larger than what a socket holds, so that both ends have to wait in the middle of a frame. */
static void large_calls(void **state)
{
    static uint8_t large[SOTTO_CONTROL_MAX - 100];
    struct sotto_call call = {.ref = {0, 1}, .op = SOTTO_OP_SEND};

    call.s[3] = (struct sotto_bytes){large, sizeof large};
    engine_start();
    assert_int_equal(attach(RIGHT, PATIENCE_MS), 0);
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(sotto_attached_call(caller.attached, &call), 0);
        dispatch_until(&caller.done, i);
    }
    detach();
    engine_stop();
}

static void passphrases(void **state)
{
    char longest[4097 + 1];

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    engine_start();
    assert_int_equal(attach("a wrong passphrase", PATIENCE_MS), SOTTO_ERR_BAD_TAG);
    assert_int_equal(attach("", PATIENCE_MS), SOTTO_ERR_BAD_TAG);
    assert_int_equal(attach(longest, PATIENCE_MS), SOTTO_ERR_BAD_TAG);
    longest[4096] = 0;
    assert_int_equal(attach(longest, PATIENCE_MS), SOTTO_ERR_BAD_TAG);
    assert_int_equal(attach(RIGHT, PATIENCE_MS), 0);
    detach();
    assert_int_equal(attach(NULL, PATIENCE_MS), 0);
    detach();
    engine_stop();
}

static void events_to_everybody(void **state)
{
    engine_start();
    assert_int_equal(attach(NULL, PATIENCE_MS), 0);
    /* The engine's thread is ended first: its objects are used here. */
    engine.stop = true;
    assert_int_equal(pthread_join(engine.thread, NULL), 0);
    sotto_control_emit(engine.control, (struct sotto_ref){0, 0}, SOTTO_EVENT_NOTICE, "all");
    sotto_control_emit(engine.control, (struct sotto_ref){99, 5}, SOTTO_EVENT_NOTICE, "another's");
    sotto_control_emit(engine.control, (struct sotto_ref){0, 0}, SOTTO_EVENT_NOTICE, "all again");
    dispatch_until(&caller.notices, 2);
    assert_string_equal(caller.notice, "all again");
    sotto_control_free(engine.control);
    dispatch_until(&caller.gone, 1); /* told, and nothing of it is touched afterwards */
    sotto_loop_free(engine.loop);
    detach();
}

static void the_socket_is_private_and_goes(void **state)
{
    const char *path = folder_file(&dir, "engine.sock");

    assert_false(sotto_control_alive(dir.path));
    assert_int_equal(attach(NULL, 100), SOTTO_ERR_NOT_FOUND);
    file_write(path, "left behind", 11);
    engine_start();
    assert_int_equal(file_mode(path), 0600);
    assert_true(sotto_control_alive(dir.path));
    engine_stop();
    assert_false(file_exists(path));
    assert_false(sotto_control_alive(dir.path));
}

/* --- somebody else stands there --- */

struct hostile {
    const char *what;
    const char *bytes;
    size_t len;
    bool hangs; /* instead of closing */
    enum sotto_err wanted;
};

static void *run_hostile(void *arg)
{
    const struct hostile *h = arg;
    struct sockaddr_un at = socket_name();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
    char greeting[64];

    (void)unlink(at.sun_path);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1) != 0)
        abort();
    engine.gone = 1; /* listens */
    peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    (void)!read(peer, greeting, sizeof greeting);
    (void)!write(peer, h->bytes, h->len);
    if (h->hangs)
        (void)!read(peer, greeting, sizeof greeting); /* until the other side has had enough */
    close(peer);
    close(fd);
    return NULL;
}

static void somebody_else_in_the_engines_place(void **state)
{
#define BYTES(s) s, sizeof(s) - 1
    static const struct hostile t[] = {
        {"closes", BYTES(""), false, SOTTO_ERR_NOT_FOUND},
        {"is silent", BYTES(""), true, SOTTO_ERR_TIMEOUT},
        {"half a frame", BYTES("\0\0"), true, SOTTO_ERR_TIMEOUT},
        {"half a frame, closes", BYTES("\0\0\0\2\1"), false, SOTTO_ERR_NOT_FOUND},
        {"another version", BYTES("\0\0\0\2\2\0"), true, SOTTO_ERR_NEWER},
        {"says no", BYTES("\0\0\0\2\1\1"), true, SOTTO_ERR_BAD_TAG},
        {"an empty frame", BYTES("\0\0\0\0"), true, SOTTO_ERR_MALFORMED},
        {"too long a frame", BYTES("\0\0\0\3\1\0\0"), true, SOTTO_ERR_MALFORMED},
        {"text", BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), false, SOTTO_ERR_NOT_FOUND},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        pthread_t thread;
        enum sotto_err err;

        engine.gone = 0;
        assert_int_equal(pthread_create(&thread, NULL, run_hostile, (void *)(uintptr_t)&t[i]), 0);
        while (engine.gone == 0)
            (void)sched_yield();
        err = attach(NULL, 200);
        if (err != t[i].wanted)
            fail_msg("%s: %d", t[i].what, (int)err);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static void somebody_else_after_the_welcome(void **state)
{
    static const struct hostile t[] = {
        {"too large a frame", BYTES("\0\0\0\2\1\0\xff\xff\xff\xff"), false, SOTTO_OK},
        {"no event, then the end", BYTES("\0\0\0\2\1\0\0\0\0\1x\0\0\0\0"), false, SOTTO_OK},
        {"half an event", BYTES("\0\0\0\2\1\0\0\0\0\x20half"), false, SOTTO_OK},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        pthread_t thread;

        engine.gone = 0;
        assert_int_equal(pthread_create(&thread, NULL, run_hostile, (void *)(uintptr_t)&t[i]), 0);
        while (engine.gone == 0)
            (void)sched_yield();
        assert_int_equal(attach(NULL, PATIENCE_MS), 0);
        dispatch_until(&caller.gone, 1);
        assert_int_equal(caller.notices + caller.done, 0);
        detach();
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

/* One that talks nonsense loses its connection, and nobody else does. */
static void nonsense_ends_its_caller_only(void **state)
{
    struct sotto_call call = {.ref = {0, 1}, .op = SOTTO_OP_STATUS};
    static const struct hostile t[] = {
        {"a call before the greeting", BYTES("\0\0\0\1\7"), false, SOTTO_OK},
        {"too large", BYTES("\xff\xff\xff\xff"), false, SOTTO_OK},
        {"no call", BYTES("\0\0\0\4\1\0\0\0\0\0\0\3abc"), false, SOTTO_OK},
        {"a call whose answer would go to everybody",
         BYTES("\0\0\0\4\1\0\0\0\0\0\0\x1d\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
               "\0\0\0\0\0\0"),
         false, SOTTO_OK},
        {"half a greeting, then nothing", BYTES("\0\0"), true, SOTTO_OK},
    };
    struct sockaddr_un at = socket_name();
    int fds[sizeof t / sizeof t[0]];

    engine_start();
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct pollfd p = {.events = POLLIN};
        char answer[64];

        fds[i] = p.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(p.fd, (struct sockaddr *)&at, sizeof at), 0);
        assert_int_equal(send(p.fd, t[i].bytes, t[i].len, MSG_NOSIGNAL), t[i].len);
        while (!t[i].hangs) { /* up to the end of the connection */
            assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
            if (recv(p.fd, answer, sizeof answer, 0) <= 0)
                break;
        }
    }
    assert_int_equal(attach(NULL, PATIENCE_MS), 0);
    assert_int_equal(sotto_attached_call(caller.attached, &call), 0);
    dispatch_until(&caller.done, 1);
    detach();
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        close(fds[i]);
    engine_stop();
}

/* Whoever tries passphrases here waits longer and longer; who needs none does not. */
static void guesses_take_their_time(void **state)
{
    const struct sotto_env *env = sotto_env_system();
    uint64_t began = sotto_mono_ms(env);

    engine_start();
    for (int i = 0; i < 4; i++)
        assert_int_equal(attach("a wrong passphrase", PATIENCE_MS), SOTTO_ERR_BAD_TAG);
    assert_true(sotto_mono_ms(env) - began >= 100 + 200 + 400);
    assert_int_equal(attach(NULL, PATIENCE_MS), 0);
    detach();
    assert_int_equal(attach(RIGHT, PATIENCE_MS), 0);
    assert_true(sotto_mono_ms(env) - began >= 100 + 200 + 400 + 800);
    detach();
    engine_stop();
}

/* An engine in this thread, and the socket of a caller that is welcome. */
static int engine_and_caller(void)
{
    static const struct sotto_control_ops ops = {
        .passphrase_right = on_passphrase, .call = on_call, .gone = on_gone};
    struct sockaddr_un at = socket_name();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    engine.gone = engine.calls = 0;
    engine.loop = sotto_loop_new();
    assert_non_null(engine.loop);
    assert_int_equal(sotto_control_listen(engine.loop, dir.path, &ops, NULL, &engine.control), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(send(fd, "\0\0\0\4\1\0\0", 8, MSG_NOSIGNAL), 8);
    for (int i = 0; poll(&p, 1, 0) == 0; i++) { /* until he is welcome */
        assert_true(i < 1000);
        sotto_loop_dispatch(engine.loop);
    }
    return fd;
}

/* His events do not fill the memory, and what he took as a receiver is free for the others. */
static void a_caller_that_never_reads_is_let_go(void **state)
{
    static char large[1024 * 1024];
    int fd = engine_and_caller();

    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < 300 && engine.gone == 0; i++) {
        sotto_control_emit(engine.control, (struct sotto_ref){0}, SOTTO_EVENT_NOTICE, large);
        sotto_loop_dispatch(engine.loop);
    }
    assert_int_equal(engine.gone, 1);
    sotto_control_free(engine.control);
    sotto_loop_free(engine.loop);
    close(fd);
}

/* A reader that is killed has said what it printed; that its end is found while something is
 * written to it changes nothing. */
static void last_words_count(void **state)
{
    struct sotto_call call = {.ref = {0, 1}, .op = SOTTO_OP_SHOWN};
    SOTTO_AUTO_BUF body = SOTTO_BUF(256);
    uint8_t len[4];
    int fd = engine_and_caller();
    struct pollfd p = {.fd = sotto_loop_fd(engine.loop), .events = POLLIN};

    assert_int_equal(sotto_call_encode(&call, &body), 0);
    sotto_put_u32(len, (uint32_t)body.n);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(send(fd, len, sizeof len, MSG_NOSIGNAL), sizeof len);
        assert_int_equal(send(fd, body.p, body.n, MSG_NOSIGNAL), body.n);
    }
    close(fd);
    sotto_control_emit(engine.control, (struct sotto_ref){0}, SOTTO_EVENT_NOTICE, "to all");
    while (engine.gone == 0) {
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        sotto_loop_dispatch(engine.loop);
    }
    assert_int_equal(engine.calls, 5);
    sotto_control_free(engine.control);
    sotto_loop_free(engine.loop);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(calls_and_events),
        CASE(large_calls),
        CASE(passphrases),
        CASE(events_to_everybody),
        CASE(the_socket_is_private_and_goes),
        CASE(somebody_else_in_the_engines_place),
        CASE(somebody_else_after_the_welcome),
        CASE(nonsense_ends_its_caller_only),
        CASE(guesses_take_their_time),
        CASE(a_caller_that_never_reads_is_let_go),
        CASE(last_words_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
