/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hpke.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"

/* RFC 9180 sections 4.1 and 5.1: what binds each derived value to its place. */
static const uint8_t kem_suite[] = {'K', 'E', 'M', 0x00, 0x20};
static const uint8_t hpke_suite[] = {'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x02};
static const char version[] = "HPKE-v1";
enum { MODE_BASE = 0 };

#define TEXT(s)  ((struct sotto_bytes){(const uint8_t *)(s), sizeof(s) - 1})
#define ARRAY(a) ((struct sotto_bytes){(a), sizeof(a)})

/* LabeledExtract(salt, label, ikm) of section 4; no salt is the empty one. */
static void labeled_extract(struct sotto_bytes suite, const struct sotto_secret32 *salt,
                            struct sotto_bytes label, struct sotto_bytes ikm,
                            struct sotto_secret32 *ret)
{
    const struct sotto_bytes parts[] = {TEXT(version), suite, label, ikm};

    sotto_hmac_sha256v(salt != NULL ? salt->b : NULL, salt != NULL ? sizeof salt->b : 0, parts, 4,
                       ret->b);
}

/* LabeledExpand(prk, label, info_1 || info_2, len) of section 4. */
static void labeled_expand(struct sotto_bytes suite, const struct sotto_secret32 *prk,
                           struct sotto_bytes label, struct sotto_bytes info_1,
                           struct sotto_bytes info_2, void *ret, size_t len)
{
    uint8_t len_be[2];
    const struct sotto_bytes parts[] = {ARRAY(len_be), TEXT(version), suite, label, info_1, info_2};

    sotto_put_u16(len_be, (uint16_t)len);
    sotto_hkdf_sha256_expandv(prk, parts, 6, ret, len);
}

/* psk_id_hash of base mode is the same for everybody. */
static struct sotto_secret32 empty_psk_id_hash;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_once(void)
{
    labeled_extract(ARRAY(hpke_suite), NULL, TEXT("psk_id_hash"), (struct sotto_bytes){0},
                    &empty_psk_id_hash);
}

/* ExtractAndExpand of section 4.1, kem_context = enc || pkR. */
static void kem_secret(const struct sotto_secret32 *dh, const uint8_t *enc, const uint8_t *pub,
                       struct sotto_secret32 *ret)
{
    struct sotto_secret32 eae_prk SOTTO_WIPED;

    labeled_extract(ARRAY(kem_suite), NULL, TEXT("eae_prk"), ARRAY(dh->b), &eae_prk);
    labeled_expand(ARRAY(kem_suite), &eae_prk, TEXT("shared_secret"), (struct sotto_bytes){enc, 32},
                   (struct sotto_bytes){pub, 32}, ret->b, sizeof ret->b);
}

/* KeySchedule of section 5.1 for base mode: no psk. */
static void key_schedule(const struct sotto_secret32 *shared, const void *info, size_t info_len,
                         struct sotto_hpke *ret)
{
    struct sotto_secret32 secret SOTTO_WIPED, info_hash;
    const struct sotto_bytes suite = ARRAY(hpke_suite), none = {0};
    uint8_t context[1 + 32 + 32];

    (void)pthread_once(&once, init_once);
    labeled_extract(suite, NULL, TEXT("info_hash"), (struct sotto_bytes){info, info_len},
                    &info_hash);
    context[0] = MODE_BASE;
    memcpy(context + 1, empty_psk_id_hash.b, 32);
    memcpy(context + 33, info_hash.b, 32);
    labeled_extract(suite, shared, TEXT("secret"), none, &secret);
    labeled_expand(suite, &secret, TEXT("key"), ARRAY(context), none, ret->key.b, 32);
    labeled_expand(suite, &secret, TEXT("base_nonce"), ARRAY(context), none, ret->base_nonce, 12);
    labeled_expand(suite, &secret, TEXT("exp"), ARRAY(context), none, ret->exporter.b, 32);
    ret->seq = 0;
}

enum sotto_err sotto_hpke_setup_sender(const struct sotto_env *env, const uint8_t theirs[32],
                                       const void *info, size_t info_len,
                                       uint8_t ret_enc[SOTTO_HPKE_ENC], struct sotto_hpke *ret)
{
    struct sotto_secret32 dh SOTTO_WIPED = {0}, shared SOTTO_WIPED = {0};
    struct sotto_dh_pair ephemeral;
    enum sotto_err e = sotto_dh_generate(env, &ephemeral);

    if (e != 0)
        return e;
    if ((e = sotto_dh(&ephemeral, theirs, &dh)) == 0) {
        kem_secret(&dh, ephemeral.pub, theirs, &shared);
        key_schedule(&shared, info, info_len, ret);
        memcpy(ret_enc, ephemeral.pub, SOTTO_HPKE_ENC);
    }
    sotto_dh_pair_wipe(&ephemeral);
    return e;
}

enum sotto_err sotto_hpke_setup_receiver(const struct sotto_dh_pair *ours,
                                         const uint8_t enc[SOTTO_HPKE_ENC], const void *info,
                                         size_t info_len, struct sotto_hpke *ret)
{
    struct sotto_secret32 dh SOTTO_WIPED = {0}, shared SOTTO_WIPED = {0};
    enum sotto_err e = sotto_dh(ours, enc, &dh);

    if (e != 0)
        return e;
    kem_secret(&dh, enc, ours->pub, &shared);
    key_schedule(&shared, info, info_len, ret);
    return SOTTO_OK;
}

/* ComputeNonce of section 5.2. 2^64 messages under one key are out of reach, and the last number
 * is refused so that it can never run over. */
static enum sotto_err next_nonce(const struct sotto_hpke *h, uint8_t ret[12])
{
    uint8_t seq[8];

    if (h->seq == UINT64_MAX)
        return SOTTO_ERR_STATE;
    memcpy(ret, h->base_nonce, 12);
    sotto_put_u64(seq, h->seq);
    for (int i = 0; i < 8; i++)
        ret[4 + i] ^= seq[i];
    return SOTTO_OK;
}

enum sotto_err sotto_hpke_seal(struct sotto_hpke *h, const void *ad, size_t ad_len,
                               const void *text, size_t len, uint8_t *ret)
{
    uint8_t nonce[12];
    enum sotto_err e = next_nonce(h, nonce);

    if (e == 0 && (e = sotto_aead_seal(&h->key, nonce, ad, ad_len, text, len, ret)) == 0)
        h->seq++;
    return e;
}

enum sotto_err sotto_hpke_open(struct sotto_hpke *h, const void *ad, size_t ad_len, const void *ct,
                               size_t len, uint8_t *ret)
{
    uint8_t nonce[12];
    enum sotto_err e = next_nonce(h, nonce);

    if (e == 0 && (e = sotto_aead_open(&h->key, nonce, ad, ad_len, ct, len, ret)) == 0)
        h->seq++;
    return e;
}

void sotto_hpke_export(const struct sotto_hpke *h, const void *context, size_t context_len,
                       void *ret, size_t ret_len)
{
    labeled_expand(ARRAY(hpke_suite), &h->exporter, TEXT("sec"),
                   (struct sotto_bytes){context, context_len}, (struct sotto_bytes){0}, ret,
                   ret_len);
}

void sotto_hpke_wipe(struct sotto_hpke *h)
{
    sotto_wipe(h, sizeof *h);
}
