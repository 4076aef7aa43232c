/* SPDX-License-Identifier: Apache-2.0 */
/* The profile's store: messages, counters, outbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "profile_rig.h"
#include "sotto/sotto.h"
#include "store/db.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct folder dir;
static struct sotto_profile *p;

static int setup(void **state)
{
    profile_rig_make(&dir, &p);
    return 0;
}

static int teardown(void **state)
{
    profile_rig_free(&dir, p);
    return 0;
}

static void reopen(void)
{
    profile_rig_reopen(&dir, &p);
}

/* --- messages --- */

static struct sotto_message_record message_of(unsigned n, const char *peer, bool outgoing)
{
    struct sotto_message_record m = {
        .kind = SOTTO_CONTENT_TEXT,
        .outgoing = outgoing,
        .shown = outgoing,
        .state = outgoing ? SOTTO_MESSAGE_QUEUED : SOTTO_MESSAGE_RECEIVED,
        .counter = n,
        .sent_at_ms = 1000 + n,
        .received_at_ms = 2000 + n,
    };

    memcpy(m.id, id_of(n), sizeof m.id);
    snprintf(m.peer, sizeof m.peer, "%s", peer);
    snprintf(m.from, sizeof m.from, "%s", outgoing ? "alice" : peer);
    return m;
}

static enum sotto_err add(unsigned n, const char *peer, bool outgoing)
{
    struct sotto_message_record m = message_of(n, peer, outgoing);

    return sotto_message_add(p, &m);
}

struct copy {
    struct sotto_message_record m;
    char text[64], content[64], reason[64];
};

static enum sotto_err copy_message(void *ctx, const struct sotto_message_record *m)
{
    struct copy *c = ctx;

    c->m = *m;
    snprintf(c->text, sizeof c->text, "%.*s", (int)m->text.n, (const char *)m->text.p);
    snprintf(c->content, sizeof c->content, "%.*s", (int)m->content.n, (const char *)m->content.p);
    snprintf(c->reason, sizeof c->reason, "%s", m->reason);
    return SOTTO_OK;
}

static enum sotto_err give_not_found(void *ctx, const struct sotto_message_record *m)
{
    return SOTTO_ERR_NOT_FOUND;
}

static void messages_come_back_whole(void **state)
{
    struct sotto_message_record m = message_of(1, "bob", false);
    struct copy c;
    int64_t row = 0;

    m.device = UINT64_MAX;
    m.kind = 0;
    m.request = m.gap = true;
    m.counter = UINT64_MAX - 7;
    m.stored_at_ms = 5;
    m.reason = "why";
    m.text = (struct sotto_bytes){(const uint8_t *)"text", 4};
    m.content = (struct sotto_bytes){(const uint8_t *)"content", 7};
    assert_int_equal(sotto_message_known(p, m.id), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_message_get(p, m.id, copy_message, &c), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_message_add(p, &m), 0);
    row = m.row;
    assert_true(row > 0);
    assert_int_equal(sotto_message_add(p, &m), SOTTO_ERR_EXISTS);
    assert_int_equal(add(2, "bob", true), 0); /* without text, content and reason */
    reopen();
    assert_int_equal(sotto_message_known(p, m.id), 0);
    assert_int_equal(sotto_message_get(p, m.id, copy_message, &c), 0);
    assert_true(c.m.row == row && c.m.device == m.device && c.m.kind == 0 && !c.m.outgoing &&
                !c.m.shown && c.m.request && c.m.gap && c.m.state == m.state);
    assert_true(c.m.counter == m.counter && c.m.sent_at_ms == m.sent_at_ms &&
                c.m.received_at_ms == m.received_at_ms && c.m.stored_at_ms == 5);
    assert_memory_equal(c.m.id, m.id, 16);
    assert_string_equal(c.m.peer, "bob");
    assert_string_equal(c.m.from, "bob");
    assert_string_equal(c.text, "text");
    assert_string_equal(c.content, "content");
    assert_string_equal(c.reason, "why");
    assert_int_equal(sotto_message_get(p, id_of(2), copy_message, &c), 0);
    assert_true(c.m.row > row && c.m.text.n == 0 && c.m.content.n == 0 && c.m.outgoing);
    assert_string_equal(c.reason, "");
    assert_int_equal(sotto_message_get(p, m.id, give_not_found, NULL), SOTTO_ERR_NOT_FOUND);
}

