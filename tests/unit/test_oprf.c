/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/oprf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "opaque_world.h"
#include "vectors.h"

static void oprf_case(json_t *t, const struct sotto_scalar *key)
{
    struct vec input = vec_hex(t, "Input");
    uint8_t element[32], evaluated[32], output[64];
    struct sotto_scalar blind;
    struct script s;

    script_init(&s);
    script_add(&s, vec_hex_n(t, "Blind", 32), 32);
    assert_int_equal(sotto_oprf_blind(&s.env, input.p, input.n, &blind, element), 0);
    assert_memory_equal(element, vec_hex_n(t, "BlindedElement", 32), 32);
    assert_int_equal(sotto_oprf_evaluate(key, element, evaluated), 0);
    assert_memory_equal(evaluated, vec_hex_n(t, "EvaluationElement", 32), 32);
    assert_int_equal(sotto_oprf_finalize(input.p, input.n, &blind, evaluated, output), 0);
    assert_memory_equal(output, vec_hex_n(t, "Output", 64), 64);
}

static size_t oprf_file(json_t *root)
{
    json_t *group, *t;
    size_t i, j, n = 0;

    json_array_foreach(root, i, group)
    {
        struct vec info;
        struct sotto_scalar key;
        uint8_t pub[32], base[32];

        if (strcmp(vec_string(group, "identifier"), "ristretto255-SHA512") != 0 ||
            vec_int(group, "mode") != 0)
            continue;
        info = vec_hex(group, "keyInfo");
        assert_int_equal(sotto_oprf_derive_key(vec_hex_n(group, "seed", 32),
                                               &(struct sotto_bytes){info.p, info.n}, &key, pub),
                         0);
        assert_memory_equal(key.b, vec_hex_n(group, "skSm", 32), 32);
        sotto_group_mul_base(&key, base);
        assert_memory_equal(pub, base, 32);
        json_array_foreach(vec_array(group, "vectors"), j, t)
        {
            oprf_case(t, &key);
            n++;
        }
    }
    return n;
}

static void oprf_vectors(void **state)
{
    vectors_run("opaque/oprf-rfc9497.json", 2, 2, oprf_file);
}

static void oprf_limits(void **state)
{
    static const uint8_t long_input[SOTTO_OPRF_INPUT_MAX + 1];
    const uint8_t *info = long_input;
    uint8_t seed[32] = {0}, pub[32], output[64];
    struct sotto_bytes view = {info, 255};
    struct sotto_scalar key, blind;

    assert_int_equal(sotto_oprf_derive_key(seed, &view, &key, pub), 0);
    view.n = 256;
    assert_int_equal(sotto_oprf_derive_key(seed, &view, &key, pub), SOTTO_ERR_USAGE);
    for (size_t n = SOTTO_OPRF_INPUT_MAX; n <= SOTTO_OPRF_INPUT_MAX + 1; n++) {
        enum sotto_err want = n > SOTTO_OPRF_INPUT_MAX ? SOTTO_ERR_USAGE : SOTTO_OK;

        assert_int_equal(sotto_oprf_blind(sotto_env_system(), long_input, n, &blind, pub), want);
        assert_int_equal(sotto_oprf_finalize(long_input, n, &blind, pub, output), want);
    }
}

static void random_failure(void **state)
{
    struct sotto_scalar blind = {{7}};
    uint8_t element[32] = {7};
    struct script s;

    script_init(&s);
    assert_int_equal(sotto_oprf_blind(&s.env, "pw", 2, &blind, element), SOTTO_ERR_RANDOM);
    assert_int_equal(blind.b[0], 7);
    assert_int_equal(element[0], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oprf_vectors),
        cmocka_unit_test(oprf_limits),
        cmocka_unit_test(random_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
