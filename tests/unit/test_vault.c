/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/vault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "crypto/kdf.h"
#include "vault_case.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const uint8_t seed[32] = "seed for the known-answer values";

/* What somebody can do who has the file but no key: the hash at the end is made right again. */
static void fix_hash(uint8_t *data, size_t len)
{
    sotto_sha256(data, len - 32, data + len - 32);
}

/* --- the whole way, at the real cost --- */

static void what_is_made_opens(void **state)
{
    static const char *const wrong[] = {
        "correct horse batterz", "correct horse batter", "correct horse battery ", "", "x",
        "Correct horse battery",
    };
    struct sotto_secret32 made, opened = {0};
    mode_t before = umask(0);
    uint8_t *a, *b;
    size_t n, m;

    assert_int_equal(sotto_vault_create(sotto_env_system(), vault_dir.path, VAULT_PASSPHRASE,
                                        strlen(VAULT_PASSPHRASE), &made),
                     0);
    umask(before);
    assert_int_equal(folder_count(&vault_dir), 2);
    assert_int_equal(file_mode(vault_copy(0)), 0600);
    assert_int_equal(file_mode(vault_copy(1)), 0600);
    a = file_read(vault_copy(0), &n);
    b = file_read(vault_copy(1), &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    assert_null(memmem(a, n, made.b, sizeof made.b));
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(vault_open_with(wrong[i], &opened), SOTTO_ERR_BAD_TAG);
        assert_true(sotto_is_zero(opened.b, 32));
    }
    assert_int_equal(vault_open_with(VAULT_PASSPHRASE, &opened), 0);
    assert_memory_equal(made.b, opened.b, 32);
    assert_int_equal(vault_said, 0);
    /* The cost that is promised is in the slot. */
    assert_int_equal(sotto_get_u32(a + 19), 64 * 1024);
    assert_int_equal(sotto_get_u32(a + 23), 3);
    free(a);
    free(b);
}

static void nothing_is_overwritten(void **state)
{
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    struct sotto_secret32 k = {0};
    size_t n = vault_put_both(1, data);

    for (int missing = 0; missing < 3; missing++) { /* 2: none is missing */
        vault_put_both(1, data);
        if (missing < 2)
            (void)unlink(vault_copy(missing));
        assert_int_equal(sotto_vault_create(sotto_env_system(), vault_dir.path, VAULT_PASSPHRASE,
                                            strlen(VAULT_PASSPHRASE), &k),
                         SOTTO_ERR_EXISTS);
        assert_true(sotto_is_zero(k.b, 32));
        n = vault_bytes(1, VAULT_PASSPHRASE, data); /* the size */
        assert_int_equal(folder_count(&vault_dir), missing < 2 ? 1 : 2);
        vault_opens();
    }
    assert_true(n > 0);
}

static void passphrases_have_limits(void **state)
{
    static char longest[SOTTO_VAULT_PASSPHRASE_MAX + 1];
    const struct {
        const char *text;
        size_t len;
    } cases[] = {
        {"", 0},
        {"1234567", 7},
        {"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 14}, /* 7 characters */
        {longest, sizeof longest},
    };
    struct sotto_secret32 k;

    memset(longest, 'x', sizeof longest);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(
            sotto_vault_create(sotto_env_system(), vault_dir.path, cases[i].text, cases[i].len, &k),
            SOTTO_ERR_USAGE);
        assert_int_equal(folder_count(&vault_dir), 0);
    }
    assert_int_equal(sotto_vault_create(sotto_env_system(), folder_file(&vault_dir, "none"),
                                        VAULT_PASSPHRASE, strlen(VAULT_PASSPHRASE), &k),
                     SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_vault_open(folder_file(&vault_dir, "none"), VAULT_PASSPHRASE, 8, &k),
                     SOTTO_ERR_NOT_FOUND);
    vault_refused(SOTTO_ERR_NOT_FOUND);
    /* The longest allowed, and bytes that are no text at all. */
    assert_int_equal(sotto_vault_create(sotto_env_system(), vault_dir.path, longest,
                                        SOTTO_VAULT_PASSPHRASE_MAX, &k),
                     0);
    assert_int_equal(sotto_vault_open(vault_dir.path, longest, SOTTO_VAULT_PASSPHRASE_MAX + 1, &k),
                     SOTTO_ERR_BAD_TAG);
    assert_int_equal(sotto_vault_open(vault_dir.path, longest, SOTTO_VAULT_PASSPHRASE_MAX, &k), 0);
}

/* --- the layout --- */