/* From each state to each: the table is the rule. */
static void states_only_rise(void **state)
{
    enum {
        Q = SOTTO_MESSAGE_QUEUED,
        S = SOTTO_MESSAGE_STORED,
        D = SOTTO_MESSAGE_DELIVERED,
        R = SOTTO_MESSAGE_READ,
        F = SOTTO_MESSAGE_FAILED
    };
    static const struct {
        uint32_t from, to;
        bool changes;
    } cases[] = {
        {Q, Q, 0}, {Q, S, 1}, {Q, D, 1}, {Q, R, 1}, {Q, F, 1}, {S, Q, 0}, {S, S, 0},
        {S, D, 1}, {S, R, 1}, {S, F, 1}, {D, Q, 0}, {D, S, 0}, {D, D, 0}, {D, R, 1},
        {D, F, 0}, {R, Q, 0}, {R, S, 0}, {R, D, 0}, {R, R, 0}, {R, F, 0}, {F, Q, 1},
        {F, S, 1}, {F, D, 1}, {F, R, 1}, {F, F, 0},
    };
    bool changed;
    struct copy c;

    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct sotto_message_record m = message_of(i, "bob", true);

        m.state = cases[i].from;
        m.stored_at_ms = 11;
        m.reason = m.state == F ? "old" : "";
        assert_int_equal(sotto_message_add(p, &m), 0);
        changed = !cases[i].changes;
        assert_int_equal(sotto_message_set_state(p, m.id, cases[i].to, "because", 99, &changed), 0);
        assert_true(changed == cases[i].changes);
        assert_int_equal(sotto_message_get(p, m.id, copy_message, &c), 0);
        assert_int_equal(c.m.state, changed ? cases[i].to : cases[i].from);
        assert_true(c.m.stored_at_ms == (changed && cases[i].to == S ? 99 : 11));
        assert_string_equal(c.reason, changed ? (cases[i].to == F ? "because" : "") : m.reason);
    }
    /* What was received has none of these states; what is not there is said. */
    assert_int_equal(add(100, "bob", false), 0);
    assert_int_equal(sotto_message_set_state(p, id_of(100), R, "", 1, &changed), 0);
    assert_false(changed);
    assert_int_equal(sotto_message_set_state(p, id_of(101), R, "", 1, &changed),
                     SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_message_set_state(p, id_of(1), SOTTO_MESSAGE_RECEIVED, "", 1, &changed),
                     SOTTO_ERR_USAGE);
    assert_int_equal(sotto_message_set_state(p, id_of(1), 7, "", 1, &changed), SOTTO_ERR_USAGE);
}

struct list {
    char text[512];
    size_t stop_at, seen;
};

static enum sotto_err collect(void *ctx, const struct sotto_message_record *m)
{
    struct list *l = ctx;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof l->text - at, "%u ", (unsigned)m->counter);
    return ++l->seen == l->stop_at ? SOTTO_ERR_AGAIN : SOTTO_OK;
}

static const char *history(const char *peer, uint32_t limit)
{
    static struct list l;

    l = (struct list){.text = ""};
    assert_int_equal(sotto_message_history(p, peer, limit, collect, &l), 0);
    return l.text;
}

static const char *unshown(const char *peer, int64_t after, uint32_t limit)
{
    static struct list l;

    l = (struct list){.text = ""};
    assert_int_equal(sotto_message_unshown(p, peer, after, limit, collect, &l), 0);
    return l.text;
}

static void put_contact(const char *name, enum sotto_contact_state s)
{
    struct sotto_contact_record c = {.state = s};

    snprintf(c.name, sizeof c.name, "%s", name);
    assert_int_equal(sotto_contact_put(p, &c), 0);
}

static void history_is_in_order(void **state)
{
    struct list l = {.stop_at = 2};

    for (unsigned i = 1; i <= 6; i++)
        assert_int_equal(add(i, i % 3 == 0 ? "eve" : "bob", i % 2 == 0), 0);
    assert_string_equal(history("bob", 0), "1 2 4 5 ");
    assert_string_equal(history("bob", 2), "4 5 ");
    assert_string_equal(history("bob", 9), "1 2 4 5 ");
    assert_string_equal(history("eve", 1), "6 ");
    assert_string_equal(history("nobody", 0), "");
    assert_int_equal(sotto_message_history(p, "bob", 0, collect, &l), SOTTO_ERR_AGAIN);
    assert_string_equal(l.text, "1 2 ");
    assert_string_equal(history("bob", 0), "1 2 4 5 "); /* stopping left nothing open */
}

