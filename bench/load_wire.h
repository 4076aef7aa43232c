/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BENCH_LOAD_WIRE_H
#define SOTTO_BENCH_LOAD_WIRE_H

#include "relay_people.h"
#include "wire/answer.h"

/*
 * The frames that a load generator handles a million times: made by copying a frame that the wire
 * module wrote, and read in place. Everything else goes through the wire module itself.
 */
#define LOAD_ENVELOPE 256
#define LOAD_FRAME    512

/* What an envelope of ours says inside; the relay cannot know. */
struct load_mark {
    uint32_t tag;  /* of the run */
    uint32_t flow; /* number of the sender within the run */
    uint64_t number;
    uint64_t sent_ns;
};

/* Request ids of submits: all take five bytes, so that they can be written over each other. */
#define LOAD_ID_FIRST 0x10000000u
static inline uint32_t load_id_of(uint64_t number)
{
    return LOAD_ID_FIRST + (uint32_t)(number % LOAD_ID_FIRST);
}

struct load_submit { /* a frame with one parcel, and where its changing parts lie */
    uint8_t frame[LOAD_FRAME];
    size_t len, id_at, envelope_at;
};
/* Exits when the wire module does not take it. */
void load_submit_make(const struct relay_person *to, struct load_submit *ret);
/* Writes the next message over the last one. */
void load_submit_set(struct load_submit *s, const struct load_mark *mark);

/* LOAD_ENVELOPE bytes of which no two are alike. */
void load_envelope_make(const struct load_mark *mark, uint8_t ret[LOAD_ENVELOPE]);
/* false: not one of ours. */
bool load_envelope_read(struct sotto_bytes envelope, struct load_mark *ret);

/* An acknowledgement without an answer; returns the length of the frame. */
#define LOAD_ACK_MAX 32
size_t load_ack_make(uint64_t seq, uint8_t ret[LOAD_ACK_MAX]);

struct load_answer {
    uint32_t id;
    uint32_t type;               /* enum sotto_answer_type */
    uint32_t state;              /* submitted: of its one parcel */
    uint64_t seq;                /* deliver */
    struct sotto_bytes envelope; /* deliver: a view */
    bool request;                /* deliver */
};
/* The body of a frame. false: it is not well formed. */
bool load_answer_read(const uint8_t *body, size_t len, struct load_answer *ret);

/* Holds all of the above against the wire module; exits when they differ. */
void load_wire_check(void);

#endif
