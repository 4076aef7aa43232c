/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/opaque.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "auth/oprf.h"
#include "opaque_world.h"
#include "vectors.h"

/* ---- vectors of RFC 9807 ---- */

struct rfc {
    json_t *in, *out;
    struct sotto_opaque_server server;
    struct sotto_opaque_ids ids;
    struct sotto_bytes credential_id;
};

static struct sotto_bytes optional(json_t *in, const char *key)
{
    struct vec v = {NULL, 0};

    if (json_object_get(in, key) != NULL)
        v = vec_hex(in, key);
    return (struct sotto_bytes){v.p, v.n};
}

static void rfc_init(json_t *t, struct rfc *c)
{
    struct vec context = vec_hex(json_object_get(t, "config"), "Context"), id;

    memset(c, 0, sizeof *c);
    c->in = json_object_get(t, "inputs");
    c->out = json_object_get(t, "outputs");
    memcpy(c->server.oprf_seed, vec_hex_n(c->in, "oprf_seed", 64), 64);
    memcpy(c->server.priv.b, vec_hex_n(c->in, "server_private_key", 32), 32);
    memcpy(c->server.pub, vec_hex_n(c->in, "server_public_key", 32), 32);
    c->ids.client = optional(c->in, "client_identity");
    c->ids.server = optional(c->in, "server_identity");
    c->ids.context = (struct sotto_bytes){context.p, context.n};
    c->ids.stretch = identity_stretch;
    id = vec_hex(c->in, "credential_identifier");
    c->credential_id = (struct sotto_bytes){id.p, id.n};
}

static void rfc_registration(const struct rfc *c, uint8_t record[SOTTO_OPAQUE_REG_RECORD])
{
    struct vec password = vec_hex(c->in, "password");
    uint8_t request[SOTTO_OPAQUE_REG_REQUEST], response[SOTTO_OPAQUE_REG_RESPONSE], export_key[64];
    struct sotto_opaque_client *client;
    struct script s;

    script_init(&s);
    script_add(&s, vec_hex_n(c->in, "blind_registration", 32), 32);
    script_add(&s, vec_hex_n(c->in, "envelope_nonce", 32), 32);
    assert_int_equal(sotto_opaque_register_start(&s.env, password.p, password.n, request, &client),
                     0);
    assert_memory_equal(request, vec_hex_n(c->out, "registration_request", sizeof request),
                        sizeof request);
    assert_int_equal(sotto_opaque_register_answer(&c->server, &c->credential_id, request, response),
                     0);
    assert_memory_equal(response, vec_hex_n(c->out, "registration_response", sizeof response),
                        sizeof response);
    assert_int_equal(
        sotto_opaque_register_finish(&s.env, client, &c->ids, response, record, export_key), 0);
    assert_memory_equal(record, vec_hex_n(c->out, "registration_upload", SOTTO_OPAQUE_REG_RECORD),
                        SOTTO_OPAQUE_REG_RECORD);
    assert_memory_equal(export_key, vec_hex_n(c->out, "export_key", 64), 64);
    sotto_opaque_client_free(client);
}