/* Computed from the comment in layout.h by another implementation (Python). */
static void bytes_are_as_documented(void **state)
{
    static const char want[] =
        "534f54544f564c5401010000000501010049010000004000000002031e6d5f47ccc66690ddcbd0b82ad4eede97"
        "ab13136fcbe9b711b176b76570a0e68057312ae63356024ad75b1e3f484925f9b2841bea2e7127c83235782276"
        "fef911a951c24e4b432b3e9a2e5debf8a1b03ef9855440faccdd2c49be2ed5b0180e6f8424fb6794237ca77775"
        "b40a21a78f2d12423b1c84392a4ae39e0974e2a2";
    static const char want_key[] =
        "4fb1556eb57d87fe98dd1cf1abb45cfecaa1e3cab60ab241b2aac32122dee8a6";
    static const struct sotto_vault_cost cost = {.mem_kib = 64, .passes = 2};
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    char hex[2 * SOTTO_VAULT_FILE_MAX + 1];
    struct sotto_env_fixed env;
    struct sotto_secret32 k;
    size_t n;

    sotto_env_fixed_init(&env, seed, 0);
    assert_int_equal(sotto_vault_seal(&env.env, &cost, VAULT_PASSPHRASE, strlen(VAULT_PASSPHRASE),
                                      vault_a_key(), 5, data, sizeof data, &n),
                     0);
    (void)sotto_hex_encode(data, n, hex);
    assert_string_equal(hex, want);
    sotto_vault_derive(vault_a_key(), "profile", &k);
    (void)sotto_hex_encode(k.b, 32, hex);
    assert_string_equal(hex, want_key);
    for (size_t room = 0; room < n; room++)
        assert_int_equal(sotto_vault_seal(&env.env, &vault_cheap, VAULT_PASSPHRASE,
                                          strlen(VAULT_PASSPHRASE), vault_a_key(), 5, data, room,
                                          &n),
                         SOTTO_ERR_TOO_LARGE);
}

static void derived_keys_differ(void **state)
{
    static const char *const purposes[] = {"mac",    "profile",  "certificate",
                                           "profil", "profile2", ""};
    struct sotto_secret32 k[COUNT(purposes) + 1];

    k[COUNT(purposes)] = *vault_a_key();
    for (size_t i = 0; i < COUNT(purposes); i++)
        sotto_vault_derive(vault_a_key(), purposes[i], &k[i]);
    for (size_t i = 0; i < COUNT(k); i++) {
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(k[i].b, k[j].b, 32);
    }
}

/* A vault with whatever slots a case wants, MAC and hash right. */
static size_t build(uint8_t version, uint8_t policy, const uint8_t *slots, size_t slots_len,
                    uint8_t count, uint8_t ret[SOTTO_VAULT_FILE_MAX + 1024])
{
    struct sotto_secret32 mac_key;
    struct sotto_writer w;
    uint8_t mac[32];

    sotto_writer_init(&w, ret, SOTTO_VAULT_FILE_MAX + 1024);
    sotto_write_bytes(&w, "SOTTOVLT", 8);
    sotto_write_u8(&w, version);
    sotto_write_u8(&w, policy);
    sotto_write_u32(&w, 1);
    sotto_write_u8(&w, count);
    sotto_write_bytes(&w, slots, slots_len);
    sotto_vault_derive(vault_a_key(), "mac", &mac_key);
    sotto_hmac_sha256(mac_key.b, 32, ret, w.len, mac);
    sotto_write_bytes(&w, mac, sizeof mac);
    (void)sotto_write_space(&w, 32);
    assert_int_equal(w.err, 0);
    fix_hash(ret, w.len);
    return w.len;
}

/* A passphrase slot with these fields and a wrapped key of zeroes. */
static size_t slot_bytes(uint8_t kdf, uint32_t mem, uint32_t passes, size_t extra, uint8_t *ret)
{
    struct sotto_writer w;

    sotto_writer_init(&w, ret, 1024);
    sotto_write_u8(&w, SOTTO_VAULT_SLOT_PASSPHRASE);
    sotto_write_u16(&w, (uint16_t)(73 + extra));
    sotto_write_u8(&w, kdf);
    sotto_write_u32(&w, mem);
    sotto_write_u32(&w, passes);
    memset(sotto_write_space(&w, 16 + 48 + extra), 0, 16 + 48 + extra);
    return w.len;
}

