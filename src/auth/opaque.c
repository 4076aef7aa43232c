/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are those of RFC 9807; a step is marked with the RFC's function that it is. Layouts:
 *
 *   record  client_public_key 32 | masking_key 64 | envelope 96 (nonce 32 | auth_tag 64)
 *   KE1     blinded_message 32 | client_nonce 32 | client_public_keyshare 32
 *   KE2     evaluated_message 32 | masking_nonce 32 | masked_response 128 |
 *           server_nonce 32 | server_public_keyshare 32 | server_mac 64
 *   KE3     client_mac 64
 */
#include "auth/opaque.h"

#include <string.h>

#include "auth/oprf.h"
#include "base/secret.h"
#include "crypto/kdf.h"
#include "crypto/pwhash.h"

#define NONCE    32 /* Nn */
#define HASH     64 /* Nh, Nm, Nx */
#define ELEMENT  SOTTO_GROUP_ELEMENT
#define ENVELOPE (NONCE + HASH)
#define MASKED   (ELEMENT + ENVELOPE)

#define RECORD_MASKING_KEY ELEMENT
#define RECORD_ENVELOPE    (ELEMENT + HASH)
#define KE1_NONCE          ELEMENT
#define KE1_KEYSHARE       (ELEMENT + NONCE)
#define KE2_MASKING_NONCE  ELEMENT
#define KE2_MASKED         (ELEMENT + NONCE)
#define KE2_NONCE          (KE2_MASKED + MASKED)
#define KE2_KEYSHARE       (KE2_NONCE + NONCE)
#define KE2_MAC            (KE2_KEYSHARE + ELEMENT)
_Static_assert(RECORD_ENVELOPE + ENVELOPE == SOTTO_OPAQUE_REG_RECORD, "record");
_Static_assert(KE1_KEYSHARE + ELEMENT == SOTTO_OPAQUE_KE1, "KE1");
_Static_assert(KE2_MAC + HASH == SOTTO_OPAQUE_KE2, "KE2");

#define STRETCH_KIB    (64 * 1024)
#define STRETCH_PASSES 3

#define LITERAL(lit) ((struct sotto_bytes){(const uint8_t *)(lit), sizeof(lit) - 1})

struct sotto_opaque_client {
    struct sotto_scalar blind;
    struct sotto_scalar keyshare; /* sign-in only */
    uint8_t ke1[SOTTO_OPAQUE_KE1];
    size_t password_len;
    uint8_t password[];
};

/* Everything that comes from the password once the OPRF has answered. */
struct credentials {
    uint8_t masking_key[HASH];
    uint8_t auth_key[HASH];
    uint8_t export_key[HASH];
    struct sotto_scalar priv;
    uint8_t pub[ELEMENT];
};

struct keys {
    uint8_t server_mac[HASH], client_mac[HASH], session_key[HASH];
};

void sotto_opaque_server_wipe(struct sotto_opaque_server *s)
{
    sotto_wipe(s, sizeof *s);
}

enum sotto_err sotto_opaque_server_generate(const struct sotto_env *env,
                                            struct sotto_opaque_server *ret)
{
    struct sotto_opaque_server s;
    enum sotto_err e;

    if ((e = sotto_random(env, s.oprf_seed, sizeof s.oprf_seed)) == 0 &&
        (e = sotto_scalar_random(env, &s.priv)) == 0) {
        sotto_group_mul_base(&s.priv, s.pub);
        *ret = s;
    }
    sotto_wipe(&s, sizeof s);
    return e;
}

void sotto_opaque_client_free(struct sotto_opaque_client *c)
{
    sotto_secret_free(c); /* wipes */
}

/* DeriveDiffieHellmanKeyPair, section 6.4.1.1 */
static enum sotto_err derive_key_pair(const uint8_t seed[SOTTO_OPRF_SEED],
                                      struct sotto_scalar *ret_priv, uint8_t ret_pub[ELEMENT])
{
    const struct sotto_bytes info = LITERAL("OPAQUE-DeriveDiffieHellmanKeyPair");

