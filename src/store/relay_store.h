/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_STORE_RELAY_STORE_H
#define SOTTO_STORE_RELAY_STORE_H

#include "auth/opaque.h"
#include "crypto/sign.h"
#include "e2ee/prekey.h"
#include "wire/answer.h"

/*
 * What a relay keeps (DIR/relay.db): who it is, accounts, device lists, devices, pre-keys, boxes,
 * tokens, invites. This header is the interface of a store: nothing in it knows SQL, so that a
 * store for several machines can stand beside.
 *
 * Calls work inside the transaction that is open, or are one by themselves. Any error that is not
 * named at a function means that the store failed: roll back and tell nobody that it is done. FULL
 * is a full disk and passes; after IO in sotto_rs_commit() or sotto_rs_sync() nothing is known
 * about what the disk holds, and the process has to end.
 *
 * One thread, but for sotto_rs_sync() and sotto_rs_checkpoint(); several processes may have the
 * same store open (`sottod invite` beside `sottod`).
 */
struct sotto_relay_store;

/* vfs NULL: the system's. NEWER, DENIED (readable by others), BAD_TAG (no database), FULL, IO,
 * NOT_FOUND when create is false: ret_why gets one line for people. */
enum sotto_err sotto_rs_open(const char *path, bool create, const char *vfs,
                             struct sotto_relay_store **ret, char *ret_why, size_t room);
void sotto_rs_close(struct sotto_relay_store *s); /* NULL is fine */

enum sotto_err sotto_rs_begin(struct sotto_relay_store *s);
enum sotto_err sotto_rs_commit(struct sotto_relay_store *s);
void sotto_rs_rollback(struct sotto_relay_store *s);
/* As those of sotto_db; sync and checkpoint may be called on other threads. */
enum sotto_err sotto_rs_sync_later(struct sotto_relay_store *s);
enum sotto_err sotto_rs_sync(struct sotto_relay_store *s);
enum sotto_err sotto_rs_write_ahead(struct sotto_relay_store *s);
bool sotto_rs_wants_checkpoint(struct sotto_relay_store *s);
enum sotto_err sotto_rs_checkpoint(struct sotto_relay_store *s);
enum sotto_err sotto_rs_checkpoint_rest(struct sotto_relay_store *s);
void sotto_rs_rest(struct sotto_relay_store *s); /* nothing is asked for: gives memory back */

/* --- the relay itself --- */

struct sotto_rs_identity { /* secret; wipe */
    struct sotto_sign_pair key;
    uint8_t incarnation[SOTTO_INCARNATION];
    struct sotto_opaque_server opaque;
};
void sotto_rs_identity_wipe(struct sotto_rs_identity *id);
/* Made at the first call on a store without accounts; env NULL: not made. RANDOM; MALFORMED: it is
 * not there, or not whole. */
enum sotto_err sotto_rs_identity_load(struct sotto_relay_store *s, const struct sotto_env *env,
                                      struct sotto_rs_identity *ret);
/* A new boot epoch (1 .. SOTTO_RS_EPOCH_MAX), durable on return: before listening. TOO_FAR: used
 * up. */
#define SOTTO_RS_EPOCH_MAX 0x7fffff
enum sotto_err sotto_rs_boot(struct sotto_relay_store *s, uint32_t *ret_epoch);
/*
 * For a store that came out of a backup: another incarnation, and the epoch leaps by
 * SOTTO_RS_EPOCH_LEAP, so that numbers given out after the backup was made are not given again (by
 * a relay that was started fewer times than that since).
 */
#define SOTTO_RS_EPOCH_LEAP 4096
enum sotto_err sotto_rs_renew(struct sotto_relay_store *s, const struct sotto_env *env);
/* Where the relay was last reached, "HOST:PORT" for invites. NOT_FOUND: it never ran. */
#define SOTTO_RS_ADDRESS 272
enum sotto_err sotto_rs_address_put(struct sotto_relay_store *s, const char *address);
enum sotto_err sotto_rs_address_get(struct sotto_relay_store *s, char ret[SOTTO_RS_ADDRESS]);

