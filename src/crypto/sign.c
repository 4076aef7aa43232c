/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sign.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/init.h"

static const char prefix[] = "sotto/1 ";

enum {
    PURPOSE_MAX = 64,
    FRAME_MAX = sizeof prefix - 1 + PURPOSE_MAX + 1,
    ON_STACK = 4096, /* messages up to this size need no memory */
};

/* prefix || purpose || NUL || data, in room where it fits, else in memory of its own. Ed25519 reads
 * the message twice, so it must lie in one piece. */
static enum sotto_err frame(const char *purpose, const void *data, size_t len,
                            uint8_t room[FRAME_MAX + ON_STACK], uint8_t **ret, size_t *ret_len)
{
    size_t purpose_len = strlen(purpose), total;
    struct sotto_writer w;
    uint8_t *p = room;

    if (purpose_len == 0 || purpose_len > PURPOSE_MAX) {
        sotto_log_bug("signature purpose of %zu bytes", purpose_len);
        return SOTTO_ERR_BUG;
    }
    if (len > SIZE_MAX - FRAME_MAX)
        return SOTTO_ERR_NOMEM;
    if (len > ON_STACK && (p = malloc(FRAME_MAX + len)) == NULL)
        return SOTTO_ERR_NOMEM;
    sotto_writer_init(&w, p, FRAME_MAX + (len > ON_STACK ? len : ON_STACK));
    sotto_write_bytes(&w, prefix, sizeof prefix - 1);
    sotto_write_bytes(&w, purpose, purpose_len + 1);
    sotto_write_bytes(&w, data, len);
    (void)sotto_writer_done(&w, &total); /* it has room */
    *ret = p;
    *ret_len = total;
    return SOTTO_OK;
}

enum sotto_err sotto_sign_generate(const struct sotto_env *env, struct sotto_sign_pair *ret)
{
    struct sotto_secret32 seed SOTTO_WIPED = {0};
    enum sotto_err e = sotto_random(env, seed.b, sizeof seed.b);

    if (e == 0)
        sotto_sign_from_seed(&seed, ret);
    return e;
}

void sotto_sign_from_seed(const struct sotto_secret32 *seed, struct sotto_sign_pair *ret)
{
    uint8_t sk[crypto_sign_SECRETKEYBYTES], pub[32];

    sotto_crypto_init();
    (void)crypto_sign_seed_keypair(pub, sk, seed->b); /* always 0 */
    sotto_wipe(sk, sizeof sk);
    ret->seed = *seed;
    memcpy(ret->pub, pub, sizeof pub);
}

void sotto_sign_pair_wipe(struct sotto_sign_pair *p)
{
    sotto_wipe(p, sizeof *p);
}

enum sotto_err sotto_sign_raw(const struct sotto_sign_pair *key, const void *data, size_t len,
                              uint8_t ret_sig[SOTTO_SIGNATURE])
{
    uint8_t sk[crypto_sign_SECRETKEYBYTES];

    sotto_crypto_init();
    memcpy(sk, key->seed.b, 32);
    memcpy(sk + 32, key->pub, 32);
    (void)crypto_sign_detached(ret_sig, NULL, data, len, sk); /* always 0 */
    sotto_wipe(sk, sizeof sk);
    return SOTTO_OK;
}

enum sotto_err sotto_sign_verify_raw(const uint8_t pub[32], const void *data, size_t len,
                                     const uint8_t sig[SOTTO_SIGNATURE])
{
    sotto_crypto_init();
    return crypto_sign_verify_detached(sig, data, len, pub) == 0 ? SOTTO_OK
                                                                 : SOTTO_ERR_BAD_SIGNATURE;
}

enum sotto_err sotto_sign(const struct sotto_sign_pair *key, const char *purpose, const void *data,
                          size_t len, uint8_t ret_sig[SOTTO_SIGNATURE])
{
    uint8_t room[FRAME_MAX + ON_STACK], *p;
    size_t n;
    enum sotto_err e = frame(purpose, data, len, room, &p, &n);

    if (e != 0)
        return e;
    e = sotto_sign_raw(key, p, n, ret_sig);
    if (p != room)
        free(p);
    return e;
}

enum sotto_err sotto_sign_verify(const uint8_t pub[32], const char *purpose, const void *data,
                                 size_t len, const uint8_t sig[SOTTO_SIGNATURE])
{
    uint8_t room[FRAME_MAX + ON_STACK], *p;
    size_t n;
    enum sotto_err e = frame(purpose, data, len, room, &p, &n);

    if (e != 0)
        return e;
    e = sotto_sign_verify_raw(pub, p, n, sig);
    if (p != room)
        free(p);
    return e;
}