static void unshown_messages_wait_in_order(void **state)
{
    for (unsigned i = 1; i <= 8; i++)
        assert_int_equal(add(i, i % 3 == 0 ? "eve" : "bob", i == 4), 0);
    put_contact("eve", SOTTO_CONTACT_ACCEPTED);
    assert_string_equal(unshown(NULL, 0, 0), "1 2 3 5 6 7 8 ");
    assert_string_equal(unshown(NULL, 3, 2), "5 6 ");
    assert_string_equal(unshown("bob", 0, 0), "1 2 5 7 8 ");
    assert_string_equal(unshown("bob", 2, 2), "5 7 ");
    assert_int_equal(sotto_message_set_shown(p, id_of(2)), 0);
    assert_int_equal(sotto_message_set_shown(p, id_of(2)), 0);
    assert_int_equal(sotto_message_set_shown(p, id_of(77)), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_message_delete(p, id_of(7)), 0);
    put_contact("eve", SOTTO_CONTACT_BLOCKED);
    assert_string_equal(unshown(NULL, 0, 0), "1 5 8 ");
    assert_string_equal(unshown("eve", 0, 0), "");
    put_contact("eve", SOTTO_CONTACT_REQUEST);
    assert_string_equal(unshown(NULL, 0, 0), "1 3 5 6 8 ");
    assert_string_equal(history("eve", 0), "3 6 ");
}

static void add_counted(unsigned n, const char *peer, uint64_t device, uint64_t counter, bool gap)
{
    struct sotto_message_record m = message_of(n, peer, false);

    m.device = device;
    m.counter = counter;
    m.gap = gap;
    assert_int_equal(sotto_message_add(p, &m), 0);
}

static bool gap_of(unsigned n)
{
    struct copy c;

    assert_int_equal(sotto_message_get(p, id_of(n), copy_message, &c), 0);
    return c.m.gap;
}

/* "bob" 7 writes 1 to 5 and bob's other device 1 and 2; they arrive as the relay likes. */
static void overtaken_messages_go_back_in_line(void **state)
{
    add_counted(1, "bob", 7, 1, false);
    add_counted(2, "bob", 7, 4, true);
    add_counted(3, "bob", 8, 1, false);
    add_counted(4, "eve", 7, 1, false); /* the same number, another account */
    add_counted(5, "bob", 7, 5, false);
    add_counted(6, "bob", 7, 3, false);
    assert_string_equal(history("bob", 0), "1 3 4 1 5 ");
    assert_true(gap_of(6));  /* 2 is missing before it */
    assert_false(gap_of(2)); /* and nothing before 4 */
    add_counted(7, "bob", 7, 2, false);
    assert_string_equal(history("bob", 0), "1 2 3 4 1 5 ");
    assert_string_equal(history("bob", 2), "1 5 ");
    assert_string_equal(unshown("bob", 0, 0), "1 2 3 4 1 5 ");
    assert_string_equal(unshown(NULL, 0, 0), "1 2 3 4 1 1 5 ");
    assert_string_equal(unshown(NULL, 5, 0), "2 3 "); /* what arrived after the fifth */
    assert_false(gap_of(6));
}

static void what_was_shown_keeps_its_place(void **state)
{
    add_counted(1, "bob", 7, 1, false);
    add_counted(2, "bob", 7, 3, true);
    assert_int_equal(sotto_message_set_shown(p, id_of(1)), 0);
    assert_int_equal(sotto_message_set_shown(p, id_of(2)), 0);
    add_counted(3, "bob", 7, 5, true);
    add_counted(4, "bob", 7, 2, false);
    add_counted(5, "bob", 7, 0, false); /* not counted: where it came */
    assert_string_equal(history("bob", 0), "1 3 2 5 0 ");
    assert_string_equal(unshown("bob", 0, 0), "2 5 0 ");
    assert_true(gap_of(3));
}

static void accepting_clears_requests(void **state)
{
    struct copy c;

    for (unsigned i = 1; i <= 3; i++) {
        struct sotto_message_record m = message_of(i, i == 3 ? "eve" : "bob", false);

        m.request = true;
        assert_int_equal(sotto_message_add(p, &m), 0);
    }
    assert_int_equal(sotto_message_clear_request(p, "bob"), 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(sotto_message_get(p, id_of(i), copy_message, &c), 0);
        assert_true(c.m.request == (i == 3));
    }
}

