/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_OUTGOING_H
#define SOTTO_APP_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "out.h"
#include "sotto/sotto.h"

/*
 * The messages that were written in this chat, and how far they have come.
 *
 * On a terminal the newest stays with the line being typed until it is delivered or a second has
 * passed, so that it gets into the conversation together with its state; what happens later is
 * told in lines of its own, several at a time as one. Without a terminal a message is printed
 * once its request has ended.
 */
struct sotto_sent {
    uint32_t request; /* 0: ended */
    char id[33];      /* "" until known */
    char peer[40];
    char *text; /* until it was printed */
    size_t len;
    char brief[64];
    uint64_t at_ms;      /* wall clock, for the line */
    uint64_t changed_ms; /* monotonic, last change */
    enum sotto_message_state state;
    enum sotto_message_state shown; /* 0: the line itself was not printed */
    enum sotto_result result;       /* of the request; it may get there later all the same */
    char reason[256];
};
struct sotto_outgoing {
    struct sotto_sent *row;
    size_t count, room;
    const struct sotto_out *out;
    bool tty;
    bool flushing;          /* what is printed now must not print what comes after it */
    enum sotto_result lost; /* of the first that was refused and is not kept */
    bool unreachable_said;
};

void sotto_outgoing_init(struct sotto_outgoing *o, const struct sotto_out *out, bool tty);
void sotto_outgoing_free(struct sotto_outgoing *o);
/* False: out of memory. now_ms: wall clock, mono_ms: monotonic. */
bool sotto_outgoing_add(struct sotto_outgoing *o, uint32_t request, const char *peer,
                        const char *text, size_t len, uint64_t now_ms, uint64_t mono_ms);
/* A DONE event of request; false when it is none of these. */
bool sotto_outgoing_done(struct sotto_outgoing *o, uint32_t request, const struct sotto_done *done,
                         uint64_t mono_ms);
/* A STATE event. */
void sotto_outgoing_state(struct sotto_outgoing *o, uint32_t request, const struct sotto_message *m,
                          uint64_t mono_ms);
/* The message that waits to be printed, NULL: none. */
const struct sotto_sent *sotto_outgoing_held(const struct sotto_outgoing *o);
/* Prints what is due; all: also what is still held (something else is about to be printed, or
 * the program ends). */
void sotto_outgoing_flush(struct sotto_outgoing *o, uint64_t mono_ms, bool all);
/* When flush has something to do next (monotonic); UINT64_MAX: nothing is due. */
uint64_t sotto_outgoing_deadline(const struct sotto_outgoing *o);
/* How many are under way to the relay, and how many have not arrived there. */
size_t sotto_outgoing_unfinished(const struct sotto_outgoing *o);
size_t sotto_outgoing_unsent(const struct sotto_outgoing *o);
/* Not OK: something was refused and is not kept, or else has not got to the relay since it was
 * told. */
enum sotto_result sotto_outgoing_result(const struct sotto_outgoing *o);

#endif
