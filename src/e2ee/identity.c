/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/identity.h"

#include <string.h>

#include "crypto/kdf.h"
#include "e2ee/point.h"

enum {
    ENTRY_VERSION = 1,
    ENTRY_BODY = SOTTO_ENTRY_BYTES - SOTTO_SIGNATURE,
    PHONE_MIN = 7, /* digits, ITU-T E.164 */
    PHONE_MAX = 15,
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

bool sotto_name_valid(const char *name, size_t len)
{
    bool phone = len > 0 && name[0] == '+';

    if (phone ? len < 1 + PHONE_MIN || len > 1 + PHONE_MAX : len < 1 || len > SOTTO_NAME_MAX)
        return false;
    if (!phone && !is_name_start(name[0]))
        return false;
    for (size_t i = 1; i < len; i++) {
        char c = name[i];

        if (phone ? !is_digit(c) : !is_name_start(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

void sotto_account_write(struct sotto_writer *w, const struct sotto_account *account)
{
    sotto_write_bytes(w, account->relay_id, sizeof account->relay_id);
    sotto_write_field8(w, account->name, strnlen(account->name, SOTTO_NAME_MAX));
    sotto_write_bytes(w, account->key, sizeof account->key);
}

enum sotto_err sotto_account_read(struct sotto_reader *r, struct sotto_account *ret)
{
    struct sotto_reader in = *r;
    struct sotto_account a = {0};
    struct sotto_bytes name;
    enum sotto_err e;

    if ((e = sotto_read_bytes(&in, a.relay_id, sizeof a.relay_id)) != 0 ||
        (e = sotto_read_field8(&in, SOTTO_NAME_MAX, &name)) != 0 ||
        (e = sotto_read_bytes(&in, a.key, sizeof a.key)) != 0)
        return e;
    if (!sotto_name_valid((const char *)name.p, name.n))
        return SOTTO_ERR_MALFORMED;
    memcpy(a.name, name.p, name.n);
    *ret = a;
    *r = in;
    return SOTTO_OK;
}

uint64_t sotto_device_id(const uint8_t sign_pub[32])
{
    static const char label[] = "sotto/1 device id";
    const struct sotto_bytes parts[] = {{(const uint8_t *)label, sizeof label}, {sign_pub, 32}};
    uint8_t hash[32];

    sotto_sha256v(parts, 2, hash);
    return sotto_get_u64(hash);
}

enum sotto_err sotto_device_keys_generate(const struct sotto_env *env,
                                          struct sotto_device_keys *ret)
{
    struct sotto_device_keys k = {0};
    enum sotto_err e;

    if ((e = sotto_sign_generate(env, &k.sign)) == 0 && (e = sotto_dh_generate(env, &k.dh)) == 0 &&
        (e = sotto_dh_generate(env, &k.sealing)) == 0)
        *ret = k;
    sotto_device_keys_wipe(&k);
    return e;
}

void sotto_device_keys_wipe(struct sotto_device_keys *k)
{
    sotto_sign_pair_wipe(&k->sign);
    sotto_dh_pair_wipe(&k->dh);
    sotto_dh_pair_wipe(&k->sealing);
}

/* What an entry's signature covers: the account, then the entry's own bytes. */
static size_t signed_bytes(const struct sotto_account *account, const uint8_t body[ENTRY_BODY],
                           uint8_t ret[SOTTO_ACCOUNT_MAX + ENTRY_BODY])
{
    struct sotto_writer w;

    sotto_writer_init(&w, ret, SOTTO_ACCOUNT_MAX + ENTRY_BODY);
    sotto_account_write(&w, account);
    sotto_write_bytes(&w, body, ENTRY_BODY);
    return w.len;
}

enum sotto_err sotto_entry_sign(const struct sotto_sign_pair *device_key,
                                const struct sotto_account *account,
                                const struct sotto_device *device, uint8_t ret[SOTTO_ENTRY_BYTES])
{
    uint8_t entry[SOTTO_ENTRY_BYTES], over[SOTTO_ACCOUNT_MAX + ENTRY_BODY];
    struct sotto_writer w;
    enum sotto_err e;

    sotto_writer_init(&w, entry, sizeof entry);
    sotto_write_u8(&w, ENTRY_VERSION);
    sotto_write_u64(&w, device->id);
    sotto_write_u32(&w, device->generation);
    sotto_write_bytes(&w, device->sign_pub, 32);
    sotto_write_bytes(&w, device->dh_pub, 32);
    sotto_write_bytes(&w, device->sealing_pub, 32);
    sotto_write_u64(&w, device->sealing_expires_ms);
    sotto_write_u32(&w, device->capabilities);
    sotto_write_u32(&w, 0);
    e = sotto_sign(device_key, "device entry", over, signed_bytes(account, entry, over),
                   entry + ENTRY_BODY);
    if (e == 0)
        memcpy(ret, entry, sizeof entry);
    return e;
}

static enum sotto_err entry_read(const uint8_t *data, size_t len, struct sotto_device *ret)
{
    struct sotto_device d = {0};
    struct sotto_reader r;
    uint32_t reserved;
    uint8_t version;
    enum sotto_err e;

    sotto_reader_init(&r, data, len);
    if ((e = sotto_read_u8(&r, &version)) != 0)
        return SOTTO_ERR_MALFORMED;
    if (version != ENTRY_VERSION)
        return SOTTO_ERR_UNSUPPORTED;
    if (len != SOTTO_ENTRY_BYTES)
        return SOTTO_ERR_MALFORMED;
    if ((e = sotto_read_u64(&r, &d.id)) != 0 || (e = sotto_read_u32(&r, &d.generation)) != 0 ||
        (e = sotto_read_bytes(&r, d.sign_pub, 32)) != 0 ||
        (e = sotto_read_bytes(&r, d.dh_pub, 32)) != 0 ||
        (e = sotto_read_bytes(&r, d.sealing_pub, 32)) != 0 ||
        (e = sotto_read_u64(&r, &d.sealing_expires_ms)) != 0 ||
        (e = sotto_read_u32(&r, &d.capabilities)) != 0 || (e = sotto_read_u32(&r, &reserved)) != 0)
        return e;
    if (reserved != 0)
        return SOTTO_ERR_MALFORMED;
    *ret = d;
    return SOTTO_OK;
}

enum sotto_err sotto_entry_open(const uint8_t *data, size_t len,
                                const struct sotto_account *account, struct sotto_device *ret)
{
    uint8_t over[SOTTO_ACCOUNT_MAX + ENTRY_BODY];
    struct sotto_device d;
    enum sotto_err e;

    if ((e = entry_read(data, len, &d)) != 0)
        return e;
    if (d.id != sotto_device_id(d.sign_pub) || sotto_point_low_order(d.dh_pub) ||
        sotto_point_low_order(d.sealing_pub))
        return SOTTO_ERR_BAD_KEY;
    e = sotto_sign_verify(d.sign_pub, "device entry", over, signed_bytes(account, data, over),
                          data + ENTRY_BODY);
    if (e == 0)
        *ret = d;
    return e;
}
