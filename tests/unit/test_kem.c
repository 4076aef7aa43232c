/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/kem.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "crypto/kem_set.h"
#include "vectors.h"

static const uint8_t env_seed[32] = "ml-kem";

static bool is_valid(const json_t *t)
{
    return strcmp(vec_string(t, "result"), "valid") == 0;
}

static const struct sotto_kem_set *set_named(const char *name)
{
    if (strcmp(name, sotto_kem_768.name) == 0)
        return &sotto_kem_768;
    assert_string_equal(name, sotto_kem_1024.name);
    return &sotto_kem_1024;
}

/* The steps with fresh memory for each output. */
struct keys {
    uint8_t pub[SOTTO_KEM_PUBLIC], priv[SOTTO_KEM_PRIVATE];
};

static void keygen(const struct sotto_kem_set *set, const uint8_t *d, const uint8_t *z,
                   struct keys *ret)
{
    struct sotto_kem_seed seed;

    memcpy(seed.b, d, 32);
    memcpy(seed.b + 32, z, 32);
    sotto_kem_set_keygen(set, &seed, ret->pub, ret->priv);
}

static void check_encaps(const struct sotto_kem_set *set, const json_t *t, const uint8_t *ek,
                         const uint8_t *m, const uint8_t *want_ct, const uint8_t *want_k)
{
    struct sotto_secret32 random, k;
    uint8_t ct[SOTTO_KEM_CIPHERTEXT];

    memcpy(random.b, m, 32);
    if (sotto_kem_set_encaps(set, ek, &random, ct, &k) != 0)
        vec_fail(t, "key refused");
    if (memcmp(ct, want_ct, set->ct_len) != 0 || memcmp(k.b, want_k, 32) != 0)
        vec_fail(t, "encapsulates to something else");
}

static void check_decaps(const struct sotto_kem_set *set, const json_t *t, const uint8_t *dk,
                         const uint8_t *ct, const uint8_t *want_k)
{
    struct sotto_secret32 k;

    if (sotto_kem_set_check_private(set, dk) != 0)
        vec_fail(t, "private key refused");
    sotto_kem_set_decaps(set, dk, ct, &k);
    if (memcmp(k.b, want_k, 32) != 0)
        vec_fail(t, "decapsulates to something else");
}

static void check_refused(const struct sotto_kem_set *set, const json_t *t, const uint8_t *ek)
{
    struct sotto_secret32 m = {{1}}, k = {{0xee}};
    uint8_t ct[SOTTO_KEM_CIPHERTEXT] = {0xee};

    if (sotto_kem_set_encaps(set, ek, &m, ct, &k) != SOTTO_ERR_BAD_KEY)
        vec_fail(t, "key accepted");
    assert_true(ct[0] == 0xee && k.b[0] == 0xee);
}

/* Calls one() with each case of a Wycheproof or ACVP file and its group. */
static size_t each(json_t *root, void (*one)(const json_t *group, const json_t *t))
{
    json_t *group, *t;
    size_t i, j, n = 0;

    json_array_foreach(vec_array(root, "testGroups"), i, group)
    {
        json_array_foreach(vec_array(group, "tests"), j, t)
        {
            one(group, t);
            n++;
        }
    }
    return n;
}

static void wycheproof_seed_case(const json_t *group, const json_t *t)
{
    const struct sotto_kem_set *set = set_named(vec_string(group, "parameterSet"));
    struct vec seed = vec_hex(t, "seed"), c = vec_hex(t, "c");
    bool right_size = seed.n == SOTTO_KEM_SEED && c.n == set->ct_len;
    struct keys keys;

    /* Other lengths are refused by whoever reads the bytes: kem.h has no place for them. */
    assert_int_equal(right_size, is_valid(t));
    if (!right_size)
        return;
    keygen(set, seed.p, seed.p + 32, &keys);
    if (memcmp(keys.pub, vec_hex_n(t, "ek", set->public_len), set->public_len) != 0)
        vec_fail(t, "another public key");
    check_decaps(set, t, keys.priv, c.p, vec_hex_n(t, "K", 32));
}

