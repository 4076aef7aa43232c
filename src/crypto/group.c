/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/group.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/init.h"
#include "crypto/kdf.h"

enum { WIDE = 64, HASH = 64, HASH_BLOCK = 128, DST_MAX = 255 };

void sotto_scalar_wipe(struct sotto_scalar *s)
{
    sotto_wipe(s, sizeof *s);
}

enum sotto_err sotto_scalar_random(const struct sotto_env *env, struct sotto_scalar *ret)
{
    uint8_t wide[WIDE];
    struct sotto_scalar s;
    enum sotto_err e;

    sotto_crypto_init();
    do {
        /* 512 bits reduced modulo the order: no bias that could be noticed (RFC 9497 4.7.2). */
        if ((e = sotto_random(env, wide, sizeof wide)) != 0)
            return e;
        crypto_core_ristretto255_scalar_reduce(s.b, wide);
    } while (sotto_is_zero(s.b, sizeof s.b));
    *ret = s;
    sotto_wipe(wide, sizeof wide);
    sotto_scalar_wipe(&s);
    return SOTTO_OK;
}

/*
 * expand_message_xmd of RFC 9380 section 5.3.1 with SHA-512 and one block of output:
 * b_0 = H(Z_pad || msg || len || 0 || DST'), b_1 = H(b_0 || 1 || DST').
 */
static void expand(const void *data, size_t len, const void *dst, size_t dst_len, uint8_t ret[WIDE])
{
    static const uint8_t z_pad[HASH_BLOCK], len_and_zero[3] = {0, WIDE, 0}, one = 1;
    static const char oversize[] = "H2C-OVERSIZE-DST-";
    uint8_t b_0[HASH], long_dst[HASH], dst_size;
    struct sotto_bytes d = {dst, dst_len};

    if (dst_len > DST_MAX) { /* section 5.3.3 */
        const struct sotto_bytes parts[] = {{(const uint8_t *)oversize, sizeof oversize - 1}, d};

        sotto_sha512v(parts, 2, long_dst);
        d = (struct sotto_bytes){long_dst, sizeof long_dst};
    }
    dst_size = (uint8_t)d.n;
    sotto_sha512v((const struct sotto_bytes[]){{z_pad, sizeof z_pad},
                                               {data, len},
                                               {len_and_zero, sizeof len_and_zero},
                                               d,
                                               {&dst_size, 1}},
                  5, b_0);
    sotto_sha512v((const struct sotto_bytes[]){{b_0, sizeof b_0}, {&one, 1}, d, {&dst_size, 1}}, 4,
                  ret);
    sotto_wipe(b_0, sizeof b_0);
}

void sotto_scalar_hash(const void *data, size_t len, const void *dst, size_t dst_len,
                       struct sotto_scalar *ret)
{
    uint8_t wide[WIDE];

    sotto_crypto_init();
    expand(data, len, dst, dst_len, wide);
    crypto_core_ristretto255_scalar_reduce(ret->b, wide);
    sotto_wipe(wide, sizeof wide);
}

enum sotto_err sotto_group_hash(const void *data, size_t len, const void *dst, size_t dst_len,
                                uint8_t ret[SOTTO_GROUP_ELEMENT])
{
    uint8_t wide[WIDE], element[SOTTO_GROUP_ELEMENT];
    enum sotto_err e = SOTTO_OK;

    sotto_crypto_init();
    expand(data, len, dst, dst_len, wide);
    (void)crypto_core_ristretto255_from_hash(element, wide); /* always 0 */
    if (sotto_is_zero(element, sizeof element))
        e = SOTTO_ERR_BAD_KEY;
    else
        memcpy(ret, element, sizeof element);
    sotto_wipe(wide, sizeof wide);
    sotto_wipe(element, sizeof element);
    return e;
}

void sotto_scalar_invert(const struct sotto_scalar *s, struct sotto_scalar *ret)
{
    struct sotto_scalar r;

    sotto_crypto_init();
    /* Its -1 stands for zero, whose "inverse" is zero. */
    (void)crypto_core_ristretto255_scalar_invert(r.b, s->b);
    *ret = r;
    sotto_scalar_wipe(&r);
}

enum sotto_err sotto_group_mul(const struct sotto_scalar *s,
                               const uint8_t element[SOTTO_GROUP_ELEMENT],
                               uint8_t ret[SOTTO_GROUP_ELEMENT])
{
    uint8_t r[SOTTO_GROUP_ELEMENT];
    enum sotto_err e = SOTTO_ERR_BAD_KEY;

    sotto_crypto_init();
    if (!sotto_is_zero(element, SOTTO_GROUP_ELEMENT) &&
        crypto_scalarmult_ristretto255(r, s->b, element) == 0) {
        memcpy(ret, r, sizeof r);
        e = SOTTO_OK;
    }
    sotto_wipe(r, sizeof r);
    return e;
}

void sotto_group_mul_base(const struct sotto_scalar *s, uint8_t ret[SOTTO_GROUP_ELEMENT])
{
    uint8_t r[SOTTO_GROUP_ELEMENT];

    sotto_crypto_init();
    (void)crypto_scalarmult_ristretto255_base(r, s->b); /* its -1: s was zero, r is the identity */
    memcpy(ret, r, sizeof r);
    sotto_wipe(r, sizeof r);
}
