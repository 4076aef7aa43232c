/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/init.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/log.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_once(void)
{
    if (sodium_init() < 0) {
        sotto_log_bug("libsodium cannot be initialised");
        abort();
    }
}

void sotto_crypto_init(void)
{
    (void)pthread_once(&once, init_once);
}
