/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_AEAD_H
#define SOTTO_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

/* AES-256-GCM (NIST SP 800-38D), 12-byte nonce, 16-byte tag. No allocation per call. */
#define SOTTO_AEAD_NONCE 12
#define SOTTO_AEAD_TAG   16

/* ret gets len + SOTTO_AEAD_TAG bytes: ciphertext, then tag. ret == text is fine. NOMEM, BUG. */
enum sotto_err sotto_aead_seal(const struct sotto_secret32 *key,
                               const uint8_t nonce[SOTTO_AEAD_NONCE], const void *ad, size_t ad_len,
                               const void *text, size_t len, uint8_t *ret);
/* len counts the tag; ret gets len - SOTTO_AEAD_TAG bytes. BAD_TAG: ret holds nothing of the
 * text (zeroes). TRUNCATED: shorter than a tag. ret == ct is fine. */
enum sotto_err sotto_aead_open(const struct sotto_secret32 *key,
                               const uint8_t nonce[SOTTO_AEAD_NONCE], const void *ad, size_t ad_len,
                               const void *ct, size_t len, uint8_t *ret);

#endif
