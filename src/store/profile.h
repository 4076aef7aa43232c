/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_STORE_PROFILE_H
#define SOTTO_STORE_PROFILE_H

#include "base/bytes.h"
#include "base/secret.h"
#include "e2ee/envelope.h"
#include "e2ee/prekey.h"
#include "e2ee/session.h"
#include "wire/content.h"

/*
 * A profile's database DIR/profile.db, encrypted by a key of its own: HKDF-SHA-256(vault key, info
 * "sotto/1 profile database"). Only storage: what a row means and when it changes is decided in
 * src/client. Every call runs inside the transaction of the caller, or in one of its own when there
 * is none. Common errors: IO, FULL, NOMEM, BUG; they leave the database as it was. What is dropped,
 * cleared or swept need not be there. A callback may read, but not call the function that called
 * it.
 */
struct sotto_profile;

/* Errors and ret_why as sotto_db_open(): NOT_FOUND, BAD_TAG, NEWER, DENIED... */
enum sotto_err sotto_profile_open(const char *dir, const struct sotto_secret32 *vault_key,
                                  bool create, const char *vfs, struct sotto_profile **ret,
                                  char *ret_why, size_t room);
void sotto_profile_close(struct sotto_profile *p); /* NULL is fine */
/* As sotto_db_begin() and so on: they nest, an inner rollback undoes the inner part only, and
 * commit ends its level also when it fails. */
enum sotto_err sotto_profile_begin(struct sotto_profile *p);
enum sotto_err sotto_profile_commit(struct sotto_profile *p);
void sotto_profile_rollback(struct sotto_profile *p);
/* Commits when e is OK, else rolls back; what came of it all. */
enum sotto_err sotto_profile_end(struct sotto_profile *p, enum sotto_err e);

/* --- settings: small values by name (lease, keys, relay...) --- */

/* Replaces buf's contents. NOT_FOUND; TOO_LARGE for it. */
enum sotto_err sotto_setting_get(struct sotto_profile *p, const char *key, struct sotto_buf *ret);
/* Exactly len bytes. NOT_FOUND; MALFORMED: another size. */
enum sotto_err sotto_setting_read(struct sotto_profile *p, const char *key, void *ret, size_t len);
enum sotto_err sotto_setting_put(struct sotto_profile *p, const char *key, const void *data,
                                 size_t len);
enum sotto_err sotto_setting_drop(struct sotto_profile *p, const char *key);
/* Big-endian integer settings; missing reads as 0. */
enum sotto_err sotto_setting_get_u64(struct sotto_profile *p, const char *key, uint64_t *ret);
enum sotto_err sotto_setting_put_u64(struct sotto_profile *p, const char *key, uint64_t v);

/* --- our private keys --- */

/* EXISTS: a key of this id. */
enum sotto_err sotto_sealing_add(struct sotto_profile *p, const struct sotto_dh_pair *pair,
                                 uint64_t now_ms);
/* By sotto_sealing_key_id(). NOT_FOUND. */
enum sotto_err sotto_sealing_find(struct sotto_profile *p, uint32_t key_id,
                                  struct sotto_dh_pair *ret);
/* Deletes those added before the given time, but never the one that was added last. */
enum sotto_err sotto_sealing_sweep(struct sotto_profile *p, uint64_t before_ms);

/* EXISTS: a key of this type and id. */
enum sotto_err sotto_prekey_add(struct sotto_profile *p, const struct sotto_prekey_private *k);
/* NOT_FOUND: never ours, used up, or expired and swept. */
enum sotto_err sotto_prekey_find(struct sotto_profile *p, enum sotto_prekey_type type, uint32_t id,
                                 struct sotto_prekey_private *ret);
enum sotto_err sotto_prekey_drop(struct sotto_profile *p, enum sotto_prekey_type type, uint32_t id);
/* Of the one-time keys the newest stay. */
enum sotto_err sotto_prekey_trim(struct sotto_profile *p, uint32_t keep);
/* Expired keys, and handshake digests of signed keys that are gone. */
enum sotto_err sotto_prekey_sweep(struct sotto_profile *p, uint64_t now_ms);
/* The id for the next key that is made: never used before, never 0. FULL: all are used up. */
enum sotto_err sotto_prekey_next_id(struct sotto_profile *p, uint32_t *ret);
/* Remembers a first message under a signed (last-resort) key. REPLAY: seen already. */
enum sotto_err sotto_handshake_note(struct sotto_profile *p, const uint8_t digest[32],
                                    uint32_t signed_prekey_id);

