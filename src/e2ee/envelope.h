/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_ENVELOPE_H
#define SOTTO_E2EE_ENVELOPE_H

#include "e2ee/identity.h"

/*
 * Envelope: version 1, suite 1, sealing key id, HPKE enc, ciphertext. info = purpose, recipient
 * relay id, account, device. Inside: the claimed sender and one session message. Nothing may act on
 * the claim before the session message has opened.
 */
#define SOTTO_ENVELOPE_MAX      (64 * 1024)
#define SOTTO_ENVELOPE_OVERHEAD (1 + 1 + 4 + 32 + 16 + 1 + SOTTO_NAME_MAX + 8 + 1)
#define SOTTO_ENVELOPE_ID       16

enum sotto_envelope_kind {
    SOTTO_ENVELOPE_MESSAGE = 1,
    SOTTO_ENVELOPE_EPHEMERAL = 2,
};
struct sotto_opened { /* views into the buffer given to sotto_envelope_open() */
    char sender[SOTTO_NAME_MAX + 1];
    uint64_t sender_device;
    enum sotto_envelope_kind kind;
    const uint8_t *msg;
    size_t msg_len;
};

/* SHA-256(envelope)[0..16]: how the relay and both ends name it. */
void sotto_envelope_id(const uint8_t *env, size_t len, uint8_t ret[SOTTO_ENVELOPE_ID]);
/* First 4 bytes, big-endian, of SHA-256 of a sealing public key. */
uint32_t sotto_sealing_key_id(const uint8_t pub[32]);
/* Which of our sealing keys it was made for. MALFORMED, UNSUPPORTED. */
enum sotto_err sotto_envelope_peek(const uint8_t *data, size_t len, uint32_t *ret_key_id);

/* ret needs len + SOTTO_ENVELOPE_OVERHEAD bytes and may not overlap msg. TOO_LARGE (msg or room);
 * BAD_KEY: their sealing key is low-order; USAGE: sender is no name, or no message; RANDOM. */
enum sotto_err sotto_envelope_seal(const struct sotto_env *env, const struct sotto_account *to,
                                   const struct sotto_device *to_device, const char *sender,
                                   uint64_t sender_device, enum sotto_envelope_kind kind,
                                   const uint8_t *msg, size_t len, uint8_t *ret, size_t room,
                                   size_t *ret_len);
/* buf needs len bytes and keeps what the result points into. BAD_TAG: not for this device or key,
 * or altered; BAD_KEY: low-order point in it; MALFORMED; UNSUPPORTED: suite or kind of a newer
 * version. */
enum sotto_err sotto_envelope_open(const struct sotto_dh_pair *sealing,
                                   const struct sotto_account *us, uint64_t our_device,
                                   const uint8_t *data, size_t len, uint8_t *buf,
                                   struct sotto_opened *ret);

#endif
