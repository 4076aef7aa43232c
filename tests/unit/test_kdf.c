/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/kdf.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "vectors.h"

/* FIPS 180-4 examples (NIST "Example Values", SHA-256 and SHA-512). */
static void sha_known_values(void **state)
{
    static const struct {
        const char *in, *sha256, *sha512;
    } t[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
         "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
         "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
         "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c335"
         "96fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec631238ca3445"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        size_t len = strlen(t[i].in);
        uint8_t h256[32], h512[64];
        char hex[129];

        sotto_sha256(t[i].in, len, h256);
        sotto_hex_encode(h256, 32, hex);
        assert_string_equal(hex, t[i].sha256);
        sotto_sha512(t[i].in, len, h512);
        sotto_hex_encode(h512, 64, hex);
        assert_string_equal(hex, t[i].sha512);
    }
}

/* However the input is cut into parts, the hash is that of the whole. */
static void parts_are_a_concatenation(void **state)
{
    uint8_t in[300], a[64], b[64];

    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 7);
    for (size_t cut = 0; cut <= sizeof in; cut += 13) {
        struct sotto_bytes parts[] = {{in, cut}, {NULL, 0}, {in + cut, sizeof in - cut}};

        sotto_sha256(in, sizeof in, a);
        sotto_sha256v(parts, 3, b);
        assert_memory_equal(a, b, 32);
        sotto_sha512(in, sizeof in, a);
        sotto_sha512v(parts, 3, b);
        assert_memory_equal(a, b, 64);
        sotto_hmac_sha256(in, 200, in, sizeof in, a);
        sotto_hmac_sha256v(in, 200, parts, 3, b);
        assert_memory_equal(a, b, 32);
        sotto_hkdf_sha256_expand((const struct sotto_secret32 *)in, in, sizeof in, a, 64);
        sotto_hkdf_sha256_expandv((const struct sotto_secret32 *)in, parts, 3, b, 64);
        assert_memory_equal(a, b, 64);
    }
}

static bool verdict(const json_t *t, bool equal)
{
    bool valid = strcmp(vec_string(t, "result"), "valid") == 0;

    return valid == equal;
}

static size_t wycheproof_hmac(json_t *root)
{
    bool is512 = strcmp(vec_string(root, "algorithm"), "HMACSHA512") == 0;
    json_t *group, *t;
    size_t i, j, n = 0;

    json_array_foreach(vec_array(root, "testGroups"), i, group)
    {
        size_t tag_len = (size_t)vec_int(group, "tagSize") / 8;

        json_array_foreach(vec_array(group, "tests"), j, t)
        {
            struct vec key = vec_hex(t, "key"), msg = vec_hex(t, "msg");
            const uint8_t *tag = vec_hex_n(t, "tag", tag_len);
            uint8_t got[64];

            if (is512)
                sotto_hmac_sha512v(key.p, key.n, &(struct sotto_bytes){msg.p, msg.n}, 1, got);
            else
                sotto_hmac_sha256(key.p, key.n, msg.p, msg.n, got);
            if (!verdict(t, memcmp(got, tag, tag_len) == 0))
                vec_fail(t, "wrong tag");
            n++;
        }
    }
    return n;
}

static void hmac_vectors(void **state)
{
    vectors_run("wycheproof/hmac_sha256_test.json", 16, 116, wycheproof_hmac);
    vectors_run("wycheproof/hmac_sha512_test.json", 16, 116, wycheproof_hmac);
}

static void hkdf(bool is512, struct vec ikm, struct vec salt, struct vec info, uint8_t *ret,
                 size_t len)
{
    uint8_t prk[64];

    if (!is512) {
        sotto_hkdf_sha256(salt.p, salt.n, ikm.p, ikm.n, info.p, info.n, ret, len);
        return;
    }
    sotto_hkdf_sha512_extract(salt.p, salt.n, ikm.p, ikm.n, prk);
    sotto_hkdf_sha512_expand(prk, info.p, info.n, ret, len);
}

