/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_CORE_H
#define SOTTO_RELAY_CORE_H

/* What the files of the relay share; nobody outside src/relay includes it. */

#include "auth/opaque.h"
#include "auth/proof.h"
#include "relay/allowance.h"
#include "relay/counters.h"
#include "relay/limits.h"
#include "relay/relay.h"
#include "relay/source.h"

#define DAY_MS             (24ull * 3600 * 1000)
#define LINK_MS            (10 * 60 * 1000ull)
#define HANDED_MS          DAY_MS
#define WINDOW_COUNT       256
#define WINDOW_BYTES       (1024 * 1024)
#define OUTPUT_HIGH        (256 * 1024) /* no more input, no more envelopes above this */
#define OUTPUT_MAX         (8 * 1024 * 1024)
#define OUTPUT_KEPT        (64 * 1024) /* room that stays when all has left */
#define PREKEYS_LOW        20
#define REQUEST_BOX_MAX    32
#define REQUEST_SENDER_MAX 8
#define SENDER_SHARE       8 /* one sender may use 1/8 of a box */
#define LANES_MAX          256
#define LOGIN_TRIES        3
#define STRANGER_IDLE_MS   (60 * 1000ull) /* without sign-in, and not waiting to be listed */
#define LINKING_IDLE_MS    (LINK_MS + 60 * 1000)
#define HELLO_MS           10000 /* how old the time in it may be */
#define REST_MS            5000  /* of silence, until it is kept small */
#define SWEEP_MS           5000
#define SWEEP_BOXES        4096
#define CLOCK_TRUST_MS     (60 * 60 * 1000ull)
#define CLOCK_SLACK_MS     (60 * 1000ull)
#define INVITE_KEPT_MS     (30 * DAY_MS) /* so that a late one is told what it is */
#define LIST_FRAME_BUDGET  (96 * 1024)
#define TOKENS_KNOWN       8
#define PERSONS_KNOWN      65536

struct sotto_relay;
struct sotto_relay_conn;
#include "relay/box.h"

enum stage {
    STAGE_OPEN = 1,
    STAGE_CHALLENGED = 2, /* KE2 was sent */
    STAGE_LOGGED_IN = 4,  /* knows the password */
    STAGE_LINKING = 8,    /* asked to be listed */
    STAGE_SIGNED_IN = 16,
    STAGE_BEGUN = 32, /* envelopes may flow */
};
#define STAGE_STRANGER (STAGE_OPEN | STAGE_CHALLENGED | STAGE_LOGGED_IN | STAGE_LINKING)
#define STAGE_MEMBER   (STAGE_SIGNED_IN | STAGE_BEGUN)
#define STAGE_ANY      (STAGE_STRANGER | STAGE_MEMBER)

/* What a turn that fails puts back. */
struct conn_state {
    int64_t account; /* from LOGGED_IN on */
    uint64_t device; /* from LINKING on */
    int64_t box;     /* from SIGNED_IN on */
    sotto_name name; /* from CHALLENGED on */
    uint8_t stage;   /* enum stage */
    bool ending;
};

/* Of a connection that this turn has changed: how it was before. */
struct undo {
    struct sotto_relay_conn *conn; /* NULL: closed since */
    struct conn_state state;
    size_t out;    /* bytes of its output */
    uint32_t *ids; /* requests that want an answer; the memory stays for the next turn */
    size_t id_count, id_room;
    uint32_t highest_lane; /* of the submits */
};

struct flight { /* sent to the device, not acknowledged */
    uint64_t seq;
    uint32_t size;
};

struct window { /* a ring of those, in order, that grows up to WINDOW_COUNT */
    uint32_t room, first, count, bytes;
    struct flight flights[];
};

struct lane {
    int64_t account;
    uint64_t device;
    uint32_t closed; /* this number and lower ones */
};

/* Frames of one submit until the last one has come. */
struct assembly {
    sotto_name to;
    uint32_t list_version;
    bool has_token, ephemeral;
    uint8_t token[SOTTO_TOKEN];
    bool refused; /* swallow up to the last frame, then say so */
    enum sotto_relay_error code;
    uint32_t highest_lane;
    size_t count;
    struct {
        uint64_t device;
        uint32_t lane;
        size_t at, len;   /* in mem, while frames are collected */
        const uint8_t *p; /* once it is whole */
    } parcels[SOTTO_DEVICES_MAX];
    struct sotto_buf mem;
};

