/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/layout.h"

#include <string.h>

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/pwhash.h"
#include "vault/vault.h"

enum {
    VERSION = 1,
    POLICY_ANY = 1,
    KDF_ARGON2ID = 1,
    SALT = 16,
    WRAPPED = 32 + SOTTO_AEAD_TAG,
    HASH = 32,
};
static const char magic[8] = "SOTTOVLT";

struct passphrase_slot {
    struct sotto_vault_cost cost;
    struct sotto_bytes params; /* before the wrapped key: what the AD covers */
    uint8_t salt[SALT];
    uint8_t wrapped[WRAPPED];
};

/* --- reading --- */

static enum sotto_err read_passphrase_slot(struct sotto_bytes body, struct passphrase_slot *ret)
{
    struct sotto_reader r;
    uint8_t kdf;
    enum sotto_err e;

    sotto_reader_init(&r, body.p, body.n);
    if ((e = sotto_read_u8(&r, &kdf)) != 0)
        return e;
    if (kdf != KDF_ARGON2ID)
        return SOTTO_ERR_NEWER; /* what follows is not for us to judge */
    if ((e = sotto_read_u32(&r, &ret->cost.mem_kib)) != 0 ||
        (e = sotto_read_u32(&r, &ret->cost.passes)) != 0 ||
        (e = sotto_read_bytes(&r, ret->salt, SALT)) != 0)
        return e;
    ret->params = (struct sotto_bytes){.p = body.p, .n = body.n - sotto_reader_left(&r)};
    if ((e = sotto_read_bytes(&r, ret->wrapped, WRAPPED)) != 0 || (e = sotto_read_done(&r)) != 0)
        return e;
    if (ret->cost.mem_kib < 8 || ret->cost.mem_kib > SOTTO_VAULT_MEM_MAX_KIB ||
        ret->cost.passes < 1 || ret->cost.passes > 16)
        return SOTTO_ERR_MALFORMED;
    return SOTTO_OK;
}

/* Each slot that is known, and what all of them together would cost. */
static enum sotto_err check_slots(const struct sotto_vault_file *f)
{
    uint64_t work = 0;

    for (size_t i = 0; i < f->count; i++) {
        struct passphrase_slot slot;
        enum sotto_err e;

        if (f->slots[i].kind != SOTTO_VAULT_SLOT_PASSPHRASE)
            continue;
        if ((e = read_passphrase_slot(f->slots[i].body, &slot)) != 0)
            return e;
        work += (uint64_t)slot.cost.mem_kib * slot.cost.passes;
    }
    return work > SOTTO_VAULT_WORK_MAX_KIB ? SOTTO_ERR_MALFORMED : SOTTO_OK;
}

/* Magic, version and hash, which every version has. */
static enum sotto_err read_frame(const uint8_t *data, size_t len, struct sotto_reader *ret)
{
    uint8_t hash[HASH], head[sizeof magic];
    struct sotto_reader r;
    enum sotto_err e;

    if (len < sizeof magic + 1 + HASH || len > SOTTO_VAULT_FILE_MAX)
        return SOTTO_ERR_MALFORMED;
    sotto_reader_init(&r, data, len - HASH);
    if ((e = sotto_read_bytes(&r, head, sizeof head)) != 0)
        return e;
    sotto_sha256(data, len - HASH, hash);
    if (memcmp(head, magic, sizeof magic) != 0 || memcmp(hash, data + len - HASH, HASH) != 0)
        return SOTTO_ERR_MALFORMED;
    *ret = r;
    return SOTTO_OK;
}

static enum sotto_err read_all(struct sotto_reader *r, const uint8_t *data,
                               struct sotto_vault_file *f)
{
    uint8_t count;
    enum sotto_err e;

