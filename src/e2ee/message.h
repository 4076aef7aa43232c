/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_MESSAGE_H
#define SOTTO_E2EE_MESSAGE_H

#include "crypto/aead.h"
#include "e2ee/handshake.h"

/*
 * The bytes of a session message (docs/protocol.md):
 *   version, suite, flags, session id 16, [handshake], ratchet key 32, PN, N, salt 16, ciphertext
 * and of an ephemeral one:
 *   version, suite, flags, session id 16, salt 16, ciphertext
 */
#define SOTTO_MESSAGE_VERSION 1
#define SOTTO_MESSAGE_SUITE   1
#define SOTTO_MESSAGE_SALT    16
#define SOTTO_MESSAGE_HEADER_MAX                                                                   \
    (3 + SOTTO_SESSION_ID + SOTTO_HANDSHAKE_BYTES + 32 + 4 + 4 + SOTTO_MESSAGE_SALT)

enum sotto_message_flag {
    SOTTO_MESSAGE_HANDSHAKE = 1,
    SOTTO_MESSAGE_EPHEMERAL = 2,
};

/* Views into the message. */
struct sotto_message {
    uint8_t flags;
    const uint8_t *session_id;
    const uint8_t *handshake; /* NULL, or SOTTO_HANDSHAKE_BYTES */
    const uint8_t *key;       /* the sender's ratchet key; NULL in an ephemeral message */
    uint32_t pn, n;
    const uint8_t *salt;
    size_t header_len; /* what precedes the ciphertext: all of it is authenticated */
    struct sotto_bytes ct;
};

/* TRUNCATED, MALFORMED, TOO_LARGE, UNSUPPORTED. */
enum sotto_err sotto_message_parse(const uint8_t *msg, size_t len, struct sotto_message *ret);
/* The start, up to and with the session id. */
void sotto_message_begin(struct sotto_writer *w, uint8_t flags,
                         const uint8_t session_id[SOTTO_SESSION_ID]);

#endif