static void wycheproof_encaps_case(const json_t *group, const json_t *t)
{
    const struct sotto_kem_set *set = set_named(vec_string(group, "parameterSet"));
    struct vec ek = vec_hex(t, "ek");

    if (ek.n != set->public_len)
        assert_false(is_valid(t));
    else if (is_valid(t))
        check_encaps(set, t, ek.p, vec_hex_n(t, "m", 32), vec_hex_n(t, "c", set->ct_len),
                     vec_hex_n(t, "K", 32));
    else
        check_refused(set, t, ek.p);
}

static void wycheproof_keygen_case(const json_t *group, const json_t *t)
{
    const struct sotto_kem_set *set = set_named(vec_string(group, "parameterSet"));
    const uint8_t *seed = vec_hex_n(t, "seed", 64);
    struct keys keys;

    assert_true(is_valid(t));
    keygen(set, seed, seed + 32, &keys);
    if (memcmp(keys.pub, vec_hex_n(t, "ek", set->public_len), set->public_len) != 0 ||
        memcmp(keys.priv, vec_hex_n(t, "dk", set->private_len), set->private_len) != 0)
        vec_fail(t, "other keys");
}

static void wycheproof_decaps_case(const json_t *group, const json_t *t)
{
    const struct sotto_kem_set *set = set_named(vec_string(group, "parameterSet"));
    struct vec dk = vec_hex(t, "dk"), c = vec_hex(t, "c");
    bool accepted = dk.n == set->private_len && c.n == set->ct_len &&
                    sotto_kem_set_check_private(set, dk.p) == 0;

    if (accepted != is_valid(t))
        vec_fail(t, accepted ? "accepted" : "refused");
    if (accepted)
        check_decaps(set, t, dk.p, c.p, vec_hex_n(t, "K", 32));
}

static size_t wycheproof_seed(json_t *root)
{
    return each(root, wycheproof_seed_case);
}

static size_t wycheproof_encaps(json_t *root)
{
    return each(root, wycheproof_encaps_case);
}

static size_t wycheproof_keygen(json_t *root)
{
    return each(root, wycheproof_keygen_case);
}

static size_t wycheproof_decaps(json_t *root)
{
    return each(root, wycheproof_decaps_case);
}

static void wycheproof_vectors(void **state)
{
    vectors_run("wycheproof/mlkem_768_test.json", 12, 129, wycheproof_seed);
    vectors_run("wycheproof/mlkem_768_encaps_test.json", 10, 177, wycheproof_encaps);
    vectors_run("wycheproof/mlkem_768_keygen_seed_test.json", 1, 67, wycheproof_keygen);
    vectors_run("wycheproof/mlkem_768_semi_expanded_decaps_test.json", 6, 6, wycheproof_decaps);
}

static void acvp_keygen_case(const json_t *group, const json_t *t)
{
    const struct sotto_kem_set *set = set_named(vec_string(group, "parameterSet"));
    struct keys keys;

    keygen(set, vec_hex_n(t, "d", 32), vec_hex_n(t, "z", 32), &keys);
    if (memcmp(keys.pub, vec_hex_n(t, "ek", set->public_len), set->public_len) != 0 ||
        memcmp(keys.priv, vec_hex_n(t, "dk", set->private_len), set->private_len) != 0)
        vec_fail(t, "other keys");
}