/* Kept small: a relay holds as many of these as people have devices, and most do nothing. */
struct sotto_relay_conn {
    struct sotto_relay *r;
    struct sotto_relay_conn *next, *prev; /* all */
    void *ctx;
    uint8_t exporter[SOTTO_EXPORTER];
    uint8_t *pin; /* of the client's certificate, until it has signed in; NULL: none */
    struct conn_state s;
    uint64_t opened_mono, heard_mono;
    struct sotto_opaque_login *login; /* from a challenge to its answer */

    struct sotto_buf out;
    struct sotto_relay_conn *next_ready, *next_pump;
    struct allowance *allowance; /* its own, or its account's */
    uint32_t safe, safe_next;    /* bytes of the output: hold.c */
    uint32_t pending;            /* bytes in the owner's hands */
    uint32_t undo;               /* its place in this turn, if it is touched */

    uint32_t lane_floor; /* closed for every device */
    uint32_t lane_count;
    struct lane *lanes;

    struct window *window;      /* NULL: nothing is under way, or has been lately */
    uint64_t cursor;            /* sent up to here */
    struct answer_due *answers; /* to submits, not given yet */
    struct assembly *assembly;

    bool ready;        /* in the list of sotto_relay_next() */
    bool waits;        /* some of its output: for the sync under way, */
    bool waits_next;   /* for the next one */
    bool pumping;      /* in the list of boxes to be looked at after the turn */
    bool touched;      /* by this turn */
    bool wanted_input; /* as last told */
    bool in_debt;
    bool broke_protocol; /* ends, whatever becomes of the turn */
    bool more;           /* the box may hold more than was sent */
    uint8_t tries;       /* KE2 given without a right KE3 */
    char address[];      /* of the peer, for people */
};

/* What is to be done once the turn is committed. */
enum effect_type {
    EFFECT_ATTACH,      /* conn: it is the box's connection now */
    EFFECT_BEGUN,       /* conn, seq: it has committed up to there, and wants the rest */
    EFFECT_END_BOX,     /* box, seq: its device was removed; nothing up to seq is wanted */
    EFFECT_END_ACCOUNT, /* account, text: its connections end */
    EFFECT_LIST,        /* account, list: tell its devices, but not conn */
    EFFECT_LINKED,      /* account, device, list: it was listed */
    EFFECT_LINK_ASKED,  /* account: tell its devices */
    EFFECT_ENVELOPE,    /* box: has a new envelope */
    EFFECT_PREKEYS_LOW, /* box, n */
};
struct effect {
    enum effect_type type;
    struct sotto_relay_conn *conn;
    int64_t account, box;
    uint64_t device, seq;
    uint32_t n;
    struct effect_list *list;
    const char *text; /* static */
};
struct effect_list { /* shared by effects of one turn */
    struct effect_list *next;
    size_t len;
    uint8_t bytes[];
};

struct hold_list { /* connections; NULL: closed since */
    struct sotto_relay_conn **conns;
    size_t count, room;
};

struct sotto_relay {
    const struct sotto_env *env;
    struct sotto_relay_store *store;
    struct sotto_relay_config config;
    struct sotto_rs_identity self;
    struct sotto_counters counters;
    struct sotto_secret32 tag_key; /* of this boot: hides who asked for whose keys */
    uint32_t epoch;
    struct sotto_buf hello; /* made at hello_ms */
    uint64_t hello_ms;

    struct sotto_relay_conn *conns;
    size_t conn_count;
    struct sotto_relay_conn *ready, **ready_end;
    struct sotto_relay_conn *pump;
    struct undo *undos; /* of this turn */
    size_t undo_count, undo_room;
    bool in_turn;    /* a transaction is open */
    bool failing;    /* the last turn could not be committed */
    uint64_t undone; /* turns so far */

    /* Transactions of this boot: committed, covered by the last sync that was begun, on the disk.
     */
    uint64_t written, syncing, durable;
    bool sync_under_way;
    struct hold_list waiting, waiting_next; /* for it, for the one after it */

