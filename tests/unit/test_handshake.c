/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "people.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct sotto_env_fixed fixed;
static struct person alice, bob, mallory;

static int setup(void **state)
{
    sotto_env_fixed_init(&fixed, (const uint8_t[32]){"handshake"}, PEOPLE_NOW_MS);
    person_make(&fixed.env, "alice", &alice);
    person_make(&fixed.env, "bob", &bob);
    person_make(&fixed.env, "mallory", &mallory);
    return 0;
}

static enum sotto_err initiate(bool one_time, struct sotto_handshake_header *ret_header,
                               struct sotto_handshake *ret)
{
    return sotto_handshake_initiate(&fixed.env, &alice.party, &alice.keys.dh, &bob.party,
                                    &bob.signed_prekey, one_time ? &bob.one_time : NULL, ret_header,
                                    ret);
}

static enum sotto_err respond(const struct person *us, const struct person *them,
                              const struct sotto_handshake_header *header, bool one_time,
                              struct sotto_handshake *ret)
{
    return sotto_handshake_respond(&us->party, &us->keys.dh, &them->party, header,
                                   &us->signed_private, one_time ? &us->one_time_private : NULL,
                                   ret);
}

static void both_ends_agree(void **state)
{
    for (int one_time = 0; one_time < 2; one_time++) {
        struct sotto_handshake_header header;
        struct sotto_handshake a, b;

        assert_int_equal(initiate(one_time, &header, &a), 0);
        assert_int_equal(header.generation, 1);
        assert_int_equal(header.signed_id, 7);
        assert_int_equal(header.one_time_id, one_time ? 21 : 0);
        assert_int_equal(respond(&bob, &alice, &header, one_time, &b), 0);
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_not_equal(&a.root, &a.from_initiator, 32);
        assert_memory_not_equal(&a.root, &a.from_responder, 32);
        assert_memory_not_equal(&a.from_initiator, &a.from_responder, 32);
        sotto_handshake_wipe(&a);
        assert_true(sotto_is_zero(&a, sizeof a));
    }
}

static size_t party(uint8_t *p, const struct person *who, uint32_t generation)
{
    size_t name = strlen(who->account.name), n = 0;

    memcpy(p, who->account.relay_id, 32);
    p[n += 32] = (uint8_t)name;
    memcpy(p + ++n, who->account.name, name);
    memcpy(p + (n += name), who->account.key, 32);
    sotto_put_u64(p + (n += 32), who->device.id);
    sotto_put_u32(p + (n += 8), generation);
    memcpy(p + (n += 4), who->device.sign_pub, 32);
    memcpy(p + (n += 32), who->device.dh_pub, 32);
    return n + 32;
}

/* The derivation once more, written out from the document and with Bob's private keys. */
static void check_derivation(bool one_time)
{
    static const uint8_t zero[32] = {0};
    uint8_t ad[4096], with_ek[4096 + 1600], ikm[32 * 6], hash[32], info[14 + 32] = "sotto/1 PQXDH";
    struct sotto_handshake_header h;
    struct sotto_handshake got;
    struct sotto_secret32 k, sk;
    size_t n = 0, ikm_len = 128;

    assert_int_equal(initiate(one_time, &h, &got), 0);
    ad[n++] = 1;
    ad[n++] = 1;
    n += party(ad + n, &alice, 1);
    n += party(ad + n, &bob, 1);
    ad[n++] = 1;
    sotto_sha256(bob.signed_prekey.bytes, SOTTO_PREKEY_BYTES - 64, ad + n);
    ad[n += 32] = one_time ? 2 : 0;
    n++;
    if (one_time) {
        sotto_sha256(bob.one_time.bytes, SOTTO_PREKEY_BYTES - 64, ad + n);
        n += 32;
    }
    memcpy(ad + n, h.ct, sizeof h.ct);
    memcpy(ad + (n += sizeof h.ct), h.ek, 32);
    n += 32;
    sotto_sha256(ad, n, hash);
    assert_memory_equal(got.ad_hash, hash, 32);

    memcpy(with_ek, ad, n);
    memcpy(with_ek + n, h.ek, 32);
    memcpy(with_ek + n + 32, h.ct, sizeof h.ct);
    sotto_sha256(with_ek, n + 32 + sizeof h.ct, hash);
    assert_memory_equal(got.session_id, hash, SOTTO_SESSION_ID);

    memset(ikm, 0xff, 32);
    assert_int_equal(sotto_dh(&bob.signed_private.dh, alice.keys.dh.pub, &k), 0);
    memcpy(ikm + 32, k.b, 32);
    assert_int_equal(sotto_dh(&bob.keys.dh, h.ek, &k), 0);
    memcpy(ikm + 64, k.b, 32);
    assert_int_equal(sotto_dh(&bob.signed_private.dh, h.ek, &k), 0);
    memcpy(ikm + 96, k.b, 32);
    if (one_time) {
        assert_int_equal(sotto_dh(&bob.one_time_private.dh, h.ek, &k), 0);
        memcpy(ikm + 128, k.b, 32);
        ikm_len += 32;
    }
    sotto_kem_decaps_private(one_time ? &bob.one_time_private.kem : &bob.signed_private.kem, h.ct,
                             &k);
    memcpy(ikm + ikm_len, k.b, 32);
    memcpy(info + 14, got.ad_hash, 32);
    sotto_hkdf_sha256(zero, 32, ikm, ikm_len + 32, info, sizeof info, sk.b, 32);
    sotto_hkdf_sha256_expand(&sk, "sotto/1 root", 13, k.b, 32);
    assert_memory_equal(got.root.b, k.b, 32);
    sotto_hkdf_sha256_expand(&sk, "sotto/1 ephemeral\0\1", 19, k.b, 32);
    assert_memory_equal(got.from_initiator.b, k.b, 32);
    sotto_hkdf_sha256_expand(&sk, "sotto/1 ephemeral\0\2", 19, k.b, 32);
    assert_memory_equal(got.from_responder.b, k.b, 32);
}