/* Looks into the table itself: neither text nor peer nor time is left. */
static void assert_row_is_bare(const char *peer)
{
    static const char label[] = "sotto/1 profile database";
    static const struct sotto_migration none[] = {{""}, {""}, {""}};
    struct sotto_secret32 key;
    struct sotto_db *db = NULL;
    struct sotto_rows rows;

    sotto_hkdf_sha256(NULL, 0, profile_rig_key.b, 32, label, strlen(label), key.b, 32);
    assert_int_equal(
        sotto_db_open(folder_file(&dir, "profile.db"), &key, false, none, 3, NULL, &db, NULL, 0),
        0);
    assert_int_equal(sotto_db_query(db, &rows,
                                    "SELECT count(*), sum(length(text) + length(content)"
                                    " + length(reason) + length(peer) + length(sender)),"
                                    " sum(sent_at_ms + received_at_ms + device + counter)"
                                    " FROM message WHERE peer = ? OR peer = ''",
                                    "s", peer),
                     0);
    assert_int_equal(sotto_rows_next(&rows), 0);
    assert_int_equal(sotto_rows_int(&rows, 0), 1);
    assert_int_equal(sotto_rows_int(&rows, 1), 0);
    assert_int_equal(sotto_rows_int(&rows, 2), 0);
    sotto_rows_done(&rows);
    sotto_db_close(db);
}

static void deleted_message_leaves_its_id_only(void **state)
{
    static const char text[] = "burn after reading, then eat the ashes";
    struct sotto_message_record m = message_of(1, "bob", false);
    struct copy c;
    bool changed;

    m.text = (struct sotto_bytes){(const uint8_t *)text, strlen(text)};
    m.content = m.text;
    assert_int_equal(sotto_message_add(p, &m), 0);
    assert_int_equal(sotto_message_delete(p, m.id), 0);
    assert_int_equal(sotto_message_delete(p, m.id), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_message_delete(p, id_of(2)), SOTTO_ERR_NOT_FOUND);
    reopen();
    assert_int_equal(sotto_message_get(p, m.id, copy_message, &c), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_message_set_state(p, m.id, SOTTO_MESSAGE_READ, "", 1, &changed),
                     SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_message_set_shown(p, m.id), SOTTO_ERR_NOT_FOUND);
    assert_string_equal(history("bob", 0), "");
    /* It does not come again when it is received again. */
    assert_int_equal(sotto_message_known(p, m.id), 0);
    assert_int_equal(sotto_message_add(p, &m), SOTTO_ERR_EXISTS);
    assert_string_equal(unshown(NULL, 0, 0), "");
    assert_row_is_bare("bob");
}

static void stored_messages_expire(void **state)
{
    static const struct {
        uint32_t st;
        bool outgoing;
        uint64_t stored;
    } cases[] = {
        {SOTTO_MESSAGE_STORED, true, 300}, {SOTTO_MESSAGE_STORED, true, 100},
        {SOTTO_MESSAGE_STORED, true, 200}, {SOTTO_MESSAGE_DELIVERED, true, 50},
        {SOTTO_MESSAGE_QUEUED, true, 50},  {SOTTO_MESSAGE_RECEIVED, false, 50},
        {SOTTO_MESSAGE_STORED, true, 150}, {SOTTO_MESSAGE_QUEUED, true, 0},
    };
    uint32_t queued, undelivered;
    struct list l = {.text = ""};

    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct sotto_message_record m = message_of(i, "bob", cases[i].outgoing);

        m.state = cases[i].st;
        m.stored_at_ms = cases[i].stored;
        assert_int_equal(sotto_message_add(p, &m), 0);
    }
    assert_int_equal(sotto_message_delete(p, id_of(6)), 0);
    assert_int_equal(sotto_message_stored_before(p, 300, collect, &l), 0);
    assert_string_equal(l.text, "1 2 ");
    assert_int_equal(sotto_message_counts(p, &queued, &undelivered), 0);
    assert_int_equal(queued, 2);
    assert_int_equal(undelivered, 3);
    /* A clock before the lifetime wraps around: nothing expires then. */
    l = (struct list){.text = ""};
    assert_int_equal(sotto_message_stored_before(p, (uint64_t)0 - 5000, collect, &l), 0);
    assert_string_equal(l.text, "");
}

