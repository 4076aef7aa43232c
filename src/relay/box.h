/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_BOX_H
#define SOTTO_RELAY_BOX_H

/*
 * Boxes, and where the envelopes in them lie: in memory only, as long as the recipient's device is
 * about to acknowledge (live.c), or in a row of the store (mail.c). Included by relay/core.h only.
 *
 * A number is the boot epoch (24 bits) and a counter of this box in this boot (40 bits): it grows
 * for ever and is never given out twice, because the epoch is on disk before anybody can connect.
 */

#include "relay/idset.h"

#define LIVE_MS    50           /* not acknowledged for so long: to the disk */
#define LIVE_BYTES (256 * 1024) /* of one box */
#define LINGER_MS  10           /* an answer waits for company */
#define PROMPT_MS  1000         /* none does, after one has waited in vain */
#define ROW_BYTES  (1024 * 1024)

struct box_entry {
    uint64_t seq;
    uint64_t id;       /* first half of the envelope's; 0 while live */
    int64_t sender;    /* account; 0: not known any more (never stored) */
    struct live *live; /* NULL: in a row */
    struct row *row;
    uint32_t at, size, day;
    bool request;
};

/* What one account has waiting in a box, to keep it from filling it. */
struct share {
    int64_t sender;
    size_t count[2], bytes[2]; /* main, request */
};

/* A device's mailbox. Never freed before the relay is: its counter must not start again. */
struct box {
    int64_t id;
    struct box *next;  /* same hash */
    uint64_t last_seq; /* given out in this boot, or found in the store; 0: none */
    uint64_t acked;    /* in this boot; 0: not known */
    uint64_t floor;    /* while loading: nothing up to it is wanted */
    struct box_entry *entries;
    uint32_t first, count, room; /* entries first .. first + count - 1, in order */
    uint32_t live_count, live_bytes;
    uint32_t lane_count[2]; /* main, request */
    size_t lane_bytes[2];
    uint32_t share_count, share_room;
    struct share *shares;
    struct sotto_relay_conn *conn; /* signed in */
    bool low_told;
};

/* An envelope that its sender has no answer for yet. */
struct live {
    struct live *next, *prev; /* oldest first */
    uint64_t due;
    struct box *box;
    uint64_t seq;
    struct answer_due *answer;
    uint32_t size;
    uint8_t bytes[];
};

/* The answer to a submit, due when every envelope of it is acknowledged or stored. */
struct answer_due {
    struct answer_due *next, *prev; /* of the connection */
    struct answer_due *next_ripe; /* or that lingers */
    struct sotto_relay_conn *conn; /* NULL: gone, or refused already */
    uint32_t id, lane;
    bool refuse;
    bool spilled; /* an envelope of it went to the disk */
    uint32_t left, count;
    uint64_t devices[];
};

/* A row of mail as far as it matters in memory. */
struct row {
    struct row *next, *prev;
    bool listed;   /* in mail.rows */
    int64_t id;    /* 0: not written yet */
    uint32_t left; /* envelopes that are still wanted */
    uint64_t left_bytes, bytes;
};

/* What one turn writes, and how to take it back. */
struct placed {
    struct box *box;
    uint64_t seq;
    struct live *old_live; /* it was live before: until the commit it is kept */
    struct row *old_row;   /* it lay here before; both NULL: it is new */
    uint32_t old_at;
};

struct mail {
    struct row *rows, *dead, *reaped; /* reaped: deleted in this turn */
    struct row *current;              /* being filled; not yet in the store */
    struct sotto_rs_place *places;    /* of current */
    size_t place_count, place_room;
    struct sotto_buf bytes; /* of current */
    struct placed *placed;
    size_t placed_count, placed_room;
    struct row **fresh; /* written in this turn */
    size_t fresh_count, fresh_room;
    uint64_t waiting, waiting_bytes; /* in all rows */
    struct sotto_idset ids;          /* of those, and their boxes */
};

struct parcel_in {
    int64_t sender; /* account */
    bool own;       /* the sender is the recipient's other device */
    bool request;
    struct sotto_bytes envelope;
};

