/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/proof.h"

#include <string.h>

#include "base/bytes.h"

#define DEVICE_PURPOSE "device proof"
#define DELETE_PURPOSE "delete account"
#define LEASE          16
#define STATEMENT_MAX  (SOTTO_EXPORTER + 32 + 1 + 255 + 8 + LEASE)

/* What both proofs begin with: this connection, this relay, this account. */
static void write_start(struct sotto_writer *w, const uint8_t *exporter, const uint8_t *relay_id,
                        const char *name)
{
    sotto_write_bytes(w, exporter, SOTTO_EXPORTER);
    sotto_write_bytes(w, relay_id, 32);
    sotto_write_field8(w, name, strlen(name));
}

static enum sotto_err device_statement(const uint8_t *exporter, const uint8_t *relay_id,
                                       const char *name, uint64_t device, const uint8_t *lease,
                                       uint8_t ret[STATEMENT_MAX], size_t *ret_len)
{
    struct sotto_writer w;

    sotto_writer_init(&w, ret, STATEMENT_MAX);
    write_start(&w, exporter, relay_id, name);
    sotto_write_u64(&w, device);
    sotto_write_bytes(&w, lease, LEASE);
    return sotto_writer_done(&w, ret_len);
}

static enum sotto_err delete_statement(const uint8_t *exporter, const uint8_t *relay_id,
                                       const char *name, uint8_t ret[STATEMENT_MAX],
                                       size_t *ret_len)
{
    struct sotto_writer w;

    sotto_writer_init(&w, ret, STATEMENT_MAX);
    write_start(&w, exporter, relay_id, name);
    return sotto_writer_done(&w, ret_len);
}

enum sotto_err sotto_proof_sign(const struct sotto_sign_pair *device_key,
                                const uint8_t exporter[SOTTO_EXPORTER], const uint8_t relay_id[32],
                                const char *name, uint64_t device, const uint8_t lease[16],
                                uint8_t ret[SOTTO_SIGNATURE])
{
    uint8_t text[STATEMENT_MAX];
    enum sotto_err e;
    size_t len;

    if ((e = device_statement(exporter, relay_id, name, device, lease, text, &len)) != 0)
        return e;
    return sotto_sign(device_key, DEVICE_PURPOSE, text, len, ret);
}

enum sotto_err sotto_proof_verify(const uint8_t device_pub[32],
                                  const uint8_t exporter[SOTTO_EXPORTER],
                                  const uint8_t relay_id[32], const char *name, uint64_t device,
                                  const uint8_t lease[16], const uint8_t proof[SOTTO_SIGNATURE])
{
    uint8_t text[STATEMENT_MAX];
    enum sotto_err e;
    size_t len;

    if ((e = device_statement(exporter, relay_id, name, device, lease, text, &len)) != 0)
        return e;
    return sotto_sign_verify(device_pub, DEVICE_PURPOSE, text, len, proof);
}

enum sotto_err sotto_delete_proof_sign(const struct sotto_sign_pair *account_key,
                                       const uint8_t exporter[SOTTO_EXPORTER],
                                       const uint8_t relay_id[32], const char *name,
                                       uint8_t ret[SOTTO_SIGNATURE])
{
    uint8_t text[STATEMENT_MAX];
    enum sotto_err e;
    size_t len;

    if ((e = delete_statement(exporter, relay_id, name, text, &len)) != 0)
        return e;
    return sotto_sign(account_key, DELETE_PURPOSE, text, len, ret);
}

enum sotto_err sotto_delete_proof_verify(const uint8_t account_pub[32],
                                         const uint8_t exporter[SOTTO_EXPORTER],
                                         const uint8_t relay_id[32], const char *name,
                                         const uint8_t proof[SOTTO_SIGNATURE])
{
    uint8_t text[STATEMENT_MAX];
    enum sotto_err e;
    size_t len;

    if ((e = delete_statement(exporter, relay_id, name, text, &len)) != 0)
        return e;
    return sotto_sign_verify(account_pub, DELETE_PURPOSE, text, len, proof);
}
