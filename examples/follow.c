/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow PROFILE: prints messages as they come, for as long as it runs. All that a program needs of
 * libsotto: one descriptor for poll(), dispatch, and events until there is none. It reconnects by
 * itself; beside a running sotto it shares that one's connection.
 *
 *     cc follow.c $(pkg-config --cflags --libs sotto) -o follow
 *     SOTTO_PASSPHRASE=... ./follow ~/.local/share/sotto
 */
#include <poll.h>
#include <sotto/sotto.h>
#include <stdio.h>
#include <stdlib.h>

/* Anything but OK: no use in waiting for a connection. */
static enum sotto_result on_connection(const struct sotto_connection *c)
{
    if (c->state == SOTTO_ONLINE)
        puts("- online");
    if (c->state != SOTTO_OFFLINE)
        return SOTTO_RESULT_OK;
    printf("- offline: %s\n", c->text);
    return c->result == SOTTO_RESULT_UNREACHABLE ? SOTTO_RESULT_OK : c->result;
}

static void on_message(struct sotto_client *client, const struct sotto_message *m)
{
    /* What others wrote can give orders to a terminal; this goes to a file or a pipe. */
    printf("%s: ", m->from);
    fwrite(m->text, 1, m->text_len, stdout);
    putchar('\n');
    if (fflush(stdout) == 0) /* only what has arrived counts as shown; the rest comes again */
        sotto_shown(client, m->id);
}

int main(int argc, char **argv)
{
    struct sotto_options options = {.profile = argv[1], .passphrase = getenv("SOTTO_PASSPHRASE")};
    struct sotto_client *client;
    struct sotto_event *event;
    enum sotto_result result;
    char why[512];

    if (argc != 2)
        return fputs("usage: follow PROFILE\n", stderr), SOTTO_RESULT_USAGE;
    result = sotto_client_open(&options, &client, why, sizeof why);
    if (result != SOTTO_RESULT_OK)
        return fprintf(stderr, "follow: %s\n", why), (int)result;
    sotto_receive(client, NULL);
    while (result == SOTTO_RESULT_OK) {
        struct pollfd fd = {.fd = sotto_client_fd(client), .events = POLLIN};

        while (result == SOTTO_RESULT_OK && (event = sotto_client_next_event(client)) != NULL) {
            if (sotto_event_type(event) == SOTTO_EVENT_MESSAGE)
                on_message(client, sotto_event_message(event));
            else if (sotto_event_type(event) == SOTTO_EVENT_CONNECTION)
                result = on_connection(sotto_event_connection(event));
            sotto_event_free(event);
        }
        if (fflush(stdout) != 0) /* nobody reads any more */
            result = SOTTO_RESULT_FAILED;
        if (result == SOTTO_RESULT_OK && poll(&fd, 1, -1) > 0)
            sotto_client_dispatch(client);
    }
    sotto_client_close(client);
    return (int)result;
}