    if ((e = sotto_read_u8(r, &f->version)) != 0)
        return e;
    if (f->version != VERSION)
        return SOTTO_ERR_NEWER;
    if ((e = sotto_read_u8(r, &f->policy)) != 0 || (e = sotto_read_u32(r, &f->serial)) != 0 ||
        (e = sotto_read_u8(r, &count)) != 0)
        return e;
    if (f->policy != POLICY_ANY)
        return SOTTO_ERR_NEWER;
    if (count < 1 || count > SOTTO_VAULT_SLOTS)
        return SOTTO_ERR_MALFORMED;
    for (f->count = 0; f->count < count; f->count++) {
        if ((e = sotto_read_u8(r, &f->slots[f->count].kind)) != 0 ||
            (e = sotto_read_field16(r, SOTTO_VAULT_SLOT_MAX, &f->slots[f->count].body)) != 0)
            return e;
    }
    f->covered = (struct sotto_bytes){.p = data, .n = (size_t)(r->p - data)};
    if ((e = sotto_read_bytes(r, f->mac, sizeof f->mac)) != 0 || (e = sotto_read_done(r)) != 0)
        return e;
    return check_slots(f);
}

enum sotto_err sotto_vault_parse(const uint8_t *data, size_t len, struct sotto_vault_file *ret)
{
    struct sotto_vault_file f = {0};
    struct sotto_reader r;
    enum sotto_err e;

    if ((e = read_frame(data, len, &r)) != 0 || (e = read_all(&r, data, &f)) != 0)
        return e == SOTTO_ERR_NEWER ? e : SOTTO_ERR_MALFORMED;
    *ret = f;
    return SOTTO_OK;
}

/* --- keys --- */

static enum sotto_err derive_kek(const struct passphrase_slot *slot, uint8_t policy,
                                 const void *passphrase, size_t len, struct sotto_secret32 *ret)
{
    static const char label[] = "sotto/1 vault kek"; /* with its NUL */
    struct sotto_secret32 stretched SOTTO_WIPED = {0};
    uint8_t info[sizeof label + 2];
    enum sotto_err e;

    if ((e = sotto_pwhash(passphrase, len, slot->salt, slot->cost.mem_kib, slot->cost.passes,
                          stretched.b, sizeof stretched.b)) != 0)
        return e;
    memcpy(info, label, sizeof label);
    info[sizeof label] = policy;
    info[sizeof label + 1] = SOTTO_VAULT_SLOT_PASSPHRASE;
    sotto_hkdf_sha256(NULL, 0, stretched.b, sizeof stretched.b, info, sizeof info, ret->b,
                      sizeof ret->b);
    return SOTTO_OK;
}

static enum sotto_err slot_ad(uint8_t policy, struct sotto_bytes params, uint8_t *ret, size_t room,
                              size_t *ret_len)
{
    static const char label[] = "sotto/1 vault slot"; /* with its NUL */
    struct sotto_writer w;

    sotto_writer_init(&w, ret, room);
    sotto_write_bytes(&w, label, sizeof label);
    sotto_write_u8(&w, VERSION);
    sotto_write_u8(&w, policy);
    sotto_write_u8(&w, SOTTO_VAULT_SLOT_PASSPHRASE);
    sotto_write_bytes(&w, params.p, params.n);
    return sotto_writer_done(&w, ret_len);
}

static void compute_mac(const struct sotto_secret32 *vault_key, const void *data, size_t len,
                        uint8_t ret[32])
{
    struct sotto_secret32 key SOTTO_WIPED = {0};

    sotto_vault_derive(vault_key, "mac", &key);
    sotto_hmac_sha256(key.b, sizeof key.b, data, len, ret);
}

/* --- sealing --- */

static void write_head(struct sotto_writer *w, uint32_t serial)
{
    sotto_write_bytes(w, magic, sizeof magic);
    sotto_write_u8(w, VERSION);
    sotto_write_u8(w, POLICY_ANY);
    sotto_write_u32(w, serial);
    sotto_write_u8(w, 1); /* slots */
}