/* --- invites: kept as SHA-256 of the code --- */

enum sotto_err sotto_rs_invite_add(struct sotto_relay_store *s, const uint8_t hash[32],
                                   uint32_t uses, uint64_t expires_ms);
/* May it be used? NOT_FOUND, EXPIRED, GONE (used up). */
enum sotto_err sotto_rs_invite_check(struct sotto_relay_store *s, const uint8_t hash[32],
                                     uint64_t now_ms);
/* One use less. */
enum sotto_err sotto_rs_invite_use(struct sotto_relay_store *s, const uint8_t hash[32]);
/* Forgets those that expired before. */
enum sotto_err sotto_rs_invites_expire(struct sotto_relay_store *s, uint64_t before_ms);

/* --- accounts --- */

struct sotto_rs_account {
    int64_t id;
    sotto_name name;
    bool gone; /* deleted: only the name is left, so that nobody can take it */
    uint8_t key[32];
    uint32_t version; /* of the newest list */
    bool disabled;    /* by the operator: nobody signs in */
};
/* NOT_FOUND. */
enum sotto_err sotto_rs_account_find(struct sotto_relay_store *s, const char *name,
                                     struct sotto_rs_account *ret);
enum sotto_err sotto_rs_account_of(struct sotto_relay_store *s, int64_t id,
                                   struct sotto_rs_account *ret);
/* EXISTS: the name or the key is there. */
enum sotto_err sotto_rs_account_add(struct sotto_relay_store *s, const char *name,
                                    const uint8_t key[32],
                                    const uint8_t opaque_record[SOTTO_OPAQUE_RECORD],
                                    int64_t *ret_id);
/* The name that a key has. NOT_FOUND. */
enum sotto_err sotto_rs_account_by_key(struct sotto_relay_store *s, const uint8_t key[32],
                                       struct sotto_rs_account *ret);
enum sotto_err sotto_rs_opaque_record(struct sotto_relay_store *s, int64_t account,
                                      uint8_t ret[SOTTO_OPAQUE_RECORD]);
/* Everything but the name goes: lists, devices, boxes, pre-keys, tokens. */
enum sotto_err sotto_rs_account_delete(struct sotto_relay_store *s, int64_t account);

/* --- device lists: all are kept --- */

/* Becomes the newest one. */
enum sotto_err sotto_rs_list_add(struct sotto_relay_store *s, int64_t account, uint32_t version,
                                 struct sotto_bytes list);
/* The list of one version. NOT_FOUND. */
enum sotto_err sotto_rs_list_get(struct sotto_relay_store *s, int64_t account, uint32_t version,
                                 uint8_t ret[SOTTO_LIST_MAX], size_t *ret_len);
/*
 * Lists newer than `since`, oldest first: the newest one always, older ones as long as there are at
 * most SOTTO_LISTS_IN_FRAME and `budget` bytes. They are appended to mem; ret says where they lie.
 */
struct sotto_rs_lists {
    size_t count;
    struct {
        size_t at, len;
    } lists[SOTTO_LISTS_IN_FRAME];
};
enum sotto_err sotto_rs_lists_since(struct sotto_relay_store *s, int64_t account, uint32_t since,
                                    size_t budget, struct sotto_buf *mem,
                                    struct sotto_rs_lists *ret);

/* --- delivery tokens: SHA-256 of each --- */

/* One that is there already is fine. TOO_LARGE: the account has SOTTO_RS_TOKENS_MAX. */
#define SOTTO_RS_TOKENS_MAX 10000
enum sotto_err sotto_rs_token_add(struct sotto_relay_store *s, int64_t account,
                                  const uint8_t hash[32]);
enum sotto_err sotto_rs_token_remove(struct sotto_relay_store *s, int64_t account,
                                     const uint8_t hash[32]);
