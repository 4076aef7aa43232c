/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/envelope.h"

#include <string.h>

#include "base/secret.h"
#include "crypto/aead.h"
#include "crypto/hpke.h"
#include "crypto/kdf.h"

enum {
    VERSION = 1,
    SUITE_X25519 = 1, /* 2 is reserved for X-Wing */
    HEAD = 1 + 1 + 4, /* version, suite, sealing key: the associated data */
    OUTER = HEAD + SOTTO_HPKE_ENC,
    INFO_MAX = 32 + SOTTO_ACCOUNT_MAX + 8,
};

static void hpke_wipe(struct sotto_hpke *h)
{
    sotto_hpke_wipe(h);
}
#define AUTO_HPKE __attribute__((cleanup(hpke_wipe))) struct sotto_hpke

void sotto_envelope_id(const uint8_t *env, size_t len, uint8_t ret[SOTTO_ENVELOPE_ID])
{
    uint8_t hash[32];

    sotto_sha256(env, len, hash);
    memcpy(ret, hash, SOTTO_ENVELOPE_ID);
}

uint32_t sotto_sealing_key_id(const uint8_t pub[32])
{
    uint8_t hash[32];

    sotto_sha256(pub, 32, hash);
    return sotto_get_u32(hash);
}

/* Whom it is for: an envelope that the relay puts into another box does not open. */
static size_t info_write(const struct sotto_account *to, uint64_t device, uint8_t ret[INFO_MAX])
{
    static const char purpose[] = "sotto/1 envelope";
    struct sotto_writer w;

    sotto_writer_init(&w, ret, INFO_MAX);
    sotto_write_bytes(&w, purpose, sizeof purpose);
    sotto_account_write(&w, to);
    sotto_write_u64(&w, device);
    return w.len;
}

enum sotto_err sotto_envelope_peek(const uint8_t *data, size_t len, uint32_t *ret_key_id)
{
    if (len < 2)
        return SOTTO_ERR_MALFORMED;
    if (data[0] != VERSION || data[1] != SUITE_X25519)
        return SOTTO_ERR_UNSUPPORTED;
    if (len <= OUTER + SOTTO_AEAD_TAG || len > SOTTO_ENVELOPE_MAX)
        return SOTTO_ERR_MALFORMED;
    *ret_key_id = sotto_get_u32(data + 2);
    return SOTTO_OK;
}

enum sotto_err sotto_envelope_seal(const struct sotto_env *env, const struct sotto_account *to,
                                   const struct sotto_device *to_device, const char *sender,
                                   uint64_t sender_device, enum sotto_envelope_kind kind,
                                   const uint8_t *msg, size_t len, uint8_t *ret, size_t room,
                                   size_t *ret_len)
{
    size_t name_len = strnlen(sender, SOTTO_NAME_MAX + 1), info_len, inner;
    uint8_t info[INFO_MAX], *body;
    struct sotto_writer w;
    AUTO_HPKE h = {0};
    enum sotto_err e;

    if (!sotto_name_valid(sender, name_len) || len == 0)
        return SOTTO_ERR_USAGE;
    if (len > SOTTO_ENVELOPE_MAX - SOTTO_ENVELOPE_OVERHEAD || room < len + SOTTO_ENVELOPE_OVERHEAD)
        return SOTTO_ERR_TOO_LARGE;
    sotto_writer_init(&w, ret, room);
    sotto_write_u8(&w, VERSION);
    sotto_write_u8(&w, SUITE_X25519);
    sotto_write_u32(&w, sotto_sealing_key_id(to_device->sealing_pub));
    info_len = info_write(to, to_device->id, info);
    e = sotto_hpke_setup_sender(env, to_device->sealing_pub, info, info_len, ret + HEAD, &h);
    if (e != 0)
        return e;
    body = ret + OUTER;
    w.len = OUTER;
    sotto_write_field8(&w, sender, name_len);
    sotto_write_u64(&w, sender_device);
    sotto_write_u8(&w, (uint8_t)kind);
    sotto_write_bytes(&w, msg, len);
    inner = w.len - OUTER;
    if ((e = sotto_hpke_seal(&h, ret, HEAD, body, inner, body)) != 0)
        return e;
    *ret_len = OUTER + inner + SOTTO_AEAD_TAG;
    return SOTTO_OK;
}

static enum sotto_err inner_read(const uint8_t *data, size_t len, struct sotto_opened *ret)
{
    struct sotto_opened o = {0};
    struct sotto_bytes name;
    struct sotto_reader r;
    uint8_t kind;

    sotto_reader_init(&r, data, len);
    if (sotto_read_field8(&r, SOTTO_NAME_MAX, &name) != 0 ||
        !sotto_name_valid((const char *)name.p, name.n) ||
        sotto_read_u64(&r, &o.sender_device) != 0 || sotto_read_u8(&r, &kind) != 0 ||
        sotto_reader_left(&r) == 0)
        return SOTTO_ERR_MALFORMED;
    if (kind != SOTTO_ENVELOPE_MESSAGE && kind != SOTTO_ENVELOPE_EPHEMERAL)
        return SOTTO_ERR_UNSUPPORTED;
    memcpy(o.sender, name.p, name.n);
    o.kind = (enum sotto_envelope_kind)kind;
    o.msg = r.p;
    o.msg_len = sotto_reader_left(&r);
    *ret = o;
    return SOTTO_OK;
}

enum sotto_err sotto_envelope_open(const struct sotto_dh_pair *sealing,
                                   const struct sotto_account *us, uint64_t our_device,
                                   const uint8_t *data, size_t len, uint8_t *buf,
                                   struct sotto_opened *ret)
{
    uint8_t info[INFO_MAX];
    AUTO_HPKE h = {0};
    uint32_t key_id;
    size_t info_len;
    enum sotto_err e;

    if ((e = sotto_envelope_peek(data, len, &key_id)) != 0)
        return e;
    info_len = info_write(us, our_device, info);
    if ((e = sotto_hpke_setup_receiver(sealing, data + HEAD, info, info_len, &h)) != 0 ||
        (e = sotto_hpke_open(&h, data, HEAD, data + OUTER, len - OUTER, buf)) != 0)
        return e;
    if ((e = inner_read(buf, len - OUTER - SOTTO_AEAD_TAG, ret)) != 0)
        sotto_wipe(buf, len - OUTER - SOTTO_AEAD_TAG);
    return e;
}