static void rfc_login(const struct rfc *c, const uint8_t record[SOTTO_OPAQUE_REG_RECORD])
{
    struct vec password = vec_hex(c->in, "password");
    uint8_t ke1[SOTTO_OPAQUE_KE1], ke2[SOTTO_OPAQUE_KE2], ke3[SOTTO_OPAQUE_KE3];
    uint8_t session_key[64], export_key[64];
    struct sotto_opaque_client *client;
    struct sotto_opaque_login login;
    struct script s;

    script_init(&s);
    script_add(&s, vec_hex_n(c->in, "blind_login", 32), 32);
    script_add(&s, vec_hex_n(c->in, "client_nonce", 32), 32);
    script_add(&s, vec_hex_n(c->in, "client_keyshare_seed", 32), 32);
    script_add(&s, vec_hex_n(c->in, "masking_nonce", 32), 32);
    script_add(&s, vec_hex_n(c->in, "server_nonce", 32), 32);
    script_add(&s, vec_hex_n(c->in, "server_keyshare_seed", 32), 32);
    assert_int_equal(sotto_opaque_login_start(&s.env, password.p, password.n, ke1, &client), 0);
    assert_memory_equal(ke1, vec_hex_n(c->out, "KE1", sizeof ke1), sizeof ke1);
    assert_int_equal(sotto_opaque_login_answer(&s.env, &c->server, &c->ids, &c->credential_id,
                                               record, ke1, ke2, &login),
                     0);
    assert_memory_equal(ke2, vec_hex_n(c->out, "KE2", sizeof ke2), sizeof ke2);
    assert_int_equal(sotto_opaque_login_finish(client, &c->ids, ke2, ke3, session_key, export_key),
                     0);
    assert_memory_equal(ke3, vec_hex_n(c->out, "KE3", sizeof ke3), sizeof ke3);
    assert_memory_equal(session_key, vec_hex_n(c->out, "session_key", 64), 64);
    assert_memory_equal(export_key, vec_hex_n(c->out, "export_key", 64), 64);
    assert_int_equal(sotto_opaque_login_check(&login, ke3), 0);
    assert_memory_equal(login.session_key, session_key, 64);
    sotto_opaque_client_free(client);
}

/* The fake record is given: its public key and masking key, and an envelope of zeros. */
static void rfc_fake(const struct rfc *c)
{
    uint8_t record[SOTTO_OPAQUE_REG_RECORD] = {0}, ke2[SOTTO_OPAQUE_KE2];
    struct sotto_opaque_login login;
    struct script s;

    memcpy(record, vec_hex_n(c->in, "client_public_key", 32), 32);
    memcpy(record + 32, vec_hex_n(c->in, "masking_key", 64), 64);
    script_init(&s);
    script_add(&s, vec_hex_n(c->in, "masking_nonce", 32), 32);
    script_add(&s, vec_hex_n(c->in, "server_nonce", 32), 32);
    script_add(&s, vec_hex_n(c->in, "server_keyshare_seed", 32), 32);
    assert_int_equal(sotto_opaque_login_answer(&s.env, &c->server, &c->ids, &c->credential_id,
                                               record, vec_hex_n(c->in, "KE1", SOTTO_OPAQUE_KE1),
                                               ke2, &login),
                     0);
    assert_memory_equal(ke2, vec_hex_n(c->out, "KE2", sizeof ke2), sizeof ke2);
}

static size_t opaque_file(json_t *root)
{
    json_t *t;
    size_t i, n = 0;

    json_array_foreach(root, i, t)
    {
        json_t *config = json_object_get(t, "config");
        uint8_t record[SOTTO_OPAQUE_REG_RECORD];
        struct rfc c;

        if (strcmp(vec_string(config, "Group"), "ristretto255") != 0)
            continue;
        rfc_init(t, &c);
        if (strcmp(vec_string(config, "Fake"), "True") == 0) {
            rfc_fake(&c);
        } else {
            rfc_registration(&c, record);
            rfc_login(&c, record);
        }
        n++;
    }
    return n;
}

static void opaque_vectors(void **state)
{
    vectors_run("opaque/opaque.json", 2, 2, opaque_file);
}

/* ---- what has to work ---- */

static void right_password(struct world *w)
{
    struct run r;

    run_start(w, world_password, &r);
    assert_int_equal(run_answer(w, &w->alice, w->record, &r), 0);
    assert_int_equal(run_finish(w, &r), 0);
    assert_int_equal(sotto_opaque_login_check(&r.login, r.ke3), 0);
    assert_memory_equal(r.session_key, r.login.session_key, 64);
    assert_memory_equal(r.export_key, w->export_key, 64);
    run_free(&r);
}

static void sign_in(void **state)
{
    struct world w;

    world_make(&w, identity_stretch);
    right_password(&w);
}

/* As in production: Argon2id, which is not the identity. */
static void sign_in_with_argon2id(void **state)
{
    struct world w, plain;
    struct run r;

    world_make(&w, NULL);
    right_password(&w);
    world_make(&plain, identity_stretch);
    assert_memory_not_equal(w.record, plain.record, sizeof w.record);
    plain.ids.stretch = NULL;
    run_start(&plain, world_password, &r);
    assert_int_equal(run_answer(&plain, &plain.alice, plain.record, &r), 0);
    assert_int_equal(run_finish(&plain, &r), SOTTO_ERR_BAD_TAG);
    run_free(&r);
}

