/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_PADDING_H
#define SOTTO_E2EE_PADDING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Inside the encryption: content || 0x80 || zeroes, up to sotto_padded(len) bytes, so that who
 * sees the length learns its order of magnitude and about five bits more.
 */

/* The padded length of len bytes of content. */
size_t sotto_padded(size_t len);
/* ret gets sotto_padded(len) bytes. */
void sotto_pad(const void *content, size_t len, uint8_t *ret);
/* The length of the content in len padded bytes. MALFORMED: not what sotto_pad() makes. */
enum sotto_err sotto_unpad(const uint8_t *padded, size_t len, size_t *ret_len);

#endif