    return sotto_oprf_derive_key(seed, &info, ret_priv, ret_pub);
}

/* Expand(prk, prefix || label) */
static void expand(const uint8_t prk[HASH], const uint8_t *prefix, size_t prefix_len,
                   struct sotto_bytes label, uint8_t *ret, size_t ret_len)
{
    uint8_t info[SOTTO_OPAQUE_ID_MAX + 32];
    struct sotto_writer w;
    size_t len = 0;

    sotto_writer_init(&w, info, sizeof info);
    sotto_write_bytes(&w, prefix, prefix_len);
    sotto_write_bytes(&w, label.p, label.n);
    (void)sotto_writer_done(&w, &len); /* a nonce or credential id, and a label, fit */
    sotto_hkdf_sha512_expand(prk, info, len, ret, ret_len);
}

/* ---- what both sides know of an account ---- */

static bool ids_fit(const struct sotto_opaque_ids *ids)
{
    return ids->server.n <= UINT16_MAX && ids->client.n <= UINT16_MAX &&
           ids->context.n <= UINT16_MAX;
}

/* An identity that is not given is the public key (section 4). */
static struct sotto_bytes identity(const struct sotto_bytes *given, const uint8_t pub[ELEMENT])
{
    return given->n > 0 ? *given : (struct sotto_bytes){pub, ELEMENT};
}

/* MAC(auth_key, envelope_nonce || CleartextCredentials), sections 4 and 4.1.2 */
static void envelope_tag(const struct credentials *c, const struct sotto_opaque_ids *ids,
                         const uint8_t envelope_nonce[NONCE], const uint8_t server_pub[ELEMENT],
                         uint8_t ret[HASH])
{
    struct sotto_bytes server = identity(&ids->server, server_pub);
    struct sotto_bytes client = identity(&ids->client, c->pub);
    uint8_t server_len[2], client_len[2];
    const struct sotto_bytes parts[] = {
        {envelope_nonce, NONCE},         {server_pub, ELEMENT},
        {server_len, sizeof server_len}, server,
        {client_len, sizeof client_len}, client,
    };

    sotto_put_u16(server_len, (uint16_t)server.n);
    sotto_put_u16(client_len, (uint16_t)client.n);
    sotto_hmac_sha512v(c->auth_key, sizeof c->auth_key, parts, sizeof parts / sizeof parts[0], ret);
}

/* ---- key schedule, sections 6.4.2.1 and 6.4.2.2 ---- */

/* Hash of the preamble, and of what follows it. */
static void transcript(const struct sotto_opaque_ids *ids, const uint8_t client_pub[ELEMENT],
                       const uint8_t server_pub[ELEMENT], const uint8_t ke1[SOTTO_OPAQUE_KE1],
                       const uint8_t ke2[SOTTO_OPAQUE_KE2], struct sotto_bytes more,
                       uint8_t ret[HASH])
{
    struct sotto_bytes server = identity(&ids->server, server_pub);
    struct sotto_bytes client = identity(&ids->client, client_pub);
    uint8_t context_len[2], client_len[2], server_len[2];
    const struct sotto_bytes parts[] = {
        LITERAL("OPAQUEv1-"),
        {context_len, sizeof context_len},
        ids->context,
        {client_len, sizeof client_len},
        client,
        {ke1, SOTTO_OPAQUE_KE1},
        {server_len, sizeof server_len},
        server,
        {ke2, KE2_MAC}, /* credential_response, server_nonce, server_public_keyshare */
        more,
    };

    sotto_put_u16(context_len, (uint16_t)ids->context.n);
    sotto_put_u16(client_len, (uint16_t)client.n);
    sotto_put_u16(server_len, (uint16_t)server.n);
    sotto_sha512v(parts, sizeof parts / sizeof parts[0], ret);
}

