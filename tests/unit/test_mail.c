/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored mail: rows of envelopes, what becomes of rows that nobody wants any more, what a start
 * finds, and a disk that takes nothing or fails. What was answered is there, once, in order; counts
 * and quotas are right afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "faulty_vfs.h"
#include "relay_rig.h"
#define person person_known /* people.h has one too */
#include "relay/core.h"
#undef person

static struct rig r;
static struct dev alice, bob, carol;
static struct client a, b, c;

/* alice is there; bob and carol have accounts and are away. */
static int setup(void **state)
{
    faulty_reset();
    rig_make_on(&r, "faulty");
    r.config.quota_messages = 100000;
    r.config.quota_bytes = 1024ull * 1024 * 1024;
    rig_configure(&r);
    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    token_set(&b, 7, true);
    client_free(&b);
    dev_join(&r, &carol, &c, "carol");
    token_set(&c, 7, true);
    client_free(&c);
    rig_pass(&r, 1); /* the sweep of the start is over */
    return 0;
}

static int teardown(void **state)
{
    client_free(&a);
    faulty_reset();
    rig_free(&r);
    return 0;
}

/* --- helpers --- */

static void hand_in(const struct dev *to, const char *text, uint32_t lane)
{
    struct sotto_request q = with_token(submit_to(to, text, lane), 7);

    client_send(&a, &q);
}

static void text_of(unsigned i, size_t len, char *ret)
{
    memset(ret, 'x', len);
    ret[snprintf(ret, len, "text %u ", i)] = 'x';
    ret[len] = '\0';
}

/* All answers that have come say this; returns how many. -code: refused. */
static unsigned answers(int state)
{
    struct sotto_answer *answer;
    unsigned n = 0;

    while ((answer = client_next(&a)) != NULL) {
        if (answer->type == SOTTO_ANS_ERROR)
            assert_int_equal(-(int)answer->u.error.code, state);
        else
            assert_int_equal(answer->u.submitted.results[0].state, state);
        sotto_answer_free(answer);
        n++;
    }
    return n;
}

/* Texts from .. to - 1 of len bytes, in one turn. */
static void store_some(const struct dev *to, unsigned from, unsigned end, size_t len)
{
    static char text[SOTTO_ENVELOPE_MAX];

    for (unsigned i = from; i < end; i++) {
        text_of(i, len, text);
        hand_in(to, text, 1);
    }
    rig_turn(&r);
    assert_true(answers(SOTTO_PARCEL_STORED) >= end - from);
}

/* The next texts that are delivered are these; all are acknowledged, up to the last one or to it
 * too. */
static uint64_t fetch(struct client *conn, unsigned from, unsigned end, size_t len)
{
    static char text[SOTTO_ENVELOPE_MAX];
    uint64_t seq = 0;

    for (unsigned i = from; i < end; i++) {
        text_of(i, len, text);
        seq = expect_deliver(conn, text);
        if (i + 1 == end || (i - from) % 100 == 99)
            ack(conn, seq);
    }
    return seq;
}

struct rows {
    size_t rows, places, bytes;
    int64_t last;
};

static enum sotto_err count_place(void *ctx, int64_t row, const struct sotto_rs_place *p)
{
    struct rows *n = ctx;

    n->rows += row != n->last;
    n->last = row;
    n->places++;
    n->bytes += p->len;
    return SOTTO_OK;
}

static struct rows on_disk(void)
{
    struct rows n = {.last = 0};

    assert_int_equal(sotto_rs_mail_each(r.store, count_place, &n), 0);
    return n;
}

