/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pwhash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"

/* Takes the place of the C library's mmap() in this program, where libsodium gets its memory. The
 * name is given to the assembler, as the header may make another one of it (mmap64). */
static bool no_memory;
__attribute__((visibility("default"))) void *our_mmap(void *addr, size_t len, int prot, int flags,
                                                      int fd, off_t offset) __asm__("mmap");
void *our_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    if (no_memory) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

/*
 * The vector of RFC 9106 has a secret and associated data, and the reference implementation's own
 * tests an 8-byte salt; neither fits here. These were computed with the reference implementation
 * (P-H-C/phc-winner-argon2, the program `argon2` of 2017-12-27):
 * printf PASSWORD | argon2 SALT -id -t PASSES -k KIB -p 1 -l LENGTH -r
 */
static const struct {
    const char *password, *salt;
    uint32_t passes, mem_kib;
    const char *want;
} known[] = {
    {"password", "somesaltsomesalt", 2, 65536,
     "fc33b78139231d34b71626bd6245c1d72efa190ad605c3d8166a72adcedfa2c2"},
    {"password", "somesaltsomesalt", 3, 256, "6cbb4aec75b664f82411b5be027059ba"},
    {"differentpassword", "0123456789abcdef", 1, 8,
     "b0d8010b2bc50ff2bacb7e73395310f34c0c2ab691b7a854b8bb084a4e8f5082"
     "a5873126d85f66ba8b61377101ff13d05e309637e5b8a061bed6c2c69beddd76"},
    {"p", "NaClNaClNaClNaCl", 4, 1024,
     "03cca86cd2bdfa251f4f582084c8a1aba0c38a44edca7df4f9853f778dc46f4f"
     "b4572c11dd59253c112c9284c74c14b5"},
    {"password", "othersaltsomesal", 16, 64,
     "f6c140b210857c4ca238da3076f88f8bfd45bbaeb513cb5c966393e7f51135dd"},
};

static void known_answers(void **state)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t want[64], got[64];
        size_t len;

        assert_int_equal(
            sotto_hex_decode(known[i].want, strlen(known[i].want), want, sizeof want, &len), 0);
        assert_int_equal(strlen(known[i].salt), 16);
        assert_int_equal(sotto_pwhash(known[i].password, strlen(known[i].password),
                                      (const uint8_t *)known[i].salt, known[i].mem_kib,
                                      known[i].passes, got, len),
                         0);
        assert_memory_equal(got, want, len);
    }
}

static void everything_counts(void **state)
{
    static const uint8_t salt[16] = "0123456789abcde", salt2[16] = "0123456789abcdf";
    uint8_t all[7][32];

    assert_int_equal(sotto_pwhash("password", 8, salt, 64, 2, all[0], 32), 0);
    assert_int_equal(sotto_pwhash("password", 7, salt, 64, 2, all[1], 32), 0);
    assert_int_equal(sotto_pwhash("passwore", 8, salt, 64, 2, all[2], 32), 0);
    assert_int_equal(sotto_pwhash("password", 8, salt2, 64, 2, all[3], 32), 0);
    assert_int_equal(sotto_pwhash("password", 8, salt, 72, 2, all[4], 32), 0);
    assert_int_equal(sotto_pwhash("password", 8, salt, 64, 3, all[5], 32), 0);
    assert_int_equal(sotto_pwhash(NULL, 0, salt, 64, 2, all[6], 32), 0);
    for (size_t i = 0; i < 7; i++) {
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(all[i], all[j], 32);
    }
    assert_int_equal(sotto_pwhash("password", 8, salt, 64, 2, all[1], 32), 0);
    assert_memory_equal(all[0], all[1], 32);
}

static void limits(void **state)
{
    static const uint8_t salt[16];
    static const struct {
        uint32_t mem, passes;
        size_t len;
    } bad[] = {{7, 1, 32},          {0, 1, 32},  {(1u << 20) + 1, 1, 32},
               {UINT32_MAX, 1, 32}, {64, 0, 32}, {64, 17, 32},
               {64, 1, 15},         {64, 1, 65}, {64, UINT32_MAX, 32},
               {64, 1, SIZE_MAX},   {64, 1, 0}};
    uint8_t out[66];

    memset(out, 0xee, sizeof out);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sotto_pwhash("x", 1, salt, bad[i].mem, bad[i].passes, out, bad[i].len),
                         SOTTO_ERR_USAGE);
    for (size_t i = 0; i < sizeof out; i++)
        assert_int_equal(out[i], 0xee);
    assert_int_equal(sotto_pwhash("x", 1, salt, 8, 1, out, 16), 0);
    assert_int_equal(out[16], 0xee);
    assert_int_equal(sotto_pwhash("x", 1, salt, 64, 16, out, 64), 0);
    assert_int_equal(out[64], 0xee);
}

static void too_little_memory(void **state)
{
    static const uint8_t salt[16];
    uint8_t out[32];

    memset(out, 0xee, sizeof out);
    no_memory = true;
    assert_int_equal(sotto_pwhash("x", 1, salt, 1024, 1, out, 32), SOTTO_ERR_NOMEM);
    no_memory = false;
    for (size_t i = 0; i < sizeof out; i++)
        assert_int_equal(out[i], 0xee);
    assert_int_equal(sotto_pwhash("x", 1, salt, 1024, 1, out, 32), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(everything_counts),
        cmocka_unit_test(limits),
        cmocka_unit_test(too_little_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