/* Derive-Secret(secret, label, transcript hash) */
static void derive_secret(const uint8_t secret[HASH], struct sotto_bytes label,
                          struct sotto_bytes hash, uint8_t ret[HASH])
{
    uint8_t info[2 + 1 + 7 + 32 + 1 + HASH];
    struct sotto_writer w;
    size_t len = 0;

    sotto_writer_init(&w, info, sizeof info);
    sotto_write_u16(&w, HASH);
    sotto_write_u8(&w, (uint8_t)(7 + label.n));
    sotto_write_bytes(&w, "OPAQUE-", 7);
    sotto_write_bytes(&w, label.p, label.n);
    sotto_write_field8(&w, hash.p, hash.n);
    (void)sotto_writer_done(&w, &len); /* label and hash fit */
    sotto_hkdf_sha512_expand(secret, info, len, ret, HASH);
}

/* DeriveKeys and both MACs. ke2 needs its bytes before the MAC only. */
static void key_schedule(const struct sotto_opaque_ids *ids, const uint8_t client_pub[ELEMENT],
                         const uint8_t server_pub[ELEMENT], const uint8_t *ke1, const uint8_t *ke2,
                         const uint8_t dh[3 * ELEMENT], struct keys *ret)
{
    const struct sotto_bytes none = {NULL, 0};
    struct {
        uint8_t prk[HASH], handshake_secret[HASH], km2[HASH], km3[HASH];
    } s;
    uint8_t hash[HASH];
    struct sotto_bytes hash_view = {hash, sizeof hash};

    sotto_hkdf_sha512_extract(NULL, 0, dh, 3 * ELEMENT, s.prk);
    transcript(ids, client_pub, server_pub, ke1, ke2, none, hash);
    derive_secret(s.prk, LITERAL("HandshakeSecret"), hash_view, s.handshake_secret);
    derive_secret(s.prk, LITERAL("SessionKey"), hash_view, ret->session_key);
    derive_secret(s.handshake_secret, LITERAL("ServerMAC"), none, s.km2);
    derive_secret(s.handshake_secret, LITERAL("ClientMAC"), none, s.km3);
    sotto_hmac_sha512v(s.km2, sizeof s.km2, &hash_view, 1, ret->server_mac);
    transcript(ids, client_pub, server_pub, ke1, ke2, (struct sotto_bytes){ret->server_mac, HASH},
               hash);
    sotto_hmac_sha512v(s.km3, sizeof s.km3, &hash_view, 1, ret->client_mac);
    sotto_wipe(&s, sizeof s);
}

/* ---- client ---- */

static enum sotto_err client_new(const struct sotto_env *env, const void *password, size_t len,
                                 struct sotto_opaque_client **ret)
{
    struct sotto_opaque_client *c;
    enum sotto_err e;

    if (len > SOTTO_OPRF_INPUT_MAX)
        return SOTTO_ERR_USAGE;
    if ((c = sotto_secret_alloc(sizeof *c + len)) == NULL)
        return SOTTO_ERR_NOMEM;
    memset(c, 0, sizeof *c);
    c->password_len = len;
    if (len > 0)
        memcpy(c->password, password, len);
    /* ke1 begins with the blinded element, which is also the whole registration request */
    if ((e = sotto_oprf_blind(env, password, len, &c->blind, c->ke1)) != 0) {
        sotto_opaque_client_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}

static enum sotto_err stretch_argon2id(const uint8_t in[64], uint8_t ret[64])
{
    static const uint8_t salt[16];

