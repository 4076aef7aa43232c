/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "base/bytes.h"
#include "crypto/kdf.h"

static const uint8_t env_seed[32] = "ristretto255";

static void unhex(const char *hex, uint8_t *ret, size_t len)
{
    size_t n;

    assert_int_equal(sotto_hex_decode(hex, strlen(hex), ret, len, &n), 0);
    assert_int_equal(n, len);
}

/* RFC 9496 appendix A.1: the multiples 1 to 15 of the generator. */
static const char *const multiples[] = {
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
    "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
    "f64746d3c92b13050ed8d80236a7f0007c3b3f962f5ba793d19a601ebb1df403",
    "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    "903293d8f2287ebe10e2374dc1a53e0bc887e592699f02d077d5263cdd55601c",
    "02622ace8f7303a31cafc63f8fc48fdc16e1c8c8d234b2f0d6685282a9076031",
    "20706fd788b2720a1ed2a5dad4952b01f413bcf0e7564de8cdc816689e2db95f",
    "bce83f8ba5dd2fa572864c24ba1810f9522bc6004afe95877ac73241cafdab42",
    "e4549ee16b9aa03099ca208c67adafcafa4c3f3e4e5303de6026e3ca8ff84460",
    "aa52e000df2e16f55fb1032fc33bc42742dad6bd5a8fc0be0167436c5948501f",
    "46376b80f409b29dc2b5f6f0c52591990896e5716f41477cd30085ab7f10301e",
    "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e",
};

static void rfc9496_multiples(void **state)
{
    uint8_t base[32], want[32], got[32];

    unhex(multiples[0], base, 32);
    for (size_t i = 0; i < sizeof multiples / sizeof multiples[0]; i++) {
        struct sotto_scalar s = {{(uint8_t)(i + 1)}};

        unhex(multiples[i], want, 32);
        sotto_group_mul_base(&s, got);
        assert_memory_equal(got, want, 32);
        assert_int_equal(sotto_group_mul(&s, base, got), 0);
        assert_memory_equal(got, want, 32);
    }
}

/* RFC 9496 appendix A.2, and the identity, which RFC 9497 section 2.1 excludes. */
static void invalid_elements_are_refused(void **state)
{
    static const char *const bad[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        /* not canonical */
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        /* negative */
        "0100000000000000000000000000000000000000000000000000000000000000",
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
        "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
        "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
        "47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
        "f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
        "87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
        /* x^2 is no square */
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
        "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
        "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b",
        "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
        "2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08",
        "f4a9e534fc0d216c44b218fa0c42d99635a0127ee2e53c712f70609649fdff22",
        "8268436f8c4126196cf64b3c7ddbda90746a378625f9813dd9b8457077256731",
        "2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b",
        /* x y is negative */
        "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
        "a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220",
        "d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e",
        "8a2e1d30050198c65a54483123960ccc38aef6848e1ec8f5f780e8523769ba32",
        "32888462f8b486c68ad7dd9610be5192bbeaf3b443951ac1a8118419d9fa097b",
        "227142501b9d4355ccba290404bde41575b037693cef1f438c47f8fbf35d1165",
        "5c37cc491da847cfeb9281d407efc41e15144c876e0170b499a96a22ed31e01e",
        "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
        /* s = -1, so y = 0 */
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct sotto_scalar s = {{2}};
    uint8_t element[32], got[32];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unhex(bad[i], element, 32);
        memset(got, 0xee, sizeof got);
        assert_int_equal(sotto_group_mul(&s, element, got), SOTTO_ERR_BAD_KEY);
        assert_int_equal(got[0], 0xee);
    }
    /* The identity as a result: zero times anything. */
    memset(&s, 0, sizeof s);
    unhex(multiples[0], element, 32);
    assert_int_equal(sotto_group_mul(&s, element, got), SOTTO_ERR_BAD_KEY);
    assert_int_equal(got[0], 0xee);
}