/* What the triggers keep is what counting would give, after any mix of changes. */
struct truth {
    uint32_t unread;
    uint64_t last;
};

static enum sotto_err count_truth(void *ctx, const struct sotto_message_record *m)
{
    struct truth *t = ctx;

    t->unread += !m->outgoing && !m->shown;
    t->last = m->outgoing ? m->sent_at_ms : m->received_at_ms;
    return SOTTO_OK;
}

static void unread_counts_stay_right(void **state)
{
    static const char *const names[] = {"bob", "eve", "carl"};
    uint32_t seed = 12345;
    unsigned next = 0;

    for (size_t i = 0; i < COUNT(names); i++)
        put_contact(names[i], SOTTO_CONTACT_ACCEPTED);
    assert_int_equal(sotto_profile_begin(p), 0);
    for (int step = 0; step < 1500; step++) {
        uint32_t what = (seed = seed * 1103515245u + 12345u) >> 16;
        unsigned n = next > 0 ? (what / 8) % next : 0;

        if (what % 8 < 4)
            assert_int_equal(add(next++, names[what / 8 % COUNT(names)], (what & 64) != 0), 0);
        else if (what % 8 < 6)
            (void)sotto_message_set_shown(p, id_of(n));
        else
            (void)sotto_message_delete(p, id_of(n));
        if (step % 50 != 0)
            continue;
        for (size_t i = 0; i < COUNT(names); i++) {
            struct sotto_contact_record c;
            struct truth t = {0};

            assert_int_equal(sotto_message_history(p, names[i], 0, count_truth, &t), 0);
            assert_int_equal(sotto_contact_get(p, names[i], &c), 0);
            assert_int_equal(c.unread, t.unread);
            assert_true(c.last_ms == t.last);
        }
    }
    assert_int_equal(sotto_profile_commit(p), 0);
}

/* --- counters --- */