/* A manipulated file must cost neither memory nor hours. */
static void costs_are_bounded(void **state)
{
    static const struct {
        uint8_t kdf, slots;
        uint32_t mem, passes;
        size_t extra;
        enum sotto_err want;
    } cases[] = {
        {1, 1, 8, 1, 0, SOTTO_OK},
        {1, 1, 64 * 1024, 3, 0, SOTTO_OK},
        {1, 1, 1024 * 1024, 4, 0, SOTTO_OK},
        {1, 8, 128 * 1024, 4, 0, SOTTO_OK},
        {1, 1, 7, 1, 0, SOTTO_ERR_MALFORMED},
        {1, 1, 0, 1, 0, SOTTO_ERR_MALFORMED},
        {1, 1, 64 * 1024, 0, 0, SOTTO_ERR_MALFORMED},
        {1, 1, 64 * 1024, 17, 0, SOTTO_ERR_MALFORMED},
        {1, 1, 1024 * 1024 + 1, 1, 0, SOTTO_ERR_MALFORMED},
        {1, 1, 1024 * 1024, 5, 0, SOTTO_ERR_MALFORMED},
        {1, 8, 128 * 1024, 5, 0, SOTTO_ERR_MALFORMED},
        {1, 1, UINT32_MAX, 1, 0, SOTTO_ERR_MALFORMED},
        {1, 1, 8, UINT32_MAX, 0, SOTTO_ERR_MALFORMED},
        {1, 1, UINT32_MAX, UINT32_MAX, 0, SOTTO_ERR_MALFORMED},
        {1, 1, 64 * 1024, 3, 1, SOTTO_ERR_MALFORMED},
        {2, 1, 64 * 1024, 3, 0, SOTTO_ERR_NEWER},
        {2, 1, 0, 0, 9, SOTTO_ERR_NEWER},
        {1, 0, 64 * 1024, 3, 0, SOTTO_ERR_MALFORMED},
        {1, 9, 8, 1, 0, SOTTO_ERR_MALFORMED},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t slots[16 * 1024], data[SOTTO_VAULT_FILE_MAX + 1024];
        struct sotto_vault_file f;
        size_t n = 0, len;

        for (int k = 0; k < cases[i].slots; k++)
            n += slot_bytes(cases[i].kdf, cases[i].mem, cases[i].passes, cases[i].extra, slots + n);
        len = build(1, 1, slots, n, cases[i].slots, data);
        assert_int_equal(sotto_vault_parse(data, len, &f), cases[i].want);
    }
}

static void newer_vaults_are_left_alone(void **state)
{
    uint8_t slots[SOTTO_VAULT_FILE_MAX], good[SOTTO_VAULT_FILE_MAX],
        data[SOTTO_VAULT_FILE_MAX + 1024];
    size_t n = slot_bytes(1, 8, 1, 0, slots), len;
    static const uint8_t unknown_only[] = {9, 0, 3, 1, 2, 3};
    const struct {
        uint8_t version, policy;
        const uint8_t *slots;
        size_t len;
    } cases[] = {
        {2, 1, slots, n}, {0, 1, slots, n}, {255, 1, slots, n},
        {1, 2, slots, n}, {1, 0, slots, n}, {1, 1, unknown_only, sizeof unknown_only},
        {7, 1, NULL, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int which = 0; which < 3; which++) { /* 2: both */
            if (which < 2 && i == 5)
                continue;
            size_t good_len = vault_put_both(1, good);

            len = build(cases[i].version, cases[i].policy, cases[i].slots, cases[i].len, 1, data);
            for (int k = 0; k < 2; k++) {
                if (which == k || which == 2)
                    file_write(vault_copy(k), data, len);
            }
            vault_refused(SOTTO_ERR_NEWER);
            for (int k = 0; k < 2; k++) {
                if (which == k || which == 2)
                    vault_file_is(vault_copy(k), data, len);
                else
                    vault_file_is(vault_copy(k), good, good_len);
            }
        }
    }
}

/* Room for other kinds: an unknown slot beside ours does not disturb, wherever it stands. */
static void unknown_slots_are_skipped(void **state)
{
    static uint8_t unknown[3 + SOTTO_VAULT_SLOT_MAX];
    uint8_t good[SOTTO_VAULT_FILE_MAX], data[SOTTO_VAULT_FILE_MAX + 1024],
        slots[SOTTO_VAULT_FILE_MAX];
    static const size_t lens[] = {0, 1, SOTTO_VAULT_SLOT_MAX};

    (void)vault_bytes(1, VAULT_PASSPHRASE, good);
    for (size_t i = 0; i < COUNT(lens); i++) {
        for (int before = 0; before < 2; before++) {
            size_t u = 3 + lens[i], n;

            unknown[0] = 200;
            sotto_put_u16(unknown + 1, (uint16_t)lens[i]);
            memcpy(slots + (before ? u : 0), good + 15, 76);
            memcpy(slots + (before ? 0 : 76), unknown, u);
            n = build(1, 1, slots, 76 + u, 2, data);
            file_write(vault_copy(0), data, n);
            (void)unlink(vault_copy(1));
            vault_opens();
            vault_file_is(vault_copy(1), data, n); /* and is kept */
        }
    }
    sotto_put_u16(unknown + 1, SOTTO_VAULT_SLOT_MAX + 1);
    {
        struct sotto_vault_file f;
        uint8_t big[3 + SOTTO_VAULT_SLOT_MAX + 1] = {200, 2, 1};
        size_t n = build(1, 1, big, sizeof big, 1, data);

        assert_int_equal(sotto_vault_parse(data, n, &f), SOTTO_ERR_MALFORMED);
    }
}