/* What is known in memory fits together, and there is so much of it. */
static void expect_waiting(size_t count)
{
    const struct mail *m = &r.relay->mail;
    size_t entries = 0, bytes = 0, left = 0, left_bytes = 0;

    for (size_t i = 0; i < r.relay->box_room; i++) {
        for (const struct box *box = r.relay->boxes[i]; box != NULL; box = box->next) {
            size_t here = 0, shared = 0;

            for (size_t k = 0; k < box->count; k++) {
                const struct box_entry *e = &box->entries[box->first + k];

                assert_non_null(e->row);
                assert_true(k == 0 || e->seq > e[-1].seq);
                assert_true(sotto_idset_has(&m->ids, sotto_idset_key(box->id, e->id)));
                here += e->size;
            }
            for (size_t k = 0; k < box->share_count; k++)
                shared += box->shares[k].bytes[0] + box->shares[k].bytes[1];
            assert_int_equal(box->lane_count[0] + box->lane_count[1], box->count);
            assert_int_equal(box->lane_bytes[0] + box->lane_bytes[1], here);
            assert_int_equal(shared, here);
            entries += box->count;
            bytes += here;
        }
    }
    for (const struct row *row = m->rows; row != NULL; row = row->next) {
        assert_true(row->listed && row->left > 0);
        left += row->left;
        left_bytes += row->left_bytes;
    }
    for (const struct row *row = m->dead; row != NULL; row = row->next)
        assert_true(!row->listed && row->left == 0 && row->left_bytes == 0);
    assert_null(m->reaped);
    assert_int_equal(entries, count);
    assert_int_equal(m->waiting, count);
    assert_int_equal(m->waiting_bytes, bytes);
    assert_int_equal(left, count);
    assert_int_equal(left_bytes, bytes);
    assert_int_equal(m->ids.count, count);
}

static void sweep(void)
{
    rig_pass(&r, SWEEP_MS);
}

/* People's connections are gone with it. */
static void crash(void)
{
    faulty_reset();
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
}

static void fill_disk(long left, int result)
{
    faulty.left = left;
    faulty.result = result;
    faulty.stays = true;
}

/* --- rows --- */

static void test_a_turn_is_a_row(void **state)
{
    store_some(&bob, 0, 10, 300);
    assert_int_equal(on_disk().rows, 1);
    assert_int_equal(on_disk().places, 10);
    store_some(&carol, 10, 11, 300);
    assert_int_equal(on_disk().rows, 2);
    expect_waiting(11);
    /* A long turn makes rows of a size that can be moved about. */
    store_some(&bob, 11, 31, 60000);
    assert_int_equal(on_disk().rows, 4);
    expect_waiting(31);
    for (const struct row *row = r.relay->mail.rows; row != NULL; row = row->next)
        assert_true(row->bytes <= ROW_BYTES);
}

static void test_rows_are_reaped(void **state)
{
    store_some(&bob, 0, 10, 300);
    store_some(&bob, 10, 20, 300);
    dev_connect(&r, &bob, &b, 0);
    fetch(&b, 0, 15, 300);
    expect_waiting(5);
    sweep();
    assert_int_equal(on_disk().rows, 1); /* of the second one half is wanted */
    fetch(&b, 15, 20, 300);
    expect_waiting(0);
    sweep();
    assert_int_equal(on_disk().rows, 0);
    assert_false(sotto_mail_has_waste(r.relay));
    client_free(&b);
}

/* Acknowledged, and the relay dies before the row is gone: what the device says at Begin decides.
 */
static void test_acknowledged_and_killed(void **state)
{
    uint64_t seq;

    store_some(&bob, 0, 10, 300);
    dev_connect(&r, &bob, &b, 0);
    seq = fetch(&b, 0, 10, 300);
    assert_int_equal(on_disk().rows, 1);
    crash();
    expect_waiting(10);
    dev_connect(&r, &bob, &b, seq);
    client_quiet(&b);
    expect_waiting(0);
    sweep();
    assert_int_equal(on_disk().rows, 0);
    client_free(&b);
}

/* What it said at Begin stays said. */
static void test_floor(void **state)
{
    uint64_t seq;

    store_some(&bob, 0, 10, 300);
    dev_connect(&r, &bob, &b, 0);
    for (unsigned i = 0; i < 10; i++) {
        char text[301];

        text_of(i, 300, text);
        seq = expect_deliver(&b, text);
    }
    client_free(&b);
    dev_connect(&r, &bob, &b, seq);
    crash();
    expect_waiting(0);
    dev_connect(&r, &bob, &b, 0);
    client_quiet(&b);
    sweep();
    assert_int_equal(on_disk().rows, 0);
    client_free(&b);
}

static void test_expired(void **state)
{
    r.config.lifetime_days = 2;
    rig_configure(&r);
    store_some(&bob, 0, 10, 300);
    for (unsigned i = 0; i < 24; i++)
        rig_pass(&r, 3600 * 1000);
    client_free(&a);
    dev_connect(&r, &alice, &a, 0);
    store_some(&bob, 10, 12, 300);
    for (unsigned i = 0; i < 48; i++)
        rig_pass(&r, 3600 * 1000);
    expect_waiting(2);
    assert_int_equal(on_disk().places, 2);
    dev_connect(&r, &bob, &b, 0);
    fetch(&b, 10, 12, 300);
    client_free(&b);
}