static void lengths_of_passwords(void **state)
{
    static char long_password[SOTTO_OPRF_INPUT_MAX + 2];
    uint8_t request[SOTTO_OPAQUE_REG_REQUEST], ke1[SOTTO_OPAQUE_KE1];
    struct sotto_opaque_client *c;
    struct world w;
    struct run r;

    memset(long_password, 'p', sizeof long_password - 1);
    world_make(&w, identity_stretch);
    assert_int_equal(sotto_opaque_register_start(&w.env.env, long_password,
                                                 SOTTO_OPRF_INPUT_MAX + 1, request, &c),
                     SOTTO_ERR_USAGE);
    assert_int_equal(
        sotto_opaque_login_start(&w.env.env, long_password, SOTTO_OPRF_INPUT_MAX + 1, ke1, &c),
        SOTTO_ERR_USAGE);
    long_password[SOTTO_OPRF_INPUT_MAX] = '\0';
    for (int i = 0; i < 2; i++) {
        const char *pw = i == 0 ? "" : long_password;

        assert_int_equal(world_sign_up(&w, pw), 0);
        run_start(&w, pw, &r);
        assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
        assert_int_equal(run_finish(&w, &r), 0);
        assert_int_equal(sotto_opaque_login_check(&r.login, r.ke3), 0);
        run_free(&r);
    }
}

/* ---- what has to fail ---- */

static void wrong_password(void **state)
{
    static const char *const wrong[] = {
        "", "correct horse battery stapl", "correct horse battery staplf",
        "correct horse battery staple ", "Correct horse battery staple"};
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        run_start(&w, wrong[i], &r);
        assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
        assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_TAG);
        assert_int_equal(sotto_opaque_login_check(&r.login, r.ke3), SOTTO_ERR_BAD_TAG);
        run_free(&r);
    }
}

/* Any byte of KE2 changed, in any of its eight bits in turn: the client stops. */
static void tampered_ke2(void **state)
{
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
    for (size_t i = 0; i < sizeof r.ke2; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        enum sotto_err e;

        r.ke2[i] ^= bit;
        e = run_finish(&w, &r);
        assert_true(e == SOTTO_ERR_BAD_TAG ||
                    (e == SOTTO_ERR_BAD_KEY && (i < 32 || (i >= 224 && i < 256))));
        r.ke2[i] ^= bit;
    }
    assert_int_equal(run_finish(&w, &r), 0); /* unharmed by all that */
    run_free(&r);
}

/* Any byte of KE1 changed on the way: the relay refuses, or the client does. */
static void tampered_ke1(void **state)
{
    size_t refused = 0;
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    for (size_t i = 0; i < sizeof r.ke1; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        enum sotto_err e;

        r.ke1[i] ^= bit;
        e = run_answer(&w, &w.alice, w.record, &r);
        refused += e != 0;
        if (e == 0)
            assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_TAG);
        else
            assert_int_equal(e, SOTTO_ERR_BAD_KEY);
        r.ke1[i] ^= bit;
    }
    assert_true(refused > 0 && refused < sizeof r.ke1);
    run_free(&r);
}

static void tampered_ke3(void **state)
{
    struct world w;
    struct run r, other;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
    assert_int_equal(run_finish(&w, &r), 0);
    for (size_t i = 0; i < sizeof r.ke3; i++) {
        r.ke3[i] ^= 0x10;
        assert_int_equal(sotto_opaque_login_check(&r.login, r.ke3), SOTTO_ERR_BAD_TAG);
        r.ke3[i] ^= 0x10;
    }
    /* nor does the KE3 of one sign-in fit another */
    run_start(&w, world_password, &other);
    assert_int_equal(run_answer(&w, &w.alice, w.record, &other), 0);
    assert_int_equal(sotto_opaque_login_check(&other.login, r.ke3), SOTTO_ERR_BAD_TAG);
    assert_memory_not_equal(other.login.session_key, r.login.session_key, 64);
    run_free(&other);
    run_free(&r);
}