/* More than 255 blocks: the program stops. A short or repeating key would be worse. */
static bool hkdf_aborts(bool is512, size_t len)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        uint8_t *out = malloc(len);

        (void)setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        if (out != NULL)
            hkdf(is512, (struct vec){out, 1}, (struct vec){0}, (struct vec){0}, out, len);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static size_t wycheproof_hkdf(json_t *root)
{
    bool is512 = strcmp(vec_string(root, "algorithm"), "HKDF-SHA-512") == 0;
    json_t *group, *t;
    size_t i, j, n = 0;

    json_array_foreach(vec_array(root, "testGroups"), i, group)
    {
        json_array_foreach(vec_array(group, "tests"), j, t)
        {
            size_t len = (size_t)vec_int(t, "size");
            struct vec okm = vec_hex(t, "okm");
            uint8_t got[255 * 64];

            n++;
            if (vec_flag(t, "SizeTooLarge")) {
                if (!hkdf_aborts(is512, len))
                    vec_fail(t, "not refused");
                continue;
            }
            assert_true(len <= sizeof got && okm.n == len);
            hkdf(is512, vec_hex(t, "ikm"), vec_hex(t, "salt"), vec_hex(t, "info"), got, len);
            if (!verdict(t, memcmp(got, okm.p, len) == 0))
                vec_fail(t, "wrong output");
        }
    }
    return n;
}

static void hkdf_vectors(void **state)
{
    vectors_run("wycheproof/hkdf_sha256_test.json", 14, 58, wycheproof_hkdf);
    vectors_run("wycheproof/hkdf_sha512_test.json", 12, 56, wycheproof_hkdf);
}

static void hkdf_limits(void **state)
{
    static uint8_t out[255 * 64 + 1];

    out[255 * 32] = 0xee;
    sotto_hkdf_sha256("s", 1, "i", 1, "f", 1, out, 255 * 32);
    assert_int_equal(out[255 * 32], 0xee);
    assert_true(hkdf_aborts(false, 255 * 32 + 1));
    assert_true(hkdf_aborts(true, 255 * 64 + 1));
    sotto_hkdf_sha256("s", 1, "i", 1, "f", 1, NULL, 0);
}

/* The output may lie on any input. */
static void overlap(void **state)
{
    uint8_t want[160], mem[160];

    for (size_t shift = 0; shift <= 64; shift += 16) {
        for (size_t i = 0; i < sizeof mem; i++)
            mem[i] = (uint8_t)(i + shift);
        sotto_hkdf_sha256(mem, 16, mem + 16, 32, mem + 48, 40, want, 96);
        sotto_hkdf_sha256(mem, 16, mem + 16, 32, mem + 48, 40, mem + shift, 96);
        assert_memory_equal(mem + shift, want, 96);

        for (size_t i = 0; i < sizeof mem; i++)
            mem[i] = (uint8_t)(i + shift);
        sotto_hkdf_sha512_expand(mem, mem + 64, 90, want, 96);
        sotto_hkdf_sha512_expand(mem, mem + 64, 90, mem + shift, 96);
        assert_memory_equal(mem + shift, want, 96);

        for (size_t i = 0; i < sizeof mem; i++)
            mem[i] = (uint8_t)(i + shift);
        sotto_hmac_sha256(mem, 100, mem + 30, 100, want);
        sotto_hmac_sha256(mem, 100, mem + 30, 100, mem + shift);
        assert_memory_equal(mem + shift, want, 32);

        sotto_sha256(mem, sizeof mem, want);
        sotto_sha256(mem, sizeof mem, mem + shift);
        assert_memory_equal(mem + shift, want, 32);
    }
}

static void no_allocation(void **state)
{
    struct sotto_secret32 prk = {{1}};
    uint8_t out[128];
    size_t before = alloc_count();
    void *volatile p;

    for (int i = 0; i < 1000; i++) {
        struct sotto_bytes parts[] = {{out, 40}, {prk.b, 32}};

        sotto_sha256v(parts, 2, out);
        sotto_sha512(out, 100, out);
        sotto_hmac_sha256(out, 32, out, 50, out);
        sotto_hmac_sha512v(out, 32, parts, 2, out);
        sotto_hkdf_sha256(out, 32, out, 50, "x", 1, out, 44);
        sotto_hkdf_sha256_expandv(&prk, parts, 2, out, 64);
        sotto_hkdf_sha512_extract(out, 3, out, 50, out);
        sotto_hkdf_sha512_expand(out, "x", 1, out, 128);
    }
    assert_int_equal(alloc_count(), before);
    p = malloc(1);
    free(p);
    assert_int_equal(alloc_count(), before + 1); /* the hook works */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha_known_values), cmocka_unit_test(parts_are_a_concatenation),
        cmocka_unit_test(hmac_vectors),     cmocka_unit_test(hkdf_vectors),
        cmocka_unit_test(hkdf_limits),      cmocka_unit_test(overlap),
        cmocka_unit_test(no_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