    struct effect *effects;
    size_t effect_count, effect_room;
    struct effect_list *lists;

    struct box **boxes; /* by id, chained; room is a power of two */
    size_t box_count, box_room;
    struct mail mail;
    struct live *live_first, *live_last; /* oldest first */
    struct answer_due *ripe;             /* to be given once the turn is over */
    struct answer_due *lingering;        /* or after the next one, */
    uint64_t linger_due, prompt_until;   /* by then; none until then */
    uint8_t *envelope;                   /* room for one */
    bool sweeping;                       /* this turn has time for what nobody waits for */
    bool wrote, rested;                  /* since the last sweep, for somebody; before it */

    struct person **persons; /* by name, chained */
    size_t person_count;
    uint64_t person_seed;

    struct allowances allowances;
    struct guard name_guard, address_guard, stranger_guard;
    struct guard sign_in_guard, sign_up_guard, bundle_guard, line_guard;
    uint64_t mono; /* 0: not looked at in this turn */
    uint64_t next_sweep, next_debt;
    uint64_t clock_now, clock_mono; /* the clock has gone evenly since */
    uint32_t swept_day;
    size_t sweep_slot; /* of the table of boxes */
};

/* --- relay.c --- */
/* The monotonic time, looked at once a turn: a look costs as much as a small request. */
uint64_t sotto_relay_mono(struct sotto_relay *r);
/* Opens the turn's transaction for a request that writes. */
enum sotto_err sotto_relay_write(struct sotto_relay *r);
struct effect *sotto_relay_effect(struct sotto_relay *r, enum effect_type type);
struct effect_list *sotto_relay_effect_list(struct sotto_relay *r, struct sotto_bytes list);
/* The store or memory failed: the whole turn is undone and answered UNAVAILABLE. */
void sotto_relay_undo(struct sotto_relay *r, enum sotto_err why);
void sotto_relay_ready(struct sotto_relay_conn *c);
/* Its box is looked at once the turn is over. */
void sotto_relay_want_pump(struct sotto_relay_conn *c);

/* --- hold.c --- */
/* What is put into the output from now on may tell of what is not on the disk yet. NOMEM. */
enum sotto_err sotto_relay_hold(struct sotto_relay_conn *c);
/* Nothing of what was held for the next sync came to be written: it was undone. */
void sotto_relay_release(struct sotto_relay *r);
/* The output has been cut. */
void sotto_relay_unhold(struct sotto_relay_conn *c);
void sotto_relay_holds_forget(struct sotto_relay_conn *c); /* it is closed */
void sotto_relay_holds_free(struct sotto_relay *r);

/* --- conn.c --- */
struct undo *sotto_relay_undo_of(const struct sotto_relay_conn *c); /* of one that is touched */
/* Queues an answer. An answer that cannot be queued ends the connection. */
void sotto_relay_answer(struct sotto_relay_conn *c, struct sotto_answer *a);
void sotto_relay_done(struct sotto_relay_conn *c, uint32_t id);
/* The two that nearly all answers are. */
void sotto_relay_deliver(struct sotto_relay_conn *c, uint64_t seq, bool request,
                         struct sotto_bytes envelope);
void sotto_relay_stored(struct sotto_relay_conn *c, uint32_t id, bool by_device,
                        const uint64_t *devices, size_t count);
void sotto_relay_refuse(struct sotto_relay_conn *c, uint32_t id, enum sotto_relay_error code,
                        const char *text);
void sotto_relay_refuse_until(struct sotto_relay_conn *c, uint32_t id, uint64_t retry_ms,
                              const char *text);
/* Counts one more in a window; 0: there is room, or no limit. Else milliseconds to wait. */
#define MINUTE_MS (60 * 1000ull)
#define HOUR_MS   (60 * MINUTE_MS)
uint64_t sotto_relay_count(struct sotto_relay_conn *c, struct guard *g, const void *what,
                           size_t len, uint32_t max, uint64_t window_ms);
/* Where it comes from, as far as limits go. */
struct sotto_source sotto_relay_source(const struct sotto_relay_conn *c);
/* Is a log line due about this connection's source, for this reason? Once a minute, as whoever can
 * make the relay write a line for each attempt can fill its disk. */
