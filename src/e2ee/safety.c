/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "crypto/kdf.h"
#include "crypto/pwhash.h"
#include "e2ee/identity.h"

enum {
    SIDE_DIGITS = 30,
    GROUP_DIGITS = 5,
    GROUPS = 2 * SIDE_DIGITS / GROUP_DIGITS,
    ITERATIONS = 5200,
    LINK_CODE_MEM_KIB = 64 * 1024,
    LINK_CODE_PASSES = 3,
};

void sotto_fingerprint(const void *id, size_t id_len, const void *key, size_t key_len,
                       uint32_t iterations, char ret[30])
{
    static const uint8_t version[2] = {0, 0};
    const struct sotto_bytes first[] = {
        {version, sizeof version}, {key, key_len}, {id, id_len}, {key, key_len}};
    uint8_t hash[64];
    const struct sotto_bytes next[] = {{hash, sizeof hash}, {key, key_len}};

    sotto_sha512v(first, 4, hash);
    for (uint32_t i = 1; i < iterations; i++)
        sotto_sha512v(next, 2, hash);
    for (size_t g = 0; g < SIDE_DIGITS / GROUP_DIGITS; g++) {
        const uint8_t *p = hash + g * 5;
        uint32_t v = (uint32_t)(((uint64_t)p[0] << 32 | sotto_get_u32(p + 1)) % 100000);

        for (size_t d = GROUP_DIGITS; d-- > 0; v /= 10)
            ret[g * GROUP_DIGITS + d] = (char)('0' + v % 10);
    }
}

static void account_fingerprint(const struct sotto_account *a, char ret[SIDE_DIGITS])
{
    uint8_t id[32 + SOTTO_NAME_MAX];
    size_t name_len = strnlen(a->name, SOTTO_NAME_MAX);

    memcpy(id, a->relay_id, 32);
    memcpy(id + 32, a->name, name_len);
    sotto_fingerprint(id, 32 + name_len, a->key, sizeof a->key, ITERATIONS, ret);
}

void sotto_safety_number(const struct sotto_account *a, const struct sotto_account *b,
                         char ret[SOTTO_SAFETY_NUMBER])
{
    char sides[2][SIDE_DIGITS], digits[2 * SIDE_DIGITS];
    int a_first;

    account_fingerprint(a, sides[0]);
    account_fingerprint(b, sides[1]);
    a_first = memcmp(sides[0], sides[1], SIDE_DIGITS) <= 0;
    memcpy(digits, sides[a_first ? 0 : 1], SIDE_DIGITS);
    memcpy(digits + SIDE_DIGITS, sides[a_first ? 1 : 0], SIDE_DIGITS);
    for (size_t g = 0; g < GROUPS; g++) {
        memcpy(ret + g * (GROUP_DIGITS + 1), digits + g * GROUP_DIGITS, GROUP_DIGITS);
        ret[g * (GROUP_DIGITS + 1) + GROUP_DIGITS] = g + 1 < GROUPS ? ' ' : 0;
    }
}

enum sotto_err sotto_link_code(const struct sotto_account *account,
                               const uint8_t entry[SOTTO_ENTRY_BYTES],
                               char ret[SOTTO_LINK_CODE + 1])
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    static const uint8_t salt[16] = {'s', 'o', 't', 't', 'o', '/', '1', ' ',
                                     'l', 'i', 'n', 'k', 'c', 'o', 'd', 'e'};
    uint8_t input[SOTTO_ACCOUNT_MAX + SOTTO_ENTRY_BYTES], hash[16];
    struct sotto_writer w;
    uint64_t bits;
    enum sotto_err e;

    sotto_writer_init(&w, input, sizeof input);
    sotto_account_write(&w, account);
    sotto_write_bytes(&w, entry, SOTTO_ENTRY_BYTES);
    e = sotto_pwhash(input, w.len, salt, LINK_CODE_MEM_KIB, LINK_CODE_PASSES, hash, sizeof hash);
    if (e != 0)
        return e;
    bits = (uint64_t)sotto_get_u32(hash) << 8 | hash[4]; /* 40 bits: 8 characters of 5 */
    for (size_t i = 0, at = 0; i < 8; i++) {
        if (i == 4)
            ret[at++] = '-';
        ret[at++] = base32[bits >> (35 - 5 * i) & 31];
    }
    ret[SOTTO_LINK_CODE] = 0;
    return SOTTO_OK;
}