/* A relay or somebody between changes the answer to a sign-up: it fails, or the account made then
 * is of no use to anybody, because no sign-in opens it. */
static void tampered_registration(void **state)
{
    uint8_t request[SOTTO_OPAQUE_REG_REQUEST], response[SOTTO_OPAQUE_REG_RESPONSE];
    struct sotto_opaque_client *c;
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    assert_int_equal(sotto_opaque_register_start(&w.env.env, world_password, strlen(world_password),
                                                 request, &c),
                     0);
    assert_int_equal(sotto_opaque_register_answer(&w.server, &w.alice, request, response), 0);
    for (size_t i = 0; i < sizeof response; i++) {
        enum sotto_err e;

        response[i] ^= 4;
        e = sotto_opaque_register_finish(&w.env.env, c, &w.ids, response, w.record, w.export_key);
        response[i] ^= 4;
        if (e != 0) {
            assert_int_equal(e, SOTTO_ERR_BAD_KEY);
            continue;
        }
        run_start(&w, world_password, &r);
        assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
        assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_TAG);
        run_free(&r);
    }
    sotto_opaque_client_free(c);
}

/* A connection, a relay, a name: each is part of what both sides compute. */
static void bound_to_context_and_identities(void **state)
{
    static const uint8_t other_relay[32] = "another relay";
    struct world w, changed;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
    changed = w;
    changed.ids.context.n--;
    assert_int_equal(run_finish(&changed, &r), SOTTO_ERR_BAD_TAG);
    changed = w;
    changed.ids.server = VIEW(other_relay, 32);
    assert_int_equal(run_finish(&changed, &r), SOTTO_ERR_BAD_TAG);
    changed = w;
    changed.ids.client = VIEW("alicf", 5);
    assert_int_equal(run_finish(&changed, &r), SOTTO_ERR_BAD_TAG);
    assert_int_equal(run_finish(&w, &r), 0);
    run_free(&r);
}

/* Who has stolen the record but not the relay's keys cannot stand in for the relay. */
static void another_relay(void **state)
{
    struct world w, thief;
    struct run r;

    world_make(&w, identity_stretch);
    thief = w;
    assert_int_equal(sotto_opaque_server_generate(&thief.env.env, &thief.server), 0);
    run_start(&w, world_password, &r);
    assert_int_equal(run_answer(&thief, &w.alice, w.record, &r), 0);
    assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_TAG);
    /* the OPRF seed was stolen too, the key pair not */
    memcpy(thief.server.oprf_seed, w.server.oprf_seed, sizeof w.server.oprf_seed);
    assert_int_equal(run_answer(&thief, &w.alice, w.record, &r), 0);
    assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_TAG);
    run_free(&r);
}

/* The record of one account does not answer for another. */
static void records_are_not_exchangeable(void **state)
{
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    assert_int_equal(run_answer(&w, &w.nobody, w.record, &r), 0);
    assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_TAG);
    run_free(&r);
}

/* ---- invalid elements ---- */

/* RFC 9496 appendix A.3 and the identity: nothing that a group operation may touch. */
static const char *const bad_elements[] = {
    "0000000000000000000000000000000000000000000000000000000000000000", /* identity */
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", /* non-canonical */
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000", /* negative */
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371", /* no square */
    "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
    "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e", /* negative xy */
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* s = -1 */
};
enum { BAD_ELEMENTS = sizeof bad_elements / sizeof bad_elements[0] };

static void bad_element(size_t i, uint8_t ret[32])
{
    size_t n;

    assert_int_equal(sotto_hex_decode(bad_elements[i], 64, ret, 32, &n), 0);
    assert_int_equal(n, 32);
}

