/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_ENGINE_RIG_H
#define SOTTO_TESTS_ENGINE_RIG_H

#include "client/engine.h"
#include "folder.h"
#include "relay/relay.h"
#include "run/client/event.h"

/*
 * A world in one process: the relay core on a real store, and phones (client engines on real
 * profiles), in scratch folders, on one clock that stands still until it is told to go, with random
 * bytes from fixed seeds. There are no sockets: the rig carries the frames, one at a time, so it
 * can lose, cut, kill, roll back and forge at every single one of them. The password's stretching
 * is cut down to almost nothing (the module is linked with a wrapper); all else is production code.
 * What has to work for a test to mean anything fails the case in here. With ENGINE_RIG_LOG set,
 * every frame, log line and answered call is printed.
 */
#define WORLD_NOW_MS    1790000000000ull
#define PHONES_MAX      8
#define WORLD_HOST      "relay.test"
#define PASSPHRASE      "six words that nobody would guess"
#define PHONE_PAUSE_MS  500 /* before a lost connection is made again */
#define WORLD_SETTLE_MS 10000

struct phone;
struct world;

/* Which way a frame goes. */
enum way {
    UP,   /* from a phone to the relay */
    DOWN, /* from the relay to a phone */
};

/* What goes wrong at one frame. */
enum fault_kind {
    FAULT_NONE,
    FAULT_CUT,        /* the phone's connection: what is under way both ways is lost */
    FAULT_KILL_PHONE, /* kill -9: the files as they are under a new process */
    FAULT_KILL_RELAY,
};
struct fault {
    enum fault_kind kind;
    unsigned long at; /* the number of the frame, from 1, counted since fault_arm() */
    bool early; /* before its receiver sees it; else after it has done and stored its work, and
                   nothing of what it answers has left */
    bool fired;
};

/* Looks at a frame's body before it arrives and may change it. false: the frame is lost. */
typedef bool carry_fn(void *ctx, struct phone *p, enum way way, struct sotto_buf *body);

/*
 * Where databases lie, if not in files: a VFS and what only its owner can do with what lies there.
 * A machine is a folder. What it does after its death is not seen by anybody.
 */
struct rig_disk {
    const char *vfs;
    /* FROM/name with its WAL as it would be found now. crash: the process that wrote it is gone. */
    void (*copy)(const char *from, const char *to, const char *name, bool crash);
    void (*drop)(const char *folder);
    bool (*dead)(const char *folder);
    bool (*unsynced)(const char *folder);
};

struct world {
    struct folder dir;
    const struct rig_disk *disk; /* NULL: files */
    char relay_path[160];
    const char *vfs; /* of everything that is opened from now on; NULL: the system's */
    struct sotto_env_fixed env;
    struct sotto_relay_config config;
    struct sotto_relay_store *store;
    struct sotto_relay *relay; /* NULL: it is not running */
    struct phone *phones[PHONES_MAX];
    size_t phone_count;
    unsigned relay_deaths, relay_boots;
    unsigned folders, connections, messages, turn;
    unsigned long carried;
    uint64_t
        dice; /* 0: everybody in turn; else the state of the generator that chooses who is next */
    bool slow_sync; /* with dice: the relay's syncs take a while, during which the rest goes on */
    unsigned log_turns; /* of the relay since its log was carried over, with slow_sync */
    bool syncing, sync_at_end;
    /* The relay dies so many steps after the next sync during which more was committed; from now.
     */
    unsigned kill_after_sync, kill_in;
    struct fault fault;
    carry_fn *carry;
    void *carry_ctx;
};

/* An event as the engine gave it. */
struct told {
    uint32_t origin;
    struct sotto_event *event;
};

/* What a person has seen of a message. The screen outlives crashes and old copies of a profile. */
struct printed {
    char id[33], from[33], device[17], kind[8];
    char *text;
    bool gap, is_request;
    bool unsure; /* the process died while it confirmed this one */
};

struct phone {
    struct world *w;
    unsigned number;
    char name[16]; /* of the installation, for folders and messages */
    char account[33];
    char path[160];
    struct sotto_env_fixed env;
    struct sotto_profile *profile;
    struct sotto_engine *engine; /* NULL: not running */
    uint8_t certificate[32];     /* the pin that it shows */
    bool has_certificate;
    bool no_network;
    const uint8_t *relay_pin; /* shown instead of the relay's own */
    /* It reads along from its start: a receiver, and whether it confirms what it prints. */
    bool reads, confirms;
    uint32_t receiver, requests;

    struct sotto_relay_conn *conn; /* the relay's end */
    bool linked, ending, hang_up, dial_now;
    uint64_t retry_mono;
    struct sotto_buf up, down;

    struct told *told;
    size_t told_count, told_room;
    struct printed *printed;
    size_t printed_count, printed_room, confirmed;
    size_t told_safe, printed_safe; /* what left the process before it could die */
    unsigned deaths;
};

/* Open registration; change w->config and call world_configure(). */
void world_make(struct world *w);
void world_make_on(struct world *w, const struct rig_disk *disk);
void world_free(struct world *w);
void world_configure(struct world *w);

