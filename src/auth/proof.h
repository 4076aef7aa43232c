/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_AUTH_PROOF_H
#define SOTTO_AUTH_PROOF_H

#include "crypto/sign.h"

/* 32 bytes of the TLS exporter (RFC 9266 label "EXPORTER-Channel-Binding", no context): what ties a
 * proof to one connection, so that it cannot be passed on. */
#define SOTTO_EXPORTER 32

/*
 * Device proof: Ed25519 by the device key, purpose "device proof", over exporter 32 | relay id 32 |
 * field8 name | u64 device | lease 16.
 */
enum sotto_err sotto_proof_sign(const struct sotto_sign_pair *device_key,
                                const uint8_t exporter[SOTTO_EXPORTER], const uint8_t relay_id[32],
                                const char *name, uint64_t device, const uint8_t lease[16],
                                uint8_t ret[SOTTO_SIGNATURE]);
/* BAD_SIGNATURE. */
enum sotto_err sotto_proof_verify(const uint8_t device_pub[32],
                                  const uint8_t exporter[SOTTO_EXPORTER],
                                  const uint8_t relay_id[32], const char *name, uint64_t device,
                                  const uint8_t lease[16], const uint8_t proof[SOTTO_SIGNATURE]);
/* By the account key, purpose "delete account", over exporter | relay id | field8 name. */
enum sotto_err sotto_delete_proof_sign(const struct sotto_sign_pair *account_key,
                                       const uint8_t exporter[SOTTO_EXPORTER],
                                       const uint8_t relay_id[32], const char *name,
                                       uint8_t ret[SOTTO_SIGNATURE]);
enum sotto_err sotto_delete_proof_verify(const uint8_t account_pub[32],
                                         const uint8_t exporter[SOTTO_EXPORTER],
                                         const uint8_t relay_id[32], const char *name,
                                         const uint8_t proof[SOTTO_SIGNATURE]);

#endif
