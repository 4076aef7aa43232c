/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_VAULT_LAYOUT_H
#define SOTTO_VAULT_LAYOUT_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/secret.h"

/*
 * The bytes of one copy of a vault. Big-endian, nothing optional:
 *
 *   8   magic "SOTTOVLT"
 *   1   version, 1
 *   1   policy: 1 any one slot opens
 *   4   serial: grows with each change, so that the newer of two copies is known
 *   1   number of slots, 1 to 8
 *       each slot: 1 kind, 2 length of what follows (at most 512), then by kind
 *         kind 1, passphrase (73 bytes):
 *           1   key derivation: 1 Argon2id version 1.3, one lane
 *           4   memory in KiB
 *           4   passes
 *           16  salt
 *           48  wrapped key: AES-256-GCM, 32 bytes and the tag
 *   32  MAC: HMAC-SHA-256 over all of the above; key HKDF-SHA-256(vault key, "sotto/1 vault mac")
 *   32  SHA-256 over all of the above
 *
 * KEK = HKDF-SHA-256(Argon2id(passphrase, salt), info "sotto/1 vault kek" NUL policy kind): with a
 * policy "passphrase and token" the token's secret will be appended to the input. The nonce is
 * zero, as a salt, and so a KEK, wraps once. AD = "sotto/1 vault slot" NUL version policy kind and
 * the slot's bytes before the wrapped key: no other cost, policy or kind opens it.
 *
 * The MAC binds all slots together for whoever holds the key. The hash at the end is for everybody:
 * it tells a damaged copy from a wrong passphrase, which a disk's fault must not look like.
 * A slot of a kind not known here is skipped. Another version or policy is NEWER, if the hash is
 * right: magic, version and the hash at the end stay in every later layout.
 */
#define SOTTO_VAULT_FILE_MAX 4224 /* 15 + 8 * (3 + 512) + 64 and some room */
#define SOTTO_VAULT_SLOTS    8
#define SOTTO_VAULT_SLOT_MAX 512

enum sotto_vault_slot_kind {
    SOTTO_VAULT_SLOT_PASSPHRASE = 1,
};

/* What reading a vault may cost at most: one slot's memory, and the sum of memory times passes of
 * all of its slots. Otherwise a manipulated file could hold us up for hours. */
#define SOTTO_VAULT_MEM_MAX_KIB  (1024u * 1024u)
#define SOTTO_VAULT_WORK_MAX_KIB (4096u * 1024u)
struct sotto_vault_cost {
    uint32_t mem_kib, passes;
};

/* A parsed copy; views into the bytes that were parsed. */
struct sotto_vault_file {
    uint8_t version, policy;
    uint32_t serial;
    size_t count;
    struct {
        uint8_t kind;
        struct sotto_bytes body;
    } slots[SOTTO_VAULT_SLOTS];
    struct sotto_bytes covered; /* by the MAC */
    uint8_t mac[32];
};

/* MALFORMED: damaged, or what it asks for is beyond the limits; NEWER. */
enum sotto_err sotto_vault_parse(const uint8_t *data, size_t len, struct sotto_vault_file *ret);
/* A new vault around the key, with one passphrase slot. NOMEM, RANDOM, TOO_LARGE. */
enum sotto_err sotto_vault_seal(const struct sotto_env *env, const struct sotto_vault_cost *cost,
                                const void *passphrase, size_t len,
                                const struct sotto_secret32 *vault_key, uint32_t serial,
                                uint8_t *ret, size_t room, size_t *ret_len);
/* BAD_TAG: no slot opens with this passphrase, or the MAC is wrong; NEWER: no slot of a kind known
 * here; NOMEM. */
enum sotto_err sotto_vault_unseal(const struct sotto_vault_file *file, const void *passphrase,
                                  size_t len, struct sotto_secret32 *ret);

#endif