/* Carries one frame, or connects somebody. false: nothing moves without the clock. */
bool world_step(struct world *w);
/* Until nothing moves. The clock stands still. */
void world_run(struct world *w);
/* The clock goes; what is due on the way is done on the way. */
void world_pass(struct world *w, uint64_t ms);
/* Long enough for everybody to connect again and to finish. */
void world_settle(struct world *w);
/* The clock goes, but no frame moves: what is under way comes late. */
void world_stall(struct world *w, uint64_t ms);
/* The clock jumps (all were asleep): what is due is done once, afterwards. */
void world_jump(struct world *w, uint64_t ms);

/* The next fault, from the next frame on. */
void fault_arm(struct world *w, enum fault_kind kind, unsigned long at, bool early);

/* --- the relay --- */

void relay_stop(struct world *w); /* in order */
void relay_start(struct world *w);
void relay_kill(struct world *w); /* and started again on what is on disk */
void relay_save(struct world *w, const char *label);
/* Back to a copy. renewed: as an operator should, with a new incarnation. */
void relay_restore(struct world *w, const char *label, bool renewed);
/* An invite in the store. */
void relay_invite(struct world *w, uint8_t fill, uint32_t uses, char ret[SOTTO_INVITE_LINK_MAX]);

/* --- phones --- */

/* A running engine on an empty profile. */
struct phone *phone_make(struct world *w, const char *name);
void phone_drop(struct phone *p); /* the one made last is gone for good */
void phone_stop(struct phone *p); /* the process ends: goodbye, then everything is closed */
void phone_start(struct phone *p);
void phone_kill(struct phone *p);  /* kill -9, not started again */
void phone_crash(struct phone *p); /* phone_kill() and phone_start() */
void phone_save(struct phone *p, const char *label);
/* The running process is killed, and the profile is as it was when it was saved. */
void phone_restore(struct phone *p, const char *label);
/* Everything as it is now, and back to it. What was printed is forgotten. */
void world_save(struct world *w, const char *label);
void world_restore(struct world *w, const char *label);
/* The connection breaks. */
void phone_cut(struct phone *p);
/* No network, or there is one again. */
void phone_offline(struct phone *p);
void phone_online(struct phone *p);

/* A phone of a new account of this name, online. */
struct phone *phone_join(struct world *w, const char *account);
/* Another device of the account of `first`, which approves it. */
struct phone *phone_link(struct phone *first, const char *name);
uint64_t phone_device(struct phone *p);
/* Each has said hello to the other, and read it: they know each other. */
void phone_befriend(struct phone *a, struct phone *b);

/* --- calls; each gives the request's number --- */

uint32_t phone_call(struct phone *p, enum sotto_op op, const char *a, const char *b);
/* The general one: any origin, numbers, strings. */
void phone_calls(struct phone *p, const struct sotto_call *call);
uint32_t phone_register(struct phone *p, const char *address, const char *account);
uint32_t phone_login(struct phone *p, const char *account, const char *passphrase);
struct said {
    uint32_t request;
    uint8_t id[SOTTO_CONTENT_ID];
    char hex[33];
};
struct said phone_say(struct phone *p, const char *to, const char *text, enum sotto_wait wait);
/* The same call once more, as by a process whose engine ended. */
uint32_t phone_say_again(struct phone *p, const struct said *m, const char *to, const char *text,
                         enum sotto_wait wait);

/* --- what was told --- */

void phone_forget(struct phone *p); /* what was told so far; not what was printed */
/* NULL: not yet. Lives until phone_forget(). */
const struct sotto_done *phone_done(const struct phone *p, uint32_t request);
/* The result, -1: not yet. */
int phone_result(const struct phone *p, uint32_t request);
/* The newest event of a type; request 0: of any. NULL: none. */
const struct sotto_event *phone_event(const struct phone *p, enum sotto_event_type type,
                                      uint32_t request);
size_t phone_count(const struct phone *p, enum sotto_event_type type, uint32_t request);
/* How many notices hold these words. */
size_t phone_notices(const struct phone *p, const char *words);
/* How often the text was printed; text NULL: everything that was. */
size_t phone_printed(const struct phone *p, const char *text);
/* What the profile says of the message: a state, 0: not there. */
uint32_t phone_state(struct phone *p, const struct said *m);
/* The newest row with this text, filled; NULL text: any. false: none. */
struct row {
    char from[33];
    uint32_t state, kind;
    bool outgoing, shown, request, gap;
    char reason[128];
};
bool phone_row(struct phone *p, const char *peer, const char *text, struct row *ret);
struct sotto_contact_record phone_contact(struct phone *p, const char *name);
uint32_t phone_quarantined(struct phone *p);
bool phone_is_online(const struct phone *p);

/* Fails with what was said. */
#define assert_result(p, request, want) check_result(p, request, want, __FILE__, __LINE__)
void check_result(const struct phone *p, uint32_t request, int want, const char *file, int line);

/* Prints when ENGINE_RIG_LOG is set. */
void rig_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For carry functions. */
enum sotto_request_type request_type(const struct sotto_buf *body);
enum sotto_answer_type answer_type(const struct sotto_buf *body);
/* body becomes this answer (id as given in it). */
void put_answer(struct sotto_buf *body, const struct sotto_answer *a,
                const struct sotto_sign_pair *relay_key);

#endif