static void acvp_case(const json_t *group, const json_t *t)
{
    const struct sotto_kem_set *set = set_named(vec_string(group, "parameterSet"));
    const char *function = vec_string(group, "function");
    const json_t *format = json_object_get(group, "keyFormat");

    if (strcmp(function, "encapsulation") == 0) {
        const uint8_t *c = vec_hex_n(t, "c", set->ct_len), *k = vec_hex_n(t, "k", 32);

        check_encaps(set, t, vec_hex_n(t, "ek", set->public_len), vec_hex_n(t, "m", 32), c, k);
        check_decaps(set, t, vec_hex_n(t, "dk", set->private_len), c, k);
    } else if (strcmp(function, "decapsulation") == 0) {
        const uint8_t *dk = vec_hex_n(t, "dk", set->private_len);
        struct keys keys;

        if (json_is_string(format) && strcmp(json_string_value(format), "seed") == 0) {
            keygen(set, vec_hex_n(t, "d", 32), vec_hex_n(t, "z", 32), &keys);
            assert_memory_equal(keys.priv, dk, set->private_len);
            dk = keys.priv;
        }
        check_decaps(set, t, dk, vec_hex_n(t, "c", set->ct_len), vec_hex_n(t, "k", 32));
    } else {
        bool ek = strcmp(function, "encapsulationKeyCheck") == 0, good;
        enum sotto_err e;

        if (!ek)
            assert_string_equal(function, "decapsulationKeyCheck");
        e = ek ? sotto_kem_set_check_public(set, vec_hex_n(t, "ek", set->public_len))
               : sotto_kem_set_check_private(set, vec_hex_n(t, "dk", set->private_len));
        good = json_is_true(json_object_get(t, "testPassed"));
        if (e != (good ? SOTTO_OK : SOTTO_ERR_BAD_KEY))
            vec_fail(t, good ? "refused" : "accepted");
    }
}

static size_t acvp_keygen(json_t *root)
{
    return each(root, acvp_keygen_case);
}

static size_t acvp(json_t *root)
{
    return each(root, acvp_case);
}

static void acvp_vectors(void **state)
{
    vectors_run("mlkem-acvp/ML-KEM-keyGen-FIPS203.json", 2, 33, acvp_keygen);
    vectors_run("mlkem-acvp/ML-KEM-encapDecap-FIPS203.json", 14, 72, acvp);
    vectors_run("mlkem-acvp/ML-KEM-encapDecap-FIPS203-tr1.json", 18, 85, acvp);
}

/*
 * The vectors of CCTV are of the draft of FIPS 203 of August 2023: there KeyGen derives its two
 * seeds from G(d), in the standard from G(d || k) (section 5.1). All else is the same, so the cases
 * run through our code with that one byte taken off what SHA3-512 is given (the linker's --wrap).
 */
static bool draft;
void __real_sha3_512(uint8_t *out, const uint8_t *in, size_t len);
void __wrap_sha3_512(uint8_t *out, const uint8_t *in, size_t len);
void __wrap_sha3_512(uint8_t *out, const uint8_t *in, size_t len)
{
    __real_sha3_512(out, in, draft && len == 33 ? 32 : len);
}

static int draft_on(void **state)
{
    draft = true;
    return 0;
}

static int draft_off(void **state)
{
    draft = false;
    return 0;
}

/* CCTV, "name = hex" lines: the first of each name counts (later ones are views of the same). */
static struct {
    struct vec d, z, m, ek, dk, c, k;
} cctv;

static size_t cctv_line(const char *line, size_t len)
{
    const struct {
        const char *name;
        struct vec *to;
    } names[] = {{"d", &cctv.d},   {"z", &cctv.z}, {"m", &cctv.m}, {"ek", &cctv.ek},
                 {"dk", &cctv.dk}, {"c", &cctv.c}, {"K", &cctv.k}};
    const char *eq = strstr(line, " = ");
    struct keys keys;

    if (eq == NULL)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == (size_t)(eq - line) &&
            strncmp(line, names[i].name, (size_t)(eq - line)) == 0 && names[i].to->p == NULL)
            *names[i].to = vec_from_hex(eq + 3, len - (size_t)(eq + 3 - line));
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].to->p == NULL)
            return 0; /* not all there yet */
    }
    assert_true(cctv.ek.n == sotto_kem_768.public_len && cctv.dk.n == sotto_kem_768.private_len &&
                cctv.c.n == sotto_kem_768.ct_len);
    keygen(&sotto_kem_768, cctv.d.p, cctv.z.p, &keys);
    assert_memory_equal(keys.pub, cctv.ek.p, cctv.ek.n);
    assert_memory_equal(keys.priv, cctv.dk.p, cctv.dk.n);
    check_encaps(&sotto_kem_768, NULL, cctv.ek.p, cctv.m.p, cctv.c.p, cctv.k.p);
    check_decaps(&sotto_kem_768, NULL, cctv.dk.p, cctv.c.p, cctv.k.p);
    memset(&cctv, 0, sizeof cctv);
    return 1;
}

