/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_EVIL_LIES_H
#define SOTTO_TESTS_EVIL_LIES_H

#include "twist.h"

/* What is on its way to a client while it is looked at. */
struct turn {
    struct evil *v;
    struct evil_peer *p;
    struct evil_armed *arm;
    const struct evil_asked *q; /* what it answers; NULL: it is pushed */
    struct sotto_answer *a;
    struct sotto_buf *out;
};
enum deed {
    LEFT,    /* as it was */
    TWISTED, /* altered */
    TAKEN,   /* what is to be said is in out already */
};
typedef enum deed twist_fn(struct turn *t);

#define ANY 0xff
struct evil_twist { /* several rows may have one name */
    const char *name;
    size_t words;
    twist_fn *fn;     /* NULL: the core does not hear of the request, and is spoken for */
    unsigned answers; /* to requests of that type, or ANY; 0: to none */
    unsigned pushes;  /* of that type; 0: none */
};

extern const struct evil_twist evil_twists[];
extern const size_t evil_twist_count;

/* Says an answer, framed. */
void evil_say(struct turn *t, const struct sotto_answer *a);
/* Delivers something under the next number. */
void evil_push_envelope(struct turn *t, struct sotto_bytes envelope);

#endif