/* RFC 9497 appendix A.1.1: key from a seed, blinding, evaluation, unblinding, output. */
static void rfc9497_oprf_mode(void **state)
{
    static const char context[] = "OPRFV1-\0-ristretto255-SHA512";
    static const struct {
        const char *input, *blinded, *evaluated, *output;
    } t[] = {
        {"00", "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c",
         "7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e",
         "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3"
         "ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6"},
        {"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
         "da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418",
         "b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25",
         "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4"
         "f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73"},
    };
    uint8_t dst[64], derive[64], want[64], got[64], input[17], element[32];
    struct sotto_scalar key, blind, unblind;
    struct sotto_writer w;
    size_t dst_len, derive_len;

    memset(derive, 0xa3, 32);
    sotto_writer_init(&w, derive + 32, sizeof derive - 32);
    sotto_write_field16(&w, "test key", 8);
    sotto_write_u8(&w, 0);
    assert_int_equal(sotto_writer_done(&w, &derive_len), 0);
    sotto_writer_init(&w, dst, sizeof dst);
    sotto_write_bytes(&w, "DeriveKeyPair", 13);
    sotto_write_bytes(&w, context, sizeof context - 1);
    assert_int_equal(sotto_writer_done(&w, &dst_len), 0);
    sotto_scalar_hash(derive, 32 + derive_len, dst, dst_len, &key);
    unhex("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e", want, 32);
    assert_memory_equal(key.b, want, 32);

    sotto_writer_init(&w, dst, sizeof dst);
    sotto_write_bytes(&w, "HashToGroup-", 12);
    sotto_write_bytes(&w, context, sizeof context - 1);
    assert_int_equal(sotto_writer_done(&w, &dst_len), 0);
    unhex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706", blind.b, 32);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        size_t len = strlen(t[i].input) / 2;
        uint8_t sizes[4];

        unhex(t[i].input, input, len);
        assert_int_equal(sotto_group_hash(input, len, dst, dst_len, element), 0);
        assert_int_equal(sotto_group_mul(&blind, element, element), 0);
        unhex(t[i].blinded, want, 32);
        assert_memory_equal(element, want, 32);
        assert_int_equal(sotto_group_mul(&key, element, element), 0);
        unhex(t[i].evaluated, want, 32);
        assert_memory_equal(element, want, 32);
        sotto_scalar_invert(&blind, &unblind);
        assert_int_equal(sotto_group_mul(&unblind, element, element), 0);
        sotto_put_u16(sizes, (uint16_t)len);
        sotto_put_u16(sizes + 2, 32);
        sotto_sha512v((const struct sotto_bytes[]){{sizes, 2},
                                                   {input, len},
                                                   {sizes + 2, 2},
                                                   {element, 32},
                                                   {(const uint8_t *)"Finalize", 8}},
                      5, got);
        unhex(t[i].output, want, 64);
        assert_memory_equal(got, want, 64);
    }
}

/* RFC 9380 section 5.3.3: a tag above 255 bytes is hashed first. The values were computed from the
 * RFC with Python's hashlib; that program gives the values of appendix K.3 too. */
static void long_tags(void **state)
{
    static const struct {
        size_t len;
        const char *want;
    } t[] = {
        {255, "a16e40e96bceb3172b93de06ecda8f424c5498b75cba3d94e511de3bdc2c240e"},
        {256, "463cda89531ef8292c6faa1609cbb41a2f1cc3741babcc20054a4642cd885b02"},
        {300, "57ca5f5be49aed744c1c35b26503c54ae197cf5958adbedbbd8fac58845f4104"},
    };
    struct sotto_scalar got;
    uint8_t dst[300], want[32];

    memset(dst, 'D', sizeof dst);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        sotto_scalar_hash("abc", 3, dst, t[i].len, &got);
        unhex(t[i].want, want, 32);
        assert_memory_equal(got.b, want, 32);
    }
}

static void random_scalars_invert(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_scalar s, inverse, last = {{0}};
    uint8_t base[32], a[32], b[32];

    sotto_env_fixed_init(&f, env_seed, 0);
    unhex(multiples[0], base, 32);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(sotto_scalar_random(&f.env, &s), 0);
        assert_memory_not_equal(s.b, last.b, 32);
        assert_in_range(s.b[31], 0, 0x10); /* reduced modulo 2^252 + ... */
        last = s;
        sotto_group_mul_base(&s, a);
        sotto_scalar_invert(&s, &inverse);
        assert_int_equal(sotto_group_mul(&inverse, a, b), 0);
        assert_memory_equal(b, base, 32);
    }
    sotto_scalar_wipe(&s);
    assert_true(sotto_is_zero(&s, sizeof s));
}

/* Zeroes at first: the scalar would be zero, so it is drawn again. */
static enum sotto_err zero_then_one(void *ctx, void *ret, size_t len)
{
    int *calls = ctx;

    memset(ret, 0, len);
    if (++*calls > 3)
        *(uint8_t *)ret = 1;
    return SOTTO_OK;
}

static void zero_is_not_taken(void **state)
{
    int calls = 0;
    struct sotto_env env = {.ctx = &calls, .random = zero_then_one};
    struct sotto_scalar s;

    assert_int_equal(sotto_scalar_random(&env, &s), 0);
    assert_int_equal(calls, 4);
    assert_int_equal(s.b[0], 1);
}

static void failing_random_generator_stops_the_scalar(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_scalar s;

    sotto_env_fixed_init(&f, env_seed, 0);
    f.fail_random = 1;
    memset(&s, 0xee, sizeof s);
    assert_int_equal(sotto_scalar_random(&f.env, &s), SOTTO_ERR_RANDOM);
    for (size_t i = 0; i < sizeof s; i++)
        assert_int_equal(s.b[i], 0xee);
}

static void no_allocation(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_scalar s;
    uint8_t element[32];
    size_t before;

    sotto_env_fixed_init(&f, env_seed, 0);
    assert_int_equal(sotto_scalar_random(&f.env, &s), 0);
    before = alloc_count();
    assert_int_equal(sotto_group_hash("x", 1, "dst", 3, element), 0);
    assert_int_equal(sotto_group_mul(&s, element, element), 0);
    sotto_scalar_invert(&s, &s);
    sotto_group_mul_base(&s, element);
    assert_int_equal(alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc9496_multiples),
        cmocka_unit_test(invalid_elements_are_refused),
        cmocka_unit_test(rfc9497_oprf_mode),
        cmocka_unit_test(long_tags),
        cmocka_unit_test(random_scalars_invert),
        cmocka_unit_test(zero_is_not_taken),
        cmocka_unit_test(failing_random_generator_stops_the_scalar),
        cmocka_unit_test(no_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