/* NOT_FOUND. */
enum sotto_err sotto_rs_token_check(struct sotto_relay_store *s, int64_t account,
                                    const uint8_t hash[32]);

/* --- devices --- */

struct sotto_rs_device {
    int64_t box; /* names the device and its mailbox inside this store */
    uint64_t id;
    bool listed; /* false: it was once */
    uint8_t entry[SOTTO_ENTRY_BYTES];
    bool has_certificate;
    uint8_t certificate[32];
    bool adopt; /* came back with a list after a restore: the next sign-in's certificate is its */
    bool has_lease, begun;
    uint8_t lease[SOTTO_LEASE];
};
/* NOT_FOUND: never listed. */
enum sotto_err sotto_rs_device_find(struct sotto_relay_store *s, int64_t account, uint64_t id,
                                    struct sotto_rs_device *ret);
/* The boxes of all listed devices. */
struct sotto_rs_box {
    int64_t box;
    uint64_t device;
};
enum sotto_err sotto_rs_devices(struct sotto_relay_store *s, int64_t account,
                                struct sotto_rs_box ret[SOTTO_DEVICES_MAX], size_t *ret_count);
/* Lists a device, new or once more, with nothing in its box. certificate, signed_prekey: NULL for
 * none. */
enum sotto_err sotto_rs_device_add(struct sotto_relay_store *s, int64_t account, uint64_t id,
                                   const uint8_t entry[SOTTO_ENTRY_BYTES],
                                   const uint8_t *certificate, bool adopt,
                                   const uint8_t *signed_prekey);
enum sotto_err sotto_rs_device_entry(struct sotto_relay_store *s, int64_t box,
                                     const uint8_t entry[SOTTO_ENTRY_BYTES]);
/* Not listed any more: pre-keys, lease and certificate go. What lies in the box goes when the owner
 * of the mail says so. */
enum sotto_err sotto_rs_device_drop(struct sotto_relay_store *s, int64_t box);
/* After a restore: the certificate of the first sign-in (NULL: none) is the enrolled one. */
enum sotto_err sotto_rs_certificate_adopt(struct sotto_relay_store *s, int64_t box,
                                          const uint8_t *certificate);
/* The device has signed in with this lease. The one that began last stays the one that is named,
 * until the device works with this one: an answer that names it may be lost. */
enum sotto_err sotto_rs_lease_try(struct sotto_relay_store *s, int64_t box,
                                  const uint8_t lease[SOTTO_LEASE]);
/* It works with the lease, and has committed what it got up to that number. */
enum sotto_err sotto_rs_lease_begun(struct sotto_relay_store *s, int64_t box, uint64_t committed);

/* --- devices that ask to be listed --- */

struct sotto_rs_link {
    uint64_t device;
    uint8_t entry[SOTTO_ENTRY_BYTES];
    uint8_t signed_prekey[SOTTO_PREKEY_BYTES];
    bool has_certificate;
    uint8_t certificate[32];
    uint64_t asked_at_ms;
};
/* Replaces an earlier one of the same device. */
enum sotto_err sotto_rs_link_put(struct sotto_relay_store *s, int64_t account,
                                 const struct sotto_rs_link *link);
/* Those asked after `since_ms`, oldest first, at most SOTTO_LINKS_MAX. */
enum sotto_err sotto_rs_links(struct sotto_relay_store *s, int64_t account, uint64_t since_ms,
                              struct sotto_rs_link ret[SOTTO_LINKS_MAX], size_t *ret_count);
enum sotto_err sotto_rs_link_drop(struct sotto_relay_store *s, int64_t account, uint64_t device);
enum sotto_err sotto_rs_links_expire(struct sotto_relay_store *s, uint64_t before_ms);

/* --- pre-keys --- */

enum sotto_err sotto_rs_signed_put(struct sotto_relay_store *s, int64_t box,
                                   const uint8_t bytes[SOTTO_PREKEY_BYTES]);
/* NOT_FOUND: none yet. */
enum sotto_err sotto_rs_signed_get(struct sotto_relay_store *s, int64_t box,
                                   uint8_t ret[SOTTO_PREKEY_BYTES]);