static enum sotto_err write_slot(const struct sotto_env *env, const struct sotto_vault_cost *cost,
                                 const void *passphrase, size_t len,
                                 const struct sotto_secret32 *vault_key, struct sotto_writer *w)
{
    static const uint8_t nonce[SOTTO_AEAD_NONCE] = {0};
    struct sotto_secret32 kek SOTTO_WIPED = {0};
    struct passphrase_slot slot = {.cost = *cost};
    uint8_t body[1 + 4 + 4 + SALT + WRAPPED], ad[64];
    struct sotto_writer b;
    size_t ad_len;
    enum sotto_err e;

    if ((e = sotto_random(env, slot.salt, SALT)) != 0)
        return e;
    sotto_writer_init(&b, body, sizeof body);
    sotto_write_u8(&b, KDF_ARGON2ID);
    sotto_write_u32(&b, cost->mem_kib);
    sotto_write_u32(&b, cost->passes);
    sotto_write_bytes(&b, slot.salt, SALT);
    slot.params = (struct sotto_bytes){.p = body, .n = b.len};
    if ((e = slot_ad(POLICY_ANY, slot.params, ad, sizeof ad, &ad_len)) != 0 ||
        (e = derive_kek(&slot, POLICY_ANY, passphrase, len, &kek)) != 0 ||
        (e = sotto_aead_seal(&kek, nonce, ad, ad_len, vault_key->b, sizeof vault_key->b,
                             slot.wrapped)) != 0)
        return e;
    sotto_write_bytes(&b, slot.wrapped, WRAPPED);
    sotto_write_u8(w, SOTTO_VAULT_SLOT_PASSPHRASE);
    sotto_write_field16(w, body, b.len);
    return b.err;
}

enum sotto_err sotto_vault_seal(const struct sotto_env *env, const struct sotto_vault_cost *cost,
                                const void *passphrase, size_t len,
                                const struct sotto_secret32 *vault_key, uint32_t serial,
                                uint8_t *ret, size_t room, size_t *ret_len)
{
    struct sotto_writer w;
    uint8_t sum[32];
    enum sotto_err e;

    sotto_writer_init(&w, ret, room);
    write_head(&w, serial);
    if ((e = write_slot(env, cost, passphrase, len, vault_key, &w)) != 0)
        return e;
    compute_mac(vault_key, ret, w.len, sum);
    sotto_write_bytes(&w, sum, sizeof sum);
    sotto_sha256(ret, w.len, sum);
    sotto_write_bytes(&w, sum, sizeof sum);
    return sotto_writer_done(&w, ret_len);
}

/* --- unsealing --- */

static enum sotto_err unwrap(const struct sotto_vault_file *f, struct sotto_bytes body,
                             const void *passphrase, size_t len, struct sotto_secret32 *ret)
{
    static const uint8_t nonce[SOTTO_AEAD_NONCE] = {0};
    struct sotto_secret32 kek SOTTO_WIPED = {0};
    struct passphrase_slot slot;
    uint8_t ad[64];
    size_t ad_len;
    enum sotto_err e;

    if ((e = read_passphrase_slot(body, &slot)) != 0 ||
        (e = slot_ad(f->policy, slot.params, ad, sizeof ad, &ad_len)) != 0 ||
        (e = derive_kek(&slot, f->policy, passphrase, len, &kek)) != 0)
        return e;
    return sotto_aead_open(&kek, nonce, ad, ad_len, slot.wrapped, WRAPPED, ret->b);
}

enum sotto_err sotto_vault_unseal(const struct sotto_vault_file *file, const void *passphrase,
                                  size_t len, struct sotto_secret32 *ret)
{
    struct sotto_secret32 key SOTTO_WIPED = {0};
    enum sotto_err e = SOTTO_ERR_NEWER;
    uint8_t mac[32];

    for (size_t i = 0; i < file->count; i++) {
        if (file->slots[i].kind != SOTTO_VAULT_SLOT_PASSPHRASE)
            continue;
        e = unwrap(file, file->slots[i].body, passphrase, len, &key);
        if (e != SOTTO_ERR_BAD_TAG)
            break;
    }
    if (e != SOTTO_OK)
        return e;
    compute_mac(&key, file->covered.p, file->covered.n, mac);
    if (!sotto_equal(mac, file->mac, sizeof mac))
        return SOTTO_ERR_BAD_TAG;
    *ret = key;
    return SOTTO_OK;
}
