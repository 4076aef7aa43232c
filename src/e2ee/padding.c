/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/padding.h"

#include <string.h>

#include "e2ee/session.h"

enum { MARK = 0x80 };

static unsigned log2_floor(size_t v)
{
    unsigned n = 0;

    while (v >>= 1)
        n++;
    return n;
}

/* Algorithm 1 of the paper: keep floor(log2(floor(log2 len))) + 1 bits of the mantissa. */
size_t sotto_padme(size_t len, size_t min)
{
    size_t mask = 0;

    if (len > 1) {
        unsigned exponent = log2_floor(len), kept = log2_floor(exponent) + 1;

        if (exponent > kept)
            mask = ((size_t)1 << (exponent - kept)) - 1;
    }
    if (len > SIZE_MAX - mask)
        return len;
    len = (len + mask) & ~mask;
    return len < min ? min : len;
}

size_t sotto_padded(size_t len)
{
    return sotto_padme(len + 1, SOTTO_PADDED_MIN);
}

void sotto_pad(const void *content, size_t len, uint8_t *ret)
{
    if (len > 0)
        memmove(ret, content, len);
    ret[len] = MARK;
    memset(ret + len + 1, 0, sotto_padded(len) - len - 1);
}

enum sotto_err sotto_unpad(const uint8_t *padded, size_t len, size_t *ret_len)
{
    size_t n = len;

    while (n > 0 && padded[n - 1] == 0)
        n--;
    if (n == 0 || padded[n - 1] != MARK || sotto_padded(n - 1) != len)
        return SOTTO_ERR_MALFORMED;
    *ret_len = n - 1;
    return SOTTO_OK;
}