/*
 * Key ids of a device grow within a generation; one that is not above all earlier ones is left out
 * silently: it was kept before, and may have been handed out since. So is one that finds
 * SOTTO_RS_ONE_TIME_MAX there.
 */
#define SOTTO_RS_ONE_TIME_MAX 200
enum sotto_err sotto_rs_one_time_add(struct sotto_relay_store *s, int64_t box,
                                     const struct sotto_prekey *key);
/* All of them, and those remembered for who asked before. */
enum sotto_err sotto_rs_one_time_clear(struct sotto_relay_store *s, int64_t box);
enum sotto_err sotto_rs_one_time_count(struct sotto_relay_store *s, int64_t box,
                                       uint32_t *ret_count);
/* Removes the oldest one that has not expired. NOT_FOUND: none left. */
enum sotto_err sotto_rs_one_time_take(struct sotto_relay_store *s, int64_t box, uint64_t now_ms,
                                      uint8_t ret[SOTTO_PREKEY_BYTES]);
/* What was handed out to whoever the tag stands for. NOT_FOUND. */
enum sotto_err sotto_rs_handed_get(struct sotto_relay_store *s, const uint8_t tag[32],
                                   uint64_t now_ms, uint8_t ret[SOTTO_PREKEY_BYTES]);
enum sotto_err sotto_rs_handed_put(struct sotto_relay_store *s, const uint8_t tag[32], int64_t box,
                                   const uint8_t bytes[SOTTO_PREKEY_BYTES], uint64_t expires_ms);
/* Those that expired before; UINT64_MAX: all. */
enum sotto_err sotto_rs_handed_expire(struct sotto_relay_store *s, uint64_t before_ms);

/* --- mail: envelopes that wait --- */

/*
 * All envelopes of one commit lie in one row, as one row each would cost more than everything else
 * that a relay does. What lies where is read once, at the start; then the relay knows it. A row
 * goes when nothing in it is wanted any more.
 */
struct sotto_rs_place {
    int64_t box;
    uint64_t seq;
    uint8_t id[SOTTO_ENVELOPE_ID];
    uint32_t at, len; /* in the row's bytes */
    uint32_t day;     /* of arrival, since 1970 */
    bool request;
};
/* Adds a row; places are in the order of their bytes, without gaps. */
enum sotto_err sotto_rs_mail_add(struct sotto_relay_store *s, const struct sotto_rs_place *places,
                                 size_t count, struct sotto_bytes bytes, int64_t *ret_row);
/* Called for each envelope of a row, or of all rows in their order; anything but OK ends the walk
 * and is returned. MALFORMED: a row is not what it should be. */
typedef enum sotto_err sotto_rs_place_fn(void *ctx, int64_t row, const struct sotto_rs_place *p);
enum sotto_err sotto_rs_mail_places(struct sotto_relay_store *s, int64_t row, sotto_rs_place_fn *fn,
                                    void *ctx);
enum sotto_err sotto_rs_mail_each(struct sotto_relay_store *s, sotto_rs_place_fn *fn, void *ctx);
/* Copies len bytes out of a row. NOT_FOUND, MALFORMED: there are no such bytes. */
enum sotto_err sotto_rs_mail_read(struct sotto_relay_store *s, int64_t row, uint32_t at,
                                  uint32_t len, uint8_t *ret);
void sotto_rs_mail_read_done(struct sotto_relay_store *s); /* before anything is written */
enum sotto_err sotto_rs_mail_drop(struct sotto_relay_store *s, int64_t row);
/* Nothing up to this number waits in the box any more, whatever rows still hold. */
enum sotto_err sotto_rs_floor_raise(struct sotto_relay_store *s, int64_t box, uint64_t seq);
/* NOT_FOUND: no listed device has this box. */
enum sotto_err sotto_rs_floor(struct sotto_relay_store *s, int64_t box, uint64_t *ret);

#endif