static void invalid_elements_in_sign_in(void **state)
{
    struct world w;
    struct run r, good;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &good);
    assert_int_equal(run_answer(&w, &w.alice, w.record, &good), 0);
    for (size_t i = 0; i < BAD_ELEMENTS; i++) {
        /* KE1: the blinded element, the key share; the same for an account that is not there */
        for (size_t at = 0; at <= 64; at += 64)
            for (int there = 0; there < 2; there++) {
                r = good;
                memset(r.ke2, 0xee, sizeof r.ke2);
                bad_element(i, r.ke1 + at);
                assert_int_equal(run_answer(&w, &w.alice, there ? w.record : NULL, &r),
                                 SOTTO_ERR_BAD_KEY);
                assert_int_equal(r.ke2[0], 0xee);
                assert_int_equal(r.ke2[319], 0xee);
            }
        /* KE2: the evaluated element, the key share */
        r = good;
        bad_element(i, r.ke2);
        assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_KEY);
        r = good;
        bad_element(i, r.ke2 + 224);
        assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_KEY);
        /* an account's own public key */
        r = good;
        bad_element(i, w.record);
        assert_int_equal(run_answer(&w, &w.alice, w.record, &r), SOTTO_ERR_BAD_KEY);
    }
    run_free(&good);
}

static void invalid_elements_in_sign_up(void **state)
{
    uint8_t request[SOTTO_OPAQUE_REG_REQUEST], response[SOTTO_OPAQUE_REG_RESPONSE], good[64],
        out[64];
    struct sotto_opaque_client *c;
    struct world w;

    world_make(&w, identity_stretch);
    assert_int_equal(sotto_opaque_register_start(&w.env.env, world_password, strlen(world_password),
                                                 request, &c),
                     0);
    assert_int_equal(sotto_opaque_register_answer(&w.server, &w.alice, request, good), 0);
    for (size_t i = 0; i < BAD_ELEMENTS; i++) {
        bad_element(i, request);
        assert_int_equal(sotto_opaque_register_answer(&w.server, &w.alice, request, response),
                         SOTTO_ERR_BAD_KEY);
        for (size_t at = 0; at <= 32; at += 32) {
            memcpy(response, good, sizeof response);
            bad_element(i, response + at);
            assert_int_equal(
                sotto_opaque_register_finish(&w.env.env, c, &w.ids, response, w.record, out),
                SOTTO_ERR_BAD_KEY);
        }
    }
    sotto_opaque_client_free(c);
}

/* ---- an account that is not there ---- */

/* Group operations, counted through the linker's --wrap. */
static size_t mul_calls, base_calls, derive_calls;
enum sotto_err __real_sotto_group_mul(const struct sotto_scalar *s, const uint8_t *element,
                                      uint8_t *ret);
enum sotto_err __wrap_sotto_group_mul(const struct sotto_scalar *s, const uint8_t *element,
                                      uint8_t *ret);
void __real_sotto_group_mul_base(const struct sotto_scalar *s, uint8_t *ret);
void __wrap_sotto_group_mul_base(const struct sotto_scalar *s, uint8_t *ret);
enum sotto_err __real_sotto_oprf_derive_key(const uint8_t *seed, const struct sotto_bytes *info,
                                            struct sotto_scalar *ret_key, uint8_t *ret_pub);
enum sotto_err __wrap_sotto_oprf_derive_key(const uint8_t *seed, const struct sotto_bytes *info,
                                            struct sotto_scalar *ret_key, uint8_t *ret_pub);

enum sotto_err __wrap_sotto_group_mul(const struct sotto_scalar *s, const uint8_t *element,
                                      uint8_t *ret)
{
    mul_calls++;
    return __real_sotto_group_mul(s, element, ret);
}

void __wrap_sotto_group_mul_base(const struct sotto_scalar *s, uint8_t *ret)
{
    base_calls++;
    __real_sotto_group_mul_base(s, ret);
}

enum sotto_err __wrap_sotto_oprf_derive_key(const uint8_t *seed, const struct sotto_bytes *info,
                                            struct sotto_scalar *ret_key, uint8_t *ret_pub)
{
    derive_calls++;
    return __real_sotto_oprf_derive_key(seed, info, ret_key, ret_pub);
}

/* The same steps in the same number, the same randomness, an answer of the same size (it is the
 * same type): nothing tells the two apart but the password. */
