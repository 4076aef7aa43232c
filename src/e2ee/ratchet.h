/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_RATCHET_H
#define SOTTO_E2EE_RATCHET_H

#include "base/bytes.h"
#include "base/env.h"
#include "crypto/dh.h"

/*
 * The Double Ratchet (Signal, revision 1, section 3), without header encryption: the envelope
 * hides the header. X25519; root chain HKDF-SHA-256; message chain HMAC-SHA-256.
 *
 *   initiator                               responder
 *   FIRST  sends on its own first key       WAIT  has its signed pre-key as ratchet key
 *     | opens the first reply                 | opens the first message
 *     v                                       v
 *   TURN  has nothing to send on  <-------  (same states from here on)
 *     | sends: makes a new key                ^ opens a message under a new key of theirs
 *     v                                       |
 *   BOTH  ------------------------------------+
 *
 * The new key of a turn is made when something is sent and not before, so its private part does
 * not lie about, and the old private part is wiped as soon as their answer to it has opened.
 *
 * A step is computed aside and taken over by a second call, once the caller knows that the
 * message's tag was right. Nothing a stranger sends changes the state.
 */
enum sotto_ratchet_phase {
    SOTTO_RATCHET_FIRST = 1,
    SOTTO_RATCHET_WAIT = 2,
    SOTTO_RATCHET_TURN = 3,
    SOTTO_RATCHET_BOTH = 4,
};

/*
 * Keys of messages that were passed over are kept until the message comes: at most 1,000 in a
 * session, whatever chain they are of. When there are more, those that were passed over first go
 * first. The clock has no part in it. One message may jump at most 25,000 numbers in their current
 * chain and leave at most 25,000 open in the one before; of a longer gap than 1,000 only the newest
 * are kept. All that needs a message whose tag was right: only the peer itself can push out keys,
 * and only those of its own messages.
 */
#define SOTTO_SKIPPED_MAX 1000
#define SOTTO_JUMP_MAX    25000

struct sotto_skipped {
    uint8_t theirs[32];
    uint32_t n;
    struct sotto_secret32 key;
};

/*
 * A chain of theirs that is over: its ratchet key by its first 8 bytes, and how long it was. What
 * comes late under it and has no key any more is then known as a duplicate (or as too old, below
 * `floor`) and not taken for a new key. The last three are remembered.
 */
#define SOTTO_ENDED_MAX 3
struct sotto_ended {
    uint8_t tag[8];
    uint32_t end, floor;
};

struct sotto_ratchet {
    enum sotto_ratchet_phase phase;
    struct sotto_secret32 root;
    struct sotto_dh_pair ours;  /* not in TURN */
    struct sotto_secret32 send; /* chain key; FIRST, BOTH */
    uint32_t ns, pn;            /* sent in this chain (TURN: in the last one), in the one before */
    uint8_t theirs[32];         /* TURN, BOTH, as what follows */
    struct sotto_secret32 recv;
    uint32_t nr, floor; /* next number; keys of lower ones than floor may have been pushed out */
    struct sotto_ended ended[SOTTO_ENDED_MAX]; /* newest first */
    size_t ended_count;
    struct sotto_skipped *skipped; /* oldest first; NULL until something is passed over */
    size_t skipped_count, skipped_room;
};

/* Of the initiator: a fresh key against the signed pre-key. RANDOM, BAD_KEY. */
enum sotto_err sotto_ratchet_start(const struct sotto_env *env, const struct sotto_secret32 *root,
                                   const uint8_t signed_prekey[32], struct sotto_ratchet *ret);
/* Of the responder. */
void sotto_ratchet_wait(const struct sotto_secret32 *root,
                        const struct sotto_dh_pair *signed_prekey, struct sotto_ratchet *ret);
/* Frees what it points to and wipes it. */
void sotto_ratchet_clear(struct sotto_ratchet *r);

/* One message out. */
struct sotto_sending {
    struct sotto_dh_pair ours;
    struct sotto_secret32 root, chain;
    uint32_t pn, n;
    struct sotto_secret32 key; /* of this message */
};
/* The next message: ours.pub, pn and n go into its header. RANDOM, BAD_KEY (theirs is low-order,
 * which cannot be: it was used before); STATE: nothing was received yet, or 2^32 - 1 were sent. */
enum sotto_err sotto_ratchet_send(const struct sotto_env *env, const struct sotto_ratchet *r,
                                  struct sotto_sending *ret);
void sotto_ratchet_sent(struct sotto_ratchet *r, const struct sotto_sending *step);
void sotto_sending_wipe(struct sotto_sending *step);

/* One message in. */
enum sotto_receiving_kind {
    SOTTO_RECEIVING_AHEAD,   /* the next one of the chain, or later */
    SOTTO_RECEIVING_SKIPPED, /* passed over before */
    SOTTO_RECEIVING_TURN,    /* under a new key of theirs */
};
struct sotto_gap { /* numbers first..end-1 of a chain whose keys are to be kept */
    uint32_t first, end;
    struct sotto_secret32 chain; /* at `first` */
};
struct sotto_receiving { /* start from {0} */
    enum sotto_receiving_kind kind;
    size_t index; /* SKIPPED: which one */
    uint8_t theirs[32];
    struct sotto_secret32 root, chain; /* chain: after this message */
    uint32_t n;
    uint32_t old_end; /* TURN: length of the chain that ends */
    struct sotto_gap old_gap, gap;
    struct sotto_secret32 key; /* of this message */
};
/*
 * BAD_TAG: under an unknown key when it is not their turn to make one. REPLAY: consumed. TOO_FAR:
 * the jump is too long or the key is no longer kept. BAD_KEY: low-order key. MALFORMED.
 */
enum sotto_err sotto_ratchet_receive(const struct sotto_ratchet *r, const uint8_t theirs[32],
                                     uint32_t pn, uint32_t n, struct sotto_receiving *ret);
/* NOMEM: the state is unchanged. The only call that allocates, and only when a gap outgrows the
 * room for skipped keys. */
enum sotto_err sotto_ratchet_received(struct sotto_ratchet *r, const struct sotto_receiving *step);
void sotto_receiving_wipe(struct sotto_receiving *step);

/* For the session's record. Read: MALFORMED, TRUNCATED, NOMEM; clear() the result. */
enum sotto_err sotto_ratchet_write(const struct sotto_ratchet *r, struct sotto_buf *ret);
enum sotto_err sotto_ratchet_read(struct sotto_reader *in, struct sotto_ratchet *ret);

#endif