static size_t modulus_line(const char *line, size_t len)
{
    struct vec ek = vec_from_hex(line, len);

    assert_int_equal(ek.n, sotto_kem_768.public_len);
    check_refused(&sotto_kem_768, NULL, ek.p);
    return 1;
}

static void cctv_vectors(void **state)
{
    memset(&cctv, 0, sizeof cctv);
    vectors_run_lines("mlkem-cctv/intermediate-ML-KEM-768.txt", 1, 1, cctv_line);
    memset(&cctv, 0, sizeof cctv);
    vectors_run_lines("mlkem-cctv/unluckysample-ML-KEM-768.txt", 1, 1, cctv_line);
    vectors_run_lines("mlkem-cctv/modulus-ML-KEM-768.txt", 8, 520, modulus_line);
}

/* The generator of the accumulated tests: SHAKE-128 of nothing. OpenSSL gives it in one piece. */
static uint8_t *shake128_stream(size_t len)
{
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    uint8_t *out = malloc(len);

    assert_non_null(h);
    assert_non_null(out);
    assert_int_equal(EVP_DigestInit_ex(h, EVP_shake128(), NULL), 1);
    assert_int_equal(EVP_DigestFinalXOF(h, out, len), 1);
    EVP_MD_CTX_free(h);
    return out;
}

static void accumulate(const struct sotto_kem_set *set, size_t tests, const uint8_t want[32])
{
    size_t draw = 96 + set->ct_len;
    uint8_t *rng = shake128_stream(tests * draw), ct[SOTTO_KEM_CIPHERTEXT], got[32];
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    struct sotto_secret32 m, k, k2;
    struct keys keys;

    assert_non_null(h);
    assert_int_equal(EVP_DigestInit_ex(h, EVP_shake128(), NULL), 1);
    for (size_t i = 0; i < tests; i++) {
        const uint8_t *r = rng + i * draw;

        keygen(set, r, r + 32, &keys);
        memcpy(m.b, r + 64, 32);
        assert_int_equal(sotto_kem_set_encaps(set, keys.pub, &m, ct, &k), 0);
        sotto_kem_set_decaps(set, keys.priv, ct, &k2);
        assert_memory_equal(k.b, k2.b, 32);
        sotto_kem_set_decaps(set, keys.priv, r + 96, &k2);
        EVP_DigestUpdate(h, keys.pub, set->public_len);
        EVP_DigestUpdate(h, keys.priv, set->private_len);
        EVP_DigestUpdate(h, ct, set->ct_len);
        EVP_DigestUpdate(h, k.b, 32);
        EVP_DigestUpdate(h, k2.b, 32);
    }
    assert_int_equal(EVP_DigestFinalXOF(h, got, 32), 1);
    assert_memory_equal(got, want, 32);
    EVP_MD_CTX_free(h);
    free(rng);
}

static size_t cctv_accumulated(json_t *root)
{
    const json_t *hash = json_object_get(root, "hash");
    size_t tests = (size_t)vec_int(root, "tests");

    accumulate(&sotto_kem_768, tests, vec_hex_n(hash, "ML-KEM-768", 32));
    accumulate(&sotto_kem_1024, tests, vec_hex_n(hash, "ML-KEM-1024", 32));
    return 2;
}

static void cctv_accumulated_vectors(void **state)
{
    vectors_run_full("mlkem-cctv/accumulated.json", 2, cctv_accumulated);
}