/* --- damage --- */

/* Each bit of either copy: it opens from the other one, and the damaged one is made good. */
static void each_flipped_bit_is_mended(void **state)
{
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    size_t n = vault_put_both(1, data);

    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < n; i++) {
            uint8_t bits = i % 3 == 0 ? 0xff : (uint8_t)(1u << (i % 8));

            file_flip(vault_copy(which), i, bits);
            vault_said = 0;
            vault_opens();
            assert_int_equal(vault_said, 1);
            vault_file_is(vault_copy(0), data, n);
            vault_file_is(vault_copy(1), data, n);
        }
    }
    assert_int_equal(folder_count(&vault_dir), 2);
}

static void each_bit_is_noticed(void **state)
{
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    size_t n = vault_bytes(1, VAULT_PASSPHRASE, data);
    struct sotto_vault_file f;

    for (size_t i = 0; i < 8 * n; i++) {
        data[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_int_equal(sotto_vault_parse(data, n, &f), SOTTO_ERR_MALFORMED);
        data[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    for (size_t len = 0; len < n; len++)
        assert_int_equal(sotto_vault_parse(data, len, &f), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_vault_parse(data, n, &f), 0);
}

static void short_long_and_missing_copies_are_mended(void **state)
{
    static uint8_t data[SOTTO_VAULT_FILE_MAX], huge[3 * SOTTO_VAULT_FILE_MAX];
    size_t n = vault_put_both(1, data);

    memcpy(huge, data, n);
    for (int which = 0; which < 2; which++) {
        const size_t lens[] = {
            0,          1, 8, n / 2, n - 1, n + 1, SOTTO_VAULT_FILE_MAX, SOTTO_VAULT_FILE_MAX + 1,
            sizeof huge};

        for (size_t i = 0; i < COUNT(lens); i++) {
            file_write(vault_copy(which), huge, lens[i]);
            vault_opens();
            vault_file_is(vault_copy(which), data, n);
        }
        (void)unlink(vault_copy(which));
        vault_opens();
        vault_file_is(vault_copy(which), data, n);
        assert_int_equal(file_mode(vault_copy(which)), 0600);
    }
}

/* No file at all in place of a copy: no hang, no harm, and the other one opens. */
static void odd_files_do_no_harm(void **state)
{
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    size_t n = vault_put_both(1, data);

    for (int which = 0; which < 2; which++) {
        (void)unlink(vault_copy(which));
        assert_int_equal(mkfifo(vault_copy(which), 0600), 0);
        vault_opens();
        vault_file_is(vault_copy(which), data, n);

        file_write(folder_file(&vault_dir, "elsewhere"), data, n);
        (void)unlink(vault_copy(which));
        assert_int_equal(symlink("elsewhere", vault_copy(which)), 0);
        vault_opens();
        vault_file_is(vault_copy(which), data, n);

        (void)unlink(vault_copy(which));
        assert_int_equal(mkdir(vault_copy(which), 0700), 0);
        vault_opens(); /* cannot be mended, and that is vault_said */
        assert_int_equal(rmdir(vault_copy(which)), 0);
        vault_opens();
    }
}

static void both_damaged_is_no_wrong_passphrase(void **state)
{
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    size_t n = vault_put_both(1, data);
    static const size_t at[] = {0, 8, 9, 12, 14, 15, 17, 19, 25, 30, 50, 95, 130};

    for (size_t i = 0; i < COUNT(at); i++) {
        vault_put_both(1, data);
        file_flip(vault_copy(0), at[i], 1);
        file_flip(vault_copy(1), at[COUNT(at) - 1 - i], 0x80);
        vault_refused(SOTTO_ERR_MALFORMED);
    }
    file_write(vault_copy(0), "", 0);
    (void)unlink(vault_copy(1));
    vault_refused(SOTTO_ERR_MALFORMED);
    assert_true(n > 130);
    /* One damaged, one good: a wrong passphrase is vault_said to be one, and nothing is written. */
    vault_put_both(1, data);
    file_flip(vault_copy(0), 20, 1);
    {
        struct sotto_secret32 k = {0};
        size_t m;
        uint8_t *damaged = file_read(vault_copy(0), &m);

        assert_int_equal(vault_open_with("wrong passphrase", &k), SOTTO_ERR_BAD_TAG);
        vault_file_is(vault_copy(0), damaged, m);
        free(damaged);
    }
}

/* Somebody who can write the file changes any byte and makes the hash right: it never opens, and
 * with one copy left as it was, that one is used. */
static void altered_bytes_do_not_open(void **state)
{
    uint8_t data[SOTTO_VAULT_FILE_MAX], bad[SOTTO_VAULT_FILE_MAX];
    size_t n = vault_put_both(1, data);

    for (size_t i = 0; i < n - 32; i++) {
        struct sotto_secret32 k = {0};
        enum sotto_err e;

        memcpy(bad, data, n);
        bad[i] ^= i >= 19 && i < 27 ? 0x02 : 0x10; /* costs stay small */
        fix_hash(bad, n);
        file_write(vault_copy(0), bad, n);
        file_write(vault_copy(1), bad, n);
        e = vault_open_with(VAULT_PASSPHRASE, &k);
        assert_true(e == SOTTO_ERR_BAD_TAG || e == SOTTO_ERR_MALFORMED || e == SOTTO_ERR_NEWER);
        if (i >= 10 && i < 14) /* only the MAC covers the serial */
            assert_int_equal(e, SOTTO_ERR_BAD_TAG);
        assert_true(sotto_is_zero(k.b, 32));
        if (e == SOTTO_ERR_NEWER)
            continue;
        file_write(vault_copy(1), data, n);
        vault_opens();
        vault_file_is(vault_copy(0), data, n);
    }
}

static void newer_copy_wins(void **state)
{
    uint8_t older[SOTTO_VAULT_FILE_MAX], newer[SOTTO_VAULT_FILE_MAX];
    size_t n = vault_bytes(7, VAULT_PASSPHRASE, older), m = vault_bytes(8, VAULT_PASSPHRASE, newer);

    for (int which = 0; which < 2; which++) {
        file_write(vault_copy(which), newer, m);
        file_write(vault_copy(!which), older, n);
        vault_opens();
        vault_file_is(vault_copy(0), newer, m);
        vault_file_is(vault_copy(1), newer, m);
    }
    /* A change of the passphrase that was cut short: both copies are whole, one has the old one.
     * Whichever is typed decides. */
    m = vault_bytes(8, "another passphrase", newer);
    for (int which = 0; which < 2; which++) {
        struct sotto_secret32 k;

        file_write(vault_copy(which), newer, m);
        file_write(vault_copy(!which), older, n);
        assert_int_equal(vault_open_with("neither of the two", &k), SOTTO_ERR_BAD_TAG);
        assert_int_equal(vault_open_with("another passphrase", &k), 0);
        vault_refused(SOTTO_ERR_BAD_TAG);
        file_write(vault_copy(!which), older, n);
        vault_opens();
        assert_int_equal(vault_open_with("another passphrase", &k), SOTTO_ERR_BAD_TAG);
    }
}

static void readable_by_others_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0601, 0644};
    uint8_t data[SOTTO_VAULT_FILE_MAX];

    (void)vault_put_both(1, data);
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < COUNT(modes); i++) {
            vault_said = 0;
            assert_int_equal(chmod(vault_copy(which), modes[i]), 0);
            vault_refused(SOTTO_ERR_DENIED);
            assert_int_equal(vault_said, 1);
        }
        assert_int_equal(chmod(vault_copy(which), 0400), 0);
        vault_opens();
        assert_int_equal(chmod(vault_copy(which), 0600), 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, vault_case_setup, vault_case_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_made_opens),
        CASE(nothing_is_overwritten),
        CASE(passphrases_have_limits),
        CASE(bytes_are_as_documented),
        CASE(derived_keys_differ),
        CASE(costs_are_bounded),
        CASE(newer_vaults_are_left_alone),
        CASE(unknown_slots_are_skipped),
        CASE(each_flipped_bit_is_mended),
        CASE(each_bit_is_noticed),
        CASE(short_long_and_missing_copies_are_mended),
        CASE(odd_files_do_no_harm),
        CASE(both_damaged_is_no_wrong_passphrase),
        CASE(altered_bytes_do_not_open),
        CASE(newer_copy_wins),
        CASE(readable_by_others_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
