/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What another program of the same user may say on the control socket, and what one that stands
 * there in the engine's place may answer. The first byte says what the rest is:
 *
 *   c   a call, as its frame holds it
 *   e   an event, as its frame holds it
 *   s   a stream to the real socket: a piece size (0: all at once), then the bytes
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "run/client/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* --- layouts: what is accepted is written again in one form, which is read as the same --- */

static void check_call(const uint8_t *data, size_t size)
{
    struct sotto_buf again = SOTTO_BUF(2 * SOTTO_CONTROL_MAX);
    struct sotto_call call;

    if (sotto_call_decode(data, size, &call) != SOTTO_OK)
        return;
    require(call.op >= SOTTO_OP_REGISTER && call.op <= SOTTO_OP_LAST);
    require(sotto_call_encode(&call, &again) == SOTTO_OK);
    require(again.n == size && memcmp(again.p, data, size) == 0);
    sotto_buf_free(&again);
}

static const void *row_of(const struct sotto_event *e)
{
    const void *const rows[] = {
        sotto_event_done(e),   sotto_event_connection(e), sotto_event_message(e),
        sotto_event_typing(e), sotto_event_contact(e),    sotto_event_device(e),
        sotto_event_status(e), sotto_event_safety(e),     sotto_event_notice(e),
        sotto_event_link(e),
    };
    const void *row = NULL;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        require(rows[i] == NULL || row == NULL);
        row = rows[i] != NULL ? rows[i] : row;
    }
    require(row != NULL);
    return row;
}

static void check_event(const uint8_t *data, size_t size)
{
    struct sotto_buf first = SOTTO_BUF(2 * SOTTO_CONTROL_MAX),
                     second = SOTTO_BUF(2 * SOTTO_CONTROL_MAX);
    struct sotto_event *e, *copy;

    if (sotto_event_decode(data, size, &e) != SOTTO_OK)
        return;
    require(sotto_event_encode(sotto_event_request(e), sotto_event_type(e), row_of(e), &first) ==
            SOTTO_OK);
    require(first.n <= size);
    sotto_event_free(e);
    require(sotto_event_decode(first.p, first.n, &e) == SOTTO_OK);
    copy = sotto_event_new(sotto_event_request(e), sotto_event_type(e), row_of(e));
    require(copy != NULL);
    require(sotto_event_encode(sotto_event_request(copy), sotto_event_type(copy), row_of(copy),
                               &second) == SOTTO_OK);
    require(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
    sotto_event_free(e);
    sotto_event_free(copy);
    sotto_buf_free(&first);
    sotto_buf_free(&second);
}

/* --- the socket itself --- */

static struct {
    char dir[64];
    struct sotto_loop *loop;
    struct sotto_control *control;
    bool welcome; /* a greeting that is right has gone by */
    unsigned calls, gone;
} world;

/* Each is right: what a wrong one costs takes time, and is unit/control's to test. */
static bool on_passphrase(void *ctx, const void *passphrase, size_t len)
{
    (void)ctx;
    (void)passphrase;
    (void)len;
    return true;
}

/* Answers each call, so that the way out is in use as well. */
static void on_call(void *ctx, const struct sotto_call *call)
{
    struct sotto_done done = {.text = "done", .id = ""};

    (void)ctx;
    require(world.welcome);
    require(call->ref.origin != 0 && call->op >= SOTTO_OP_REGISTER && call->op <= SOTTO_OP_LAST);
    world.calls++;
    sotto_control_emit(world.control, call->ref, SOTTO_EVENT_DONE, &done);
}

static void on_gone(void *ctx, uint32_t origin)
{
    (void)ctx;
    require(origin != 0);
    world.gone++;
}

static const struct sotto_control_ops ops = {
    .passphrase_right = on_passphrase, .call = on_call, .gone = on_gone};

static void end(void)
{
    sotto_control_free(world.control);
    sotto_loop_free(world.loop);
    (void)rmdir(world.dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *tmp = getenv("TMPDIR");

    (void)argc;
    (void)argv;
    (void)snprintf(world.dir, sizeof world.dir, "%s/ctlXXXXXX",
                   tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
    world.loop = sotto_loop_new();
    require(mkdtemp(world.dir) != NULL && world.loop != NULL);
    require(sotto_control_listen(world.loop, world.dir, &ops, NULL, &world.control) == SOTTO_OK);
    (void)atexit(end);
    return 0;
}

/* The same stream by a reader of a few lines: how many calls it holds, up to what ends it. */
static unsigned expected_calls(const uint8_t *p, size_t n)
{
    unsigned calls = 0;

    world.welcome = false;
    while (n >= 4) {
        size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        struct sotto_call call;

        if (len > SOTTO_CONTROL_MAX || n - 4 < len)
            break;
        p += 4;
        n -= 4;
        if (world.welcome) {
            if (sotto_call_decode(p, len, &call) != SOTTO_OK)
                break;
            calls++;
        } else {
            size_t passphrase = len < 4 ? 0 : (size_t)p[2] << 8 | p[3];

            if (len < 4 || passphrase > 4096 || len != 4 + passphrase)
                break;
            world.welcome = true;
        }
        p += len;
        n -= len;
    }
    return calls;
}

static int dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/engine.sock", world.dir);
    require(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

static void check_stream(const uint8_t *data, size_t size)
{
    size_t piece = size > 0 && data[0] > 0 ? data[0] : size, at = 1;
    unsigned wanted, gone = world.gone;
    int fd;

    if (size == 0)
        return;
    world.calls = 0;
    wanted = expected_calls(data + 1, size - 1);
    fd = dial();
    while (at < size) {
        size_t left = size - at;
        ssize_t n = send(fd, data + at, left < piece ? left : piece, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0)
            at += (size_t)n;
        sotto_loop_dispatch(world.loop);
        if (n < 0 && world.gone != gone)
            break; /* it was let go, as it should be */
    }
    (void)shutdown(fd, SHUT_WR);
    for (int i = 0; world.gone == gone; i++) {
        require(i < 1000);
        sotto_loop_dispatch(world.loop);
    }
    close(fd);
    require(world.gone == gone + 1 && world.calls == wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'c')
        check_call(data + 1, size - 1);
    else if (data[0] == 'e')
        check_event(data + 1, size - 1);
    else
        check_stream(data + 1, size - 1);
    return 0;
}