/* --- accounts that we know --- */

/* Whose device list there are two of. */
enum sotto_fork {
    SOTTO_FORK_NONE,
    SOTTO_FORK_THEIRS,
    SOTTO_FORK_OURS, /* the contact was shown another one of our own account */
};

struct sotto_contact_record {
    sotto_name name;
    uint32_t state;     /* enum sotto_contact_state; 0: only looked up */
    uint32_t unblocked; /* of a blocked one: the state before, and after the block */
    bool gone;          /* deleted on the relay */
    bool has_list;
    uint8_t account_key[32];
    uint32_t list_version;
    uint8_t list_hash[32];
    bool has_their_token, has_our_token, has_verified_key;
    uint8_t their_token[SOTTO_TOKEN], our_token[SOTTO_TOKEN], verified_key[32];
    bool new_identity;   /* the relay shows another account key; sending stops */
    uint32_t forked;     /* enum sotto_fork: two lists of one version were seen; sending stops */
    uint64_t checked_ms; /* list last fetched */
    /* read only, computed: */
    uint32_t unread;  /* incoming messages that were not shown */
    uint64_t last_ms; /* of the newest message: when it was sent (ours) or received; 0: none */
};
/* NOT_FOUND. */
enum sotto_err sotto_contact_get(struct sotto_profile *p, const char *name,
                                 struct sotto_contact_record *ret);
/* Inserts or replaces (not the computed members, not the stored list). */
enum sotto_err sotto_contact_put(struct sotto_profile *p, const struct sotto_contact_record *c);
/* The list's signed bytes; our own account's under our own name. `pending`: a list of a new
 * identity that waits for the person. NOT_FOUND. */
enum sotto_err sotto_contact_list_get(struct sotto_profile *p, const char *name, bool pending,
                                      struct sotto_buf *ret);
/* data NULL: drops it. The contact's row must exist: NOT_FOUND. */
enum sotto_err sotto_contact_list_put(struct sotto_profile *p, const char *name, bool pending,
                                      const void *data, size_t len);
/* In the order of the last message, newest first, then by name. A result other than OK from fn
 * stops and is returned. fn must not write. */
typedef enum sotto_err sotto_contact_fn(void *ctx, const struct sotto_contact_record *c);
enum sotto_err sotto_contact_each(struct sotto_profile *p, sotto_contact_fn *fn, void *ctx);

/* --- devices of other people, and our own others: when they were last heard of --- */

/* Something came from it, or (listed) it is in a list now: that counts only if nothing else is
 * known of it. Never goes back. */
enum sotto_err sotto_heard_note(struct sotto_profile *p, const char *name, uint64_t device,
                                uint64_t now_ms, bool listed);
/* NOT_FOUND. */
enum sotto_err sotto_heard_get(struct sotto_profile *p, const char *name, uint64_t device,
                               uint64_t *ret_ms);
enum sotto_err sotto_heard_drop(struct sotto_profile *p, const char *name, uint64_t device);

/* --- sessions --- */

typedef enum sotto_err sotto_session_fn(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                        struct sotto_bytes record, uint64_t used_ms);
/* Most recently used first. */
enum sotto_err sotto_sessions_each(struct sotto_profile *p, const char *name, uint64_t device,
                                   sotto_session_fn *fn, void *ctx);
enum sotto_err sotto_sessions_put(struct sotto_profile *p, const char *name, uint64_t device,
                                  const uint8_t id[SOTTO_SESSION_ID], const void *record,
                                  size_t len, uint64_t used_ms);
enum sotto_err sotto_sessions_drop(struct sotto_profile *p, const char *name, uint64_t device,
                                   const uint8_t id[SOTTO_SESSION_ID]);
/* Keeps the `keep` most recently used and deletes those unused since before_ms. */
enum sotto_err sotto_sessions_trim(struct sotto_profile *p, const char *name, uint64_t device,
                                   size_t keep, uint64_t before_ms);