    return sotto_pwhash(in, 64, salt, STRETCH_KIB, STRETCH_PASSES, ret, 64);
}

/* From the OPRF's answer: randomized_password of sections 5.2.3 and 6.3.2.3. */
static enum sotto_err randomize(const struct sotto_opaque_client *c, sotto_opaque_stretch *stretch,
                                const uint8_t evaluated[ELEMENT], uint8_t ret[HASH])
{
    uint8_t ikm[2 * HASH]; /* oprf_output || stretched_oprf_output */
    enum sotto_err e;

    if ((e = sotto_oprf_finalize(c->password, c->password_len, &c->blind, evaluated, ikm)) == 0 &&
        (e = (stretch != NULL ? stretch : stretch_argon2id)(ikm, ikm + HASH)) == 0)
        sotto_hkdf_sha512_extract(NULL, 0, ikm, sizeof ikm, ret);
    sotto_wipe(ikm, sizeof ikm);
    return e;
}

/* The common part of Store (4.1.2) and Recover (4.1.3); the masking key is already there. */
static enum sotto_err open_credentials(const uint8_t randomized[HASH],
                                       const uint8_t envelope_nonce[NONCE], struct credentials *c)
{
    uint8_t seed[SOTTO_OPRF_SEED];
    enum sotto_err e;

    expand(randomized, envelope_nonce, NONCE, LITERAL("AuthKey"), c->auth_key, HASH);
    expand(randomized, envelope_nonce, NONCE, LITERAL("ExportKey"), c->export_key, HASH);
    expand(randomized, envelope_nonce, NONCE, LITERAL("PrivateKey"), seed, sizeof seed);
    e = derive_key_pair(seed, &c->priv, c->pub);
    sotto_wipe(seed, sizeof seed);
    return e;
}

enum sotto_err sotto_opaque_register_start(const struct sotto_env *env, const void *password,
                                           size_t len,
                                           uint8_t ret_request[SOTTO_OPAQUE_REG_REQUEST],
                                           struct sotto_opaque_client **ret)
{
    enum sotto_err e = client_new(env, password, len, ret);

    if (e == 0)
        memcpy(ret_request, (*ret)->ke1, SOTTO_OPAQUE_REG_REQUEST);
    return e;
}

enum sotto_err sotto_opaque_register_finish(const struct sotto_env *env,
                                            struct sotto_opaque_client *c,
                                            const struct sotto_opaque_ids *ids,
                                            const uint8_t response[SOTTO_OPAQUE_REG_RESPONSE],
                                            uint8_t ret_record[SOTTO_OPAQUE_REG_RECORD],
                                            uint8_t ret_export_key[SOTTO_OPAQUE_KEY])
{
    const uint8_t *server_pub = response + ELEMENT;
    uint8_t randomized[HASH], nonce[NONCE], product[ELEMENT];
    struct credentials creds;
    enum sotto_err e;

    if (!ids_fit(ids))
        return SOTTO_ERR_USAGE;
    /* The product is not needed: it shows that the relay's key is an element, before it is sealed.
     */
    if ((e = sotto_random(env, nonce, sizeof nonce)) == 0 &&
        (e = randomize(c, ids->stretch, response, randomized)) == 0 &&
        (e = open_credentials(randomized, nonce, &creds)) == 0 &&
        (e = sotto_group_mul(&creds.priv, server_pub, product)) == 0) {
        expand(randomized, NULL, 0, LITERAL("MaskingKey"), creds.masking_key, HASH);
        memcpy(ret_record, creds.pub, ELEMENT);
        memcpy(ret_record + RECORD_MASKING_KEY, creds.masking_key, HASH);
        memcpy(ret_record + RECORD_ENVELOPE, nonce, NONCE);
        envelope_tag(&creds, ids, nonce, server_pub, ret_record + RECORD_ENVELOPE + NONCE);
        memcpy(ret_export_key, creds.export_key, HASH);
    }
    sotto_wipe(randomized, sizeof randomized);
    sotto_wipe(&creds, sizeof creds);
    return e;
}

enum sotto_err sotto_opaque_login_start(const struct sotto_env *env, const void *password,
                                        size_t len, uint8_t ret_ke1[SOTTO_OPAQUE_KE1],
                                        struct sotto_opaque_client **ret)
{
    struct sotto_opaque_client *c;
    uint8_t seed[SOTTO_OPRF_SEED];
    enum sotto_err e;

