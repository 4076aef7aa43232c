/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out at each allocation of the relay in turn; the disk is full from each write on, or
 * fails at it. What was promised before holds, what was not is asked for again and works, and
 * nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "faulty_vfs.h"
#include "heap_hook.h"
#include "relay_rig.h"

static struct rig r;
static struct dev alice, bob;
static uint32_t lane;

/* Connected, or not: then conn is NULL. */
static void try_open(struct client *c)
{
    memset(c, 0, sizeof *c);
    c->r = &r;
    c->in = SOTTO_BUF(1024 * 1024);
    sotto_put_u32(c->peer.exporter, ++r.connections);
    if (sotto_relay_open(r.relay, &c->peer, c, &c->conn) != 0)
        c->conn = NULL;
    c->next = r.clients;
    r.clients = c;
    rig_turn(&r);
    if (c->conn != NULL)
        sotto_answer_free(client_next(c)); /* hello */
}

/* The answer to a request; NULL: the connection was ended or never was. */
static struct sotto_answer *ask(struct client *c, struct sotto_request *q)
{
    struct sotto_answer *a;
    uint32_t id;

    if (c->conn == NULL || r.dead)
        return NULL;
    id = client_send(c, q);
    rig_turn(&r);
    while ((a = client_next(c)) != NULL && a->id != id)
        sotto_answer_free(a);
    if (a != NULL || c->conn == NULL || r.dead)
        return a;
    rig_pass(&r, RIG_LIVE_MS);
    while ((a = client_next(c)) != NULL && a->id != id)
        sotto_answer_free(a);
    return a;
}

static bool done(struct client *c, struct sotto_request *q, enum sotto_answer_type type)
{
    struct sotto_answer *a = ask(c, q);
    bool good = a != NULL && a->type == type;

    if (a != NULL && a->type == SOTTO_ANS_ERROR)
        assert_int_equal(a->u.error.code, SOTTO_RELAY_UNAVAILABLE);
    sotto_answer_free(a);
    return good;
}

static bool stored(struct client *c, struct sotto_request *q)
{
    struct sotto_answer *a = ask(c, q);
    bool good = a != NULL && a->type == SOTTO_ANS_SUBMITTED &&
                a->u.submitted.results[0].state == SOTTO_PARCEL_STORED;

    sotto_answer_free(a);
    return good;
}

static bool sign_in(struct dev *d, struct client *c)
{
    struct sotto_request q, begin = {.type = SOTTO_REQ_BEGIN};

    try_open(c);
    if (c->conn == NULL || r.dead)
        return false;
    q = dev_sign_in(d, c);
    return done(c, &q, SOTTO_ANS_SIGNED_IN) && done(c, &begin, SOTTO_ANS_DONE);
}

struct promises {
    bool alice, bob, list, keys, message;
};

/* Everything once; remembers what was said to be done. */
static void live(struct promises *p)
{
    const struct dev *one[] = {&alice};
    struct client a, b, c;
    struct prekey_page page;
    struct sotto_request q;
    bool both;

    try_open(&c);
    q = dev_register(&alice, NULL);
    p->alice = p->alice || done(&c, &q, SOTTO_ANS_DONE);
    q = dev_register(&bob, NULL);
    p->bob = p->bob || done(&c, &q, SOTTO_ANS_DONE);
    client_free(&c);
    if (!p->alice || !p->bob)
        return;
    both = sign_in(&alice, &a);
    if (sign_in(&bob, &b) && both) {
        q = dev_prekeys(&r, &bob, &page, 2);
        p->keys = done(&b, &q, SOTTO_ANS_PREKEYS_KEPT) || p->keys;
        if (alice.parsed.version == 1)
            dev_list(&alice, one, 1, 1);
        q = dev_put_list(&alice);
        p->list = done(&a, &q, SOTTO_ANS_DONE) || p->list;
        q = (struct sotto_request){.type = SOTTO_REQ_GET_BUNDLE};
        strcpy(q.u.get_bundle.name, "bob");
        q.u.get_bundle.device = bob.p.device.id;
        (void)done(&a, &q, SOTTO_ANS_BUNDLE);
        q = submit_to(&bob, "kept", lane++);
        p->message = stored(&a, &q) || p->message;
    }
    client_free(&a);
    client_free(&b);
}