static void test_resend_is_known(void **state)
{
    store_some(&bob, 0, 3, 300);
    store_some(&bob, 0, 3, 300);
    expect_waiting(3);
    crash();
    store_some(&bob, 0, 3, 300);
    expect_waiting(3);
    dev_connect(&r, &bob, &b, 0);
    fetch(&b, 0, 3, 300);
    client_quiet(&b);
    expect_waiting(0);
    client_free(&b);
}

/* --- room on the disk --- */

/* One envelope of each row is wanted for long: the rest of the row is given back. */
static void test_compaction(void **state)
{
    for (unsigned i = 0; i < 10; i++) {
        static char text[10001];

        text_of(i, 10000, text);
        hand_in(&carol, text, 1);
        store_some(&bob, i * 10, i * 10 + 9, 10000 - 1);
        client_free(&a);
        dev_connect(&r, &alice, &a, 0);
    }
    assert_int_equal(on_disk().rows, 10);
    dev_connect(&r, &bob, &b, 0);
    for (unsigned i = 0; i < 10; i++)
        fetch(&b, i * 10, i * 10 + 9, 10000 - 1);
    expect_waiting(10);
    sweep();
    expect_waiting(10);
    assert_int_equal(on_disk().rows, 1);
    assert_int_equal(on_disk().bytes, 10 * 10000);
    crash();
    expect_waiting(10);
    dev_connect(&r, &carol, &c, 0);
    fetch(&c, 0, 10, 10000);
    client_quiet(&c);
    client_free(&b);
    client_free(&c);
}

static long long file_size(void)
{
    struct stat st;

    assert_int_equal(stat(r.path, &st), 0);
    return st.st_size;
}

/* Years of traffic beside a few that wait: the disk holds a multiple of what waits. */
static void test_disk_is_bounded(void **state)
{
    long long early = 0;
    unsigned kept = 0;
    char text[301];

    dev_connect(&r, &bob, &b, 0);
    client_free(&b);
    for (unsigned round = 0; round < 120; round++) {
        if (round % 10 == 0) {
            text_of(kept++, 300, text);
            hand_in(&carol, text, 1);
        }
        for (unsigned i = 0; i < 20; i++) {
            static char big[10001];

            text_of(i, 10000, big);
            hand_in(&bob, big, 1);
        }
        rig_turn(&r);
        answers(SOTTO_PARCEL_STORED);
        dev_connect(&r, &bob, &b, 0);
        fetch(&b, 0, 20, 10000);
        client_free(&b);
        sweep();
        assert_int_equal(on_disk().places, kept);
        assert_true(on_disk().bytes <= 4 * r.relay->mail.waiting_bytes);
        if (round == 20)
            early = file_size();
    }
    expect_waiting(kept);
    assert_true(file_size() <= early + 64 * 1024);
    dev_connect(&r, &carol, &c, 0);
    fetch(&c, 0, kept, 300);
    client_free(&c);
}

/* --- the start --- */

static void test_start_with_many(void **state)
{
    for (unsigned i = 0; i < 10000; i += 500) {
        store_some(&bob, i, i + 250, 300);
        store_some(&carol, i, i + 250, 300);
    }
    expect_waiting(10000);
    crash();
    expect_waiting(10000);
    dev_connect(&r, &bob, &b, 0);
    for (unsigned i = 0; i < 10000; i += 500)
        fetch(&b, i, i + 250, 300);
    client_quiet(&b);
    sotto_relay_shutdown(r.relay);
    rig_turn(&r);
    rig_restart(&r);
    dev_connect(&r, &alice, &a, 0);
    expect_waiting(5000);
    dev_connect(&r, &carol, &c, 0);
    for (unsigned i = 0; i < 10000; i += 500)
        fetch(&c, i, i + 250, 300);
    client_quiet(&c);
    sweep();
    sweep();
    expect_waiting(0);
    assert_int_equal(on_disk().rows, 0);
    client_free(&c);
}

