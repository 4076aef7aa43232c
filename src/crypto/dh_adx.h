/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_DH_ADX_H
#define SOTTO_CRYPTO_DH_ADX_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/dh.h"

/*
 * Inside src/crypto only: X25519 by OpenSSL's code for processors with ADX and BMI2, a sixth faster
 * than libsodium's. False when that is not to be had here, and for every refusal (low-order points
 * among them): the caller asks libsodium then. No allocation after a thread's first call.
 */
bool sotto_dh_adx(const struct sotto_dh_pair *ours, const uint8_t theirs[32], uint8_t ret[32]);

#endif
