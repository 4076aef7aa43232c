/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_AUTH_OPAQUE_H
#define SOTTO_AUTH_OPAQUE_H

#include "base/bytes.h"
#include "base/env.h"
#include "crypto/group.h"

/*
 * OPAQUE-3DH, RFC 9807: ristretto255-SHA512, HKDF-SHA-512, HMAC-SHA-512, SHA-512; key stretching
 * Argon2id with 64 MiB and 3 passes, salt of zero bytes (the RFC's recommendation). The OPRF is
 * RFC 9497 mode OPRF. Sizes of the messages are the RFC's.
 */
#define SOTTO_OPAQUE_SEED         64
#define SOTTO_OPAQUE_REG_REQUEST  32
#define SOTTO_OPAQUE_REG_RESPONSE 64
#define SOTTO_OPAQUE_REG_RECORD   192
#define SOTTO_OPAQUE_KE1          96
#define SOTTO_OPAQUE_KE2          320
#define SOTTO_OPAQUE_KE3          64
#define SOTTO_OPAQUE_KEY          64 /* session key, export key */
#define SOTTO_OPAQUE_ID_MAX       64 /* of a credential id; ours are names */

struct sotto_opaque_server { /* the relay's long-term secrets */
    uint8_t oprf_seed[SOTTO_OPAQUE_SEED];
    struct sotto_scalar priv;
    uint8_t pub[32];
};
void sotto_opaque_server_wipe(struct sotto_opaque_server *s);
enum sotto_err sotto_opaque_server_generate(const struct sotto_env *env,
                                            struct sotto_opaque_server *ret);

/* Stretches the OPRF output; production passes NULL (Argon2id), the RFC's vectors the identity. */
typedef enum sotto_err sotto_opaque_stretch(const uint8_t in[64], uint8_t ret[64]);

/* Identities and context of a run: server identity = relay id, client identity = name, context =
 * "sotto/1 opaque" NUL and the TLS exporter of the connection. */
struct sotto_opaque_ids {
    struct sotto_bytes server, client, context;
    sotto_opaque_stretch *stretch;
};

struct sotto_opaque_client; /* secret state between two calls; free wipes */
void sotto_opaque_client_free(struct sotto_opaque_client *c);

/*
 * Registration, section 5. Client start -> server answer -> client finish. RANDOM, NOMEM; BAD_KEY:
 * what the other side sent is not an element, or the identity; USAGE: a password, identity or
 * context above 65,535 bytes, a credential id above SOTTO_OPAQUE_ID_MAX. The credential id tells
 * the relay's accounts apart (the name); it never changes and never goes to another account.
 *
 * register_answer and login_answer both evaluate the OPRF under the key of that account. Together
 * with one KE2 each evaluation lets the asker try one password, also one that was asked for before
 * the account was made: count both kinds as attempts at that name, in one counter.
 */
enum sotto_err sotto_opaque_register_start(const struct sotto_env *env, const void *password,
                                           size_t len,
                                           uint8_t ret_request[SOTTO_OPAQUE_REG_REQUEST],
                                           struct sotto_opaque_client **ret);
enum sotto_err sotto_opaque_register_answer(const struct sotto_opaque_server *s,
                                            const struct sotto_bytes *credential_id,
                                            const uint8_t request[SOTTO_OPAQUE_REG_REQUEST],
                                            uint8_t ret[SOTTO_OPAQUE_REG_RESPONSE]);
enum sotto_err sotto_opaque_register_finish(const struct sotto_env *env,
                                            struct sotto_opaque_client *c,
                                            const struct sotto_opaque_ids *ids,
                                            const uint8_t response[SOTTO_OPAQUE_REG_RESPONSE],
                                            uint8_t ret_record[SOTTO_OPAQUE_REG_RECORD],
                                            uint8_t ret_export_key[SOTTO_OPAQUE_KEY]);

/* Sign-in, section 6. */
enum sotto_err sotto_opaque_login_start(const struct sotto_env *env, const void *password,
                                        size_t len, uint8_t ret_ke1[SOTTO_OPAQUE_KE1],
                                        struct sotto_opaque_client **ret);
struct sotto_opaque_login { /* the relay's state between KE2 and KE3; secret */
    uint8_t expected_mac[64];
    uint8_t session_key[64];
};
/* record NULL: no such account; the answer is a fake one (section 6.3.2.2) that takes the same
 * steps and that no KE3 fits. BAD_KEY: KE1 is not valid, whether or not there is such an account.
 */
enum sotto_err sotto_opaque_login_answer(const struct sotto_env *env,
                                         const struct sotto_opaque_server *s,
                                         const struct sotto_opaque_ids *ids,
                                         const struct sotto_bytes *credential_id,
                                         const uint8_t *record, const uint8_t ke1[SOTTO_OPAQUE_KE1],
                                         uint8_t ret_ke2[SOTTO_OPAQUE_KE2],
                                         struct sotto_opaque_login *ret);
/* BAD_TAG: wrong password, no such account, or not the relay that the account was made on; BAD_KEY:
 * KE2 is not valid. A person is told the same in both cases. */
enum sotto_err sotto_opaque_login_finish(struct sotto_opaque_client *c,
                                         const struct sotto_opaque_ids *ids,
                                         const uint8_t ke2[SOTTO_OPAQUE_KE2],
                                         uint8_t ret_ke3[SOTTO_OPAQUE_KE3],
                                         uint8_t ret_session_key[SOTTO_OPAQUE_KEY],
                                         uint8_t ret_export_key[SOTTO_OPAQUE_KEY]);
/* BAD_TAG: wrong password. */
enum sotto_err sotto_opaque_login_check(const struct sotto_opaque_login *l,
                                        const uint8_t ke3[SOTTO_OPAQUE_KE3]);

#endif