/* --- box.c --- */
/* NULL: no memory. */
struct box *sotto_relay_box(struct sotto_relay *r, int64_t id);
struct box *sotto_relay_box_known(struct sotto_relay *r, int64_t id); /* NULL: not known */
struct box_entry *sotto_box_find(struct box *b, uint64_t seq);        /* NULL: none */
/* The place of the first entry after seq, counted from b->first. */
size_t sotto_box_after(const struct box *b, uint64_t seq);
/* Keeps the order of numbers. NOMEM. */
enum sotto_err sotto_box_add(struct box *b, const struct box_entry *entry);
uint64_t sotto_box_next_seq(const struct sotto_relay *r, const struct box *b);
enum sotto_parcel_state sotto_box_room(const struct sotto_relay *r, const struct box *b,
                                       const struct parcel_in *p);
/* Drops all up to seq: for whoever waits for an answer this is as good as stored. */
void sotto_box_drop(struct sotto_relay *r, struct box *b, uint64_t seq);
/* Drops one entry: its turn was undone. */
void sotto_box_remove(struct sotto_relay *r, struct box *b, uint64_t seq);
/* Drops what was stored before that day. */
void sotto_box_expire(struct sotto_relay *r, struct box *b, uint32_t before_day);
/* Puts an envelope into the turn's mail, unless it is there or there is no room. */
enum sotto_err sotto_relay_box_store(struct sotto_relay *r, int64_t box,
                                     const struct parcel_in *parcel,
                                     enum sotto_parcel_state *ret_state);
/* Sends what fits into the window. */
void sotto_relay_pump(struct sotto_relay_conn *c);
void sotto_relay_window_reset(struct sotto_relay_conn *c, uint64_t cursor);
void sotto_relay_boxes_free(struct sotto_relay *r);

/* --- live.c --- */
/* May this go to the device without touching the disk? */
bool sotto_live_possible(const struct box *b, size_t size);
/* Takes an envelope. a is filled once per envelope of its submit. NOMEM. */
enum sotto_err sotto_live_put(struct sotto_relay *r, struct box *b, const struct parcel_in *p,
                              struct answer_due *a);
struct answer_due *sotto_answer_due(struct sotto_relay_conn *c, uint32_t id, size_t count);
/* One envelope of it is safe, or cannot be kept. */
void sotto_answer_ripen(struct sotto_relay *r, struct answer_due *a, bool safe);
/* Lets all go that are ripe, or lets them linger for a turn; between turns. */
void sotto_answers_give(struct sotto_relay *r);
/* Nothing that is ripe waits any longer. */
void sotto_answers_give_all(struct sotto_relay *r);
/* The relay goes away. */
void sotto_answers_drop(struct sotto_relay *r);
void sotto_answers_forget(struct sotto_relay_conn *c); /* it ends */
/* The submit failed after all: so many of its envelopes were not taken. */
void sotto_answer_forget(struct sotto_relay *r, struct answer_due *a, size_t untaken);
/* It is the caller's now. */
void sotto_live_unlink(struct sotto_relay *r, struct live *l);
/* The relay goes away: frees it and its share of the answer. NULL is fine. */
void sotto_live_discard(struct live *l);
/* The live ones of a box go from it, and their senders are told. */
void sotto_live_refuse(struct sotto_relay *r, struct box *b);
/* The same for all boxes in which one is due. */
void sotto_live_refuse_due(struct sotto_relay *r, uint64_t mono);
/* All of a box, or all that are due, into the turn's mail. */
enum sotto_err sotto_live_spill(struct sotto_relay *r, struct box *b);
enum sotto_err sotto_live_spill_due(struct sotto_relay *r, uint64_t mono);

/* --- mail.c --- */
/* What the store holds, at the start. */
enum sotto_err sotto_mail_load(struct sotto_relay *r);
/* Writes an envelope with the turn: e lies in a row from now on. */
enum sotto_err sotto_mail_put(struct sotto_relay *r, struct box *b, struct box_entry *e,
                              const uint8_t id[SOTTO_ENVELOPE_ID], const uint8_t *bytes);
/* Before the commit. */
enum sotto_err sotto_mail_write(struct sotto_relay *r);
/* After the commit, or after the turn was undone. */
void sotto_mail_settle(struct sotto_relay *r, bool committed);
/* An entry that lay there is not wanted any more. */
void sotto_mail_unwanted(struct sotto_relay *r, struct row *row, uint32_t size);
/* Rows that hold little of what they were made for are written anew, with the turn. */
enum sotto_err sotto_mail_compact(struct sotto_relay *r);
/* Is there anything that the disk could give up? */
bool sotto_mail_has_waste(const struct sotto_relay *r);
void sotto_mail_free(struct sotto_relay *r);

#endif
