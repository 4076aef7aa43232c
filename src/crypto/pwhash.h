/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_PWHASH_H
#define SOTTO_CRYPTO_PWHASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Argon2id, RFC 9106, one lane. mem in KiB, 8..1048576; passes 1..16; ret 16..64 bytes.
 * NOMEM when mem cannot be had; USAGE outside the limits. */
enum sotto_err sotto_pwhash(const void *password, size_t password_len, const uint8_t salt[16],
                            uint32_t mem_kib, uint32_t passes, void *ret, size_t ret_len);

#endif
