/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/prekey.h"

#include <string.h>

#include "crypto/kdf.h"
#include "e2ee/point.h"

enum { BODY = SOTTO_PREKEY_BYTES - SOTTO_SIGNATURE };
static const char purpose[] = "pre-key";

static void body_write(const struct sotto_prekey *p, uint8_t ret[BODY])
{
    struct sotto_writer w;

    sotto_writer_init(&w, ret, BODY);
    sotto_write_u8(&w, (uint8_t)p->type);
    sotto_write_u32(&w, p->id);
    sotto_write_u64(&w, p->device);
    sotto_write_u32(&w, p->generation);
    sotto_write_u64(&w, p->expires_ms);
    sotto_write_bytes(&w, p->dh_pub, sizeof p->dh_pub);
    sotto_write_bytes(&w, p->kem_pub, sizeof p->kem_pub);
}

enum sotto_err sotto_prekey_generate(const struct sotto_env *env,
                                     const struct sotto_sign_pair *device_key, uint32_t generation,
                                     enum sotto_prekey_type type, uint32_t id, uint64_t expires_ms,
                                     struct sotto_prekey_private *ret_private,
                                     struct sotto_prekey *ret)
{
    struct sotto_prekey_private s = {
        .type = type, .id = id, .generation = generation, .expires_ms = expires_ms};
    struct sotto_prekey p = {.type = type,
                             .id = id,
                             .device = sotto_device_id(device_key->pub),
                             .generation = generation,
                             .expires_ms = expires_ms};
    struct sotto_kem_seed seed = {{0}};
    enum sotto_err e;

    if (id == 0 || (type != SOTTO_PREKEY_SIGNED && type != SOTTO_PREKEY_ONE_TIME))
        return SOTTO_ERR_USAGE;
    if ((e = sotto_dh_generate(env, &s.dh)) != 0 ||
        (e = sotto_kem_generate(env, &seed, p.kem_pub)) != 0)
        goto out;
    sotto_kem_expand(&seed, &s.kem);
    memcpy(p.dh_pub, s.dh.pub, sizeof p.dh_pub);
    body_write(&p, p.bytes);
    if ((e = sotto_sign(device_key, purpose, p.bytes, BODY, p.bytes + BODY)) != 0)
        goto out;
    sotto_prekey_digest(&p, s.digest);
    *ret_private = s;
    *ret = p;
out:
    sotto_kem_seed_wipe(&seed);
    sotto_prekey_private_wipe(&s);
    return e;
}

void sotto_prekey_private_wipe(struct sotto_prekey_private *p)
{
    sotto_dh_pair_wipe(&p->dh);
    sotto_kem_private_wipe(&p->kem);
}

void sotto_prekey_digest(const struct sotto_prekey *p, uint8_t ret[32])
{
    sotto_sha256(p->bytes, BODY, ret);
}

static enum sotto_err type_read(struct sotto_reader *r, enum sotto_prekey_type *ret)
{
    uint8_t type;
    enum sotto_err e = sotto_read_u8(r, &type);

    if (e != 0)
        return e;
    if (type != SOTTO_PREKEY_SIGNED && type != SOTTO_PREKEY_ONE_TIME)
        return SOTTO_ERR_MALFORMED;
    *ret = (enum sotto_prekey_type)type;
    return SOTTO_OK;
}

enum sotto_err sotto_prekey_parse(const uint8_t *data, size_t len, struct sotto_prekey *ret)
{
    struct sotto_prekey p = {0};
    struct sotto_reader r;

    if (len != SOTTO_PREKEY_BYTES)
        return SOTTO_ERR_MALFORMED;
    sotto_reader_init(&r, data, len);
    if (type_read(&r, &p.type) != 0 || sotto_read_u32(&r, &p.id) != 0 || p.id == 0 ||
        sotto_read_u64(&r, &p.device) != 0 || sotto_read_u32(&r, &p.generation) != 0 ||
        sotto_read_u64(&r, &p.expires_ms) != 0 || sotto_read_bytes(&r, p.dh_pub, 32) != 0 ||
        sotto_read_bytes(&r, p.kem_pub, SOTTO_KEM_PUBLIC) != 0)
        return SOTTO_ERR_MALFORMED;
    memcpy(p.bytes, data, SOTTO_PREKEY_BYTES);
    *ret = p;
    return SOTTO_OK;
}

enum sotto_err sotto_prekey_verify(const struct sotto_prekey *p, const struct sotto_device *device)
{
    enum sotto_err e;

    if (p->device != device->id)
        return SOTTO_ERR_USAGE;
    if (p->generation < device->generation)
        return SOTTO_ERR_EXPIRED;
    if (sotto_point_low_order(p->dh_pub))
        return SOTTO_ERR_BAD_KEY;
    if ((e = sotto_sign_verify(device->sign_pub, purpose, p->bytes, BODY, p->bytes + BODY)) != 0)
        return e;
    return sotto_kem_check_public(p->kem_pub);
}

void sotto_prekey_private_write(const struct sotto_prekey_private *p,
                                uint8_t ret[SOTTO_PREKEY_PRIVATE_BYTES])
{
    struct sotto_writer w;

    sotto_writer_init(&w, ret, SOTTO_PREKEY_PRIVATE_BYTES);
    sotto_write_u8(&w, (uint8_t)p->type);
    sotto_write_u32(&w, p->id);
    sotto_write_u32(&w, p->generation);
    sotto_write_u64(&w, p->expires_ms);
    sotto_write_bytes(&w, p->digest, sizeof p->digest);
    sotto_write_bytes(&w, p->dh.priv.b, sizeof p->dh.priv.b);
    sotto_write_bytes(&w, p->dh.pub, sizeof p->dh.pub);
    sotto_write_bytes(&w, p->kem.b, sizeof p->kem.b);
}

enum sotto_err sotto_prekey_private_read(const uint8_t *data, size_t len,
                                         struct sotto_prekey_private *ret)
{
    struct sotto_prekey_private p = {0};
    struct sotto_reader r;
    enum sotto_err e = SOTTO_ERR_MALFORMED;

    sotto_reader_init(&r, data, len);
    if (type_read(&r, &p.type) == 0 && sotto_read_u32(&r, &p.id) == 0 && p.id != 0 &&
        sotto_read_u32(&r, &p.generation) == 0 && sotto_read_u64(&r, &p.expires_ms) == 0 &&
        sotto_read_bytes(&r, p.digest, sizeof p.digest) == 0 &&
        sotto_read_bytes(&r, p.dh.priv.b, sizeof p.dh.priv.b) == 0 &&
        sotto_read_bytes(&r, p.dh.pub, sizeof p.dh.pub) == 0 &&
        sotto_read_bytes(&r, p.kem.b, sizeof p.kem.b) == 0 && sotto_read_done(&r) == 0) {
        *ret = p;
        e = SOTTO_OK;
    }
    sotto_prekey_private_wipe(&p);
    return e;
}