/* All sessions with a device (it was revoked); device 0: with all devices of the account; name
 * NULL: with everybody (we came back from a rollback). */
enum sotto_err sotto_sessions_clear(struct sotto_profile *p, const char *name, uint64_t device);

/* --- messages: what a person wrote or got --- */

struct sotto_message_record {
    int64_t row; /* order of arrival here */
    uint8_t id[SOTTO_CONTENT_ID];
    sotto_name peer, from;
    uint64_t device; /* of `from` */
    uint32_t kind;   /* enum sotto_content_kind as received, 0 unknown */
    bool outgoing, shown, request, gap;
    uint32_t state; /* enum sotto_message_state of sotto.h (1 received .. 6 failed) */
    uint64_t counter, sent_at_ms, received_at_ms, stored_at_ms;
    struct sotto_bytes text;    /* of a text message; else n = 0 */
    struct sotto_bytes content; /* the encoded content */
    const char *reason;         /* of a failure, or "" */
};
/* EXISTS: this content id is known, also when it was deleted (tombstone). Fills m->row. On the
 * screen it stands where it came, but before what its device wrote after it (by the counter), as
 * far as that was not shown; a gap that it fills is one no more. */
enum sotto_err sotto_message_add(struct sotto_profile *p, struct sotto_message_record *m);
enum sotto_err sotto_message_known(struct sotto_profile *p,
                                   const uint8_t id[SOTTO_CONTENT_ID]); /* OK or NOT_FOUND */
/* Views in m live during fn. */
typedef enum sotto_err sotto_message_fn(void *ctx, const struct sotto_message_record *m);
/* NOT_FOUND (also when deleted). */
enum sotto_err sotto_message_get(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID],
                                 sotto_message_fn *fn, void *ctx);
/* States of outgoing messages only rise (QUEUED < STORED < DELIVERED < READ); FAILED may follow
 * QUEUED and STORED and be followed by any. *ret_changed says whether it did. STORED sets
 * stored_at_ms to now. The reason is kept with FAILED only. NOT_FOUND; USAGE: no such state. */
enum sotto_err sotto_message_set_state(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID],
                                       uint32_t state, const char *reason, uint64_t now_ms,
                                       bool *ret_changed);
/* NOT_FOUND. */
enum sotto_err sotto_message_set_shown(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID]);
/* A contact was accepted: its messages are no requests any more. */
enum sotto_err sotto_message_clear_request(struct sotto_profile *p, const char *peer);
/* Wipes everything but the id. NOT_FOUND. */
enum sotto_err sotto_message_delete(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID]);
/* Newest `limit` (0: all), given oldest first, in the order on the screen. */
enum sotto_err sotto_message_history(struct sotto_profile *p, const char *peer, uint32_t limit,
                                     sotto_message_fn *fn, void *ctx);
/* Incoming, not shown, not of blocked contacts, row > after; peer NULL: of all. In the order on the
 * screen, which is not always that of rows; at most limit (0: all). fn may not write. */
enum sotto_err sotto_message_unshown(struct sotto_profile *p, const char *peer, int64_t after,
                                     uint32_t limit, sotto_message_fn *fn, void *ctx);
/* Outgoing messages in STORED whose stored_at_ms is before the given time. */
enum sotto_err sotto_message_stored_before(struct sotto_profile *p, uint64_t before_ms,
                                           sotto_message_fn *fn, void *ctx);
enum sotto_err sotto_message_counts(struct sotto_profile *p, uint32_t *ret_queued,
                                    uint32_t *ret_undelivered);

/* --- counters --- */

/* The next number of what this device says in a conversation, from 1. */
enum sotto_err sotto_counter_next(struct sotto_profile *p,
                                  const uint8_t conversation[SOTTO_CONVERSATION_ID], uint64_t *ret);
/* The last one received from a device in a conversation; 0: none. */
enum sotto_err sotto_counter_seen(struct sotto_profile *p,
                                  const uint8_t conversation[SOTTO_CONVERSATION_ID],
                                  uint64_t device, uint64_t *ret);
enum sotto_err sotto_counter_note(struct sotto_profile *p,
                                  const uint8_t conversation[SOTTO_CONVERSATION_ID],
                                  uint64_t device, uint64_t counter);

