/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_KDF_H
#define SOTTO_CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"

/* None of these allocates. Overlap of inputs and output is fine. */

/* FIPS 180-4, over the concatenation of count parts. */
void sotto_sha256v(const struct sotto_bytes *parts, size_t count, uint8_t ret[32]);
void sotto_sha512v(const struct sotto_bytes *parts, size_t count, uint8_t ret[64]);
void sotto_sha256(const void *data, size_t len, uint8_t ret[32]);
void sotto_sha512(const void *data, size_t len, uint8_t ret[64]);

/* RFC 2104. */
void sotto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                       uint8_t ret[32]);
void sotto_hmac_sha256v(const void *key, size_t key_len, const struct sotto_bytes *parts,
                        size_t count, uint8_t ret[32]);
void sotto_hmac_sha512v(const void *key, size_t key_len, const struct sotto_bytes *parts,
                        size_t count, uint8_t ret[64]);

/* RFC 5869. Output at most 255 blocks (8,160 and 16,320 bytes): more is a bug and aborts. */
void sotto_hkdf_sha256(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
                       const void *info, size_t info_len, void *ret, size_t ret_len);
void sotto_hkdf_sha256_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
                               struct sotto_secret32 *ret_prk);
void sotto_hkdf_sha256_expand(const struct sotto_secret32 *prk, const void *info, size_t info_len,
                              void *ret, size_t ret_len);
/* The same with the info given in parts. */
void sotto_hkdf_sha256_expandv(const struct sotto_secret32 *prk, const struct sotto_bytes *info,
                               size_t count, void *ret, size_t ret_len);
void sotto_hkdf_sha512_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
                               uint8_t ret_prk[64]);
void sotto_hkdf_sha512_expand(const uint8_t prk[64], const void *info, size_t info_len, void *ret,
                              size_t ret_len);

#endif