static void round_trip(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_kem_seed seed;
    struct sotto_kem_private priv;
    struct sotto_secret32 a, b, c;
    uint8_t pub[SOTTO_KEM_PUBLIC], again[SOTTO_KEM_PUBLIC], ct[SOTTO_KEM_CIPHERTEXT];

    sotto_env_fixed_init(&f, env_seed, 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(sotto_kem_generate(&f.env, &seed, pub), 0);
        sotto_kem_public(&seed, again);
        assert_memory_equal(pub, again, sizeof pub);
        assert_int_equal(sotto_kem_check_public(pub), 0);
        assert_int_equal(sotto_kem_encaps(&f.env, pub, ct, &a), 0);
        sotto_kem_decaps(&seed, ct, &b);
        assert_memory_equal(a.b, b.b, 32);
        sotto_kem_expand(&seed, &priv);
        sotto_kem_decaps_private(&priv, ct, &b);
        assert_memory_equal(a.b, b.b, 32);
        /* Implicit rejection: another secret, the same each time. */
        ct[i * 31 % SOTTO_KEM_CIPHERTEXT] ^= (uint8_t)(1 << i % 8);
        sotto_kem_decaps(&seed, ct, &b);
        sotto_kem_decaps_private(&priv, ct, &c);
        assert_memory_not_equal(a.b, b.b, 32);
        assert_memory_equal(b.b, c.b, 32);
    }
    sotto_kem_private_wipe(&priv);
    assert_true(sotto_is_zero(&priv, sizeof priv));
    sotto_kem_seed_wipe(&seed);
    assert_true(sotto_is_zero(&seed, sizeof seed));
}

/* Each coefficient in turn set to q, and to the largest that 12 bits hold. */
static void invalid_kem_keys_are_refused(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_kem_seed seed;
    struct sotto_secret32 k;
    uint8_t pub[SOTTO_KEM_PUBLIC], bad[SOTTO_KEM_PUBLIC], ct[SOTTO_KEM_CIPHERTEXT];

    sotto_env_fixed_init(&f, env_seed, 0);
    assert_int_equal(sotto_kem_generate(&f.env, &seed, pub), 0);
    for (unsigned i = 0; i < 1024; i++) {
        static const unsigned values[] = {3328, 3329, 4095};

        for (size_t v = 0; v < 3; v++) {
            uint8_t *p = bad + i / 2 * 3;

            memcpy(bad, pub, sizeof bad);
            if (i % 2 == 0) {
                p[0] = (uint8_t)values[v];
                p[1] = (uint8_t)((p[1] & 0xf0) | values[v] >> 8);
            } else {
                p[1] = (uint8_t)((p[1] & 0x0f) | (values[v] & 15) << 4);
                p[2] = (uint8_t)(values[v] >> 4);
            }
            assert_int_equal(sotto_kem_check_public(bad), v == 0 ? SOTTO_OK : SOTTO_ERR_BAD_KEY);
            if (v == 0)
                continue;
            memset(ct, 0xee, sizeof ct);
            memset(&k, 0xee, sizeof k);
            assert_int_equal(sotto_kem_encaps(&f.env, bad, ct, &k), SOTTO_ERR_BAD_KEY);
            assert_true(ct[0] == 0xee && k.b[0] == 0xee);
        }
    }
}

static void failing_random_generator_stops_everything(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_kem_seed seed;
    struct sotto_secret32 k;
    uint8_t pub[SOTTO_KEM_PUBLIC], ct[SOTTO_KEM_CIPHERTEXT];

    sotto_env_fixed_init(&f, env_seed, 0);
    assert_int_equal(sotto_kem_generate(&f.env, &seed, pub), 0);
    f.fail_random = 1;
    memset(ct, 0xee, sizeof ct);
    memset(&k, 0xee, sizeof k);
    assert_int_equal(sotto_kem_encaps(&f.env, pub, ct, &k), SOTTO_ERR_RANDOM);
    for (size_t i = 0; i < sizeof ct; i++)
        assert_int_equal(ct[i], 0xee);
    for (size_t i = 0; i < sizeof k; i++)
        assert_int_equal(k.b[i], 0xee);
    memset(pub, 0xee, sizeof pub);
    memset(&seed, 0xee, sizeof seed);
    assert_int_equal(sotto_kem_generate(&f.env, &seed, pub), SOTTO_ERR_RANDOM);
    for (size_t i = 0; i < sizeof pub; i++)
        assert_int_equal(pub[i], 0xee);
    for (size_t i = 0; i < sizeof seed; i++)
        assert_int_equal(seed.b[i], 0xee);
}