bool sotto_relay_line_due(struct sotto_relay_conn *c, const char *reason);
/* Says why, then ends. */
void sotto_relay_end(struct sotto_relay_conn *c, enum sotto_closing reason, const char *text);
/* Answers every request of the undone turn, puts the connection back. */
void sotto_relay_conn_undo(struct sotto_relay_conn *c);
/* The request gets its answer another way; if this turn is undone, it is not refused. */
void sotto_relay_forget_id(struct sotto_relay_conn *c, uint32_t id);
/* Gives back what a connection that does nothing does not need. */
void sotto_relay_conn_rest(struct sotto_relay_conn *c);
/* Whether there is something to send, or to be read again. */
void sotto_relay_conn_settle(struct sotto_relay_conn *c);
void sotto_relay_conn_free(struct sotto_relay_conn *c);

/*
 * Requests. Each answers or refuses and returns OK, or returns what the store said: the turn is
 * undone then.
 */
typedef enum sotto_err request_fn(struct sotto_relay_conn *c, const struct sotto_request *q);
/* signin.c */
request_fn sotto_relay_sign_in, sotto_relay_begin;
/* login.c */
/* Wipes what a challenge left. */
void sotto_relay_login_end(struct sotto_relay_conn *c);
/* A name's password attempt came to a good end. */
void sotto_relay_attempt_forgiven(struct sotto_relay_conn *c, const char *name);
request_fn sotto_relay_opaque_register, sotto_relay_opaque_login, sotto_relay_opaque_finish,
    sotto_relay_link, sotto_relay_get_links;
/* account.c */
request_fn sotto_relay_register, sotto_relay_put_list, sotto_relay_get_lists,
    sotto_relay_delete_account;
/* prekeys.c */
request_fn sotto_relay_get_bundle, sotto_relay_put_prekeys;
/* submit.c */
request_fn sotto_relay_submit, sotto_relay_set_tokens;
void sotto_relay_assembly_free(struct assembly *a);
/* Refuses all lanes up to this number. */
void sotto_relay_lanes_close(struct sotto_relay_conn *c, uint32_t lane);
/* box.c */
request_fn sotto_relay_ack;

/* --- account.c --- */
/* Is it a list of this account, rightly signed? MALFORMED, BAD_SIGNATURE, BAD_KEY, USAGE. */
enum sotto_err sotto_relay_list_check(const struct sotto_relay *r, const char *name,
                                      struct sotto_bytes bytes, struct sotto_list *ret);
/* A certificate that somebody wants to enrol. */
bool sotto_relay_certificate_ok(const struct sotto_relay_conn *c, bool has,
                                const uint8_t certificate[32]);

/* --- admin.c --- */
/* What its user reads on every way in, and when it happens. */
#define DISABLED_TEXT                                                                              \
    "this account was disabled by the operator of the relay. Nothing of it was deleted; ask the "  \
    "operator"
void sotto_relay_account_hang_up(struct sotto_relay *r, int64_t account, const char *text);
/* Everything of an account but its name goes with this turn, its connections end. */
enum sotto_err sotto_relay_account_remove(struct sotto_relay *r,
                                          const struct sotto_rs_account *account);

/* --- directory.c --- */
/*
 * What the store says about accounts, remembered: submits ask for nothing else. What is found stays
 * good until the next call that may forget it: within one request.
 */
struct person {
    struct person *next; /* same hash */
    struct sotto_rs_account account;
    size_t token_count; /* of those that were checked lately */
    uint8_t tokens[TOKENS_KNOWN][SOTTO_TOKEN];
    size_t box_count;
    struct sotto_rs_box boxes[];
};
/* NOT_FOUND, or what the store says. */
enum sotto_err sotto_directory_find(struct sotto_relay *r, const char *name, struct person **ret);
/* NOT_FOUND: not a token of that account. */
enum sotto_err sotto_directory_token(struct sotto_relay *r, struct person *p,
                                     const uint8_t token[SOTTO_TOKEN]);
/* Something about an account, or about all of them, is not as it was. */
void sotto_directory_forget(struct sotto_relay *r, const char *name);
void sotto_directory_forget_all(struct sotto_relay *r);

#endif
