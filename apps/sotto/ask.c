/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#include "base/secret.h"
#include "safe.h"
#include "signals.h"

/* A line as the terminal hands it over (canonical mode gives at most 4096 bytes at once). */
enum { LINE_ROOM = 4096 };

struct question {
    int tty, signals;
    bool echo_off;
    struct termios before;
};

bool sotto_ask_possible(void)
{
    int fd;

    /* A job with nothing on a terminal has nobody who watches, even if it still has a controlling
     * terminal: it must not wait for an answer. */
    if (!isatty(STDIN_FILENO) && !isatty(STDOUT_FILENO) && !isatty(STDERR_FILENO))
        return false;
    fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    (void)close(fd);
    return true;
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t m = write(fd, p, n);

        if (m < 0 && errno == EINTR)
            continue;
        if (m <= 0)
            return; /* nobody is there to read it */
        p += m;
        n -= (size_t)m;
    }
}

static void emit_fd(void *ctx, const char *p, size_t n)
{
    write_all(*(int *)ctx, p, n);
}

static void echo(struct question *q, bool on)
{
    struct termios t;

    if (q->echo_off == !on)
        return;
    if (on) {
        (void)tcsetattr(q->tty, TCSADRAIN, &q->before);
        q->echo_off = false;
        return;
    }
    if (tcgetattr(q->tty, &q->before) != 0)
        return;
    t = q->before;
    t.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
    t.c_lflag |= ICANON | ECHONL | ISIG;
    /* What was typed before the question must not become its answer on the screen. */
    if (tcsetattr(q->tty, TCSAFLUSH, &t) == 0)
        q->echo_off = true;
}

/* A signal while a line is typed: the terminal first, then what the signal means. */
static void obey(struct question *q, const char *question, bool secret)
{
    int number = sotto_signals_take(q->signals);

    if (number == 0 || number == SIGWINCH || number == SIGCONT)
        return;
    echo(q, true);
    if (number != SIGTSTP) {
        write_all(q->tty, "\n", 1);
        sotto_signals_die(number);
    }
    (void)raise(SIGSTOP);
    echo(q, !secret);
    write_all(q->tty, question, strlen(question));
}

/* Bytes of one line, its break included; 0: end of input; SIZE_MAX: longer than room. */
static size_t read_line(struct question *q, const char *question, bool secret, char *line,
                        size_t room)
{
    struct pollfd fds[2] = {{.fd = q->tty, .events = POLLIN}, {.fd = q->signals, .events = POLLIN}};
    bool too_long = false;
    size_t n = 0;

    for (;;) {
        ssize_t m;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 0;
        if (fds[1].revents != 0) {
            obey(q, question, secret);
            continue;
        }
        if (fds[0].revents == 0)
            continue;
        m = read(q->tty, line + n, room - n);
        if (m < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (m <= 0)
            return 0;
        n += (size_t)m;
        if (line[n - 1] == '\n')
            return too_long ? SIZE_MAX : n;
        if (n == room) {
            too_long = true;
            n = 0;
        }
    }
}

static bool ask(const char *question, char *ret, size_t room, bool secret)
{
    struct question q = {.tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)};
    char line[LINE_ROOM];
    bool got = false;
    size_t n;

    if (q.tty < 0)
        return false;
    q.signals = sotto_signals_open(true);
    if (secret)
        echo(&q, false);
    do {
        write_all(q.tty, question, strlen(question));
        n = read_line(&q, question, secret, line, sizeof line);
        if (n > room)
            write_all(q.tty, "That is too long.\n", 18);
    } while (n > room);
    if (n > 0) { /* with its break it fits room, without it the NUL fits too */
        memcpy(ret, line, n - 1);
        ret[n - 1] = 0;
        got = true;
    } else {
        write_all(q.tty, "\n", 1);
    }
    sotto_wipe(line, sizeof line);
    echo(&q, true);
    sotto_signals_close(q.signals);
    (void)close(q.tty);
    return got;
}

bool sotto_ask_line(const char *question, char *ret, size_t room)
{
    return ask(question, ret, room, false);
}

bool sotto_ask_secret(const char *question, char *ret, size_t room)
{
    return ask(question, ret, room, true);
}

bool sotto_ask_yes(const char *question)
{
    char answer[16];

    return sotto_ask_line(question, answer, sizeof answer) &&
           (strcasecmp(answer, "yes") == 0 || strcasecmp(answer, "y") == 0);
}

void sotto_ask_say(const char *fmt, ...)
{
    char text[1024];
    int fd = open("/dev/tty", O_WRONLY | O_CLOEXEC | O_NOCTTY), n;
    va_list ap;

    if (fd < 0)
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0) {
        sotto_safe_text(text, strlen(text), "", emit_fd, &fd);
        write_all(fd, "\n", 1);
    }
    sotto_wipe(text, sizeof text); /* a generated passphrase passes here */
    (void)close(fd);
}