/* --- outbox: contents on their way, and their envelopes --- */

enum sotto_item_state {
    SOTTO_ITEM_WAITING = 1, /* content only */
    SOTTO_ITEM_SEALED,      /* envelopes made for every device of list_version */
    SOTTO_ITEM_STORED, /* every parcel has an end (stored or gone); kept until delivered or expired
                        */
};
struct sotto_item {
    int64_t id; /* order of sending */
    sotto_name to;
    uint64_t device; /* only for this device; 0: all listed */
    uint8_t content_id[SOTTO_CONTENT_ID];
    uint32_t kind; /* enum sotto_content_kind */
    enum sotto_item_state state;
    bool keep; /* keep after STORED until it was delivered (texts) */
    uint64_t queued_ms;
    uint32_t list_version; /* that it was sealed for */
    struct sotto_bytes content;
};
typedef enum sotto_err sotto_item_fn(void *ctx, const struct sotto_item *item);
enum sotto_err sotto_item_add(struct sotto_profile *p, struct sotto_item *item); /* fills id */
/* Replaces state, list_version and (when n > 0) content. NOT_FOUND. */
enum sotto_err sotto_item_update(struct sotto_profile *p, const struct sotto_item *item);
enum sotto_err sotto_item_drop(struct sotto_profile *p, int64_t id); /* and its parcels */
/* NOT_FOUND. Views in the item live during fn. */
enum sotto_err sotto_item_get(struct sotto_profile *p, int64_t id, sotto_item_fn *fn, void *ctx);
/* WAITING or SEALED items for one account with id > after, in order, at most limit (0: all). fn
 * may not write. */
enum sotto_err sotto_item_open(struct sotto_profile *p, const char *to, int64_t after,
                               uint32_t limit, sotto_item_fn *fn, void *ctx);
/* Items that were queued before the given time, have reached a device, and whose text is not waited
 * for any more: no message that is QUEUED or STORED here names them. */
enum sotto_err sotto_item_sweep(struct sotto_profile *p, uint64_t before_ms);
/* The accounts that have WAITING or SEALED items. */
typedef enum sotto_err sotto_name_fn(void *ctx, const char *name);
enum sotto_err sotto_item_accounts(struct sotto_profile *p, sotto_name_fn *fn, void *ctx);
/* All items of one content (the recipient's and our own devices'). */
enum sotto_err sotto_item_of_content(struct sotto_profile *p,
                                     const uint8_t content_id[SOTTO_CONTENT_ID], sotto_item_fn *fn,
                                     void *ctx);
/* Kept items in STORED: back to SEALED with all parcels that were not delivered PENDING again (the
 * relay was restored). */
enum sotto_err sotto_item_reopen_stored(struct sotto_profile *p);
/* The same for this device's parcels only (it was put back to an older copy). */
enum sotto_err sotto_item_reopen_device(struct sotto_profile *p, const char *name, uint64_t device);
/* SEALED items back to WAITING, their parcels dropped (we came back from a rollback). Their
 * envelope ids are still found by sotto_parcel_find(). */
enum sotto_err sotto_item_unseal(struct sotto_profile *p);

enum sotto_parcel_progress {
    SOTTO_PARCEL_IS_PENDING = 1,
    SOTTO_PARCEL_IS_STORED,
    SOTTO_PARCEL_IS_GONE,
    SOTTO_PARCEL_IS_DELIVERED,
    SOTTO_PARCEL_IS_READ,
};
struct sotto_parcel_record {
    int64_t item;
    uint64_t device;
    uint8_t envelope_id[SOTTO_ENVELOPE_ID];
    struct sotto_bytes envelope;
    enum sotto_parcel_progress progress;
    uint32_t retries; /* asked for again by the device */
};
typedef enum sotto_err sotto_parcel_fn(void *ctx, const struct sotto_parcel_record *r);
/* Inserts or replaces (item, device). Older envelope ids of the same parcel are still found by
 * sotto_parcel_find(). */
enum sotto_err sotto_parcel_put(struct sotto_profile *p, const struct sotto_parcel_record *r);
enum sotto_err sotto_parcel_each(struct sotto_profile *p, int64_t item, sotto_parcel_fn *fn,
                                 void *ctx);
