/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of a vault's copy. The input is parsed as it is, and with its SHA-256 appended,
 * because without that no mutation gets past the hash at the end. What is accepted stays within the
 * limits and is written back to the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/kdf.h"
#include "vault/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static void check_costs(const struct sotto_vault_file *f)
{
    uint64_t work = 0;

    for (size_t i = 0; i < f->count; i++) {
        uint32_t mem, passes;

        check(f->slots[i].body.n <= SOTTO_VAULT_SLOT_MAX);
        if (f->slots[i].kind != SOTTO_VAULT_SLOT_PASSPHRASE)
            continue;
        check(f->slots[i].body.n == 73);
        mem = sotto_get_u32(f->slots[i].body.p + 1);
        passes = sotto_get_u32(f->slots[i].body.p + 5);
        check(mem >= 8 && mem <= SOTTO_VAULT_MEM_MAX_KIB && passes >= 1);
        work += (uint64_t)mem * passes;
    }
    check(work <= SOTTO_VAULT_WORK_MAX_KIB);
}

static void check_same(const struct sotto_vault_file *f, const uint8_t *data, size_t size)
{
    uint8_t out[SOTTO_VAULT_FILE_MAX];
    struct sotto_writer w;

    sotto_writer_init(&w, out, sizeof out);
    sotto_write_bytes(&w, "SOTTOVLT", 8);
    sotto_write_u8(&w, f->version);
    sotto_write_u8(&w, f->policy);
    sotto_write_u32(&w, f->serial);
    sotto_write_u8(&w, (uint8_t)f->count);
    for (size_t i = 0; i < f->count; i++) {
        sotto_write_u8(&w, f->slots[i].kind);
        sotto_write_field16(&w, f->slots[i].body.p, f->slots[i].body.n);
    }
    check(f->covered.p == data && f->covered.n == w.len);
    sotto_write_bytes(&w, f->mac, sizeof f->mac);
    check(w.err == SOTTO_OK && w.len + 32 == size && memcmp(out, data, w.len) == 0);
}

static void parse(const uint8_t *data, size_t size)
{
    struct sotto_vault_file f;
    enum sotto_err e = sotto_vault_parse(data, size, &f);

    check(e == SOTTO_OK || e == SOTTO_ERR_MALFORMED || e == SOTTO_ERR_NEWER);
    if (e != SOTTO_OK)
        return;
    check(f.count >= 1 && f.count <= SOTTO_VAULT_SLOTS);
    check_costs(&f);
    check_same(&f, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *hashed;

    parse(data, size);
    if (size > SOTTO_VAULT_FILE_MAX)
        return 0;
    hashed = malloc(size + 32);
    check(hashed != NULL);
    if (size > 0)
        memcpy(hashed, data, size);
    sotto_sha256(data, size, hashed + size);
    parse(hashed, size + 32);
    free(hashed);
    return 0;
}
