/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_HPKE_H
#define SOTTO_CRYPTO_HPKE_H

#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "crypto/dh.h"

/*
 * HPKE, RFC 9180: base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM
 * (suite 0x0020, 0x0001, 0x0002). No allocation.
 */
#define SOTTO_HPKE_ENC 32

struct sotto_hpke { /* one direction of a context; wipe with sotto_hpke_wipe() */
    struct sotto_secret32 key;
    struct sotto_secret32 exporter;
    uint8_t base_nonce[12];
    uint64_t seq;
};
/* RFC 9180 section 5.1.1. BAD_KEY: low-order point; RANDOM. Outputs are untouched then. */
enum sotto_err sotto_hpke_setup_sender(const struct sotto_env *env, const uint8_t theirs[32],
                                       const void *info, size_t info_len,
                                       uint8_t ret_enc[SOTTO_HPKE_ENC], struct sotto_hpke *ret);
enum sotto_err sotto_hpke_setup_receiver(const struct sotto_dh_pair *ours,
                                         const uint8_t enc[SOTTO_HPKE_ENC], const void *info,
                                         size_t info_len, struct sotto_hpke *ret);
/* Section 5.2; each success uses up one sequence number, a failure none. Errors and buffers as in
 * sotto_aead_*; STATE: all 2^64 - 1 numbers are used. */
enum sotto_err sotto_hpke_seal(struct sotto_hpke *h, const void *ad, size_t ad_len,
                               const void *text, size_t len, uint8_t *ret);
enum sotto_err sotto_hpke_open(struct sotto_hpke *h, const void *ad, size_t ad_len, const void *ct,
                               size_t len, uint8_t *ret);
/* Section 5.3; at most 8,160 bytes. */
void sotto_hpke_export(const struct sotto_hpke *h, const void *context, size_t context_len,
                       void *ret, size_t ret_len);
void sotto_hpke_wipe(struct sotto_hpke *h);

#endif
