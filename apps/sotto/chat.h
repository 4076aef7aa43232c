/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_CHAT_H
#define SOTTO_APP_CHAT_H

#include "cli.h"
#include "edit.h"
#include "outgoing.h"
#include "screen.h"
#include "view.h"

/*
 * An interactive chat. chat.c runs the loop and takes the library's events, chat_line.c does what
 * a typed line says, chat_tty.c is everything that only a terminal has (editing, typing notices,
 * state rows, signals of the terminal). Without a terminal lines come from a pipe, results go to
 * stdout, everything else to stderr, and not one escape sequence is written.
 */
#define SOTTO_CHAT_PENDING 64
#define SOTTO_CHAT_TYPISTS 8

struct sotto_chat_typist {
    char name[40];
    uint64_t until_ms;
};

struct sotto_chat {
    struct sotto_cli *cli;
    struct sotto_out out;
    struct sotto_view view;
    struct sotto_outgoing outgoing;
    bool tty;

    char peer[40]; /* "": no chat is open */
    bool peer_known, peer_verified, peer_new_identity;

    /* Opening: contacts (how much is unread), then the end of the history, then all that is new. */
    uint32_t contacts_request, history_request, receive_request;
    uint32_t status_request; /* how the connection stood before we listened; what is queued */
    uint32_t queued;
    uint32_t unread;
    bool receive_done;
    char (*seen)[33]; /* messages that the history has shown */
    size_t seen_count;

    uint32_t pending[SOTTO_CHAT_PENDING]; /* requests of commands; 0: free */
    char (*contact)[40];                  /* names, for Tab */
    size_t contact_count;

    enum sotto_link_state link;
    bool link_known, offline_said;
    char why[SOTTO_CLI_WHY];

    struct sotto_screen screen; /* tty only, from here on */
    struct sotto_edit *edit;
    struct sotto_chat_typist typist[SOTTO_CHAT_TYPISTS];
    bool typing; /* we have said so to the peer */
    size_t typed_len;
    uint64_t typed_ms, typing_sent_ms;
    bool interrupted; /* Ctrl-C on an empty line: the next one leaves */
    bool resumed;     /* after a stop of our own */
    wchar_t completion[64];

    bool leaving;
    bool deaf; /* nobody reads what we print: not even the last messages are waited for */
    enum sotto_result result; /* the first failure */
};

/* Opens the profile first if it is not open. peer NULL: no chat is opened. */
enum sotto_result sotto_chat(struct sotto_cli *cli, const char *peer);

/* chat.c */
/* Takes all events that are there and prints what is due. */
void sotto_chat_events(struct sotto_chat *c);
void sotto_chat_open(struct sotto_chat *c, const char *peer);
/* Milliseconds until something has to be done without an event; -1: nothing. */
int64_t sotto_chat_timeout(const struct sotto_chat *c, uint64_t now);
/* Remembers the first failure; it becomes the exit code of a chat from a pipe. */
void sotto_chat_failed(struct sotto_chat *c, enum sotto_result result);
size_t sotto_chat_pending(const struct sotto_chat *c);

/* chat_line.c */
void sotto_chat_line(struct sotto_chat *c, const char *text);
/* Is text a line that only makes sense once everything before it is done? */
bool sotto_chat_must_wait(const struct sotto_chat *c, const char *text);
/* What completes text at its end (Tab); see edit.h. */
const wchar_t *sotto_chat_complete(void *chat, const wchar_t *text, size_t len);

/* chat_tty.c */
/* False: this terminal cannot be used for editing. */
bool sotto_chat_tty_begin(struct sotto_chat *c);
void sotto_chat_tty_run(struct sotto_chat *c);
void sotto_chat_tty_end(struct sotto_chat *c);
void sotto_chat_tty_typing(struct sotto_chat *c, const struct sotto_typing_row *row);
/* When its clocks have something to do. */
uint64_t sotto_chat_tty_deadline(const struct sotto_chat *c);

#endif
