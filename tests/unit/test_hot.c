/* SPDX-License-Identifier: Apache-2.0 */
/* The frames that are read and written by hand are those of the schema, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/hot.h"
#include "wire_samples.h"

/* true: it was accepted, and is what the other reader says. */
static bool same(const uint8_t *body, size_t len)
{
    static struct sotto_request hot;
    struct sotto_request *full;
    bool accepted;

    memset(&hot, 0, sizeof hot);
    accepted = sotto_hot_request(body, len, &hot);
    if (!accepted)
        return false;
    assert_int_equal(sotto_request_decode(body, len, &full), 0);
    assert_true(wire_request_equal(&hot, full));
    sotto_request_free(full);
    return true;
}

static void our_own_are_taken(void **state)
{
    const struct sotto_request *all;
    size_t count = wire_requests(&all), taken = 0;

    for (size_t i = 0; i < count; i++) {
        struct sotto_buf b = SOTTO_BUF(SOTTO_FRAME_MAX + SOTTO_FRAME_HEADER);
        bool ours = all[i].type == SOTTO_REQ_SUBMIT || all[i].type == SOTTO_REQ_ACK;

        assert_int_equal(sotto_request_encode(&all[i], &b), 0);
        /* A number of an acknowledgement above 63 bits is left to the other reader. */
        if (!(all[i].type == SOTTO_REQ_ACK && all[i].u.ack.seq >> 63 != 0))
            assert_true(same(b.p + SOTTO_FRAME_HEADER, b.n - SOTTO_FRAME_HEADER) == ours);
        taken += ours;
        sotto_buf_free(&b);
    }
    assert_true(taken >= 4);
}

/* Every byte changed in every bit, cut at every place, something behind it. */
static void bent_ones_are_never_read_otherwise(void **state)
{
    const struct sotto_request *all;
    size_t count = wire_requests(&all);

    for (size_t i = 0; i < count; i++) {
        struct sotto_buf b = SOTTO_BUF(SOTTO_FRAME_MAX + SOTTO_FRAME_HEADER);
        uint8_t *body, *copy;
        size_t len;

        if (all[i].type != SOTTO_REQ_SUBMIT && all[i].type != SOTTO_REQ_ACK)
            continue;
        assert_int_equal(sotto_request_encode(&all[i], &b), 0);
        body = b.p + SOTTO_FRAME_HEADER;
        len = b.n - SOTTO_FRAME_HEADER;
        for (size_t at = 0; at < len && at < 400; at++) {
            for (int bit = 0; bit < 8; bit++) {
                body[at] ^= (uint8_t)(1 << bit);
                (void)same(body, len);
                body[at] ^= (uint8_t)(1 << bit);
            }
            copy = malloc(at + 1); /* its own, so that reading on is found */
            memcpy(copy, body, at);
            (void)same(copy, at);
            free(copy);
        }
        copy = malloc(len + 1);
        memcpy(copy, body, len);
        for (int last = 0; last < 256; last++) {
            copy[len] = (uint8_t)last;
            (void)same(copy, len + 1);
        }
        free(copy);
        sotto_buf_free(&b);
    }
}

static void written_as_the_other_writes(void **state)
{
    static const size_t sizes[] = {1, 127, 128, 300, 16383, 16384, SOTTO_ENVELOPE_MAX};
    static const uint64_t seqs[] = {1, 127, 128, 1ull << 40, (0x7fffffull << 40) + 7};
    static uint8_t bytes[SOTTO_ENVELOPE_MAX];
    static struct sotto_answer a;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t k = 0; k < sizeof seqs / sizeof seqs[0]; k++) {
            struct sotto_buf one = SOTTO_BUF(200000), two = SOTTO_BUF(200000);

            memset(&a, 0, sizeof a);
            a.type = SOTTO_ANS_DELIVER;
            a.u.deliver.seq = seqs[k];
            a.u.deliver.request = (i + k) % 2 != 0;
            a.u.deliver.envelope = (struct sotto_bytes){bytes, sizes[i]};
            assert_int_equal(sotto_answer_encode(&a, NULL, &one), 0);
            assert_int_equal(
                sotto_hot_deliver(&two, seqs[k], a.u.deliver.request, a.u.deliver.envelope), 0);
            assert_int_equal(one.n, two.n);
            assert_memory_equal(one.p, two.p, one.n);
            sotto_buf_free(&one);
            sotto_buf_free(&two);
        }
    }
}

static void stored_as_the_other_writes(void **state)
{
    static struct sotto_answer a;
    uint64_t devices[SOTTO_DEVICES_MAX];

    for (size_t count = 1; count <= SOTTO_DEVICES_MAX; count++) {
        struct sotto_buf one = SOTTO_BUF(4096), two = SOTTO_BUF(4096);

        memset(&a, 0, sizeof a);
        a.type = SOTTO_ANS_SUBMITTED;
        a.id = (uint32_t)1 << (count * 2 - 1);
        a.u.submitted.count = count;
        for (size_t i = 0; i < count; i++) {
            devices[i] = i == 3 ? 0 : 0xfedcba9876543210u >> i;
            a.u.submitted.results[i].device = devices[i];
            a.u.submitted.results[i].state = SOTTO_PARCEL_STORED;
        }
        assert_int_equal(sotto_answer_encode(&a, NULL, &one), 0);
        assert_int_equal(sotto_hot_stored(&two, a.id, devices, count), 0);
        assert_int_equal(one.n, two.n);
        assert_memory_equal(one.p, two.p, one.n);
        sotto_buf_free(&one);
        sotto_buf_free(&two);
    }
}

/* A buffer that has no room is left as it was. */
static void full_buffers_stay(void **state)
{
    struct sotto_buf b = SOTTO_BUF(20);
    uint64_t device = 1;
    uint8_t bytes[64] = {0};

    assert_int_equal(sotto_buf_add(&b, "0123456789", 10), 0);
    assert_int_equal(sotto_hot_deliver(&b, 1, false, (struct sotto_bytes){bytes, sizeof bytes}),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_hot_stored(&b, 1, &device, 1), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(b.n, 10);
    sotto_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_are_taken),
        cmocka_unit_test(bent_ones_are_never_read_otherwise),
        cmocka_unit_test(written_as_the_other_writes),
        cmocka_unit_test(stored_as_the_other_writes),
        cmocka_unit_test(full_buffers_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
