/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_OPAQUE_WORLD_H
#define SOTTO_TESTS_OPAQUE_WORLD_H

#include "auth/opaque.h"

/* For tests and fuzz targets of OPAQUE. What has to work for a test to mean anything ends the
 * process here when it does not. */

/* A random generator that says what it is told, and then fails. Each answer is to one request;
 * zeros follow it (a scalar is drawn as 64 bytes and reduced, so that zeros behind its 32 change
 * nothing). */
struct script {
    struct sotto_env env;
    struct sotto_bytes answers[8];
    size_t count, next;
};
void script_init(struct script *s);
void script_add(struct script *s, const uint8_t *p, size_t n);

/* In the place of Argon2id: RFC 9807's vectors use it, and it costs nothing. */
enum sotto_err identity_stretch(const uint8_t in[64], uint8_t ret[64]);

#define VIEW(array, len) ((struct sotto_bytes){(const uint8_t *)(array), (len)})

/* A relay with one account, alice. */
struct world {
    struct sotto_env_fixed env;
    struct sotto_opaque_server server;
    struct sotto_opaque_ids ids;      /* of a sign-in of alice */
    struct sotto_bytes alice, nobody; /* credential ids */
    uint8_t record[SOTTO_OPAQUE_REG_RECORD];
    uint8_t export_key[64];
};
extern const char world_password[];
void world_make(struct world *w, sotto_opaque_stretch *stretch);
/* Makes alice's record anew. */
enum sotto_err world_sign_up(struct world *w, const char *password);

struct run { /* one sign-in */
    uint8_t ke1[SOTTO_OPAQUE_KE1], ke2[SOTTO_OPAQUE_KE2], ke3[SOTTO_OPAQUE_KE3];
    uint8_t session_key[64], export_key[64];
    struct sotto_opaque_client *client;
    struct sotto_opaque_login login;
};
void run_start(struct world *w, const char *password, struct run *ret);
enum sotto_err run_answer(struct world *w, const struct sotto_bytes *id, const uint8_t *record,
                          struct run *r);
/* Ends the process when a failure leaves anything in the outputs. */
enum sotto_err run_finish(const struct world *w, struct run *r);
void run_free(struct run *r);

#endif
