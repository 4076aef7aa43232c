/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/handshake.h"

#include <string.h>

#include "crypto/kdf.h"
#include "e2ee/message.h"

enum {
    PARTY_MAX = SOTTO_ACCOUNT_MAX + 8 + 4 + 32 + 32,
    AD_MAX = 2 + 2 * PARTY_MAX + 2 * (1 + 32) + SOTTO_KEM_CIPHERTEXT + 32,
    AGREEMENTS_MAX = 4,
};

/* The input of the key derivation: 32 x 0xff, the agreements in order, the KEM's secret. */
struct ikm {
    uint8_t b[32 * (1 + AGREEMENTS_MAX + 1)];
    size_t len;
};

static void ikm_wipe(struct ikm *k)
{
    sotto_wipe(k, sizeof *k);
}
#define AUTO_IKM __attribute__((cleanup(ikm_wipe))) struct ikm

static void ikm_init(struct ikm *k)
{
    memset(k->b, 0xff, 32);
    k->len = 32;
}

static void ikm_add(struct ikm *k, const struct sotto_secret32 *s)
{
    memcpy(k->b + k->len, s->b, sizeof s->b);
    k->len += sizeof s->b;
}

static enum sotto_err ikm_add_dh(struct ikm *k, const struct sotto_dh_pair *ours,
                                 const uint8_t theirs[32])
{
    struct sotto_secret32 s SOTTO_WIPED = {0};
    enum sotto_err e = sotto_dh(ours, theirs, &s);

    if (e == 0)
        ikm_add(k, &s);
    return e;
}

void sotto_handshake_write(struct sotto_writer *w, const struct sotto_handshake_header *h)
{
    sotto_write_u32(w, h->generation);
    sotto_write_u32(w, h->signed_id);
    sotto_write_u32(w, h->one_time_id);
    sotto_write_bytes(w, h->ek, sizeof h->ek);
    sotto_write_bytes(w, h->ct, sizeof h->ct);
}

enum sotto_err sotto_handshake_read(struct sotto_reader *r, struct sotto_handshake_header *ret)
{
    struct sotto_bytes v;
    enum sotto_err e = sotto_read_view(r, SOTTO_HANDSHAKE_BYTES, &v);

    if (e != 0)
        return e;
    ret->generation = sotto_get_u32(v.p);
    ret->signed_id = sotto_get_u32(v.p + 4);
    ret->one_time_id = sotto_get_u32(v.p + 8);
    memcpy(ret->ek, v.p + 12, sizeof ret->ek);
    memcpy(ret->ct, v.p + 12 + sizeof ret->ek, sizeof ret->ct);
    return SOTTO_OK;
}

void sotto_handshake_digest(const struct sotto_handshake_header *h, uint8_t ret[32])
{
    const struct sotto_bytes parts[] = {{h->ek, sizeof h->ek}, {h->ct, sizeof h->ct}};

    sotto_sha256v(parts, 2, ret);
}

void sotto_handshake_wipe(struct sotto_handshake *h)
{
    sotto_wipe(h, sizeof *h);
}

static void party_write(struct sotto_writer *w, const struct sotto_party *p, uint32_t generation)
{
    sotto_account_write(w, p->account);
    sotto_write_u64(w, p->device->id);
    sotto_write_u32(w, generation);
    sotto_write_bytes(w, p->device->sign_pub, 32);
    sotto_write_bytes(w, p->device->dh_pub, 32);
}

struct sides {
    const struct sotto_party *initiator, *responder;
    uint32_t responder_generation;
    const uint8_t *signed_digest, *one_time_digest; /* the second may be NULL */
};

static void ad_write(struct sotto_writer *w, const struct sides *s,
                     const struct sotto_handshake_header *h)
{
    sotto_write_u8(w, SOTTO_MESSAGE_VERSION);
    sotto_write_u8(w, SOTTO_MESSAGE_SUITE);
    party_write(w, s->initiator, h->generation);
    party_write(w, s->responder, s->responder_generation);
    sotto_write_u8(w, SOTTO_PREKEY_SIGNED);
    sotto_write_bytes(w, s->signed_digest, 32);
    if (s->one_time_digest != NULL) {
        sotto_write_u8(w, SOTTO_PREKEY_ONE_TIME);
        sotto_write_bytes(w, s->one_time_digest, 32);
    } else {
        sotto_write_u8(w, 0);
    }
    sotto_write_bytes(w, h->ct, sizeof h->ct);
    sotto_write_bytes(w, h->ek, sizeof h->ek);
}

