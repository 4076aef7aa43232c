/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agreement is libsodium's, or OpenSSL's where the processor makes that the faster one (see
 * dh_adx.c); what libsodium says about a point decides.
 *
 * A public key is a multiple of the base point, for which libsodium has a table on the Edwards
 * form of the curve (its crypto_scalarmult_base() uses the slow ladder). RFC 7748 section 4.1 maps
 * the result to X25519: u = (1 + y) / (1 - y). That arithmetic is below; its input and output are
 * public, so it need not be constant-time (it is all the same).
 */
#include "crypto/dh.h"

#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "crypto/dh_adx.h"
#include "crypto/init.h"

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 u128;

/* Numbers modulo p = 2^255 - 19: the sum of v[i] * 2^(51 i). Results have limbs below 2^52;
 * multiplication takes limbs below 2^54. */
struct fe {
    uint64_t v[5];
};

static const uint64_t MASK51 = ((uint64_t)1 << 51) - 1;

static uint64_t load64_le(const uint8_t *p)
{
    uint64_t r = 0;

    for (int i = 7; i >= 0; i--)
        r = r << 8 | p[i];
    return r;
}

/* The top bit (of y: the sign of x) is left out. */
static struct fe fe_load(const uint8_t b[32])
{
    return (struct fe){{
        load64_le(b) & MASK51,
        load64_le(b + 6) >> 3 & MASK51,
        load64_le(b + 12) >> 6 & MASK51,
        load64_le(b + 19) >> 1 & MASK51,
        load64_le(b + 24) >> 12 & MASK51,
    }};
}

/*
 * Makes limbs of sums of products. 2^255 = 19 modulo p: what runs over the top limb comes back at
 * the bottom, 19-fold. Two rounds with all limbs at once are faster than one carry that ripples.
 */
static struct fe fe_carry(u128 t0, u128 t1, u128 t2, u128 t3, u128 t4)
{
    uint64_t v0 = ((uint64_t)t0 & MASK51) + (uint64_t)(t4 >> 51) * 19;
    uint64_t v1 = ((uint64_t)t1 & MASK51) + (uint64_t)(t0 >> 51);
    uint64_t v2 = ((uint64_t)t2 & MASK51) + (uint64_t)(t1 >> 51);
    uint64_t v3 = ((uint64_t)t3 & MASK51) + (uint64_t)(t2 >> 51);
    uint64_t v4 = ((uint64_t)t4 & MASK51) + (uint64_t)(t3 >> 51);

    return (struct fe){{
        (v0 & MASK51) + (v4 >> 51) * 19,
        (v1 & MASK51) + (v0 >> 51),
        (v2 & MASK51) + (v1 >> 51),
        (v3 & MASK51) + (v2 >> 51),
        (v4 & MASK51) + (v3 >> 51),
    }};
}

static struct fe fe_mul(struct fe x, struct fe y)
{
    const uint64_t *a = x.v, *b = y.v;
    uint64_t b1 = b[1] * 19, b2 = b[2] * 19, b3 = b[3] * 19, b4 = b[4] * 19;

    return fe_carry(
        (u128)a[0] * b[0] + (u128)a[1] * b4 + (u128)a[2] * b3 + (u128)a[3] * b2 + (u128)a[4] * b1,
        (u128)a[0] * b[1] + (u128)a[1] * b[0] + (u128)a[2] * b4 + (u128)a[3] * b3 + (u128)a[4] * b2,
        (u128)a[0] * b[2] + (u128)a[1] * b[1] + (u128)a[2] * b[0] + (u128)a[3] * b4 +
            (u128)a[4] * b3,
        (u128)a[0] * b[3] + (u128)a[1] * b[2] + (u128)a[2] * b[1] + (u128)a[3] * b[0] +
            (u128)a[4] * b4,
        (u128)a[0] * b[4] + (u128)a[1] * b[3] + (u128)a[2] * b[2] + (u128)a[3] * b[1] +
            (u128)a[4] * b[0]);
}

/* n times squared. */
static struct fe fe_square(struct fe x, int n)
{
    uint64_t *a = x.v;

    while (n-- > 0) {
        uint64_t d0 = a[0] * 2, d1 = a[1] * 2, d2 = a[2] * 2, c3 = a[3] * 19, c4 = a[4] * 19;

        x = fe_carry((u128)a[0] * a[0] + (u128)d1 * c4 + (u128)d2 * c3,
                     (u128)d0 * a[1] + (u128)d2 * c4 + (u128)a[3] * c3,
                     (u128)d0 * a[2] + (u128)a[1] * a[1] + (u128)a[3] * 2 * c4,
                     (u128)d0 * a[3] + (u128)d1 * a[2] + (u128)a[4] * c4,
                     (u128)d0 * a[4] + (u128)d1 * a[3] + (u128)a[2] * a[2]);
    }
    return x;
}

