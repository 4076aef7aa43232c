/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_EVIL_TWIST_H
#define SOTTO_TESTS_EVIL_TWIST_H

#include "memory.h"

/*
 * Between an honest relay core and its clients: what goes by is decoded, altered by the twists that
 * are armed, and encoded again. Commands, a line each, answered on stdout by a line each:
 *
 *     arm TWIST NAME [WORD...]   from now on, for connections of the account NAME, or * for all
 *     fired                      "ok FIRED"
 *     disarm                     "ok FIRED REQUESTS PARCELS": how often a twist fired since the
 *                                first arm, and what those they were armed for asked for, and
 *                                handed in, meanwhile
 *
 * lies.c has the table of twists. "leak" on stdout: somebody submitted something for a device
 * whose keys the evil relay has.
 */
struct evil {
    const struct sotto_sign_pair *relay_key;
    struct evil_memory memory;
    size_t armed_count;
    struct evil_armed {
        const struct evil_twist *twist;
        char *line; /* words point into it */
        const char *name, *word[2];
    } armed[16];
    size_t fired, requests, parcels;
    bool has_one_time; /* that everybody gets */
    uint8_t one_time[SOTTO_PREKEY_BYTES];
};

/* A connection. */
struct evil_peer {
    struct evil *v;
    sotto_name name; /* "": nobody has signed in */
    size_t asked_count;
    struct evil_asked { /* a request that was not answered yet, or long ago */
        uint32_t id;
        enum sotto_request_type type;
        sotto_name name; /* that it is about */
        uint64_t device;
    } asked[64];
    struct sotto_answer *first; /* waits for another one to be exchanged with */
    size_t held_count;          /* deliveries that are to go the other way round */
    struct sotto_buf held[32];
};

void evil_init(struct evil *v, const struct sotto_sign_pair *relay_key);
void evil_free(struct evil *v);
void evil_command(struct evil *v, const char *line);

void evil_peer_init(struct evil_peer *p, struct evil *v);
void evil_peer_free(struct evil_peer *p);
/* false: the honest core is not to hear of this request. out: what the client is told at once,
 * framed. */
bool evil_request(struct evil_peer *p, const uint8_t *body, size_t len, struct sotto_buf *out);
/* The core's answer or push; out gets what the client hears instead. */
void evil_answer(struct evil_peer *p, const uint8_t *body, size_t len, struct sotto_buf *out);

#endif
