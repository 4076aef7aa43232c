/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct sotto_secret32 seed = {{1, 2, 3}}, other_seed = {{4, 5, 6}};

/* What a proof is about. */
struct about {
    uint8_t exporter[SOTTO_EXPORTER], relay[32], lease[16];
    char name[64];
    uint64_t device;
};

static struct about sample(void)
{
    struct about a = {.name = "alice", .device = 0x0102030405060708};

    memset(a.exporter, 0x0e, sizeof a.exporter);
    memset(a.relay, 0x11, sizeof a.relay);
    memset(a.lease, 0x1e, sizeof a.lease);
    return a;
}

static enum sotto_err verify(const uint8_t *pub, const struct about *a, const uint8_t *proof)
{
    return sotto_proof_verify(pub, a->exporter, a->relay, a->name, a->device, a->lease, proof);
}

static enum sotto_err verify_delete(const uint8_t *pub, const struct about *a, const uint8_t *proof)
{
    return sotto_delete_proof_verify(pub, a->exporter, a->relay, a->name, proof);
}

/* The exact bytes that are signed. */
static void layout(void **state)
{
    uint8_t text[32 + 32 + 1 + 5 + 8 + 16], want[SOTTO_SIGNATURE], got[SOTTO_SIGNATURE];
    struct about a = sample();
    struct sotto_sign_pair key;

    sotto_sign_from_seed(&seed, &key);
    memset(text, 0x0e, 32);
    memset(text + 32, 0x11, 32);
    memcpy(text + 64, "\005alice", 6);
    memcpy(text + 70, "\1\2\3\4\5\6\7\10", 8);
    memset(text + 78, 0x1e, 16);
    assert_int_equal(sotto_sign(&key, "device proof", text, sizeof text, want), 0);
    assert_int_equal(sotto_proof_sign(&key, a.exporter, a.relay, a.name, a.device, a.lease, got),
                     0);
    assert_memory_equal(got, want, sizeof got);
    assert_int_equal(sotto_sign(&key, "delete account", text, 70, want), 0);
    assert_int_equal(sotto_delete_proof_sign(&key, a.exporter, a.relay, a.name, got), 0);
    assert_memory_equal(got, want, sizeof got);
}

/* A proof for one connection, relay, name, device or lease is none for another: it cannot be passed
 * on, replayed on the next connection, or used by a relay in the middle. */
static void covers_everything(void **state)
{
    static const struct {
        const char *what;
        size_t offset;
        bool in_delete;
    } table[] = {
        {"connection", offsetof(struct about, exporter), true},
        {"end of the exporter", offsetof(struct about, exporter) + 31, true},
        {"relay", offsetof(struct about, relay), true},
        {"name", offsetof(struct about, name), true},
        {"device", offsetof(struct about, device), false},
        {"lease", offsetof(struct about, lease), false},
        {"end of the lease", offsetof(struct about, lease) + 15, false},
    };
    uint8_t proof[SOTTO_SIGNATURE], delete_proof[SOTTO_SIGNATURE];
    struct about a = sample();
    struct sotto_sign_pair key, other;

    sotto_sign_from_seed(&seed, &key);
    sotto_sign_from_seed(&other_seed, &other);
    assert_int_equal(sotto_proof_sign(&key, a.exporter, a.relay, a.name, a.device, a.lease, proof),
                     0);
    assert_int_equal(sotto_delete_proof_sign(&key, a.exporter, a.relay, a.name, delete_proof), 0);
    assert_int_equal(verify(key.pub, &a, proof), 0);
    assert_int_equal(verify_delete(key.pub, &a, delete_proof), 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct about changed = a;

        ((uint8_t *)&changed)[table[i].offset] ^= 1;
        if (verify(key.pub, &changed, proof) != SOTTO_ERR_BAD_SIGNATURE)
            fail_msg("another %s is accepted", table[i].what);
        if (table[i].in_delete &&
            verify_delete(key.pub, &changed, delete_proof) != SOTTO_ERR_BAD_SIGNATURE)
            fail_msg("another %s is accepted for deletion", table[i].what);
    }
    assert_int_equal(verify(other.pub, &a, proof), SOTTO_ERR_BAD_SIGNATURE);
    assert_int_equal(verify_delete(other.pub, &a, delete_proof), SOTTO_ERR_BAD_SIGNATURE);
}

static void every_bit_of_the_proof(void **state)
{
    uint8_t proof[SOTTO_SIGNATURE];
    struct about a = sample();
    struct sotto_sign_pair key;

    sotto_sign_from_seed(&seed, &key);
    assert_int_equal(sotto_proof_sign(&key, a.exporter, a.relay, a.name, a.device, a.lease, proof),
                     0);
    for (size_t i = 0; i < 8 * sizeof proof; i++) {
        proof[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(verify(key.pub, &a, proof), SOTTO_ERR_BAD_SIGNATURE);
        proof[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

/* One cannot be taken for the other, even where the same key signs both and the texts are equal. */
static void purposes_are_apart(void **state)
{
    uint8_t proof[SOTTO_SIGNATURE];
    struct about a = sample();
    struct sotto_sign_pair key;

    sotto_sign_from_seed(&seed, &key);
    assert_int_equal(sotto_delete_proof_sign(&key, a.exporter, a.relay, a.name, proof), 0);
    assert_int_equal(verify(key.pub, &a, proof), SOTTO_ERR_BAD_SIGNATURE);
    assert_int_equal(sotto_proof_sign(&key, a.exporter, a.relay, a.name, a.device, a.lease, proof),
                     0);
    assert_int_equal(verify_delete(key.pub, &a, proof), SOTTO_ERR_BAD_SIGNATURE);
}

/* The length of the name is part of it: no name runs into what follows. */
static void names_have_an_end(void **state)
{
    uint8_t proof[SOTTO_SIGNATURE];
    struct about a = sample(), b = sample();
    struct sotto_sign_pair key;

    sotto_sign_from_seed(&seed, &key);
    strcpy(a.name, "alice");
    a.device = 0x6200000000000000; /* 'b' first */
    strcpy(b.name, "aliceb");
    assert_int_equal(sotto_proof_sign(&key, a.exporter, a.relay, a.name, a.device, a.lease, proof),
                     0);
    assert_int_equal(verify(key.pub, &b, proof), SOTTO_ERR_BAD_SIGNATURE);
}

static void too_long_a_name(void **state)
{
    uint8_t proof[SOTTO_SIGNATURE] = {0};
    struct about a = sample();
    struct sotto_sign_pair key;
    char name[300];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    sotto_sign_from_seed(&seed, &key);
    assert_int_equal(sotto_proof_sign(&key, a.exporter, a.relay, name, 1, a.lease, proof),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_proof_verify(key.pub, a.exporter, a.relay, name, 1, a.lease, proof),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_delete_proof_sign(&key, a.exporter, a.relay, name, proof),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_delete_proof_verify(key.pub, a.exporter, a.relay, name, proof),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(proof[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),
        cmocka_unit_test(covers_everything),
        cmocka_unit_test(every_bit_of_the_proof),
        cmocka_unit_test(purposes_are_apart),
        cmocka_unit_test(names_have_an_end),
        cmocka_unit_test(too_long_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