    if ((e = client_new(env, password, len, &c)) != 0)
        return e;
    /* AuthClientStart */
    if ((e = sotto_random(env, c->ke1 + KE1_NONCE, NONCE)) == 0 &&
        (e = sotto_random(env, seed, sizeof seed)) == 0)
        e = derive_key_pair(seed, &c->keyshare, c->ke1 + KE1_KEYSHARE);
    sotto_wipe(seed, sizeof seed);
    if (e != 0) {
        sotto_opaque_client_free(c);
        return e;
    }
    memcpy(ret_ke1, c->ke1, SOTTO_OPAQUE_KE1);
    *ret = c;
    return SOTTO_OK;
}

/* CredentialResponsePad over the relay's public key and the envelope; its own inverse. */
static void mask(const uint8_t masking_key[HASH], const uint8_t masking_nonce[NONCE],
                 uint8_t data[MASKED])
{
    uint8_t pad[MASKED];

    expand(masking_key, masking_nonce, NONCE, LITERAL("CredentialResponsePad"), pad, sizeof pad);
    for (size_t i = 0; i < MASKED; i++)
        data[i] ^= pad[i];
    sotto_wipe(pad, sizeof pad);
}

/* RecoverCredentials, section 6.3.2.3. BAD_TAG: the envelope is not one of this password. */
static enum sotto_err recover(const struct sotto_opaque_client *c,
                              const struct sotto_opaque_ids *ids, const uint8_t *ke2,
                              struct credentials *ret, uint8_t ret_server_pub[ELEMENT])
{
    uint8_t randomized[HASH], opened[MASKED], tag[HASH];
    const uint8_t *nonce = opened + ELEMENT;
    enum sotto_err e;