/* Progress only rises, in the order of the list; from GONE it may go anywhere. NOT_FOUND. */
enum sotto_err sotto_parcel_set(struct sotto_profile *p, int64_t item, uint64_t device,
                                enum sotto_parcel_progress progress);
/* And its envelope ids. */
enum sotto_err sotto_parcel_drop(struct sotto_profile *p, int64_t item, uint64_t device);
/* Which item and device an envelope id of ours belonged to, as long as the item is there.
 * NOT_FOUND. */
enum sotto_err sotto_parcel_find(struct sotto_profile *p,
                                 const uint8_t envelope_id[SOTTO_ENVELOPE_ID], int64_t *ret_item,
                                 uint64_t *ret_device, uint32_t *ret_retries);

/* --- inbox bookkeeping --- */

/* Was this envelope processed before: is it noted, or does it lie in quarantine? OK or NOT_FOUND.
 */
enum sotto_err sotto_seen_known(struct sotto_profile *p,
                                const uint8_t envelope_id[SOTTO_ENVELOPE_ID]);
/* What opened. REPLAY: noted before. Bounded: some more than 131,072 at most, the oldest go. What
 * was forgotten is still refused by its session, and its content is known by its id. */
enum sotto_err sotto_seen_note(struct sotto_profile *p,
                               const uint8_t envelope_id[SOTTO_ENVELOPE_ID], uint64_t now_ms);
enum sotto_err sotto_seen_sweep(struct sotto_profile *p, uint64_t before_ms);
/* Bounded: at most 256 envelopes and 4 MiB, the oldest go first. TOO_LARGE: longer than an
 * envelope. */
enum sotto_err sotto_quarantine_add(struct sotto_profile *p,
                                    const uint8_t envelope_id[SOTTO_ENVELOPE_ID],
                                    const void *envelope, size_t len, const char *reason,
                                    uint64_t now_ms);
enum sotto_err sotto_quarantine_count(struct sotto_profile *p, uint32_t *ret);
/* Envelopes that did not open, which a device is still to be asked for again. Adding one again is
 * fine. Bounded: 1,024; then the account that has most of them loses its oldest, so that whoever
 * floods pushes out his own. */
enum sotto_err sotto_unasked_add(struct sotto_profile *p, const char *sender, uint64_t device,
                                 const uint8_t envelope_id[SOTTO_ENVELOPE_ID], uint64_t now_ms);
enum sotto_err sotto_unasked_senders(struct sotto_profile *p, sotto_name_fn *fn, void *ctx);
struct sotto_unasked {
    uint64_t device;
    uint8_t envelope_id[SOTTO_ENVELOPE_ID];
};
/* Takes (deletes) the oldest one of an account. NOT_FOUND. */
enum sotto_err sotto_unasked_take(struct sotto_profile *p, const char *sender,
                                  struct sotto_unasked *ret);
enum sotto_err sotto_unasked_drop(struct sotto_profile *p, const char *sender); /* all of them */
enum sotto_err sotto_unasked_sweep(struct sotto_profile *p, uint64_t before_ms);
/* Receipts that are still to be sent. Adding the same again is fine; READ replaces DELIVERED. */
enum sotto_err sotto_due_add(struct sotto_profile *p, const char *peer,
                             const uint8_t content_id[SOTTO_CONTENT_ID],
                             enum sotto_receipt_state state);
/* What accepted contacts wrote (peer NULL: all of them) gets its receipt once more, as those that
 * were given may be lost: the newest `most` messages, as far as they were received since then. */
enum sotto_err sotto_due_again(struct sotto_profile *p, const char *peer, uint64_t since_ms,
                               uint32_t most);
enum sotto_err sotto_due_peers(struct sotto_profile *p, sotto_name_fn *fn, void *ctx);
/* Takes (deletes) up to SOTTO_RECEIPT_IDS of one peer and state. *ret_count 0: none. */
enum sotto_err sotto_due_take(struct sotto_profile *p, const char *peer,
                              enum sotto_receipt_state state,
                              uint8_t ret[SOTTO_RECEIPT_IDS][SOTTO_CONTENT_ID], size_t *ret_count);

#endif
