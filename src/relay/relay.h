/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_RELAY_H
#define SOTTO_RELAY_RELAY_H

#include "net/tls.h"
#include "store/relay_store.h"
#include "wire/answer.h"

/*
 * The relay without sockets: connections, frames and time come in; frames come out. All that has
 * to survive goes through the store.
 *
 * Work is done in turns: whatever came in since the last sotto_relay_turn() is one transaction. The
 * owner hands in what happened, then calls sotto_relay_turn(), then takes the output of each
 * connection that sotto_relay_next() names:
 *
 *     sotto_relay_open(), sotto_relay_frame(), sotto_relay_closed(), ...
 *     if (sotto_relay_turn(r) != 0) end the process
 *     while ((c = sotto_relay_next(r)) != NULL) send sotto_relay_output(c), ...
 *
 * A turn's transaction is whole then, and not yet durable. What depends on it is no output before
 * the disk has it, which is the owner's to see to, at once or in another thread while turns go on:
 *
 *     if (sotto_relay_sync_due(r)) {
 *         sotto_relay_sync_begun(r);
 *         if (sotto_rs_sync(store) != 0) end the process       any thread
 *         sotto_relay_synced(r);                               then a turn
 *     }
 *
 * A turn that cannot be committed because the disk is full is undone whole: everybody who asked for
 * something in it is told to try again later, and the relay goes on.
 *
 * One relay object belongs to one thread.
 */
struct sotto_relay;
struct sotto_relay_conn;
struct sotto_counters;

struct sotto_relay_config {
    enum sotto_registration registration;
    enum sotto_client_certs client_certificates;
    uint32_t quota_messages; /* per box */
    uint64_t quota_bytes;
    uint32_t lifetime_days;
    /* Of one account over all its connections, before sign-in of one connection. Dear requests
     * count for many. */
    uint32_t requests_per_second;
    /* The rest may be 0: no limit. What an address is: relay/source.h. */
    uint32_t bytes_per_second;    /* the same */
    uint32_t sign_ins_per_minute; /* of one device */
    uint32_t sign_ups_per_hour;   /* from one address */
    uint32_t bundles_per_hour;    /* for one account */
    uint32_t strangers_per_hour;  /* messages of one account to people who have not accepted it */
    uint32_t lock_minutes;        /* of a name, after many wrong passphrases */
    uint32_t idle_seconds;        /* of a device that says nothing; 0: the default */
    size_t pin_count;             /* of the TLS key: current, then the next */
    uint8_t pins[SOTTO_PINS_MAX][32];
};
#define SOTTO_RELAY_QUOTA_MESSAGES      2000
#define SOTTO_RELAY_QUOTA_BYTES         (16ull * 1024 * 1024)
#define SOTTO_RELAY_LIFETIME_DAYS       30
#define SOTTO_RELAY_REQUESTS_PER_SECOND 400
#define SOTTO_RELAY_BYTES_PER_SECOND    (1024 * 1024)
#define SOTTO_RELAY_SIGN_INS_PER_MINUTE 60
#define SOTTO_RELAY_SIGN_UPS_PER_HOUR   1000
#define SOTTO_RELAY_BUNDLES_PER_HOUR    1000
#define SOTTO_RELAY_STRANGERS_PER_HOUR  60
#define SOTTO_RELAY_LOCK_MINUTES        15
#define SOTTO_RELAY_IDLE_SECONDS        600 /* clients say something every minute */

/*
 * Begins a boot epoch in the store, durably. env and store are borrowed and must outlive the relay.
 * NOMEM, RANDOM, TOO_FAR (boot epochs used up), or what the store says.
 */
enum sotto_err sotto_relay_new(const struct sotto_env *env, struct sotto_relay_store *store,
                               const struct sotto_relay_config *config, struct sotto_relay **ret);
/* Rolls back an unfinished turn and frees all connections. NULL is fine. */
void sotto_relay_free(struct sotto_relay *r);
/* Takes effect for what comes from now on, on whatever connection. */
enum sotto_err sotto_relay_reconfigure(struct sotto_relay *r,
                                       const struct sotto_relay_config *config);
const uint8_t *sotto_relay_id(const struct sotto_relay *r);
/* What it counts; as long as the relay lives. */
const struct sotto_counters *sotto_relay_counters(const struct sotto_relay *r);

/* A connection whose TLS is up. */
struct sotto_relay_peer {
    uint8_t exporter[32];
    bool has_pin;
    uint8_t pin[32]; /* of the client certificate's key */
    char address[64];
};
/* The hello is queued. ctx is the owner's. NOMEM. */
enum sotto_err sotto_relay_open(struct sotto_relay *r, const struct sotto_relay_peer *peer,
                                void *ctx, struct sotto_relay_conn **ret);
/* The body of one frame. Anything wrong with it is answered there. */
void sotto_relay_frame(struct sotto_relay_conn *c, const uint8_t *body, size_t len);
/* The connection has ended, or the owner has done what sotto_relay_ending() asked for; c is freed.
 * What it asked for in this turn is done all the same. */
void sotto_relay_closed(struct sotto_relay_conn *c);
void *sotto_relay_ctx(const struct sotto_relay_conn *c);

/* Commits. IO: the disk did not take it, nothing is known any more: end the process without sending
 * anything (the store is whole at the next start). */
enum sotto_err sotto_relay_turn(struct sotto_relay *r);
/* Something waits for the disk, and no sync is under way. */
bool sotto_relay_sync_due(const struct sotto_relay *r);
/* What was committed so far is what the next sotto_relay_synced() is about. */
void sotto_relay_sync_begun(struct sotto_relay *r);
void sotto_relay_synced(struct sotto_relay *r);
/* After a turn: the next connection with something to send, or to be ended, or whose wish for
 * input changed. NULL: none. */
struct sotto_relay_conn *sotto_relay_next(struct sotto_relay *r);
/* Framed bytes that may leave; until sotto_relay_taken(), which follows once they are sent. */
struct sotto_bytes sotto_relay_output(const struct sotto_relay_conn *c);
void sotto_relay_taken(struct sotto_relay_conn *c);
/* To be ended once its output is sent, which is all that there will be. */
bool sotto_relay_ending(const struct sotto_relay_conn *c);
/* false: read no more from it until it is named by sotto_relay_next() again and this says true.
 * Look also after each frame: one chunk from the network may hold hundreds. */
bool sotto_relay_wants_input(struct sotto_relay_conn *c);
/* How much of the output still waits in the owner's hands: more envelopes follow when it shrinks.
 * To be told after each change that sotto_relay_taken() or the network made. */
void sotto_relay_sent(struct sotto_relay_conn *c, size_t pending);

/* Monotonic time at which sotto_relay_tick() has something to do. Follow it by a turn. */
uint64_t sotto_relay_deadline(const struct sotto_relay *r);
void sotto_relay_tick(struct sotto_relay *r);
/* Tells everybody. Follow it by a turn; every connection is ending then. */
void sotto_relay_shutdown(struct sotto_relay *r);

#endif