    if ((e = randomize(c, ids->stretch, ke2, randomized)) == 0) {
        expand(randomized, NULL, 0, LITERAL("MaskingKey"), ret->masking_key, HASH);
        memcpy(opened, ke2 + KE2_MASKED, sizeof opened);
        mask(ret->masking_key, ke2 + KE2_MASKING_NONCE, opened);
        e = open_credentials(randomized, nonce, ret);
    }
    if (e == 0) {
        envelope_tag(ret, ids, nonce, opened, tag);
        if (!sotto_equal(tag, nonce + NONCE, HASH))
            e = SOTTO_ERR_BAD_TAG;
        memcpy(ret_server_pub, opened, ELEMENT);
    }
    sotto_wipe(randomized, sizeof randomized);
    sotto_wipe(opened, sizeof opened);
    return e;
}

/* TripleDHIKM with the client's private keys */
static enum sotto_err client_dh(const struct sotto_opaque_client *c, const struct credentials *own,
                                const uint8_t *server_keyshare, const uint8_t *server_pub,
                                uint8_t ret[3 * ELEMENT])
{
    enum sotto_err e;

    if ((e = sotto_group_mul(&c->keyshare, server_keyshare, ret)) != 0 ||
        (e = sotto_group_mul(&c->keyshare, server_pub, ret + ELEMENT)) != 0)
        return e;
    return sotto_group_mul(&own->priv, server_keyshare, ret + 2 * ELEMENT);
}

enum sotto_err sotto_opaque_login_finish(struct sotto_opaque_client *c,
                                         const struct sotto_opaque_ids *ids,
                                         const uint8_t ke2[SOTTO_OPAQUE_KE2],
                                         uint8_t ret_ke3[SOTTO_OPAQUE_KE3],
                                         uint8_t ret_session_key[SOTTO_OPAQUE_KEY],
                                         uint8_t ret_export_key[SOTTO_OPAQUE_KEY])
{
    uint8_t server_pub[ELEMENT], dh[3 * ELEMENT];
    struct credentials creds;
    struct keys keys;
    enum sotto_err e;

    if (!ids_fit(ids))
        return SOTTO_ERR_USAGE;
    if ((e = recover(c, ids, ke2, &creds, server_pub)) == 0 &&
        (e = client_dh(c, &creds, ke2 + KE2_KEYSHARE, server_pub, dh)) == 0) {
        /* AuthClientFinalize */
        key_schedule(ids, creds.pub, server_pub, c->ke1, ke2, dh, &keys);
        if (!sotto_equal(keys.server_mac, ke2 + KE2_MAC, HASH))
            e = SOTTO_ERR_BAD_TAG;
    }
    if (e == 0) {
        memcpy(ret_ke3, keys.client_mac, HASH);
        memcpy(ret_session_key, keys.session_key, HASH);
        memcpy(ret_export_key, creds.export_key, HASH);
    }
    sotto_wipe(dh, sizeof dh);
    sotto_wipe(&creds, sizeof creds);
    sotto_wipe(&keys, sizeof keys);
    return e;
}

/* ---- relay ---- */

/* The OPRF key of an account, section 5.2.2, and its answer. */
static enum sotto_err evaluate(const struct sotto_opaque_server *s,
                               const struct sotto_bytes *credential_id, const uint8_t *blinded,
                               uint8_t ret[ELEMENT])
{
    const struct sotto_bytes info = LITERAL("OPAQUE-DeriveKeyPair");
    uint8_t seed[SOTTO_OPRF_SEED], pub[ELEMENT];
    struct sotto_scalar key = {{0}};
    enum sotto_err e;

    expand(s->oprf_seed, credential_id->p, credential_id->n, LITERAL("OprfKey"), seed, sizeof seed);
    if ((e = sotto_oprf_derive_key(seed, &info, &key, pub)) == 0)
        e = sotto_oprf_evaluate(&key, blinded, ret);
    sotto_wipe(seed, sizeof seed);
    sotto_scalar_wipe(&key);
    return e;
}

enum sotto_err sotto_opaque_register_answer(const struct sotto_opaque_server *s,
                                            const struct sotto_bytes *credential_id,
                                            const uint8_t request[SOTTO_OPAQUE_REG_REQUEST],
                                            uint8_t ret[SOTTO_OPAQUE_REG_RESPONSE])
{
    uint8_t evaluated[ELEMENT];
    enum sotto_err e;

    if (credential_id->n > SOTTO_OPAQUE_ID_MAX)
        return SOTTO_ERR_USAGE;
    if ((e = evaluate(s, credential_id, request, evaluated)) != 0)
        return e;
    memcpy(ret, evaluated, ELEMENT);
    memcpy(ret + ELEMENT, s->pub, ELEMENT);
    return SOTTO_OK;
}

/*
 * What an account that does not exist is answered with, section 6.3.2.2: a public key and a masking
 * key that nobody knows, and an empty envelope. The RFC stores one such record; ours are derived
 * from the relay's seed and the name, so that nothing has to be stored and nothing random is drawn.
 */
static enum sotto_err fake_record(const struct sotto_opaque_server *s,
                                  const struct sotto_bytes *credential_id,
                                  uint8_t ret[SOTTO_OPAQUE_REG_RECORD])
{
    uint8_t secret[SOTTO_OPRF_SEED + HASH];
    struct sotto_scalar priv = {{0}};
    enum sotto_err e;

    expand(s->oprf_seed, credential_id->p, credential_id->n, LITERAL("FakeRecord"), secret,
           sizeof secret);
    e = derive_key_pair(secret, &priv, ret);
    memcpy(ret + RECORD_MASKING_KEY, secret + SOTTO_OPRF_SEED, HASH);
    memset(ret + RECORD_ENVELOPE, 0, ENVELOPE);
    sotto_wipe(secret, sizeof secret);
    sotto_scalar_wipe(&priv);
    return e;
}

/* CreateCredentialResponse, section 6.3.2.2 */
static enum sotto_err credential_response(const struct sotto_env *env,
                                          const struct sotto_opaque_server *s,
                                          const struct sotto_bytes *credential_id,
                                          const uint8_t *record, const uint8_t *ke1, uint8_t *ke2)
{
    enum sotto_err e;

    if ((e = evaluate(s, credential_id, ke1, ke2)) != 0 ||
        (e = sotto_random(env, ke2 + KE2_MASKING_NONCE, NONCE)) != 0)
        return e;
    memcpy(ke2 + KE2_MASKED, s->pub, ELEMENT);
    memcpy(ke2 + KE2_MASKED + ELEMENT, record + RECORD_ENVELOPE, ENVELOPE);
    mask(record + RECORD_MASKING_KEY, ke2 + KE2_MASKING_NONCE, ke2 + KE2_MASKED);
    return SOTTO_OK;
}

/* AuthServerRespond, section 6.4.4, up to the shared secrets */
static enum sotto_err server_dh(const struct sotto_env *env, const struct sotto_opaque_server *s,
                                const uint8_t *client_pub, const uint8_t *ke1, uint8_t *ke2,
                                uint8_t ret[3 * ELEMENT])
{
    const uint8_t *client_keyshare = ke1 + KE1_KEYSHARE;
    struct sotto_scalar keyshare = {{0}};
    uint8_t seed[SOTTO_OPRF_SEED];
    enum sotto_err e;

    if ((e = sotto_random(env, ke2 + KE2_NONCE, NONCE)) == 0 &&
        (e = sotto_random(env, seed, sizeof seed)) == 0 &&
        (e = derive_key_pair(seed, &keyshare, ke2 + KE2_KEYSHARE)) == 0 &&
        (e = sotto_group_mul(&keyshare, client_keyshare, ret)) == 0 &&
        (e = sotto_group_mul(&s->priv, client_keyshare, ret + ELEMENT)) == 0)
        e = sotto_group_mul(&keyshare, client_pub, ret + 2 * ELEMENT);
    sotto_wipe(seed, sizeof seed);
    sotto_scalar_wipe(&keyshare);
    return e;
}

enum sotto_err sotto_opaque_login_answer(const struct sotto_env *env,
                                         const struct sotto_opaque_server *s,
                                         const struct sotto_opaque_ids *ids,
                                         const struct sotto_bytes *credential_id,
                                         const uint8_t *record, const uint8_t ke1[SOTTO_OPAQUE_KE1],
                                         uint8_t ret_ke2[SOTTO_OPAQUE_KE2],
                                         struct sotto_opaque_login *ret)
{
    uint8_t fake[SOTTO_OPAQUE_REG_RECORD], ke2[SOTTO_OPAQUE_KE2], dh[3 * ELEMENT];
    struct keys keys;
    enum sotto_err e;