static void test_removed_device(void **state)
{
    const struct dev *left[] = {&bob};
    struct sotto_request q;
    struct dev second;
    struct client s;

    dev_connect(&r, &bob, &b, 0);
    dev_add(&r, &bob, &b, &second, &s);
    client_free(&s);
    hand_in(&second, "for the second", 1);
    {
        struct sotto_answer *answer;

        rig_turn(&r);
        /* The list is another one now, as alice is told; she goes by it. */
        while ((answer = client_next(&a)) != NULL)
            sotto_answer_free(answer);
        q = with_token(submit_to(&second, "for the second", 2), 7);
        q.u.submit.list_version = bob.parsed.version;
        assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    }
    expect_waiting(1);
    dev_list(&bob, left, 1, 1);
    assert_int_equal(send_list(&b, &bob), 0);
    crash();
    expect_waiting(0);
    sweep();
    assert_int_equal(on_disk().rows, 0);
}

static void test_deleted_account(void **state)
{
    struct sotto_rs_account account;

    store_some(&bob, 0, 5, 300);
    store_some(&carol, 5, 10, 300);
    assert_int_equal(sotto_rs_account_find(r.store, "bob", &account), 0);
    assert_int_equal(sotto_rs_account_delete(r.store, account.id), 0);
    crash();
    expect_waiting(5);
    sweep();
    assert_int_equal(on_disk().places, 5);
    dev_connect(&r, &carol, &c, 0);
    fetch(&c, 5, 10, 300);
    client_free(&c);
}

static int64_t box_of(const struct dev *d)
{
    struct sotto_rs_account account;
    struct sotto_rs_device device;

    assert_int_equal(sotto_rs_account_find(r.store, d->p.account.name, &account), 0);
    assert_int_equal(sotto_rs_device_find(r.store, account.id, d->p.device.id, &device), 0);
    return device.box;
}

static int64_t row_with(const struct dev *to, uint64_t seq, unsigned i, uint32_t claimed)
{
    struct sotto_rs_place place = {.box = box_of(to), .seq = seq, .len = claimed};
    char text[301];
    int64_t row;

    text_of(i, 300, text);
    place.day = (uint32_t)(r.env.now / DAY_MS);
    sotto_envelope_id((const uint8_t *)text, 300, place.id);
    assert_int_equal(sotto_rs_mail_add(r.store, &place, 1,
                                       (struct sotto_bytes){(const uint8_t *)text, 300}, &row),
                     0);
    return row;
}

/* One row for each envelope, as an older version left them; in any order; one of them twice, as
 * when both the old row and the one it was moved to are there. */
static void test_rows_of_one(void **state)
{
    for (unsigned i = 50; i-- > 0;)
        row_with(&bob, ((uint64_t)1 << 40) + 1000 + i, i, 300);
    row_with(&bob, ((uint64_t)1 << 40) + 1000 + 49, 49, 300);
    crash();
    expect_waiting(50);
    store_some(&bob, 50, 60, 300);
    dev_connect(&r, &bob, &b, 0);
    fetch(&b, 0, 60, 300);
    client_quiet(&b);
    expect_waiting(0);
    sweep();
    sweep();
    assert_int_equal(on_disk().rows, 0);
    client_free(&b);
}

/* Broken in a way that no crash makes: no start, rather than a start with less. */
static void test_broken_row(void **state)
{
    struct sotto_relay *other = NULL;

    row_with(&bob, (uint64_t)1 << 40, 0, 301);
    assert_int_equal(sotto_relay_new(&r.env.env, r.store, &r.config, &other), SOTTO_ERR_MALFORMED);
    assert_null(other);
}

/* --- a disk that takes nothing --- */

static void test_full(void **state)
{
    bool failed = true;
    char text[301];

    store_some(&bob, 0, 5, 300);
    for (long left = 0; failed; left++) {
        fill_disk(left, SQLITE_FULL);
        text_of(5, 300, text);
        hand_in(&bob, text, (uint32_t)(2 + left));
        rig_turn(&r);
        failed = faulty.failures > 0;
        faulty_reset();
        assert_int_equal(answers(failed ? -SOTTO_RELAY_UNAVAILABLE : SOTTO_PARCEL_STORED), 1);
        expect_waiting(failed ? 5 : 6);
    }
    crash();
    expect_waiting(6);
    store_some(&bob, 6, 10, 300);
    dev_connect(&r, &bob, &b, 0);
    fetch(&b, 0, 10, 300);
    client_free(&b);
}