static void expect_kept(const struct promises *p)
{
    struct sotto_rs_account account = {.version = 0};
    struct client b;

    if (p->alice)
        assert_int_equal(sotto_rs_account_find(r.store, "alice", &account), 0);
    if (p->list)
        assert_int_equal(account.version, 2);
    if (p->message) {
        dev_connect(&r, &bob, &b, 0);
        expect_deliver(&b, "kept");
        client_free(&b);
    }
}

static void begin(const char *vfs)
{
    memset(&heap_hook, 0, sizeof heap_hook);
    faulty_reset();
    rig_make_on(&r, vfs);
    r.mortal = vfs != NULL;
    dev_make(&r, &alice, "alice");
    dev_make(&r, &bob, "bob");
    lane = 1;
}

/* Nothing fails any more: all of it can be had now. */
static void finish(struct promises *p)
{
    expect_kept(p);
    live(p);
    assert_true(p->alice && p->bob && p->list && p->keys && p->message);
    rig_free(&r);
    assert_int_equal(heap_hook.blocks, 0);
}

static bool memory_fails(size_t fail_at)
{
    struct promises p = {.alice = false};
    bool failed;

    begin(NULL);
    heap_hook.calls = 0;
    heap_hook.fail_at = fail_at;
    live(&p);
    failed = heap_hook.calls >= fail_at;
    heap_hook.fail_at = 0;
    finish(&p);
    return failed;
}

static bool disk_fails(long left, int result, bool stays)
{
    struct promises p = {.alice = false};
    bool failed;

    begin("faulty");
    faulty.left = left;
    faulty.result = result;
    faulty.stays = stays;
    live(&p);
    failed = faulty.failures > 0;
    faulty_reset();
    if (r.dead)
        rig_crash(&r);
    expect_kept(&p);
    rig_crash(&r); /* and on disk, not only in memory */
    finish(&p);
    return failed;
}

static void test_every_allocation_fails_once(void **state)
{
    size_t n = 1;

    while (memory_fails(n))
        n++;
    assert_true(n > 12);
    print_message("# %zu allocations\n", n - 1);
}

static void test_full_from_every_write_on(void **state)
{
    long n = 0;

    while (disk_fails(n, SQLITE_FULL, true))
        n++;
    assert_true(n > 20);
    print_message("# %ld writes\n", n);
}

static void test_every_write_fails_once(void **state)
{
    long n = 0;

    while (disk_fails(n, SQLITE_IOERR_WRITE, false))
        n++;
    assert_true(n > 20);
}

static void test_broken_from_every_write_on(void **state)
{
    long n = 0;

    while (disk_fails(n, SQLITE_IOERR_FSYNC, true))
        n++;
    assert_true(n > 20);
}

/* --- mail and memory --- */

static struct client a, b;

/* alice and bob are there. */
static void begin_with_people(void)
{
    struct promises p = {.alice = false};

    begin(NULL);
    live(&p);
    rig_crash(&r); /* nothing has its room yet */
    assert_true(sign_in(&alice, &a));
    assert_true(sign_in(&bob, &b));
    ack(&b, expect_deliver(&b, "kept")); /* of live() */
    rig_pass(&r, 1);
}

static void end_with_people(void)
{
    client_free(&a);
    client_free(&b);
    rig_free(&r);
    assert_int_equal(heap_hook.blocks, 0);
}

