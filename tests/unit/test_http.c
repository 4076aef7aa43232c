/* SPDX-License-Identifier: Apache-2.0 */
/* Callers on real sockets; the loop is dispatched by hand. */
#include "run/relay/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct sotto_loop *loop;
static struct sotto_http *http;
static uint16_t port;
static int asked;
static size_t large;

static int page(void *ctx, const char *path, struct sotto_buf *ret_body)
{
    static char block[1024];

    asked++;
    if (strcmp(path, "/large") == 0) {
        memset(block, 'x', sizeof block);
        for (size_t i = 0; i < large; i += sizeof block)
            assert_int_equal(sotto_buf_add(ret_body, block, sizeof block), 0);
        return 200;
    }
    if (strcmp(path, "/ill") == 0)
        return 503;
    if (strcmp(path, "/here") != 0)
        return 404;
    return sotto_buf_add(ret_body, "here\n", 5) == 0 ? 200 : 503;
}

static int setup(void **state)
{
    char why[256];

    asked = 0;
    loop = sotto_loop_new();
    assert_non_null(loop);
    assert_int_equal(
        sotto_http_listen(loop, "127.0.0.1", 0, page, NULL, &http, &port, why, sizeof why), 0);
    sotto_loop_dispatch(loop);
    return 0;
}

static int teardown(void **state)
{
    sotto_http_free(http);
    sotto_loop_free(loop);
    return 0;
}

static int call(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All until the other side hangs up; the length. */
static size_t listen_to(int fd, char *ret, size_t room)
{
    size_t got = 0;

    for (;;) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN},
                             {.fd = sotto_loop_fd(loop), .events = POLLIN}};
        ssize_t n;

        assert_true(poll(p, 2, 30000) > 0);
        sotto_loop_dispatch(loop);
        n = recv(fd, ret + got, room - 1 - got, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    ret[got] = '\0';
    close(fd);
    return got;
}

static void settle(void)
{
    for (int i = 0; i < 3; i++)
        sotto_loop_dispatch(loop);
}

static void answers(void **state)
{
    static const struct {
        const char *request, *status, *body;
    } table[] = {
        {"GET /here HTTP/1.0\r\n\r\n", "200 OK", "\r\n\r\nhere\n"},
        {"GET /here?a=b HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nAccept: */*\r\n\r\n", "200", "here\n"},
        {"GET /here HTTP/1.1\r\nhost:\tlocalhost\r\n\r\n", "200", "here\n"},
        {"GET /here HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200", "here\n"},
        {"GET /here HTTP/1.0\n\n", "200", "here\n"},
        {"GET /here HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "Forbidden"},
        {"GET /here HTTP/1.1\r\nHost: 1.example\r\n\r\n", "403", "Forbidden"},
        {"GET /nothing HTTP/1.0\r\n\r\n", "404 Not Found", "Not Found"},
        {"GET /ill HTTP/1.0\r\n\r\n", "503", "Service Unavailable"},
        {"POST /here HTTP/1.0\r\n\r\n", "405", "Method"},
        {"GET here HTTP/1.0\r\n\r\n", "400", "Bad"},
        {"GET /here\r\n\r\n", "400", "Bad"},
        {"GET /here HTTP/2.0\r\n\r\n", "400", "Bad"},
        {"\r\n\r\n", "400", "Bad"},
    };
    char got[4096], line[64];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int fd = call();

        say(fd, table[i].request);
        listen_to(fd, got, sizeof got);
        snprintf(line, sizeof line, "HTTP/1.0 %s", table[i].status);
        if (strncmp(got, line, strlen(line)) != 0 || strstr(got, table[i].body) == NULL)
            fail_msg("%s gave %s", table[i].request, got);
    }
}

static void in_pieces(void **state)
{
    const char *request = "GET /here HTTP/1.0\r\nX: y\r\n\r\n";
    char got[1024];
    int fd = call();

    for (const char *p = request; *p != '\0'; p++) {
        assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
        settle();
    }
    listen_to(fd, got, sizeof got);
    assert_non_null(strstr(got, "\r\n\r\nhere\n"));
    assert_int_equal(asked, 1);
}

static void large_answer(void **state)
{
    static char got[300 * 1024];
    int fd = call();

    large = 200 * 1024;
    say(fd, "GET /large HTTP/1.0\r\n\r\n");
    assert_true(listen_to(fd, got, sizeof got) > large);
    assert_non_null(strstr(got, "Content-Length: 204800\r\n"));
}

static void requests_without_end(void **state)
{
    char flood[SOTTO_HTTP_REQUEST_MAX], got[1024];
    int fd = call();

    memset(flood, 'a', sizeof flood);
    assert_int_equal(send(fd, flood, sizeof flood, MSG_NOSIGNAL), sizeof flood);
    listen_to(fd, got, sizeof got);
    assert_int_equal(strncmp(got, "HTTP/1.0 431 ", 13), 0);
    fd = call();
    assert_int_equal(send(fd, "GET /\0here HTTP/1.0\r\n\r\n", 23, MSG_NOSIGNAL), 23);
    listen_to(fd, got, sizeof got);
    assert_int_equal(strncmp(got, "HTTP/1.0 400 ", 13), 0);
    assert_int_equal(asked, 0);
}

/* Who says nothing takes a place from nobody: the oldest is cut off for one more. */
static void more_than_places(void **state)
{
    int silent[SOTTO_HTTP_CALLERS * 2], fd;
    char got[1024];

    for (int i = 0; i < SOTTO_HTTP_CALLERS * 2; i++) {
        silent[i] = call();
        settle();
    }
    fd = call();
    say(fd, "GET /here HTTP/1.0\r\n\r\n");
    listen_to(fd, got, sizeof got);
    assert_non_null(strstr(got, "here\n"));
    for (int i = 0; i < SOTTO_HTTP_CALLERS; i++)
        assert_int_equal(recv(silent[i], got, 1, MSG_DONTWAIT), 0);
    for (int i = 0; i < SOTTO_HTTP_CALLERS * 2; i++)
        close(silent[i]);
    settle();
}

static void who_takes_too_long(void **state)
{
    char got[64];
    int fd = call();

    say(fd, "GET /here HT");
    assert_int_equal(listen_to(fd, got, sizeof got), 0); /* hung up, with nothing said */
    assert_int_equal(asked, 0);
}

static void caller_goes_away(void **state)
{
    int fd = call();

    say(fd, "GET /he");
    settle();
    close(fd);
    settle();
    fd = call();
    say(fd, "GET /here HTTP/1.0\r\n\r\n");
    close(fd);
    settle();
}

static void address_in_use(void **state)
{
    struct sotto_http *other = NULL;
    char why[256] = "";
    uint16_t p;

    assert_int_equal(
        sotto_http_listen(loop, "127.0.0.1", port, page, NULL, &other, &p, why, sizeof why),
        SOTTO_ERR_EXISTS);
    assert_non_null(strstr(why, "--metrics"));
    assert_int_equal(
        sotto_http_listen(loop, "192.0.2.1", 10000, page, NULL, &other, &p, why, sizeof why),
        SOTTO_ERR_UNREACHABLE);
    assert_null(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, setup, teardown),
        cmocka_unit_test_setup_teardown(in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(large_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_places, setup, teardown),
        cmocka_unit_test_setup_teardown(who_takes_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(caller_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(address_in_use, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