/* Quotas count what is there, not what was refused. */
static void test_full_and_quotas(void **state)
{
    char text[301];

    r.config.quota_messages = 24; /* of which one sender has three */
    rig_configure(&r);
    for (uint32_t i = 0; i < 10; i++) {
        fill_disk(0, SQLITE_FULL);
        text_of(i, 300, text);
        hand_in(&bob, text, i + 1);
        rig_turn(&r);
        assert_int_equal(answers(-SOTTO_RELAY_UNAVAILABLE), 1);
        faulty_reset();
    }
    client_free(&a);
    dev_connect(&r, &alice, &a, 0);
    store_some(&bob, 0, 3, 300);
    hand_in(&bob, "one too many", 2);
    rig_turn(&r);
    assert_int_equal(answers(SOTTO_PARCEL_QUOTA), 1);
}

/* Two rows of which one envelope is wanted. Returns the number that bob has committed. */
static uint64_t make_waste(void)
{
    static char text[10001];
    uint64_t seq;

    text_of(0, 10000, text);
    hand_in(&carol, text, 1);
    store_some(&bob, 0, 9, 9999);
    store_some(&bob, 9, 12, 9999);
    dev_connect(&r, &bob, &b, 0);
    seq = fetch(&b, 0, 12, 9999);
    client_free(&b);
    expect_waiting(1);
    assert_int_equal(on_disk().rows, 2);
    return seq;
}

/* The sweep drops one row and moves another; the disk takes `left` writes of it. */
static bool sweep_on_full_disk(long left)
{
    bool failed;

    fill_disk(left, SQLITE_FULL);
    sweep();
    failed = faulty.failures > 0;
    faulty_reset();
    expect_waiting(1);
    return failed;
}

static void test_full_while_giving_back(void **state)
{
    long left = 0;

    make_waste();
    while (sweep_on_full_disk(left))
        left++;
    assert_true(left > 0);
    sweep();
    assert_int_equal(on_disk().rows, 1);
    assert_int_equal(on_disk().bytes, 10000);
    store_some(&carol, 1, 3, 10000);
    crash();
    expect_waiting(3);
    dev_connect(&r, &carol, &c, 0);
    fetch(&c, 0, 3, 10000);
    client_quiet(&c);
    client_free(&c);
}

/* The same, and the relay dies at each point: what is found at the start is the old or the new. */
static void test_killed_while_giving_back(void **state)
{
    bool failed = true;

    for (long left = 0; failed; left++) {
        uint64_t seq;

        if (left > 0)
            setup(state);
        seq = make_waste();
        r.mortal = true;
        fill_disk(left, SQLITE_IOERR_WRITE);
        sweep();
        failed = faulty.failures > 0;
        r.mortal = false;
        crash();
        dev_connect(&r, &bob, &b, seq);
        client_quiet(&b);
        expect_waiting(1);
        dev_connect(&r, &carol, &c, 0);
        fetch(&c, 0, 1, 10000);
        client_quiet(&c);
        expect_waiting(0);
        sweep();
        assert_int_equal(on_disk().rows, 0);
        client_free(&b);
        client_free(&c);
        if (failed)
            teardown(state);
    }
}

/* The disk fails at any write of a turn that stores: what was answered is there, nothing twice. */
static void test_killed_while_storing(void **state)
{
    unsigned answered = 5;
    bool failed = true;

    store_some(&bob, 0, 5, 300);
    for (long left = 0; failed; left++) {
        char text[301];

        r.mortal = true;
        fill_disk(left, SQLITE_IOERR_WRITE);
        text_of(5, 300, text);
        hand_in(&bob, text, (uint32_t)(2 + left));
        rig_turn(&r);
        failed = faulty.failures > 0;
        if (!failed)
            answered += answers(SOTTO_PARCEL_STORED);
        r.mortal = false;
        crash();
        assert_true(r.relay->mail.waiting >= answered);
    }
    assert_int_equal(answered, 6);
    expect_waiting(6);
    dev_connect(&r, &bob, &b, 0);
    fetch(&b, 0, 6, 300);
    client_quiet(&b);
    client_free(&b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_turn_is_a_row),
        CASE(test_rows_are_reaped),
        CASE(test_acknowledged_and_killed),
        CASE(test_floor),
        CASE(test_expired),
        CASE(test_resend_is_known),
        CASE(test_compaction),
        CASE(test_disk_is_bounded),
        CASE(test_start_with_many),
        CASE(test_removed_device),
        CASE(test_deleted_account),
        CASE(test_rows_of_one),
        CASE(test_broken_row),
        CASE(test_full),
        CASE(test_full_and_quotas),
        CASE(test_full_while_giving_back),
        CASE(test_killed_while_giving_back),
        CASE(test_killed_while_storing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