/*
 * A stack that we can look at: the operations run on it in a thread of their own, and when they are
 * done neither the seed, nor the private polynomials, nor the secret may be found there.
 */
enum { STACK = 1 << 20 };
static struct {
    struct sotto_kem_seed seed;
    struct sotto_kem_private priv;
    struct sotto_secret32 k;
    uint8_t pub[SOTTO_KEM_PUBLIC], ct[SOTTO_KEM_CIPHERTEXT];
    sem_t done, looked;
    bool ok;
} job;

/* memmem() for 16 bytes; the sanitizers would object to looking at what is nobody's variable. */
__attribute__((no_sanitize("address", "thread"))) static bool holds(const uint8_t *mem, size_t len,
                                                                    const uint8_t *what)
{
    for (size_t i = 0; i + 16 <= len; i++) {
        size_t same = 0;

        while (same < 16 && mem[i + same] == what[same])
            same++;
        if (same == 16)
            return true;
    }
    return false;
}

static void *use_keys(void *arg)
{
    struct sotto_env_fixed f;

    sotto_env_fixed_init(&f, env_seed, 0);
    if (sotto_kem_generate(&f.env, &job.seed, job.pub) == 0 &&
        sotto_kem_encaps(&f.env, job.pub, job.ct, &job.k) == 0) {
        sotto_kem_decaps(&job.seed, job.ct, &job.k);
        sotto_kem_expand(&job.seed, &job.priv);
        sotto_kem_decaps_private(&job.priv, job.ct, &job.k);
        job.ok = true;
    }
    sem_post(&job.done);
    while (sem_wait(&job.looked) != 0)
        ;
    return f.env.ctx;
}

/* AddressSanitizer keeps locals in a stack of its own making. */
#if defined(__SANITIZE_ADDRESS__)
#define STACK_IS_ELSEWHERE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACK_IS_ELSEWHERE 1
#endif
#endif
#ifndef STACK_IS_ELSEWHERE
#define STACK_IS_ELSEWHERE 0
#endif

static void nothing_secret_stays_on_the_stack(void **state)
{
    if (STACK_IS_ELSEWHERE) {
        printf("skip: locals are not on the stack under AddressSanitizer\n");
        skip();
    }
    uint8_t *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool found[5];
    pthread_attr_t attr;
    pthread_t t;

    assert_true(stack != MAP_FAILED);
    assert_int_equal(sem_init(&job.done, 0, 0), 0);
    assert_int_equal(sem_init(&job.looked, 0, 0), 0);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
    assert_int_equal(pthread_create(&t, &attr, use_keys, NULL), 0);
    while (sem_wait(&job.done) != 0)
        ;
    found[0] = holds(stack, STACK, env_seed); /* in use_keys() itself: the search works */
    found[1] = holds(stack, STACK, job.seed.b);
    found[2] = holds(stack, STACK, job.seed.b + 32);
    found[3] = holds(stack, STACK, job.priv.b);
    found[4] = holds(stack, STACK, job.k.b);
    sem_post(&job.looked);
    assert_int_equal(pthread_join(t, NULL), 0);
    pthread_attr_destroy(&attr);
    munmap(stack, STACK);
    assert_true(job.ok);
    assert_true(found[0]);
    for (int i = 1; i < 5; i++)
        assert_false(found[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wycheproof_vectors),
        cmocka_unit_test(acvp_vectors),
        cmocka_unit_test_setup_teardown(cctv_vectors, draft_on, draft_off),
        cmocka_unit_test_setup_teardown(cctv_accumulated_vectors, draft_on, draft_off),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(invalid_kem_keys_are_refused),
        cmocka_unit_test(failing_random_generator_stops_everything),
        cmocka_unit_test(nothing_secret_stays_on_the_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