static void derivation_is_the_documented_one(void **state)
{
    check_derivation(true);
    check_derivation(false);
}

static void expect_other(const struct sotto_handshake *a, const struct person *us,
                         const struct person *them, const struct sotto_handshake_header *header,
                         const char *what)
{
    struct sotto_handshake b;

    if (respond(us, them, header, true, &b) != 0)
        return; /* refused outright is fine too */
    if (memcmp(a->root.b, b.root.b, 32) == 0 ||
        memcmp(a->from_initiator.b, b.from_initiator.b, 32) == 0 ||
        memcmp(a->from_responder.b, b.from_responder.b, 32) == 0)
        fail_msg("the same secrets although the %s differs", what);
}

/* Whatever one end takes for something else than the other end meant, no secret is shared. */
static void every_part_is_bound(void **state)
{
    struct sotto_handshake_header h, other;
    struct sotto_handshake a;
    struct person p;

    assert_int_equal(initiate(true, &h, &a), 0);
#define WITH(who, change, what)                                                                    \
    do {                                                                                           \
        p = who;                                                                                   \
        p.party.account = &p.account;                                                              \
        p.party.device = &p.device;                                                                \
        change;                                                                                    \
        expect_other(&a, &who == &bob ? &p : &bob, &who == &bob ? &alice : &p, &h, what);          \
    } while (0)
    WITH(alice, p.account.relay_id[0] ^= 1, "initiator's relay");
    WITH(alice, p.account.name[0]++, "initiator's name");
    WITH(alice, p.account.key[0] ^= 1, "initiator's account key");
    WITH(alice, p.device.id++, "initiator's device");
    WITH(alice, p.device.sign_pub[0] ^= 1, "initiator's signing key");
    WITH(alice, memcpy(p.device.dh_pub, mallory.keys.dh.pub, 32), "initiator's identity key");
    WITH(bob, p.account.relay_id[0] ^= 1, "responder's relay");
    WITH(bob, p.account.name[0]++, "responder's name");
    WITH(bob, p.account.key[0] ^= 1, "responder's account key");
    WITH(bob, p.device.id++, "responder's device");
    WITH(bob, p.device.sign_pub[0] ^= 1, "responder's signing key");
    WITH(bob, p.keys.dh = mallory.keys.dh, "responder's identity private key");
    WITH(bob, p.device.dh_pub[0] ^= 1, "responder's identity key");
    WITH(bob, p.signed_private.generation++, "responder's generation");
    WITH(bob, p.signed_private.digest[0] ^= 1, "signed pre-key");
    WITH(bob, p.signed_private.dh = mallory.signed_private.dh, "signed pre-key's private key");
    WITH(bob, p.one_time_private.digest[0] ^= 1, "one-time pre-key");
    WITH(bob, p.one_time_private.dh = mallory.one_time_private.dh, "one-time private key");
    WITH(bob, p.one_time_private.kem = mallory.one_time_private.kem, "KEM private key");

    other = h;
    other.generation++;
    expect_other(&a, &bob, &alice, &other, "initiator's generation");
    other = h;
    other.ek[0] ^= 1;
    expect_other(&a, &bob, &alice, &other, "EK");
    other = h;
    other.ek[31] ^= 0x80; /* the bit that X25519 ignores */
    expect_other(&a, &bob, &alice, &other, "EK's top bit");
    other = h;
    other.ct[1567] ^= 1;
    expect_other(&a, &bob, &alice, &other, "KEM ciphertext");
    expect_other(&a, &mallory, &alice, &h, "responder");
    expect_other(&a, &bob, &mallory, &h, "initiator");
}