    if (!ids_fit(ids) || credential_id->n > SOTTO_OPAQUE_ID_MAX)
        return SOTTO_ERR_USAGE;
    /* Made in either case: the time it takes must not tell whether there is such an account. */
    if ((e = fake_record(s, credential_id, fake)) != 0)
        return e;
    if (record == NULL)
        record = fake;
    if ((e = credential_response(env, s, credential_id, record, ke1, ke2)) == 0 &&
        (e = server_dh(env, s, record, ke1, ke2, dh)) == 0) {
        key_schedule(ids, record, s->pub, ke1, ke2, dh, &keys);
        memcpy(ke2 + KE2_MAC, keys.server_mac, HASH);
        memcpy(ret_ke2, ke2, sizeof ke2);
        memcpy(ret->expected_mac, keys.client_mac, HASH);
        memcpy(ret->session_key, keys.session_key, HASH);
    }
    sotto_wipe(fake, sizeof fake);
    sotto_wipe(dh, sizeof dh);
    sotto_wipe(&keys, sizeof keys);
    return e;
}

enum sotto_err sotto_opaque_login_check(const struct sotto_opaque_login *l,
                                        const uint8_t ke3[SOTTO_OPAQUE_KE3])
{
    return sotto_equal(l->expected_mac, ke3, HASH) ? SOTTO_OK : SOTTO_ERR_BAD_TAG;
}
