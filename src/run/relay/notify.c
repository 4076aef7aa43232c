/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/notify.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "run/relay/options.h"

struct sotto_notify {
    int fd;
    uint64_t interval_ms;
};

/* "/path" or "@name", which stands for a name that begins with a NUL. */
static bool address_of(const char *text, struct sockaddr_un *ret, socklen_t *ret_len)
{
    size_t len = strlen(text);

    memset(ret, 0, sizeof *ret);
    ret->sun_family = AF_UNIX;
    if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof ret->sun_path)
        return false;
    memcpy(ret->sun_path, text, len);
    if (text[0] == '@')
        ret->sun_path[0] = '\0';
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

/* WATCHDOG_USEC is meant for the process WATCHDOG_PID, if that is given. */
static uint64_t watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t v, whose;

    if (usec == NULL || sotto_relay_number_parse(usec, 2000, UINT64_MAX, &v) != 0)
        return 0;
    if (pid != NULL &&
        (sotto_relay_number_parse(pid, 1, UINT32_MAX, &whose) != 0 || whose != (uint64_t)getpid()))
        return 0;
    return v / 2000;
}

static int connect_to(const char *text)
{
    struct sockaddr_un address;
    socklen_t len;
    int fd;

    if (!address_of(text, &address, &len))
        return -1;
    if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&address, len) == 0)
        return fd;
    close(fd);
    return -1;
}

struct sotto_notify *sotto_notify_open(void)
{
    const char *where = getenv("NOTIFY_SOCKET");
    struct sotto_notify *n = NULL;

    if (where != NULL && where[0] != '\0' && (n = calloc(1, sizeof *n)) != NULL) {
        n->fd = connect_to(where);
        n->interval_ms = watchdog();
        if (n->fd < 0) {
            sotto_log_local("the service manager at %s (NOTIFY_SOCKET) cannot be told anything",
                            where);
            free(n);
            n = NULL;
        }
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return n;
}

void sotto_notify_free(struct sotto_notify *n)
{
    if (n == NULL)
        return;
    close(n->fd);
    free(n);
}

/* A manager that does not listen is no reason to wait or to end. */
static void say(struct sotto_notify *n, const char *text)
{
    if (n != NULL && send(n->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        sotto_log_debug("the service manager was not told: %s", text);
}

void sotto_notify_ready(struct sotto_notify *n, const char *status)
{
    char text[512];

    snprintf(text, sizeof text, "READY=1\nSTATUS=%s\n", status);
    say(n, text);
}

void sotto_notify_reloading(struct sotto_notify *n)
{
    struct timespec t = {0};
    char text[128];

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
             (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
    say(n, text);
}

void sotto_notify_stopping(struct sotto_notify *n)
{
    say(n, "STOPPING=1\nSTATUS=telling everybody\n");
}

void sotto_notify_alive(struct sotto_notify *n)
{
    say(n, "WATCHDOG=1\n");
}

uint64_t sotto_notify_interval_ms(const struct sotto_notify *n)
{
    return n != NULL ? n->interval_ms : 0;
}
