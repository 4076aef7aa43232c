/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t ours(bool terminal)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    if (terminal) {
        (void)sigaddset(&set, SIGQUIT);
        (void)sigaddset(&set, SIGTSTP);
        (void)sigaddset(&set, SIGCONT);
        (void)sigaddset(&set, SIGWINCH);
    }
    return set;
}

int sotto_signals_open(bool terminal)
{
    sigset_t set = ours(terminal);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

    if (fd >= 0)
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return fd;
}

int sotto_signals_take(int fd)
{
    struct signalfd_siginfo info;

    if (fd < 0 || read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return 0;
    return (int)info.ssi_signo;
}

void sotto_signals_close(int fd)
{
    sigset_t set = ours(true);

    if (fd < 0)
        return;
    (void)close(fd);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void sotto_signals_die(int number)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, number);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + number); /* only if the signal was ignored by whoever started us */
}