static void counters_count(void **state)
{
    static const uint8_t a[SOTTO_CONVERSATION_ID] = {1}, b[SOTTO_CONVERSATION_ID] = {2};
    uint64_t n = 77;

    for (uint64_t want = 1; want <= 5; want++) {
        assert_int_equal(sotto_counter_next(p, a, &n), 0);
        assert_true(n == want);
    }
    assert_int_equal(sotto_counter_next(p, b, &n), 0);
    assert_true(n == 1);
    /* A number of a transaction that was given up is used by the next one. */
    assert_int_equal(sotto_profile_begin(p), 0);
    assert_int_equal(sotto_counter_next(p, a, &n), 0);
    assert_true(n == 6);
    sotto_profile_rollback(p);
    reopen();
    assert_int_equal(sotto_counter_next(p, a, &n), 0);
    assert_true(n == 6);

    assert_int_equal(sotto_counter_seen(p, a, 7, &n), 0);
    assert_true(n == 0);
    assert_int_equal(sotto_counter_note(p, a, 7, 3), 0);
    assert_int_equal(sotto_counter_note(p, a, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(sotto_counter_note(p, b, 7, 9), 0);
    assert_int_equal(sotto_counter_note(p, a, 7, 4), 0);
    reopen();
    assert_int_equal(sotto_counter_seen(p, a, 7, &n), 0);
    assert_true(n == 4);
    assert_int_equal(sotto_counter_seen(p, a, UINT64_MAX, &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(sotto_counter_seen(p, b, 7, &n), 0);
    assert_true(n == 9);
}

/* --- outbox --- */

static int64_t add_item(const char *to, unsigned content, enum sotto_item_state st, bool keep)
{
    struct sotto_item item = {
        .device = 5,
        .kind = SOTTO_CONTENT_TEXT,
        .state = st,
        .keep = keep,
        .queued_ms = 100 + content,
        .list_version = 3,
        .content = {(const uint8_t *)"the content", 11},
    };

    snprintf(item.to, sizeof item.to, "%s", to);
    memcpy(item.content_id, id_of(content), 16);
    assert_int_equal(sotto_item_add(p, &item), 0);
    assert_true(item.id > 0);
    return item.id;
}

struct items {
    char text[256];
    struct sotto_item last;
    char content[64];
    size_t stop_at, seen;
};

static enum sotto_err collect_item(void *ctx, const struct sotto_item *item)
{
    struct items *l = ctx;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof l->text - at, "%lld/%d ", (long long)item->id, (int)item->state);
    l->last = *item;
    snprintf(l->content, sizeof l->content, "%.*s", (int)item->content.n,
             (const char *)item->content.p);
    return ++l->seen == l->stop_at ? SOTTO_ERR_AGAIN : SOTTO_OK;
}

static const char *open_items(const char *to, int64_t after, uint32_t limit)
{
    static struct items l;

    l = (struct items){.text = ""};
    assert_int_equal(sotto_item_open(p, to, after, limit, collect_item, &l), 0);
    return l.text;
}

static enum sotto_err collect_name(void *ctx, const char *name)
{
    strcat(ctx, name);
    strcat(ctx, " ");
    return SOTTO_OK;
}

static void items_wait_in_order(void **state)
{
    struct items l = {.text = ""};
    char names[64] = "";

    assert_int_equal(add_item("bob", 1, SOTTO_ITEM_WAITING, true), 1);
    assert_int_equal(add_item("eve", 2, SOTTO_ITEM_WAITING, false), 2);
    assert_int_equal(add_item("bob", 3, SOTTO_ITEM_SEALED, true), 3);
    assert_int_equal(add_item("carl", 4, SOTTO_ITEM_STORED, true), 4);
    assert_int_equal(add_item("alice", 1, SOTTO_ITEM_WAITING, true), 5);
    reopen();
    assert_string_equal(open_items("bob", 0, 0), "1/1 3/2 ");
    assert_string_equal(open_items("bob", 0, 1), "1/1 ");
    assert_string_equal(open_items("bob", 1, 1), "3/2 ");
    assert_string_equal(open_items("bob", 3, 1), "");
    assert_string_equal(open_items("carl", 0, 0), "");
    assert_int_equal(sotto_item_accounts(p, collect_name, names), 0);
    assert_string_equal(names, "alice bob eve ");
    assert_int_equal(sotto_item_of_content(p, id_of(1), collect_item, &l), 0);
    assert_string_equal(l.text, "1/1 5/1 ");
    l = (struct items){.text = ""};
    assert_int_equal(sotto_item_get(p, 1, collect_item, &l), 0);
    assert_string_equal(l.last.to, "bob");
    assert_true(l.last.device == 5 && l.last.kind == SOTTO_CONTENT_TEXT && l.last.keep &&
                l.last.queued_ms == 101 && l.last.list_version == 3);
    assert_memory_equal(l.last.content_id, id_of(1), 16);
    assert_string_equal(l.content, "the content");
    /* Without content the old one stays. */
    l.last.state = SOTTO_ITEM_STORED;
    l.last.list_version = 8;
    l.last.content = (struct sotto_bytes){0};
    assert_int_equal(sotto_item_update(p, &l.last), 0);
    assert_int_equal(sotto_item_get(p, 1, collect_item, &l), 0);
    assert_true(l.last.state == SOTTO_ITEM_STORED && l.last.list_version == 8);
    assert_string_equal(l.content, "the content");
    l.last.content = (struct sotto_bytes){(const uint8_t *)"new", 3};
    assert_int_equal(sotto_item_update(p, &l.last), 0);
    assert_int_equal(sotto_item_get(p, 1, collect_item, &l), 0);
    assert_string_equal(l.content, "new");
    assert_int_equal(sotto_item_drop(p, 1), 0);
    assert_int_equal(sotto_item_drop(p, 1), 0);
    assert_int_equal(sotto_item_get(p, 1, collect_item, &l), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_item_update(p, &l.last), SOTTO_ERR_NOT_FOUND);
    /* The number of a dropped item is not used again: its envelopes would seem to be another's. */
    assert_int_equal(sotto_item_drop(p, 5), 0);
    assert_int_equal(add_item("bob", 9, SOTTO_ITEM_WAITING, true), 6);
}

static void put_parcel(int64_t item, uint64_t device, unsigned envelope,
                       enum sotto_parcel_progress progress, uint32_t retries)
{
    struct sotto_parcel_record r = {
        .item = item,
        .device = device,
        .envelope = {(const uint8_t *)"sealed", 6},
        .progress = progress,
        .retries = retries,
    };

    memcpy(r.envelope_id, id_of(envelope), 16);
    assert_int_equal(sotto_parcel_put(p, &r), 0);
}

static enum sotto_err collect_parcel(void *ctx, const struct sotto_parcel_record *r)
{
    char *text = ctx;

    assert_int_equal(r->envelope.n, 6);
    assert_memory_equal(r->envelope.p, "sealed", 6);
    sprintf(text + strlen(text), "%llu:%u=%d+%u ", (unsigned long long)r->device,
            sotto_get_u32(r->envelope_id), (int)r->progress, r->retries);
    return SOTTO_OK;
}

static const char *parcels(int64_t item)
{
    static char text[256];

    text[0] = '\0';
    assert_int_equal(sotto_parcel_each(p, item, collect_parcel, text), 0);
    return text;
}

static void parcels_belong_to_their_item(void **state)
{
    int64_t a = add_item("bob", 1, SOTTO_ITEM_SEALED, true), item = 0;
    int64_t b = add_item("bob", 2, SOTTO_ITEM_SEALED, true);
    uint64_t device = 0;
    uint32_t retries = 9;

    put_parcel(a, 1, 11, SOTTO_PARCEL_IS_PENDING, 0);
    put_parcel(a, 2, 12, SOTTO_PARCEL_IS_PENDING, 0);
    put_parcel(b, 1, 21, SOTTO_PARCEL_IS_PENDING, 0);
    put_parcel(a, 2, 13, SOTTO_PARCEL_IS_STORED, 2); /* sealed again */
    reopen();
    assert_string_equal(parcels(a), "1:11=1+0 2:13=2+2 ");
    assert_string_equal(parcels(b), "1:21=1+0 ");
    for (unsigned env = 12; env <= 13; env++) { /* also by the older envelope */
        assert_int_equal(sotto_parcel_find(p, id_of(env), &item, &device, &retries), 0);
        assert_true(item == a && device == 2 && retries == 2);
    }
    assert_int_equal(sotto_parcel_find(p, id_of(99), &item, &device, &retries),
                     SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_parcel_drop(p, a, 2), 0);
    assert_int_equal(sotto_parcel_drop(p, a, 2), 0);
    assert_int_equal(sotto_parcel_find(p, id_of(12), &item, &device, &retries),
                     SOTTO_ERR_NOT_FOUND);
    assert_string_equal(parcels(a), "1:11=1+0 ");
    assert_int_equal(sotto_item_drop(p, a), 0);
    assert_string_equal(parcels(a), "");
    assert_int_equal(sotto_parcel_find(p, id_of(11), &item, &device, &retries),
                     SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_parcel_find(p, id_of(21), &item, &device, &retries), 0);
    assert_true(item == b && device == 1 && retries == 0);
    assert_int_equal(sotto_parcel_set(p, a, 1, SOTTO_PARCEL_IS_READ), SOTTO_ERR_NOT_FOUND);
}

static void progress_only_rises(void **state)
{
    int64_t item = add_item("bob", 1, SOTTO_ITEM_SEALED, true);

    for (int from = SOTTO_PARCEL_IS_PENDING; from <= SOTTO_PARCEL_IS_READ; from++) {
        for (int to = SOTTO_PARCEL_IS_PENDING; to <= SOTTO_PARCEL_IS_READ; to++) {
            char want[32];

            put_parcel(item, 1, 1, (enum sotto_parcel_progress)from, 0);
            assert_int_equal(sotto_parcel_set(p, item, 1, (enum sotto_parcel_progress)to), 0);
            snprintf(want, sizeof want, "1:1=%d+0 ",
                     to > from || from == SOTTO_PARCEL_IS_GONE ? to : from);
            assert_string_equal(parcels(item), want);
        }
    }
}

static void restored_relay_gets_what_was_not_delivered(void **state)
{
    int64_t kept = add_item("bob", 1, SOTTO_ITEM_STORED, true);
    int64_t done = add_item("bob", 2, SOTTO_ITEM_STORED, true);
    int64_t other = add_item("bob", 3, SOTTO_ITEM_STORED, false);

    for (int progress = 1; progress <= 5; progress++)
        put_parcel(kept, (uint64_t)progress, 10u + (unsigned)progress,
                   (enum sotto_parcel_progress)progress, 0);
    put_parcel(done, 1, 21, SOTTO_PARCEL_IS_DELIVERED, 0);
    put_parcel(done, 2, 22, SOTTO_PARCEL_IS_READ, 0);
    put_parcel(other, 1, 31, SOTTO_PARCEL_IS_STORED, 0);
    assert_int_equal(sotto_item_reopen_stored(p), 0);
    assert_string_equal(open_items("bob", 0, 0), "1/2 ");
    assert_string_equal(parcels(kept), "1:11=1+0 2:12=1+0 3:13=1+0 4:14=4+0 5:15=5+0 ");
    assert_string_equal(parcels(done), "1:21=4+0 2:22=5+0 ");
    assert_string_equal(parcels(other), "1:31=2+0 ");
}

static void a_device_that_was_put_back_gets_what_it_has_not_confirmed(void **state)
{
    int64_t kept = add_item("bob", 1, SOTTO_ITEM_STORED, true);
    int64_t begun = add_item("bob", 2, SOTTO_ITEM_SEALED, true);
    int64_t other = add_item("bob", 3, SOTTO_ITEM_STORED, false);
    int64_t carols = add_item("carol", 4, SOTTO_ITEM_STORED, true);
    int64_t done = add_item("bob", 5, SOTTO_ITEM_STORED, true);

    put_parcel(kept, 1, 11, SOTTO_PARCEL_IS_STORED, 0);
    put_parcel(kept, 2, 12, SOTTO_PARCEL_IS_STORED, 0);
    put_parcel(begun, 1, 21, SOTTO_PARCEL_IS_STORED, 0);
    put_parcel(begun, 2, 22, SOTTO_PARCEL_IS_PENDING, 0);
    put_parcel(other, 1, 31, SOTTO_PARCEL_IS_STORED, 0);
    put_parcel(carols, 1, 41, SOTTO_PARCEL_IS_STORED, 0);
    put_parcel(done, 1, 51, SOTTO_PARCEL_IS_DELIVERED, 0);
    put_parcel(done, 2, 52, SOTTO_PARCEL_IS_STORED, 0);
    assert_int_equal(sotto_item_reopen_device(p, "bob", 1), 0);
    assert_string_equal(open_items("bob", 0, 0), "1/2 2/2 ");
    assert_string_equal(open_items("carol", 0, 0), "");
    assert_string_equal(parcels(kept), "1:11=1+0 2:12=2+0 ");
    assert_string_equal(parcels(begun), "1:21=1+0 2:22=1+0 ");
    assert_string_equal(parcels(other), "1:31=2+0 ");
    assert_string_equal(parcels(carols), "1:41=2+0 ");
    assert_string_equal(parcels(done), "1:51=4+0 2:52=2+0 ");
}

static void unsealed_items_lose_their_parcels(void **state)
{
    int64_t sealed = add_item("bob", 1, SOTTO_ITEM_SEALED, true), item;
    int64_t stored = add_item("bob", 2, SOTTO_ITEM_STORED, true);
    struct items l = {.text = ""};
    uint64_t device;
    uint32_t retries = 5;

    put_parcel(sealed, 1, 11, SOTTO_PARCEL_IS_PENDING, 1);
    put_parcel(stored, 1, 21, SOTTO_PARCEL_IS_STORED, 0);
    assert_int_equal(sotto_item_unseal(p), 0);
    assert_int_equal(sotto_item_get(p, sealed, collect_item, &l), 0);
    assert_true(l.last.state == SOTTO_ITEM_WAITING && l.last.list_version == 0);
    assert_string_equal(parcels(sealed), "");
    assert_string_equal(parcels(stored), "1:21=2+0 ");
    assert_int_equal(sotto_parcel_find(p, id_of(11), &item, &device, &retries), 0);
    assert_true(item == sealed && device == 1 && retries == 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(messages_come_back_whole),
        CASE(states_only_rise),
        CASE(history_is_in_order),
        CASE(unshown_messages_wait_in_order),
        CASE(overtaken_messages_go_back_in_line),
        CASE(what_was_shown_keeps_its_place),
        CASE(accepting_clears_requests),
        CASE(deleted_message_leaves_its_id_only),
        CASE(stored_messages_expire),
        CASE(unread_counts_stay_right),
        CASE(counters_count),
        CASE(items_wait_in_order),
        CASE(parcels_belong_to_their_item),
        CASE(progress_only_rises),
        CASE(restored_relay_gets_what_was_not_delivered),
        CASE(a_device_that_was_put_back_gets_what_it_has_not_confirmed),
        CASE(unsealed_items_lose_their_parcels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
