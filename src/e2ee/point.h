/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_POINT_H
#define SOTTO_E2EE_POINT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Is this X25519 public key one of the points of small order (on the curve or its twist, in
 * any encoding)? An agreement with one has the same result for every private key, so sotto_dh()
 * refuses it; this says so without the cost of an agreement, when a list or a pre-key comes in.
 * For public values: not constant time.
 */
bool sotto_point_low_order(const uint8_t pub[32]);

#endif
