/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/secret.h"
#include "crypto/kdf.h"
#include "e2ee/identity.h"

enum { LIST_VERSION = 1 };
static const char purpose[] = "device list";

/* No device, too many, or one twice. */
static bool devices_valid(const struct sotto_list *list)
{
    if (list->count < 1 || list->count > SOTTO_DEVICES_MAX)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (list->devices[i].id == list->devices[j].id)
                return false;
        }
    }
    return true;
}

/* The first list has nothing before it, every other one has. */
static bool history_valid(const struct sotto_list *list)
{
    bool first = list->version == 1;

    return list->version > 0 && first == sotto_is_zero(list->prev_hash, sizeof list->prev_hash);
}

static void body_write(struct sotto_writer *w, const struct sotto_list *list)
{
    sotto_write_u8(w, LIST_VERSION);
    sotto_account_write(w, &list->account);
    sotto_write_u32(w, list->version);
    sotto_write_bytes(w, list->prev_hash, sizeof list->prev_hash);
    sotto_write_u64(w, list->time_ms);
    sotto_write_u8(w, (uint8_t)list->count);
    for (size_t i = 0; i < list->count; i++)
        sotto_write_bytes(w, list->entries[i], SOTTO_ENTRY_BYTES);
}

enum sotto_err sotto_list_sign(const struct sotto_sign_pair *account_key, struct sotto_list *list,
                               uint8_t *ret, size_t *ret_len)
{
    uint8_t body[SOTTO_LIST_MAX], sig[SOTTO_SIGNATURE];
    struct sotto_list l = *list;
    struct sotto_writer w;
    enum sotto_err e;

    if (l.count > SOTTO_DEVICES_MAX || !history_valid(&l) ||
        !sotto_name_valid(l.account.name, strnlen(l.account.name, sizeof l.account.name)) ||
        memcmp(l.account.key, account_key->pub, 32) != 0)
        return SOTTO_ERR_USAGE;
    for (size_t i = 0; i < l.count; i++) {
        e = sotto_entry_open(l.entries[i], SOTTO_ENTRY_BYTES, &l.account, &l.devices[i]);
        if (e != 0)
            return e;
    }
    if (!devices_valid(&l))
        return SOTTO_ERR_USAGE;
    sotto_writer_init(&w, body, sizeof body - sizeof sig);
    body_write(&w, &l);
    if (w.err != 0 || (e = sotto_sign(account_key, purpose, body, w.len, sig)) != 0)
        return w.err != 0 ? w.err : e;
    sotto_sha256(body, w.len, l.hash);
    memcpy(ret, body, w.len);
    memcpy(ret + w.len, sig, sizeof sig);
    *ret_len = w.len + sizeof sig;
    *list = l;
    return SOTTO_OK;
}

static enum sotto_err head_read(struct sotto_reader *r, struct sotto_list *l)
{
    uint8_t version, count;
    enum sotto_err e;

    if ((e = sotto_read_u8(r, &version)) != 0)
        return e;
    if (version != LIST_VERSION)
        return SOTTO_ERR_UNSUPPORTED;
    if ((e = sotto_account_read(r, &l->account)) != 0 ||
        (e = sotto_read_u32(r, &l->version)) != 0 ||
        (e = sotto_read_bytes(r, l->prev_hash, sizeof l->prev_hash)) != 0 ||
        (e = sotto_read_u64(r, &l->time_ms)) != 0 || (e = sotto_read_u8(r, &count)) != 0)
        return e;
    if (count < 1 || count > SOTTO_DEVICES_MAX || !history_valid(l))
        return SOTTO_ERR_MALFORMED;
    l->count = count;
    return SOTTO_OK;
}

static enum sotto_err list_read(const uint8_t *data, size_t len, struct sotto_list *l)
{
    uint8_t sig[SOTTO_SIGNATURE];
    struct sotto_reader r;
    size_t signed_len;
    enum sotto_err e;

    sotto_reader_init(&r, data, len);
    if ((e = head_read(&r, l)) != 0)
        return e;
    for (size_t i = 0; i < l->count; i++) {
        if ((e = sotto_read_bytes(&r, l->entries[i], SOTTO_ENTRY_BYTES)) != 0)
            return e;
    }
    signed_len = (size_t)(r.p - data);
    if ((e = sotto_read_bytes(&r, sig, sizeof sig)) != 0 || (e = sotto_read_done(&r)) != 0)
        return e;
    /* The account key first: nothing of a list that its owner did not sign is looked at. */
    if ((e = sotto_sign_verify(l->account.key, purpose, data, signed_len, sig)) != 0)
        return e;
    for (size_t i = 0; i < l->count; i++) {
        e = sotto_entry_open(l->entries[i], SOTTO_ENTRY_BYTES, &l->account, &l->devices[i]);
        if (e != 0)
            return e;
    }
    sotto_sha256(data, signed_len, l->hash);
    return devices_valid(l) ? SOTTO_OK : SOTTO_ERR_MALFORMED;
}

enum sotto_err sotto_list_open(const uint8_t *data, size_t len, struct sotto_list *ret)
{
    struct sotto_list l = {0};
    enum sotto_err e = list_read(data, len, &l);

    if (e == 0)
        *ret = l;
    return e == SOTTO_ERR_TRUNCATED ? SOTTO_ERR_MALFORMED : e;
}

enum sotto_err sotto_list_follows(const struct sotto_list *known, const struct sotto_list *next)
{
    if (memcmp(known->account.relay_id, next->account.relay_id, 32) != 0 ||
        strncmp(known->account.name, next->account.name, sizeof known->account.name) != 0)
        return SOTTO_ERR_USAGE;
    if (memcmp(known->account.key, next->account.key, 32) != 0)
        return SOTTO_ERR_NEW_IDENTITY;
    if (next->version < known->version)
        return SOTTO_ERR_EXPIRED;
    if (next->version == known->version)
        return memcmp(known->hash, next->hash, 32) == 0 ? SOTTO_OK : SOTTO_ERR_FORK;
    if (next->version - known->version == 1 && memcmp(known->hash, next->prev_hash, 32) != 0)
        return SOTTO_ERR_FORK;
    return SOTTO_OK;
}

const struct sotto_device *sotto_list_find(const struct sotto_list *list, uint64_t device_id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->devices[i].id == device_id)
            return &list->devices[i];
    }
    return NULL;
}
