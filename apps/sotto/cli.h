/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_CLI_H
#define SOTTO_APP_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "out.h"
#include "sotto/sotto.h"

#define SOTTO_CLI_WHY 512

/* One run of the program: which profile, how it is opened, what it is connected to. */
struct sotto_cli {
    char *profile;               /* directory; owned */
    const char *passphrase_file; /* NULL: not given */
    char *passphrase;            /* owned, guarded memory; NULL until it is known */
    bool prompted;               /* a person typed it */
    bool opened;                 /* sotto_cli_open() was called: the words made sense */
    struct sotto_client *client; /* NULL until it has succeeded */
    int signals;                 /* readable when one waits (signals.h); -1 before the open */
    int signal;                  /* that ended the waiting; 0: none */
    bool offline_said;           /* a person knows that there is no connection */
    bool links_shown;            /* devices that ask to join are what the command is about */
};

/* Takes the profile's folder from --profile (NULL: $XDG_DATA_HOME/sotto or ~/.local/share/sotto).
 * False: there is no home to put it in; it was said. */
bool sotto_cli_init(struct sotto_cli *cli, const char *profile, const char *passphrase_file);
void sotto_cli_end(struct sotto_cli *cli);

/*
 * Opens the profile, asks for the passphrase only if that is necessary. create: makes a new
 * profile when there is none. On failure the reason was said.
 */
enum sotto_result sotto_cli_open(struct sotto_cli *cli, bool create);

/* Called for each event of the request (DONE excepted) and for those of no request. */
typedef void sotto_cli_event(void *ctx, const struct sotto_event *e);

/* What a request came to; a copy. */
struct sotto_cli_done {
    enum sotto_result result;
    char text[SOTTO_CLI_WHY];
    char id[33];
};

/*
 * Runs the client until the request is done. timeout_ms -1: as long as it takes. Events that
 * belong to no request are shown where a person has to know them (stderr).
 */
enum sotto_cli_end {
    SOTTO_CLI_DONE,
    SOTTO_CLI_TIMEOUT,
    SOTTO_CLI_SIGNAL, /* SIGINT, SIGTERM or SIGHUP came; cli->signal says which */
};
enum sotto_cli_end sotto_cli_wait(struct sotto_cli *cli, uint32_t request, int64_t timeout_ms,
                                  sotto_cli_event *fn, void *ctx, struct sotto_cli_done *ret);
/* Waits as above, then says what went wrong (or well, on stderr) and gives the exit code. */
enum sotto_result sotto_cli_finish(struct sotto_cli *cli, uint32_t request, sotto_cli_event *fn,
                                   void *ctx);
/*
 * The next turn of a loop of one's own: sleeps until something is to be read from the client or
 * from fd (-1: none), a signal comes or timeout_ms is over; dispatches. SIGNAL: cli->signal.
 */
enum sotto_cli_woken {
    SOTTO_CLI_WORKED,
    SOTTO_CLI_INPUT, /* fd can be read (or has ended) */
    SOTTO_CLI_SIGNALLED,
};
enum sotto_cli_woken sotto_cli_turn(struct sotto_cli *cli, int fd, int64_t timeout_ms);
/* Events of request 0: notices, device requests, the connection. */
void sotto_cli_show_other(struct sotto_cli *cli, const struct sotto_event *e);

/* Flushes stdout; FAILED with a word on stderr if what was written did not arrive. */
enum sotto_result sotto_cli_flush(void);
/* Milliseconds that only go forward. */
uint64_t sotto_cli_mono(void);
/* Milliseconds since 1970. */
uint64_t sotto_cli_now(void);

#endif
