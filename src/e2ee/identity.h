/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_IDENTITY_H
#define SOTTO_E2EE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "crypto/dh.h"
#include "crypto/sign.h"

/* Account names: [a-z0-9][a-z0-9._-]{0,31}, or '+' and 7 to 15 digits. */
#define SOTTO_NAME_MAX 32
bool sotto_name_valid(const char *name, size_t len);

/* A device's id: the first 8 bytes (big-endian) of SHA-256("sotto/1 device id" NUL || Ed25519 key).
 * Written for people as 16 hex digits. */
uint64_t sotto_device_id(const uint8_t sign_pub[32]);

/* What a device is, as others see it. */
struct sotto_device {
    uint64_t id;
    uint32_t generation; /* grows after a rollback; the list holds the least one that is valid */
    uint8_t sign_pub[32];
    uint8_t dh_pub[32];
    uint8_t sealing_pub[32];
    uint64_t
        sealing_expires_ms; /* when the owner means to have a new one; an older one still works */
    uint32_t capabilities;
};

/* A device's private keys. Wipe with sotto_device_keys_wipe(). */
struct sotto_device_keys {
    struct sotto_sign_pair sign;
    struct sotto_dh_pair dh;
    struct sotto_dh_pair sealing;
};
enum sotto_err sotto_device_keys_generate(const struct sotto_env *env,
                                          struct sotto_device_keys *ret);
void sotto_device_keys_wipe(struct sotto_device_keys *k);

/* Who an account is: these three are in every signature and every key derivation. */
struct sotto_account {
    uint8_t relay_id[32];
    char name[SOTTO_NAME_MAX + 1];
    uint8_t key[32]; /* Ed25519 */
};
/* The layout of an account in whatever names one: relay id 32, name (field8), account key 32. */
#define SOTTO_ACCOUNT_MAX (32 + 1 + SOTTO_NAME_MAX + 32)
void sotto_account_write(struct sotto_writer *w, const struct sotto_account *account);
/* TRUNCATED; MALFORMED: not a name. */
enum sotto_err sotto_account_read(struct sotto_reader *r, struct sotto_account *ret);

/*
 * A device's signed entry: fixed layout (docs/protocol.md), then the device's own signature,
 * purpose "device entry", over relay id, name, account key and the layout: nobody can list
 * another's device as his own.
 */
#define SOTTO_ENTRY_BYTES 189 /* 1 + 8 + 4 + 32 + 32 + 32 + 8 + 4 + 4 reserved + 64 */
enum sotto_err sotto_entry_sign(const struct sotto_sign_pair *device_key,
                                const struct sotto_account *account,
                                const struct sotto_device *device, uint8_t ret[SOTTO_ENTRY_BYTES]);
/* MALFORMED; UNSUPPORTED: a later version's; BAD_SIGNATURE (not made by this device for this
 * account); BAD_KEY (low-order X25519 or id that is not the key's). */
enum sotto_err sotto_entry_open(const uint8_t *data, size_t len,
                                const struct sotto_account *account, struct sotto_device *ret);

/*
 * The device list, signed by the account key (purpose "device list").
 * hash = SHA-256 of the bytes before the signature.
 */
#define SOTTO_DEVICES_MAX 16
#define SOTTO_LIST_MAX    4096
struct sotto_list {
    struct sotto_account account;
    uint32_t version; /* from 1 */
    uint8_t prev_hash[32];
    uint8_t hash[32];
    uint64_t time_ms;
    size_t count;
    struct sotto_device devices[SOTTO_DEVICES_MAX];
    uint8_t entries[SOTTO_DEVICES_MAX][SOTTO_ENTRY_BYTES]; /* the signed bytes of each */
};
/* Signs account, version, prev_hash (zero in version 1 and only there), time_ms and the
 * entries[0..count-1]; fills hash and devices. ret has SOTTO_LIST_MAX bytes of room. USAGE: no
 * device, too many, one id twice, not the account's key, or no valid name or history; errors of
 * sotto_entry_open(): an entry that is not of this account. */
enum sotto_err sotto_list_sign(const struct sotto_sign_pair *account_key, struct sotto_list *list,
                               uint8_t *ret, size_t *ret_len);
/* Checks layout, every entry and the account signature; whether it is the list that was asked for
 * (relay, name, key) is for the caller to compare. MALFORMED, BAD_SIGNATURE, BAD_KEY: drop it, keep
 * the known one. UNSUPPORTED: written by a newer version. */
enum sotto_err sotto_list_open(const uint8_t *data, size_t len, struct sotto_list *ret);
/*
 * May `next` replace `known`? OK: yes, or it is the same. NEW_IDENTITY: other account key.
 * EXPIRED: older, keep the known one. FORK: same version or direct successor with another history.
 * USAGE: another account.
 */
enum sotto_err sotto_list_follows(const struct sotto_list *known, const struct sotto_list *next);
/* NULL when not listed. Lives as long as the list. */
const struct sotto_device *sotto_list_find(const struct sotto_list *list, uint64_t device_id);

/*
 * The code that both screens show when a device is added: 8 characters of RFC 4648 base32, as
 * "ABCD-EFGH" (NUL-terminated), 40 bits of Argon2id (64 MiB, 3 passes) over relay id, name, account
 * key and the new device's entry, so that a relay that wants to slip in its own device has to find
 * a second preimage of a memory-hard function while two people look at the code. NOMEM.
 */
#define SOTTO_LINK_CODE 9
enum sotto_err sotto_link_code(const struct sotto_account *account,
                               const uint8_t entry[SOTTO_ENTRY_BYTES],
                               char ret[SOTTO_LINK_CODE + 1]);

/*
 * Safety number: Signal's numeric fingerprint, version 2: 5,200 x SHA-512 on each side, 30 digits
 * each, the smaller side first. The id of a side is its relay id and name, the key its account key.
 * ret gets "12345 12345 ... " (twelve groups, single spaces, NUL: 72 bytes).
 */
#define SOTTO_SAFETY_NUMBER 72
void sotto_safety_number(const struct sotto_account *a, const struct sotto_account *b,
                         char ret[SOTTO_SAFETY_NUMBER]);
/* One side: 30 digits, not terminated. For standard vectors. */
void sotto_fingerprint(const void *id, size_t id_len, const void *key, size_t key_len,
                       uint32_t iterations, char ret[30]);

#endif
