/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_RELAY_RIG_H
#define SOTTO_TESTS_RELAY_RIG_H

#include "folder.h"
#include "people.h"
#include "relay/relay.h"

/*
 * A relay core on a real store in a scratch folder, with its own clock, and clients that talk to it
 * in encoded frames. What has to work for a test to mean anything fails the case in here, and so
 * does a bug line in the log, unless the test listens itself from then on.
 */
struct rig {
    struct folder dir;
    char path[192];
    const char *vfs; /* NULL: the system's */
    struct sotto_env_fixed env;
    struct sotto_relay_config config;
    struct sotto_relay_store *store;
    struct sotto_relay *relay;
    unsigned connections; /* made so far: each has its own exporter */
    bool mortal;          /* a turn may end with IO; it is dead then, until rig_crash() */
    bool dead;
    struct client *clients;
};

/* Open registration; change r->config and call rig_configure() for more. */
void rig_make(struct rig *r);
void rig_make_on(struct rig *r, const char *vfs);
void rig_free(struct rig *r);
void rig_configure(struct rig *r);
/* Stopped in order and started again. All connections are gone. */
void rig_restart(struct rig *r);
/* Killed: the files as they are at this moment, under a new process. */
void rig_crash(struct rig *r);
/* Commits and hands out what leaves. */
void rig_turn(struct rig *r);
/* Without the disk: what waits for it stays. */
void rig_turn_unsynced(struct rig *r);
/* Time passes; the tick runs when it is due. */
void rig_pass(struct rig *r, uint64_t ms);
/* From now on a log line fails the case that says who writes to whom (alice and bob), or what
 * (hello). */
void rig_names_nobody(void);
/* An invite in the store. */
void rig_invite(struct rig *r, uint8_t fill, uint32_t uses, uint64_t lifetime_ms,
                uint8_t ret_code[SOTTO_INVITE_CODE]);

struct client {
    struct rig *r;
    struct client *next;
    struct sotto_relay_conn *conn; /* NULL: the relay ended it, or we hung up */
    struct sotto_relay_peer peer;
    struct sotto_buf in;
    uint32_t id;
    bool deaf; /* takes no output: all of it stays pending */
    size_t pending;
};
/* Connected, its hello read. pin NULL: without client certificate. A struct that was used before
 * has gone through client_free() or the end of its relay. */
void client_open(struct rig *r, struct client *c, const uint8_t *pin);
/* The connection breaks. */
void client_drop(struct client *c);
void client_free(struct client *c);

/* Sends a request without ending the turn; gives it the next id unless no_id. */
uint32_t client_send(struct client *c, struct sotto_request *q);
void client_tell(struct client *c, struct sotto_request *q); /* id 0 */
void client_raw(struct client *c, const void *body, size_t len);
/* The next frame that came, NULL: none. Free with sotto_answer_free(). */
struct sotto_answer *client_next(struct client *c);
/* Sends, ends the turn, returns the answer (pushes before it are kept). What went to a device that
 * is there is stored after a moment, which passes. */
#define RIG_LIVE_MS 50
struct sotto_answer *client_ask(struct client *c, struct sotto_request *q);
/* The same, for what is only done or refused: 0, or the error's code; -1: another answer. */
int client_try(struct client *c, struct sotto_request *q);
/* The next push has to be of this type; NULL when there is none. */
struct sotto_answer *client_push(struct client *c, enum sotto_answer_type type);
/* Nothing came. */
void client_quiet(struct client *c);

/* A device of a person, as the client knows it. */
struct dev {
    struct person p;
    uint8_t lease[SOTTO_LEASE];
    uint8_t list[SOTTO_LIST_MAX]; /* newest that it made */
    size_t list_len;
    struct sotto_list parsed;
    uint32_t next_key; /* of one-time keys */
};
/* A person with one device and a first list. */
void dev_make(struct rig *r, struct dev *d, const char *name);
/* Another device of the same account, not listed. */
void dev_second(struct rig *r, struct dev *d, const struct dev *first);
/* The next list: these devices. Signed by the account key; versions ahead by `step`. */
void dev_list(struct dev *d, const struct dev *const *others, size_t count, uint32_t step);

struct sotto_request dev_register(const struct dev *d, const uint8_t *code);
struct sotto_request dev_sign_in(struct dev *d, const struct client *c);
struct sotto_request dev_put_list(const struct dev *d);
struct sotto_request dev_link(const struct dev *d);
/* count one-time keys in a page. */
struct prekey_page {
    struct sotto_prekey keys[SOTTO_PAGE_PREKEYS];
};
struct sotto_request dev_prekeys(struct rig *r, struct dev *d, struct prekey_page *page,
                                 size_t count);

/* Signed up (without an invite), on a fresh connection: signed in and begun. */
void dev_join(struct rig *r, struct dev *d, struct client *c, const char *name);
/* Connects, signs in, begins after `committed`. */
void dev_connect(struct rig *r, struct dev *d, struct client *c, uint64_t committed);
/* Asks to be listed (the password's part is left out by way of the store), is listed, connected. */
void dev_add(struct rig *r, struct dev *first, struct client *first_conn, struct dev *second,
             struct client *second_conn);

/* Delivery tokens, each 16 times one byte: the owner has it from now on, or not any more; a submit
 * that shows it. */
void token_hash(uint8_t fill, uint8_t ret[32]);
void token_set(struct client *owner, uint8_t fill, bool add);
struct sotto_request with_token(struct sotto_request q, uint8_t fill);

/* One parcel; text is the envelope. */
struct sotto_request submit_to(const struct dev *to, const char *text, uint32_t lane);
/* The state of the only result; -code when it was refused. */
int submit(struct client *c, struct sotto_request *q);
/* The next push is this envelope; returns its number. */
uint64_t expect_deliver(struct client *c, const char *text);
void ack(struct client *c, uint64_t seq);
/* Its newest list; as client_try(). */
int send_list(struct client *c, const struct dev *d);
/* The next push is this device's newest list. */
void expect_list(struct client *c, const struct dev *d);
/* The relay has ended it, and said why. words: among what it said; NULL: any. */
void expect_closing(struct client *c, enum sotto_closing reason, const char *words);

#endif