static void derive(const struct ikm *k, const struct sides *sides,
                   const struct sotto_handshake_header *h, struct sotto_handshake *ret)
{
    static const uint8_t salt[32] = {0};
    static const char label[] = "sotto/1 PQXDH", root[] = "sotto/1 root";
    char ephemeral[] = "sotto/1 ephemeral\0?"; /* "?": the direction */
    struct sotto_secret32 sk SOTTO_WIPED = {0};
    uint8_t ad[AD_MAX], info[sizeof label + 32], id[32];
    struct sotto_writer w;

    sotto_writer_init(&w, ad, sizeof ad);
    ad_write(&w, sides, h);
    sotto_sha256(ad, w.len, ret->ad_hash);
    const struct sotto_bytes parts[] = {{ad, w.len}, {h->ek, sizeof h->ek}, {h->ct, sizeof h->ct}};
    sotto_sha256v(parts, 3, id);
    memcpy(ret->session_id, id, sizeof ret->session_id);

    memcpy(info, label, sizeof label);
    memcpy(info + sizeof label, ret->ad_hash, 32);
    sotto_hkdf_sha256(salt, sizeof salt, k->b, k->len, info, sizeof info, sk.b, sizeof sk.b);
    sotto_hkdf_sha256_expand(&sk, root, sizeof root, ret->root.b, 32);
    ephemeral[sizeof ephemeral - 2] = 1;
    sotto_hkdf_sha256_expand(&sk, ephemeral, sizeof ephemeral - 1, ret->from_initiator.b, 32);
    ephemeral[sizeof ephemeral - 2] = 2;
    sotto_hkdf_sha256_expand(&sk, ephemeral, sizeof ephemeral - 1, ret->from_responder.b, 32);
}

enum sotto_err sotto_handshake_initiate(const struct sotto_env *env, const struct sotto_party *us,
                                        const struct sotto_dh_pair *our_dh,
                                        const struct sotto_party *them,
                                        const struct sotto_prekey *signed_prekey,
                                        const struct sotto_prekey *one_time,
                                        struct sotto_handshake_header *ret_header,
                                        struct sotto_handshake *ret)
{
    struct sotto_handshake_header h = {.generation = us->generation,
                                       .signed_id = signed_prekey->id,
                                       .one_time_id = one_time != NULL ? one_time->id : 0};
    const uint8_t *kem_pub = one_time != NULL ? one_time->kem_pub : signed_prekey->kem_pub;
    uint8_t digest[2][32];
    struct sotto_secret32 shared SOTTO_WIPED = {0};
    struct sotto_dh_pair ek = {0};
    AUTO_IKM k;
    enum sotto_err e;

    ikm_init(&k);
    if ((e = sotto_dh_generate(env, &ek)) != 0 ||
        (e = ikm_add_dh(&k, our_dh, signed_prekey->dh_pub)) != 0 ||
        (e = ikm_add_dh(&k, &ek, them->device->dh_pub)) != 0 ||
        (e = ikm_add_dh(&k, &ek, signed_prekey->dh_pub)) != 0 ||
        (one_time != NULL && (e = ikm_add_dh(&k, &ek, one_time->dh_pub)) != 0) ||
        (e = sotto_kem_encaps(env, kem_pub, h.ct, &shared)) != 0)
        goto out;
    ikm_add(&k, &shared);
    memcpy(h.ek, ek.pub, sizeof h.ek);
    sotto_prekey_digest(signed_prekey, digest[0]);
    if (one_time != NULL)
        sotto_prekey_digest(one_time, digest[1]);
    derive(&k,
           &(struct sides){us, them, signed_prekey->generation, digest[0],
                           one_time != NULL ? digest[1] : NULL},
           &h, ret);
    *ret_header = h;
out:
    sotto_dh_pair_wipe(&ek);
    return e;
}

enum sotto_err
sotto_handshake_respond(const struct sotto_party *us, const struct sotto_dh_pair *our_dh,
                        const struct sotto_party *them, const struct sotto_handshake_header *header,
                        const struct sotto_prekey_private *signed_prekey,
                        const struct sotto_prekey_private *one_time, struct sotto_handshake *ret)
{
    struct sotto_secret32 shared SOTTO_WIPED = {0};
    AUTO_IKM k;
    enum sotto_err e;

    ikm_init(&k);
    if ((e = ikm_add_dh(&k, &signed_prekey->dh, them->device->dh_pub)) != 0 ||
        (e = ikm_add_dh(&k, our_dh, header->ek)) != 0 ||
        (e = ikm_add_dh(&k, &signed_prekey->dh, header->ek)) != 0 ||
        (one_time != NULL && (e = ikm_add_dh(&k, &one_time->dh, header->ek)) != 0))
        return e;
    sotto_kem_decaps_private(one_time != NULL ? &one_time->kem : &signed_prekey->kem, header->ct,
                             &shared);
    ikm_add(&k, &shared);
    derive(&k,
           &(struct sides){them, us, signed_prekey->generation, signed_prekey->digest,
                           one_time != NULL ? one_time->digest : NULL},
           header, ret);
    return SOTTO_OK;
}