/* bob is away. Refused or not: handed in again it is stored, and there once. */
static bool storing_fails(size_t fail_at)
{
    struct sotto_request q;
    bool failed, good;

    begin_with_people();
    client_free(&b);
    rig_pass(&r, 5000); /* the sweep's own */
    heap_hook.calls = 0;
    heap_hook.fail_at = fail_at;
    q = submit_to(&bob, "hello", lane++);
    good = stored(&a, &q);
    failed = heap_hook.calls >= fail_at;
    heap_hook.fail_at = 0;
    assert_true(good || failed);
    if (a.conn == NULL) {
        client_free(&a);
        assert_true(sign_in(&alice, &a));
    }
    q = submit_to(&bob, "hello", lane++);
    assert_true(stored(&a, &q));
    dev_connect(&r, &bob, &b, 0);
    ack(&b, expect_deliver(&b, "hello"));
    client_quiet(&b);
    end_with_people();
    return failed;
}

static void test_storing_without_memory(void **state)
{
    size_t n = 1;

    while (storing_fails(n))
        n++;
    assert_true(n > 4);
}

/* A submit of two frames: it is answered for both parcels, or not at all. */
static bool collecting_fails(size_t fail_at)
{
    struct sotto_request q;
    struct sotto_answer *answer;
    bool failed;

    begin_with_people();
    q = submit_to(&bob, "first", lane);
    q.u.submit.parcels[0].device = 999;
    q.u.submit.more = true;
    heap_hook.calls = 0;
    heap_hook.fail_at = fail_at;
    client_send(&a, &q);
    failed = heap_hook.calls >= fail_at;
    heap_hook.fail_at = 0;
    rig_turn(&r);
    if (a.conn != NULL) {
        q = submit_to(&bob, "second", lane);
        answer = ask(&a, &q);
        assert_non_null(answer);
        assert_int_equal(answer->type, SOTTO_ANS_SUBMITTED);
        assert_int_equal(answer->u.submitted.count, 2);
        sotto_answer_free(answer);
        expect_deliver(&b, "second");
    }
    client_quiet(&b);
    end_with_people();
    return failed;
}

static void test_collecting_without_memory(void **state)
{
    size_t n = 1;

    while (collecting_fails(n))
        n++;
    assert_true(n > 1);
}

/* Three go to the disk together: all of them, or all are refused. */
static bool spilling_fails(size_t fail_at)
{
    struct sotto_answer *answer;
    unsigned stored_count = 0, refused = 0;
    bool failed;

    begin_with_people();
    for (unsigned i = 0; i < 3; i++) {
        struct sotto_request q = submit_to(&bob, i == 0 ? "one" : i == 1 ? "two" : "three", lane);

        client_send(&a, &q);
        rig_turn(&r);
    }
    client_quiet(&a);
    heap_hook.calls = 0;
    heap_hook.fail_at = fail_at;
    rig_pass(&r, RIG_LIVE_MS);
    failed = heap_hook.calls >= fail_at;
    heap_hook.fail_at = 0;
    while ((answer = client_next(&a)) != NULL) {
        stored_count += answer->type == SOTTO_ANS_SUBMITTED;
        refused += answer->type == SOTTO_ANS_ERROR;
        sotto_answer_free(answer);
    }
    assert_true((stored_count == 3 && refused == 0) || (failed && refused == 3));
    assert_true(sotto_relay_deadline(r.relay) > r.env.mono);
    rig_crash(&r);
    a.conn = b.conn = NULL;
    dev_connect(&r, &bob, &b, 0);
    if (stored_count == 3) {
        expect_deliver(&b, "one");
        expect_deliver(&b, "two");
        expect_deliver(&b, "three");
    }
    client_quiet(&b);
    memset(&a, 0, sizeof a);
    client_free(&b);
    rig_free(&r);
    assert_int_equal(heap_hook.blocks, 0);
    return failed;
}

static void test_spilling_without_memory(void **state)
{
    size_t n = 1;

    while (spilling_fails(n))
        n++;
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_fails_once),
        cmocka_unit_test(test_storing_without_memory),
        cmocka_unit_test(test_collecting_without_memory),
        cmocka_unit_test(test_spilling_without_memory),
        cmocka_unit_test(test_full_from_every_write_on),
        cmocka_unit_test(test_every_write_fails_once),
        cmocka_unit_test(test_broken_from_every_write_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
