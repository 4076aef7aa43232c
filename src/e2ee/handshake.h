/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_HANDSHAKE_H
#define SOTTO_E2EE_HANDSHAKE_H

#include "base/secret.h"
#include "e2ee/prekey.h"
#include "e2ee/session.h"

/*
 * PQXDH (Signal, revision 3) with X25519 identity keys and ML-KEM-1024. Both ends come to the same
 * secrets exactly when they mean the same two devices of the same two accounts on the same relays,
 * the same pre-keys and the same ciphertext: all of that is in the associated data (AD), and the
 * AD's hash is in the derivation and in every message.
 */

/* What the initiator's messages carry until the first reply. */
struct sotto_handshake_header {
    uint32_t generation; /* of the initiator */
    uint32_t signed_id;
    uint32_t one_time_id; /* 0: none */
    uint8_t ek[32];
    uint8_t ct[SOTTO_KEM_CIPHERTEXT];
};
#define SOTTO_HANDSHAKE_BYTES (4 + 4 + 4 + 32 + SOTTO_KEM_CIPHERTEXT)
void sotto_handshake_write(struct sotto_writer *w, const struct sotto_handshake_header *h);
/* TRUNCATED. */
enum sotto_err sotto_handshake_read(struct sotto_reader *r, struct sotto_handshake_header *ret);
/* SHA-256(EK || ciphertext): the name of a handshake among replays. */
void sotto_handshake_digest(const struct sotto_handshake_header *h, uint8_t ret[32]);

/* What both ends agree on. Wipe with sotto_handshake_wipe(). */
struct sotto_handshake {
    uint8_t session_id[SOTTO_SESSION_ID];
    uint8_t ad_hash[32];
    struct sotto_secret32 root;
    struct sotto_secret32 from_initiator, from_responder; /* ephemeral keys by direction */
};
void sotto_handshake_wipe(struct sotto_handshake *h);

/* The pre-keys must have been verified; one_time may be NULL. BAD_KEY, RANDOM. */
enum sotto_err sotto_handshake_initiate(const struct sotto_env *env, const struct sotto_party *us,
                                        const struct sotto_dh_pair *our_dh,
                                        const struct sotto_party *them,
                                        const struct sotto_prekey *signed_prekey,
                                        const struct sotto_prekey *one_time,
                                        struct sotto_handshake_header *ret_header,
                                        struct sotto_handshake *ret);
/* The pre-keys must be those that the header names. BAD_KEY: a low-order point. A wrong ciphertext
 * or AD shows only in the tag of the first message. */
enum sotto_err
sotto_handshake_respond(const struct sotto_party *us, const struct sotto_dh_pair *our_dh,
                        const struct sotto_party *them, const struct sotto_handshake_header *header,
                        const struct sotto_prekey_private *signed_prekey,
                        const struct sotto_prekey_private *one_time, struct sotto_handshake *ret);

#endif