/* 1/z = z^(p - 2) = z^(2^255 - 21); zn below is z^(2^n - 1). */
static struct fe fe_invert(struct fe z)
{
    struct fe z_2 = fe_square(z, 1), z_9 = fe_mul(fe_square(z_2, 2), z), z_11 = fe_mul(z_9, z_2);
    struct fe z5 = fe_mul(fe_square(z_11, 1), z_9);
    struct fe z10 = fe_mul(fe_square(z5, 5), z5);
    struct fe z20 = fe_mul(fe_square(z10, 10), z10);
    struct fe z40 = fe_mul(fe_square(z20, 20), z20);
    struct fe z50 = fe_mul(fe_square(z40, 10), z10);
    struct fe z100 = fe_mul(fe_square(z50, 50), z50);
    struct fe z200 = fe_mul(fe_square(z100, 100), z100);
    struct fe z250 = fe_mul(fe_square(z200, 50), z50);

    return fe_mul(fe_square(z250, 5), z_11);
}

static void fe_store(struct fe x, uint8_t ret[32])
{
    uint64_t *v = x.v, q = 19;

    x = fe_carry(v[0], v[1], v[2], v[3], v[4]);
    /* q becomes 1 when the number is p or more: adding 19 then runs over 2^255. */
    for (int i = 0; i < 5; i++)
        q = (v[i] + q) >> 51;
    v[0] += 19 * q;
    for (int i = 0; i < 4; i++) {
        v[i + 1] += v[i] >> 51;
        v[i] &= MASK51;
    }
    v[4] &= MASK51;
    for (int i = 0; i < 32; i++) {
        int bit = 8 * i, limb = bit / 51, shift = bit % 51;
        uint64_t b = v[limb] >> shift;

        if (shift > 43 && limb < 4)
            b |= v[limb + 1] << (51 - shift);
        ret[i] = (uint8_t)b;
    }
}

static bool public_of(const uint8_t priv[32], uint8_t ret[32])
{
    struct fe y, above, below;
    uint8_t point[32];

    /* Clamps as X25519 does. Its -1 stands for the neutral element (no clamped number is a
     * multiple of eight times the order) and for an all-zero input, which gives a point too. */
    if (crypto_scalarmult_ed25519_base(point, priv) != 0 && !sotto_is_zero(priv, 32))
        return false;
    y = fe_load(point);
    above = below = y;
    above.v[0] += 1;
    for (int i = 0; i < 5; i++) /* 1 - y + 2p */
        below.v[i] = 2 * (MASK51 - (i == 0 ? 18 : 0)) + (i == 0 ? 1 : 0) - y.v[i];
    fe_store(fe_mul(above, fe_invert(below)), ret);
    return true;
}
#else
static bool public_of(const uint8_t priv[32], uint8_t ret[32])
{
    return crypto_scalarmult_base(ret, priv) == 0;
}
#endif

enum sotto_err sotto_dh_from_private(const struct sotto_secret32 *priv, struct sotto_dh_pair *ret)
{
    uint8_t pub[32];

    sotto_crypto_init();
    if (!public_of(priv->b, pub)) {
        sotto_log_bug("X25519: no public key");
        return SOTTO_ERR_BUG;
    }
    ret->priv = *priv;
    memcpy(ret->pub, pub, sizeof pub);
    return SOTTO_OK;
}

enum sotto_err sotto_dh_generate(const struct sotto_env *env, struct sotto_dh_pair *ret)
{
    struct sotto_secret32 priv SOTTO_WIPED = {0};
    enum sotto_err e = sotto_random(env, priv.b, sizeof priv.b);

    return e != 0 ? e : sotto_dh_from_private(&priv, ret);
}

enum sotto_err sotto_dh(const struct sotto_dh_pair *ours, const uint8_t theirs[32],
                        struct sotto_secret32 *ret)
{
    struct sotto_secret32 k SOTTO_WIPED = {0};

    sotto_crypto_init();
    if (!sotto_dh_adx(ours, theirs, k.b) && crypto_scalarmult(k.b, ours->priv.b, theirs) != 0)
        return SOTTO_ERR_BAD_KEY;
    *ret = k;
    return SOTTO_OK;
}

void sotto_dh_pair_wipe(struct sotto_dh_pair *p)
{
    sotto_wipe(p, sizeof *p);
}
