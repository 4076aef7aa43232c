/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pwhash.h"

#include <sodium.h>
#include <string.h>

#include "base/secret.h"
#include "crypto/init.h"

enum {
    MEM_MIN_KIB = 8,
    MEM_MAX_KIB = 1 << 20,
    PASSES_MAX = 16,
    OUT_MIN = 16,
    OUT_MAX = 64,
};

_Static_assert(crypto_pwhash_argon2id_SALTBYTES == 16, "salt");

enum sotto_err sotto_pwhash(const void *password, size_t password_len, const uint8_t salt[16],
                            uint32_t mem_kib, uint32_t passes, void *ret, size_t ret_len)
{
    uint8_t out[OUT_MAX];
    int r;

    if (mem_kib < MEM_MIN_KIB || mem_kib > MEM_MAX_KIB || passes < 1 || passes > PASSES_MAX ||
        ret_len < OUT_MIN || ret_len > OUT_MAX || password_len > crypto_pwhash_argon2id_PASSWD_MAX)
        return SOTTO_ERR_USAGE;
    sotto_crypto_init();
    r = crypto_pwhash_argon2id(out, ret_len, password_len > 0 ? password : "", password_len, salt,
                               passes, (size_t)mem_kib * 1024,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13);
    if (r == 0)
        memcpy(ret, out, ret_len);
    sotto_wipe(out, sizeof out);
    /* With every argument checked above, only the memory can be missing. */
    return r == 0 ? SOTTO_OK : SOTTO_ERR_NOMEM;
}