static void unknown_account_takes_the_same_steps(void **state)
{
    size_t mul[2], base[2], derive[2];
    uint64_t drawn[2];
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    for (int there = 0; there < 2; there++) {
        uint64_t before = w.env.block;

        mul_calls = base_calls = derive_calls = 0;
        assert_int_equal(run_answer(&w, &w.alice, there ? w.record : NULL, &r), 0);
        mul[there] = mul_calls, base[there] = base_calls, derive[there] = derive_calls;
        drawn[there] = w.env.block - before;
    }
    assert_int_equal(mul[0], mul[1]);
    assert_int_equal(base[0], base[1]);
    assert_int_equal(derive[0], derive[1]);
    assert_int_equal(drawn[0], drawn[1]);
    assert_true(mul[0] == 4 && base[0] >= 3 && derive[0] == 3 && drawn[0] == 3);
    run_free(&r);
}

static void unknown_account_lets_nobody_in(void **state)
{
    uint8_t ke3[SOTTO_OPAQUE_KE3] = {0}, evaluated[32];
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_answer(&w, &w.nobody, NULL, &r), 0);
        /* as an account does, it answers the same request with the same element, and masks anew */
        if (i > 0)
            assert_memory_equal(evaluated, r.ke2, 32);
        memcpy(evaluated, r.ke2, 32);
        assert_int_equal(run_finish(&w, &r), SOTTO_ERR_BAD_TAG);
        assert_int_equal(sotto_opaque_login_check(&r.login, ke3), SOTTO_ERR_BAD_TAG);
    }
    assert_int_equal(run_answer(&w, &w.alice, NULL, &r), 0);
    assert_memory_not_equal(evaluated, r.ke2, 32); /* each name has its own key */
    run_free(&r);
}

/* The same seed and nonces, another name: the fake records differ, so that two unknown names do not
 * look like one. */
static void fake_records_differ(void **state)
{
    static const uint8_t nonce[32] = "always the same";
    uint8_t ke2[2][SOTTO_OPAQUE_KE2];
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    for (int i = 0; i < 2; i++) {
        struct sotto_bytes id = i == 0 ? VIEW("nobody", 6) : VIEW("nobodx", 6);
        struct script s;

        script_init(&s);
        for (int j = 0; j < 3; j++)
            script_add(&s, nonce, sizeof nonce);
        assert_int_equal(sotto_opaque_login_answer(&s.env, &w.server, &w.ids, &id, NULL, r.ke1,
                                                   ke2[i], &r.login),
                         0);
    }
    assert_memory_equal(ke2[0] + 32, ke2[1] + 32, 32);       /* masking nonce */
    assert_memory_not_equal(ke2[0] + 64, ke2[1] + 64, 128);  /* masked response */
    assert_memory_not_equal(ke2[0] + 256, ke2[1] + 256, 64); /* server MAC */
    run_free(&r);
}

/* ---- limits and failures of our own ---- */

static void limits(void **state)
{
    static const uint8_t long_id[UINT16_MAX + 1] = {1};
    struct sotto_bytes id = {long_id, SOTTO_OPAQUE_ID_MAX};
    uint8_t response[SOTTO_OPAQUE_REG_RESPONSE];
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    assert_int_equal(sotto_opaque_register_answer(&w.server, &id, r.ke1, response), 0);
    assert_int_equal(run_answer(&w, &id, NULL, &r), 0);
    id.n++;
    assert_int_equal(sotto_opaque_register_answer(&w.server, &id, r.ke1, response),
                     SOTTO_ERR_USAGE);
    assert_int_equal(run_answer(&w, &id, NULL, &r), SOTTO_ERR_USAGE);
    for (int i = 0; i < 3; i++) {
        struct sotto_bytes *field[] = {&w.ids.client, &w.ids.server, &w.ids.context},
                           old = *field[i];
        uint8_t record[SOTTO_OPAQUE_REG_RECORD], key[64];

        *field[i] = VIEW(long_id, sizeof long_id);
        assert_int_equal(run_answer(&w, &w.alice, w.record, &r), SOTTO_ERR_USAGE);
        assert_int_equal(run_finish(&w, &r), SOTTO_ERR_USAGE);
        assert_int_equal(
            sotto_opaque_register_finish(&w.env.env, r.client, &w.ids, response, record, key),
            SOTTO_ERR_USAGE);
        *field[i] = VIEW(long_id, sizeof long_id - 1);
        assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
        *field[i] = old;
    }
    run_free(&r);
    sotto_opaque_client_free(NULL);
}