/* A relay that says "there was no one-time key" does not get the same secrets without it. */
static void one_time_key_is_bound(void **state)
{
    struct sotto_handshake_header h;
    struct sotto_handshake a, b;

    assert_int_equal(initiate(true, &h, &a), 0);
    assert_int_equal(respond(&bob, &alice, &h, false, &b), 0);
    assert_memory_not_equal(&a.root, &b.root, 32);
    assert_memory_not_equal(a.session_id, b.session_id, SOTTO_SESSION_ID);
    assert_int_equal(initiate(false, &h, &a), 0);
    assert_int_equal(respond(&bob, &alice, &h, true, &b), 0);
    assert_memory_not_equal(&a.root, &b.root, 32);
}

static void low_order_points(void **state)
{
    static const uint8_t point[32] = {1};
    struct sotto_handshake_header h, before;
    struct sotto_handshake a, b;
    struct person p;

    assert_int_equal(initiate(true, &h, &a), 0);
    b = a;
    before = h;
    memcpy(h.ek, point, 32);
    assert_int_equal(respond(&bob, &alice, &h, true, &b), SOTTO_ERR_BAD_KEY);
    h = before;
    p = alice;
    p.party.device = &p.device;
    memcpy(p.device.dh_pub, point, 32);
    assert_int_equal(respond(&bob, &p, &h, true, &b), SOTTO_ERR_BAD_KEY);
    memcpy(bob.device.dh_pub, point, 32);
    assert_int_equal(initiate(true, &h, &b), SOTTO_ERR_BAD_KEY);
    memcpy(bob.device.dh_pub, bob.keys.dh.pub, 32);
    memcpy(bob.signed_prekey.dh_pub, point, 32);
    assert_int_equal(initiate(true, &h, &b), SOTTO_ERR_BAD_KEY);
    memcpy(bob.signed_prekey.dh_pub, bob.signed_private.dh.pub, 32);
    memcpy(bob.one_time.dh_pub, point, 32);
    assert_int_equal(initiate(true, &h, &b), SOTTO_ERR_BAD_KEY);
    assert_memory_equal(&h, &before, sizeof h);
    assert_memory_equal(&a, &b, sizeof a);
}

static void invalid_kem_keys(void **state)
{
    struct sotto_handshake_header h;
    struct sotto_handshake a;

    memset(bob.one_time.kem_pub, 0xff, 3);
    assert_int_equal(initiate(true, &h, &a), SOTTO_ERR_BAD_KEY);
    assert_int_equal(initiate(false, &h, &a), 0);
    memset(bob.signed_prekey.kem_pub + 1533, 0xff, 3);
    assert_int_equal(initiate(false, &h, &a), SOTTO_ERR_BAD_KEY);
}

static void failing_random_stops(void **state)
{
    struct sotto_handshake_header h, h_before;
    struct sotto_handshake a, a_before;
    struct people_failing f;
    unsigned n = 0;
    enum sotto_err e;

    memset(&h, 0xee, sizeof h);
    memset(&a, 0xee, sizeof a);
    h_before = h;
    a_before = a;
    for (;; n++) {
        people_failing_init(&f, &fixed.env, n);
        e = sotto_handshake_initiate(&f.env, &alice.party, &alice.keys.dh, &bob.party,
                                     &bob.signed_prekey, NULL, &h, &a);
        if (e == 0)
            break;
        assert_int_equal(e, SOTTO_ERR_RANDOM);
        assert_memory_equal(&h, &h_before, sizeof h);
        assert_memory_equal(&a, &a_before, sizeof a);
    }
    assert_int_equal(n, 2); /* EK, encapsulation */
}

static void header_layout(void **state)
{
    uint8_t bytes[SOTTO_HANDSHAKE_BYTES], digest[32], want[32];
    struct sotto_handshake_header h, back;
    struct sotto_handshake a;
    struct sotto_writer w;
    struct sotto_reader r;

    assert_int_equal(initiate(true, &h, &a), 0);
    sotto_writer_init(&w, bytes, sizeof bytes);
    sotto_handshake_write(&w, &h);
    assert_int_equal(w.err, 0);
    assert_int_equal(w.len, sizeof bytes);
    sotto_reader_init(&r, bytes, sizeof bytes);
    assert_int_equal(sotto_handshake_read(&r, &back), 0);
    assert_memory_equal(&back, &h, sizeof h);
    sotto_reader_init(&r, bytes, sizeof bytes - 1);
    assert_int_equal(sotto_handshake_read(&r, &back), SOTTO_ERR_TRUNCATED);
    sotto_handshake_digest(&h, digest);
    sotto_sha256(bytes + 12, sizeof bytes - 12, want);
    assert_memory_equal(digest, want, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(both_ends_agree, setup),
        cmocka_unit_test_setup(derivation_is_the_documented_one, setup),
        cmocka_unit_test_setup(every_part_is_bound, setup),
        cmocka_unit_test_setup(one_time_key_is_bound, setup),
        cmocka_unit_test_setup(low_order_points, setup),
        cmocka_unit_test_setup(invalid_kem_keys, setup),
        cmocka_unit_test_setup(failing_random_stops, setup),
        cmocka_unit_test_setup(header_layout, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
