/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_SESSION_H
#define SOTTO_E2EE_SESSION_H

#include "base/bytes.h"
#include "base/env.h"
#include "e2ee/identity.h"
#include "e2ee/prekey.h"

/*
 * A session is the Double Ratchet state between two devices, opened by a PQXDH handshake
 * (handshake.h, ratchet.h below it). Nothing here does I/O or allocates per message; a step that
 * fails leaves the session as it was. The caller stores the written session in the same
 * transaction as what the step produced, before a byte leaves or a text is shown.
 */
struct sotto_session;

#define SOTTO_SESSION_ID  16
#define SOTTO_MESSAGE_MAX (60 * 1024)
#define SOTTO_CONTENT_MAX (48 * 1024) /* before padding */
#define SOTTO_PADDED_MIN  256

/* One end: the account and the device as its list (or, for us, our keys) has it. `generation` is
 * our live one when we initiate. Otherwise it is not read, because what counts is what the other
 * end sees under a signature or in the handshake: the generation in the signed pre-key for the
 * responder, the one in the handshake header for the initiator. */
struct sotto_party {
    const struct sotto_account *account;
    const struct sotto_device *device;
    uint32_t generation;
};

/* What can be read of a message before a session is chosen. Views into the message. */
struct sotto_message_info {
    uint8_t session_id[SOTTO_SESSION_ID];
    bool ephemeral; /* for sotto_session_decrypt_ephemeral() */
    bool has_handshake;
    uint32_t signed_prekey_id;   /* with handshake */
    uint32_t one_time_prekey_id; /* 0: none was used */
    uint32_t sender_generation;
    /* SHA-256(EK || KEM ct): kept against replays while the signed key lives. All messages of the
     * initiator up to the first reply have the same, so look for the session by its id first. */
    uint8_t handshake_digest[32];
};
/* MALFORMED, TRUNCATED, TOO_LARGE: drop it. UNSUPPORTED: a newer version, suite or flag. */
enum sotto_err sotto_message_peek(const uint8_t *msg, size_t len, struct sotto_message_info *ret);

/*
 * Initiator. Verifies both pre-keys against `them`. one_time may be NULL. Free the result with
 * sotto_session_free(). BAD_SIGNATURE, BAD_KEY, EXPIRED, USAGE as sotto_prekey_verify(). EXPIRED
 * also for a pre-key past its time at now_ms or pre-keys of two generations: ask for a new bundle.
 * USAGE also for types swapped, a key that is not our device's, or ourselves. RANDOM, NOMEM.
 */
enum sotto_err sotto_session_initiate(const struct sotto_env *env, const struct sotto_party *us,
                                      const struct sotto_dh_pair *our_dh,
                                      const struct sotto_party *them,
                                      const struct sotto_prekey *signed_prekey,
                                      const struct sotto_prekey *one_time, uint64_t now_ms,
                                      struct sotto_session **ret);
/*
 * Responder, from a message whose info has a handshake; the pre-keys are the private ones that the
 * info names (one_time NULL exactly when its id is 0). The session is only worth storing when
 * sotto_session_decrypt() of that message then succeeds. MALFORMED, TRUNCATED, UNSUPPORTED: the
 * message. BAD_TAG: it was not made for these two parties under these keys. BAD_KEY: a low-order
 * point in it. EXPIRED: made for a generation of ours below the live one. USAGE: pre-keys that the
 * message does not name. NOMEM. (env: suite 1 draws nothing here, as a new ratchet key is made at
 * the first sending.)
 */
enum sotto_err sotto_session_respond(const struct sotto_env *env, const struct sotto_party *us,
                                     const struct sotto_dh_pair *our_dh,
                                     const struct sotto_party *them, const uint8_t *msg, size_t len,
                                     const struct sotto_prekey_private *signed_prekey,
                                     const struct sotto_prekey_private *one_time, uint64_t now_ms,
                                     struct sotto_session **ret);
void sotto_session_free(struct sotto_session *s);

/* Pads (Padme, at least SOTTO_PADDED_MIN) and encrypts. ret needs sotto_session_room(len) bytes and
 * may not overlap content. TOO_LARGE (content or room); RANDOM; STATE: a responder's session on
 * which nothing was opened, or 2^32 - 1 messages without an answer: start a new session. */
size_t sotto_session_room(size_t len);
enum sotto_err sotto_session_encrypt(const struct sotto_env *env, struct sotto_session *s,
                                     const void *content, size_t len, uint8_t *ret, size_t room,
                                     size_t *ret_len);
/*
 * ret needs len bytes and may not overlap msg. BAD_TAG; REPLAY: this ratchet number was consumed (a
 * duplicate, acknowledge and forget it); TOO_FAR: more than 25,000 ahead, or its key is no longer
 * kept (newest 1,000 skipped are): ask for it again; BAD_KEY: low-order ratchet key; MALFORMED,
 * TRUNCATED, TOO_LARGE; UNSUPPORTED; STATE: of another session; NOMEM. (env: suite 1 draws
 * nothing.)
 */
enum sotto_err sotto_session_decrypt(const struct sotto_env *env, struct sotto_session *s,
                                     const uint8_t *msg, size_t len, uint8_t *ret, size_t *ret_len);

/*
 * Ephemeral messages (typing): own key HKDF(SK, "ephemeral" || direction) and a random salt; the
 * session is not changed and need not be stored. So there is no order and no protection against
 * being played again: only for what is worth nothing a minute later. Same errors.
 */
#define SOTTO_EPHEMERAL_MAX 1024
enum sotto_err sotto_session_encrypt_ephemeral(const struct sotto_env *env,
                                               const struct sotto_session *s, const void *content,
                                               size_t len, uint8_t *ret, size_t room,
                                               size_t *ret_len);
enum sotto_err sotto_session_decrypt_ephemeral(const struct sotto_session *s, const uint8_t *msg,
                                               size_t len, uint8_t *ret, size_t *ret_len);

/* Read-only facts. */
const uint8_t *sotto_session_id(const struct sotto_session *s); /* 16 bytes */
bool sotto_session_confirmed(
    const struct sotto_session *s); /* a message of theirs was opened on it */
uint64_t sotto_session_created_ms(const struct sotto_session *s);
uint32_t sotto_session_our_generation(const struct sotto_session *s);
uint32_t sotto_session_their_generation(const struct sotto_session *s);
/* <0: a is to be sent on rather than b: confirmed first, then the higher pair of generations (by
 * their sum: generations only grow, so the newest pair has the highest), then the smaller id. Both
 * ends come to the same answer. */
int sotto_session_prefer(const struct sotto_session *a, const struct sotto_session *b);

/* The record for the database (version and suite first; secret), appended to ret: below 400 bytes
 * once confirmed and with nothing skipped, at most SOTTO_SESSION_RECORD_MAX. Write: TOO_LARGE (the
 * buffer's cap), NOMEM. Read: MALFORMED, UNSUPPORTED, NOMEM. */
#define SOTTO_SESSION_RECORD_MAX (80 * 1024)
enum sotto_err sotto_session_write(const struct sotto_session *s, struct sotto_buf *ret);
enum sotto_err sotto_session_read(const uint8_t *data, size_t len, struct sotto_session **ret);

/* Padme: the padded length of a plaintext of len bytes (PURBs, section 4), at least min. */
size_t sotto_padme(size_t len, size_t min);

#endif