/* The generator fails at its first, second, third use: each step stops with RANDOM, nothing is
 * made. */
static void random_failure(void **state)
{
    static const uint8_t some[32] = {1, 2, 3};
    uint8_t request[32], ke1[96], key[64], out[SOTTO_OPAQUE_REG_RECORD];
    struct sotto_opaque_client *c = NULL;
    struct sotto_opaque_server server;
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    for (size_t n = 0; n < 3; n++) {
        struct script s;

        script_init(&s);
        for (size_t i = 0; i < n; i++)
            script_add(&s, some, sizeof some);
        assert_int_equal(sotto_opaque_login_answer(&s.env, &w.server, &w.ids, &w.alice, w.record,
                                                   r.ke1, r.ke2, &r.login),
                         SOTTO_ERR_RANDOM);
        s.next = 0;
        assert_int_equal(sotto_opaque_login_start(&s.env, "pw", 2, ke1, &c), SOTTO_ERR_RANDOM);
        assert_null(c);
        if (n < 2) {
            s.next = 0;
            assert_int_equal(sotto_opaque_server_generate(&s.env, &server), SOTTO_ERR_RANDOM);
        }
        if (n < 1) {
            assert_int_equal(sotto_opaque_register_start(&s.env, "pw", 2, request, &c),
                             SOTTO_ERR_RANDOM);
            assert_int_equal(
                sotto_opaque_register_finish(&s.env, r.client, &w.ids, r.ke2, out, key),
                SOTTO_ERR_RANDOM);
        }
    }
    assert_null(c);
    run_free(&r);
}

static enum sotto_err failing_stretch(const uint8_t in[64], uint8_t ret[64])
{
    return SOTTO_ERR_NOMEM;
}

static void stretching_failure(void **state)
{
    uint8_t response[SOTTO_OPAQUE_REG_RESPONSE], key[64];
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    assert_int_equal(run_answer(&w, &w.alice, w.record, &r), 0);
    w.ids.stretch = failing_stretch;
    assert_int_equal(run_finish(&w, &r), SOTTO_ERR_NOMEM);
    assert_int_equal(sotto_opaque_register_answer(&w.server, &w.alice, r.ke1, response), 0);
    assert_int_equal(
        sotto_opaque_register_finish(&w.env.env, r.client, &w.ids, response, w.record, key),
        SOTTO_ERR_NOMEM);
    run_free(&r);
}

static void server_secrets(void **state)
{
    static const struct sotto_opaque_server zero;
    struct world w;
    uint8_t pub[32];

    world_make(&w, identity_stretch);
    sotto_group_mul_base(&w.server.priv, pub);
    assert_memory_equal(w.server.pub, pub, 32);
    sotto_opaque_server_wipe(&w.server);
    assert_memory_equal(&w.server, &zero, sizeof zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opaque_vectors),
        cmocka_unit_test(sign_in),
        cmocka_unit_test(sign_in_with_argon2id),
        cmocka_unit_test(lengths_of_passwords),
        cmocka_unit_test(wrong_password),
        cmocka_unit_test(tampered_ke1),
        cmocka_unit_test(tampered_ke2),
        cmocka_unit_test(tampered_ke3),
        cmocka_unit_test(tampered_registration),
        cmocka_unit_test(bound_to_context_and_identities),
        cmocka_unit_test(another_relay),
        cmocka_unit_test(records_are_not_exchangeable),
        cmocka_unit_test(invalid_elements_in_sign_in),
        cmocka_unit_test(invalid_elements_in_sign_up),
        cmocka_unit_test(unknown_account_takes_the_same_steps),
        cmocka_unit_test(unknown_account_lets_nobody_in),
        cmocka_unit_test(fake_records_differ),
        cmocka_unit_test(limits),
        cmocka_unit_test(random_failure),
        cmocka_unit_test(stretching_failure),
        cmocka_unit_test(server_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
