/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "people.h"
#include "vectors.h"

static struct sotto_env_fixed fixed;
static struct person alice, bob;

static int setup(void **state)
{
    sotto_env_fixed_init(&fixed, (const uint8_t[32]){"safety"}, PEOPLE_NOW_MS);
    person_make(&fixed.env, "alice", &alice);
    person_make(&fixed.env, "bob", &bob);
    return 0;
}

/* Signal's numeric fingerprint: the digits only, as the QR code's layout is theirs. */
static size_t fingerprints(json_t *root)
{
    json_t *t;
    size_t i;

    json_array_foreach(root, i, t)
    {
        struct vec id[2] = {vec_hex(t, "local_id"), vec_hex(t, "remote_id")};
        struct vec key[2] = {vec_hex(t, "local_identity_key"), vec_hex(t, "remote_identity_key")};
        uint32_t n = (uint32_t)vec_int(t, "iterations");
        char side[2][31] = {{0}, {0}}, both[61] = {0};
        int first;

        for (int s = 0; s < 2; s++)
            sotto_fingerprint(id[s].p, id[s].n, key[s].p, key[s].n, n, side[s]);
        first = strcmp(side[0], side[1]) <= 0 ? 0 : 1;
        strcat(strcat(both, side[first]), side[1 - first]);
        if (strcmp(both, vec_string(t, "displayable")) != 0)
            vec_fail(t, both);
    }
    return i;
}

static void fingerprint_vectors(void **state)
{
    /* signal/ratchet.json is not run: its chain and message keys are under the labels of another
     * protocol, and what it shares with ours (HMAC, HKDF, X25519) has vectors of its own. */
    vectors_run("signal/fingerprint-generated.json", 6, 30, fingerprints);
    vectors_run_full("signal/fingerprint.json", 3, fingerprints);
}

static void safety_number_is_the_same_on_both_sides(void **state)
{
    char ab[SOTTO_SAFETY_NUMBER], ba[SOTTO_SAFETY_NUMBER];

    memset(ab, 'x', sizeof ab);
    sotto_safety_number(&alice.account, &bob.account, ab);
    sotto_safety_number(&bob.account, &alice.account, ba);
    assert_string_equal(ab, ba);
    assert_int_equal(strlen(ab), SOTTO_SAFETY_NUMBER - 1);
    for (size_t i = 0; i < SOTTO_SAFETY_NUMBER - 1; i++) {
        if (i % 6 == 5)
            assert_int_equal(ab[i], ' ');
        else
            assert_in_range(ab[i], '0', '9');
    }
    sotto_safety_number(&alice.account, &alice.account, ab);
    assert_memory_equal(ab, ab + 36, 35);
}

/* It is over relay, name and key: exchange any of the three, and the number is another one. */
static void safety_number_names_relay_name_and_key(void **state)
{
    struct sotto_account other[4];
    char number[5][SOTTO_SAFETY_NUMBER];

    for (int i = 0; i < 4; i++)
        other[i] = bob.account;
    other[0].relay_id[31] ^= 1;
    strcpy(other[1].name, "bobby");
    other[2].key[0] ^= 1;
    other[3].name[0] = 0; /* the name is not simply glued to the id */
    for (int i = 0; i < 4; i++)
        sotto_safety_number(&alice.account, &other[i], number[i]);
    sotto_safety_number(&alice.account, &bob.account, number[4]);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < i; j++)
            assert_string_not_equal(number[i], number[j]);
    }
}

/* Computed apart from this code: libsodium's Argon2id and base32 of another language. */
static void link_code_known_answer(void **state)
{
    struct sotto_account account = {.name = "alice"};
    uint8_t entry[SOTTO_ENTRY_BYTES];
    char code[SOTTO_LINK_CODE + 1];

    memset(account.relay_id, 0x11, 32);
    for (int i = 0; i < 32; i++)
        account.key[i] = (uint8_t)i;
    for (int i = 0; i < SOTTO_ENTRY_BYTES; i++)
        entry[i] = (uint8_t)(7 * i);
    assert_int_equal(sotto_link_code(&account, entry, code), 0);
    assert_string_equal(code, "WDQX-G3LG");
}

static void link_code_names_the_account_and_the_device(void **state)
{
    char code[4][SOTTO_LINK_CODE + 1];
    struct sotto_account other = alice.account;
    uint8_t entry[SOTTO_ENTRY_BYTES];

    assert_int_equal(sotto_link_code(&alice.account, alice.entry, code[0]), 0);
    assert_int_equal(sotto_link_code(&alice.account, alice.entry, code[1]), 0);
    assert_string_equal(code[0], code[1]);
    assert_int_equal(strlen(code[0]), SOTTO_LINK_CODE);
    for (int i = 0; i < SOTTO_LINK_CODE; i++) {
        if (i == 4)
            assert_int_equal(code[0][i], '-');
        else
            assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", code[0][i]));
    }
    memcpy(entry, alice.entry, sizeof entry);
    entry[sizeof entry - 1] ^= 1;
    assert_int_equal(sotto_link_code(&alice.account, entry, code[1]), 0);
    other.relay_id[0] ^= 1;
    assert_int_equal(sotto_link_code(&other, alice.entry, code[2]), 0);
    assert_int_equal(sotto_link_code(&bob.account, alice.entry, code[3]), 0);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++)
            assert_string_not_equal(code[i], code[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fingerprint_vectors, setup),
        cmocka_unit_test_setup(safety_number_is_the_same_on_both_sides, setup),
        cmocka_unit_test_setup(safety_number_names_relay_name_and_key, setup),
        cmocka_unit_test_setup(link_code_known_answer, setup),
        cmocka_unit_test_setup(link_code_names_the_account_and_the_device, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
