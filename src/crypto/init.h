/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_INIT_H
#define SOTTO_CRYPTO_INIT_H

/* Inside src/crypto only. Lets libsodium pick the implementations for this processor: without it
 * everything works, but slower. Any thread, any number of times; ends the process when libsodium
 * cannot start, because nothing could be right after that. */
void sotto_crypto_init(void);

#endif
