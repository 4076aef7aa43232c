/* SPDX-License-Identifier: Apache-2.0 */
#include "store/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "crypto/kdf.h"
#include "faulty_vfs.h"
#include "profile_rig.h"
#include "store/db.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define TEXT     "meet me at the lock keeper's house"

static struct folder dir;
static struct sotto_profile *p;
static char why[512];

static enum sotto_err open_profile(bool create, const char *vfs)
{
    p = NULL;
    return sotto_profile_open(dir.path, &profile_rig_key, create, vfs, &p, why, sizeof why);
}

static void reopen(void)
{
    sotto_profile_close(p);
    assert_int_equal(open_profile(false, NULL), 0);
}

static int setup(void **state)
{
    (void)umask(077);
    faulty_reset();
    profile_rig_make(&dir, &p);
    return 0;
}

static int teardown(void **state)
{
    profile_rig_free(&dir, p);
    p = NULL;
    return 0;
}

/* --- opening --- */

static void only_the_right_key_opens(void **state)
{
    struct sotto_secret32 wrong = profile_rig_key;
    struct sotto_profile *q = NULL;
    struct folder other;

    wrong.b[31] ^= 1;
    assert_int_equal(sotto_profile_open(dir.path, &wrong, false, NULL, &q, why, sizeof why),
                     SOTTO_ERR_BAD_TAG);
    assert_int_equal(sotto_profile_open(dir.path, &wrong, true, NULL, &q, why, sizeof why),
                     SOTTO_ERR_BAD_TAG);
    folder_make(&other);
    assert_int_equal(
        sotto_profile_open(other.path, &profile_rig_key, false, NULL, &q, why, sizeof why),
        SOTTO_ERR_NOT_FOUND);
    assert_int_equal(folder_count(&other), 0);
    folder_remove(&other);
    assert_null(q);
    sotto_profile_close(p);
    assert_int_equal(chmod(folder_file(&dir, "profile.db"), 0644), 0);
    assert_int_equal(open_profile(false, NULL), SOTTO_ERR_DENIED);
    assert_int_equal(chmod(folder_file(&dir, "profile.db"), 0600), 0);
    assert_int_equal(open_profile(false, NULL), 0);
}

/* The vault key itself does not open the file: the label in profile.h is what makes its key. */
static void newer_schema_is_refused(void **state)
{
    static const char label[] = "sotto/1 profile database";
    static const struct sotto_migration more[] = {{""}, {""}, {""}, {"CREATE TABLE later (x)"}};
    struct sotto_secret32 key;
    struct sotto_db *db = NULL;
    uint8_t *before, *after;
    size_t n, m;

    sotto_hkdf_sha256(NULL, 0, profile_rig_key.b, 32, label, strlen(label), key.b, 32);
    sotto_profile_close(p);
    assert_int_equal(sotto_db_open(folder_file(&dir, "profile.db"), &profile_rig_key, false, more,
                                   4, NULL, &db, why, sizeof why),
                     SOTTO_ERR_BAD_TAG);
    assert_int_equal(sotto_db_open(folder_file(&dir, "profile.db"), &key, false, more, 4, NULL, &db,
                                   why, sizeof why),
                     0);
    sotto_db_close(db);
    before = file_read(folder_file(&dir, "profile.db"), &n);
    assert_int_equal(open_profile(false, NULL), SOTTO_ERR_NEWER);
    assert_int_equal(open_profile(true, NULL), SOTTO_ERR_NEWER);
    after = file_read(folder_file(&dir, "profile.db"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    free(before);
    free(after);
}

/* --- settings --- */

static void settings_come_back(void **state)
{
    static uint8_t big[20000];
    struct sotto_buf buf = SOTTO_BUF(sizeof big);
    uint8_t four[4] = "....";
    uint64_t v = 77;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 11);
    assert_int_equal(sotto_setting_get(p, "none", &buf), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_setting_read(p, "none", four, 4), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_setting_get_u64(p, "none", &v), 0);
    assert_true(v == 0);
    assert_int_equal(sotto_setting_put(p, "a", "four", 4), 0);
    assert_int_equal(sotto_setting_put(p, "big", big, sizeof big), 0);
    assert_int_equal(sotto_setting_put(p, "empty", NULL, 0), 0);
    assert_int_equal(sotto_setting_put_u64(p, "n", UINT64_MAX - 1), 0);
    reopen();
    assert_int_equal(sotto_setting_read(p, "a", four, 4), 0);
    assert_memory_equal(four, "four", 4);
    assert_int_equal(sotto_setting_read(p, "a", four, 3), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_setting_get_u64(p, "a", &v), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_setting_get_u64(p, "n", &v), 0);
    assert_true(v == UINT64_MAX - 1);
    assert_int_equal(sotto_setting_get(p, "big", &buf), 0);
    assert_int_equal(buf.n, sizeof big);
    assert_memory_equal(buf.p, big, sizeof big);
    /* What does not fit leaves the buffer as it was. */
    assert_int_equal(sotto_setting_put(p, "a", "other", 5), 0);
    {
        struct sotto_buf small = SOTTO_BUF(4);

        assert_int_equal(sotto_buf_add(&small, "abcd", 4), 0);
        assert_int_equal(sotto_setting_get(p, "a", &small), SOTTO_ERR_TOO_LARGE);
        assert_int_equal(small.n, 4);
        assert_memory_equal(small.p, "abcd", 4);
        assert_int_equal(sotto_setting_get(p, "empty", &small), 0);
        assert_int_equal(small.n, 0);
        sotto_buf_free(&small);
    }
    assert_int_equal(sotto_setting_drop(p, "a"), 0);
    assert_int_equal(sotto_setting_drop(p, "a"), 0);
    assert_int_equal(sotto_setting_get(p, "a", &buf), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(buf.n, sizeof big);
    sotto_buf_free(&buf);
}

/* --- our keys --- */

static struct sotto_dh_pair pair_of(uint8_t seed)
{
    struct sotto_dh_pair pair;

    memset(pair.priv.b, seed, 32);
    memset(pair.pub, seed ^ 0x5a, 32);
    return pair;
}

static void sealing_keys_are_kept_until_swept(void **state)
{
    struct sotto_dh_pair pair, got;

    for (uint8_t i = 1; i <= 4; i++) {
        pair = pair_of(i);
        assert_int_equal(sotto_sealing_add(p, &pair, 1000u * i), 0);
    }
    assert_int_equal(sotto_sealing_add(p, &pair, 9000), SOTTO_ERR_EXISTS);
    reopen();
    for (uint8_t i = 1; i <= 4; i++) {
        pair = pair_of(i);
        assert_int_equal(sotto_sealing_find(p, sotto_sealing_key_id(pair.pub), &got), 0);
        assert_memory_equal(&pair, &got, sizeof pair);
    }
    pair = pair_of(9);
    assert_int_equal(sotto_sealing_find(p, sotto_sealing_key_id(pair.pub), &got),
                     SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_sealing_sweep(p, 3000), 0);
    for (uint8_t i = 1; i <= 4; i++) {
        pair = pair_of(i);
        assert_int_equal(sotto_sealing_find(p, sotto_sealing_key_id(pair.pub), &got),
                         i < 3 ? SOTTO_ERR_NOT_FOUND : SOTTO_OK);
    }
    /* The one added last stays, also when the clock went back before it was added. */
    pair = pair_of(20);
    assert_int_equal(sotto_sealing_add(p, &pair, 5), 0);
    assert_int_equal(sotto_sealing_sweep(p, 1000000), 0);
    assert_int_equal(sotto_sealing_find(p, sotto_sealing_key_id(pair.pub), &got), 0);
    pair = pair_of(4);
    assert_int_equal(sotto_sealing_find(p, sotto_sealing_key_id(pair.pub), &got),
                     SOTTO_ERR_NOT_FOUND);
}

static struct sotto_prekey_private prekey_of(enum sotto_prekey_type type, uint32_t id,
                                             uint64_t expires)
{
    struct sotto_prekey_private k = {.type = type, .id = id, .expires_ms = expires};

    memset(k.dh.priv.b, (int)id, 32);
    memset(k.dh.pub, (int)id + 1, 32);
    memset(k.kem.b, (int)id + 2, sizeof k.kem.b);
    return k;
}

static void prekeys_live_until_used_or_expired(void **state)
{
    static const struct {
        enum sotto_prekey_type type;
        uint32_t id;
        uint64_t expires;
    } keys[] = {
        {SOTTO_PREKEY_SIGNED, 1, 1000},
        {SOTTO_PREKEY_SIGNED, 2, 2000},
        {SOTTO_PREKEY_ONE_TIME, 1, 1500},
        {SOTTO_PREKEY_ONE_TIME, 3, 2500},
        {SOTTO_PREKEY_ONE_TIME, UINT32_MAX, 2500},
    };
    static const enum sotto_err after[] = {SOTTO_ERR_NOT_FOUND, SOTTO_OK, SOTTO_ERR_NOT_FOUND,
                                           SOTTO_OK, SOTTO_OK};
    struct sotto_prekey_private k, got;

    for (size_t i = 0; i < COUNT(keys); i++) {
        k = prekey_of(keys[i].type, keys[i].id, keys[i].expires);
        assert_int_equal(sotto_prekey_add(p, &k), 0);
        assert_int_equal(sotto_prekey_add(p, &k), SOTTO_ERR_EXISTS);
    }
    reopen();
    for (size_t i = 0; i < COUNT(keys); i++) {
        k = prekey_of(keys[i].type, keys[i].id, keys[i].expires);
        assert_int_equal(sotto_prekey_find(p, keys[i].type, keys[i].id, &got), 0);
        assert_true(got.type == k.type && got.id == k.id && got.expires_ms == k.expires_ms);
        assert_memory_equal(&got.dh, &k.dh, sizeof k.dh);
        assert_memory_equal(&got.kem, &k.kem, sizeof k.kem);
    }
    assert_int_equal(sotto_prekey_find(p, SOTTO_PREKEY_SIGNED, 3, &got), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_prekey_sweep(p, 1500), 0);
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_int_equal(sotto_prekey_find(p, keys[i].type, keys[i].id, &got), after[i]);
    assert_int_equal(sotto_prekey_drop(p, SOTTO_PREKEY_ONE_TIME, 3), 0);
    assert_int_equal(sotto_prekey_drop(p, SOTTO_PREKEY_ONE_TIME, 3), 0);
    assert_int_equal(sotto_prekey_find(p, SOTTO_PREKEY_ONE_TIME, 3, &got), SOTTO_ERR_NOT_FOUND);
}

static void prekey_ids_are_never_given_twice(void **state)
{
    struct sotto_prekey_private k;
    uint32_t id;

    for (uint32_t want = 1; want <= 50; want++) {
        assert_int_equal(sotto_prekey_next_id(p, &id), 0);
        assert_int_equal(id, want);
        k = prekey_of(SOTTO_PREKEY_ONE_TIME, id, 1);
        assert_int_equal(sotto_prekey_add(p, &k), 0);
        assert_int_equal(sotto_prekey_sweep(p, 1), 0);
        if (want % 10 == 0)
            reopen();
    }
    assert_int_equal(sotto_setting_put_u64(p, "store.last_prekey", UINT32_MAX - 1u), 0);
    assert_int_equal(sotto_prekey_next_id(p, &id), 0);
    assert_true(id == UINT32_MAX);
    id = 5;
    assert_int_equal(sotto_prekey_next_id(p, &id), SOTTO_ERR_FULL);
    assert_int_equal(id, 5);
}

static void of_the_one_time_keys_the_newest_stay(void **state)
{
    struct sotto_prekey_private k, got;

    assert_int_equal(sotto_prekey_trim(p, 5), 0);
    for (uint32_t id = 1; id <= 20; id++) {
        k = prekey_of(id == 3 ? SOTTO_PREKEY_SIGNED : SOTTO_PREKEY_ONE_TIME, id, 1000);
        assert_int_equal(sotto_prekey_add(p, &k), 0);
    }
    assert_int_equal(sotto_prekey_trim(p, 20), 0);
    assert_int_equal(sotto_prekey_find(p, SOTTO_PREKEY_ONE_TIME, 1, &got), 0);
    assert_int_equal(sotto_prekey_trim(p, 5), 0);
    assert_int_equal(sotto_prekey_find(p, SOTTO_PREKEY_SIGNED, 3, &got), 0);
    for (uint32_t id = 1; id <= 20; id++)
        if (id != 3)
            assert_int_equal(sotto_prekey_find(p, SOTTO_PREKEY_ONE_TIME, id, &got),
                             id > 15 ? SOTTO_OK : SOTTO_ERR_NOT_FOUND);
}

static void handshakes_are_noticed_while_their_key_lives(void **state)
{
    uint8_t digest[2][32] = {{1}, {2}};
    struct sotto_prekey_private k = prekey_of(SOTTO_PREKEY_SIGNED, 1, 1000);

    assert_int_equal(sotto_prekey_add(p, &k), 0);
    k = prekey_of(SOTTO_PREKEY_SIGNED, 2, 2000);
    assert_int_equal(sotto_prekey_add(p, &k), 0);
    k = prekey_of(SOTTO_PREKEY_ONE_TIME, 1, 9000); /* same number, another type */
    assert_int_equal(sotto_prekey_add(p, &k), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(sotto_handshake_note(p, digest[i], i + 1), 0);
        assert_int_equal(sotto_handshake_note(p, digest[i], i + 1), SOTTO_ERR_REPLAY);
    }
    assert_int_equal(sotto_prekey_sweep(p, 999), 0);
    reopen();
    assert_int_equal(sotto_handshake_note(p, digest[0], 1), SOTTO_ERR_REPLAY);
    assert_int_equal(sotto_prekey_sweep(p, 1000), 0);
    assert_int_equal(sotto_handshake_note(p, digest[1], 2), SOTTO_ERR_REPLAY);
    assert_int_equal(sotto_handshake_note(p, digest[0], 1), 0); /* was forgotten with its key */
}

/* --- contacts --- */

static struct sotto_contact_record contact_of(const char *name, unsigned bits)
{
    struct sotto_contact_record c = {
        .state = bits % 4,
        .gone = (bits & 1) != 0,
        .has_list = (bits & 2) != 0,
        .list_version = bits * 1000u + UINT32_MAX / 2 + 1,
        .has_their_token = (bits & 4) != 0,
        .has_our_token = (bits & 8) != 0,
        .has_verified_key = (bits & 16) != 0,
        .new_identity = (bits & 32) != 0,
        .forked = (bits & 64) != 0,
        .checked_ms = 1795000000000u + bits,
    };

    snprintf(c.name, sizeof c.name, "%s", name);
    memset(c.account_key, (int)bits, 32);
    memset(c.list_hash, (int)bits + 1, 32);
    if (c.has_their_token)
        memset(c.their_token, (int)bits + 2, SOTTO_TOKEN);
    if (c.has_our_token)
        memset(c.our_token, (int)bits + 3, SOTTO_TOKEN);
    if (c.has_verified_key)
        memset(c.verified_key, (int)bits + 4, 32);
    return c;
}

static void assert_same_contact(const struct sotto_contact_record *a,
                                const struct sotto_contact_record *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->state, b->state);
    assert_true(a->gone == b->gone && a->has_list == b->has_list &&
                a->new_identity == b->new_identity && a->forked == b->forked);
    assert_memory_equal(a->account_key, b->account_key, 32);
    assert_int_equal(a->list_version, b->list_version);
    assert_memory_equal(a->list_hash, b->list_hash, 32);
    assert_true(a->has_their_token == b->has_their_token && a->has_our_token == b->has_our_token &&
                a->has_verified_key == b->has_verified_key);
    assert_memory_equal(a->their_token, b->their_token, SOTTO_TOKEN);
    assert_memory_equal(a->our_token, b->our_token, SOTTO_TOKEN);
    assert_memory_equal(a->verified_key, b->verified_key, 32);
    assert_true(a->checked_ms == b->checked_ms);
}

static void contacts_come_back_whole(void **state)
{
    static const char longest[] = "abcdefghijklmnopqrstuvwxyz012345";
    struct sotto_contact_record c, got;

    assert_int_equal(strlen(longest), SOTTO_NAME_MAX);
    assert_int_equal(sotto_contact_get(p, "bob", &got), SOTTO_ERR_NOT_FOUND);
    /* Each combination of what is there and what not, over the same row. */
    for (unsigned bits = 0; bits < 128; bits++) {
        c = contact_of("bob", bits);
        assert_int_equal(sotto_contact_put(p, &c), 0);
        assert_int_equal(sotto_contact_get(p, "bob", &got), 0);
        assert_same_contact(&c, &got);
        assert_true(got.unread == 0 && got.last_ms == 0);
    }
    c = contact_of(longest, 127);
    assert_int_equal(sotto_contact_put(p, &c), 0);
    reopen();
    assert_int_equal(sotto_contact_get(p, longest, &got), 0);
    assert_same_contact(&c, &got);
}

static void lists_lie_beside_their_contact(void **state)
{
    struct sotto_buf buf = SOTTO_BUF(SOTTO_LIST_MAX);
    struct sotto_contact_record c = contact_of("bob", 3);

    for (int pending = 0; pending < 2; pending++) {
        assert_int_equal(sotto_contact_list_put(p, "bob", pending, "x", 1), SOTTO_ERR_NOT_FOUND);
        assert_int_equal(sotto_contact_list_get(p, "bob", pending, &buf), SOTTO_ERR_NOT_FOUND);
    }
    assert_int_equal(sotto_contact_put(p, &c), 0);
    for (int pending = 0; pending < 2; pending++)
        assert_int_equal(sotto_contact_list_get(p, "bob", pending, &buf), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_contact_list_put(p, "bob", false, "known", 5), 0);
    assert_int_equal(sotto_contact_list_put(p, "bob", true, "pending one", 11), 0);
    assert_int_equal(sotto_contact_put(p, &c), 0); /* leaves them alone */
    assert_int_equal(sotto_contact_list_get(p, "bob", false, &buf), 0);
    assert_int_equal(buf.n, 5);
    assert_memory_equal(buf.p, "known", 5);
    assert_int_equal(sotto_contact_list_get(p, "bob", true, &buf), 0);
    assert_int_equal(buf.n, 11);
    assert_int_equal(sotto_contact_list_put(p, "bob", true, NULL, 0), 0);
    assert_int_equal(sotto_contact_list_get(p, "bob", true, &buf), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_contact_list_get(p, "bob", false, &buf), 0);
    assert_memory_equal(buf.p, "known", 5);
    sotto_buf_free(&buf);
}

struct names {
    char text[256];
    enum sotto_err stop_with;
    size_t stop_at, seen;
};

static enum sotto_err collect_contact(void *ctx, const struct sotto_contact_record *c)
{
    struct names *n = ctx;

    snprintf(n->text + strlen(n->text), sizeof n->text - strlen(n->text), "%s ", c->name);
    n->seen++;
    return n->stop_at == n->seen ? n->stop_with : SOTTO_OK;
}

static enum sotto_err add_message(uint8_t id, const char *peer, bool outgoing, uint64_t ms)
{
    struct sotto_message_record m = {
        .id = {id}, .outgoing = outgoing, .state = outgoing ? 2 : 1, .kind = SOTTO_CONTENT_TEXT};

    snprintf(m.peer, sizeof m.peer, "%s", peer);
    snprintf(m.from, sizeof m.from, "%s", outgoing ? "me" : peer);
    m.sent_at_ms = ms + 1;
    m.received_at_ms = ms;
    m.text = (struct sotto_bytes){(const uint8_t *)TEXT, strlen(TEXT)};
    m.content = m.text;
    return sotto_message_add(p, &m);
}

static void contacts_are_ordered_by_their_last_message(void **state)
{
    static const char *const names[] = {"dora", "alice", "carl", "bob", "eve"};
    struct names n = {.text = ""};
    struct sotto_contact_record c;

    for (size_t i = 0; i < COUNT(names); i++) {
        c = contact_of(names[i], 1);
        assert_int_equal(sotto_contact_put(p, &c), 0);
    }
    assert_int_equal(sotto_contact_each(p, collect_contact, &n), 0);
    assert_string_equal(n.text, "alice bob carl dora eve ");
    /* By arrival, whatever the clocks say. */
    assert_int_equal(add_message(1, "carl", false, 9000), 0);
    assert_int_equal(add_message(2, "eve", true, 5000), 0);
    assert_int_equal(add_message(3, "carl", false, 4000), 0);
    assert_int_equal(add_message(4, "alice", true, 3000), 0);
    n = (struct names){.text = ""};
    assert_int_equal(sotto_contact_each(p, collect_contact, &n), 0);
    assert_string_equal(n.text, "alice carl eve bob dora ");
    assert_int_equal(sotto_contact_get(p, "carl", &c), 0);
    assert_true(c.unread == 2 && c.last_ms == 4000);
    assert_int_equal(sotto_contact_get(p, "alice", &c), 0);
    assert_true(c.unread == 0 && c.last_ms == 3001);
    /* The callback ends it, with whatever it gives. */
    for (int k = 0; k < 2; k++) {
        n = (struct names){.stop_at = 2, .stop_with = k ? SOTTO_ERR_NOT_FOUND : SOTTO_ERR_AGAIN};
        assert_int_equal(sotto_contact_each(p, collect_contact, &n), n.stop_with);
        assert_string_equal(n.text, "alice carl ");
    }
}

/* --- sessions --- */

struct sessions {
    char text[128];
};

static enum sotto_err collect_session(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                      struct sotto_bytes record, uint64_t used_ms)
{
    struct sessions *s = ctx;
    size_t at = strlen(s->text);

    snprintf(s->text + at, sizeof s->text - at, "%u:%.*s@%u ", id[0], (int)record.n,
             (const char *)record.p, (unsigned)used_ms);
    return SOTTO_OK;
}

static const char *sessions_with(const char *name, uint64_t device)
{
    static struct sessions s;

    s = (struct sessions){.text = ""};
    assert_int_equal(sotto_sessions_each(p, name, device, collect_session, &s), 0);
    return s.text;
}

static void put_session(const char *name, uint64_t device, uint8_t id, const char *record,
                        uint64_t ms)
{
    uint8_t full[SOTTO_SESSION_ID] = {id};

    assert_int_equal(sotto_sessions_put(p, name, device, full, record, strlen(record), ms), 0);
}

static void sessions_are_kept_by_use(void **state)
{
    const uint64_t dev = 0xfedcba9876543210u; /* the high bit is set */
    uint8_t id[SOTTO_SESSION_ID] = {2};

    put_session("bob", dev, 1, "one", 100);
    put_session("bob", dev, 2, "two", 300);
    put_session("bob", dev, 3, "three", 200);
    put_session("bob", 7, 1, "other device", 100);
    put_session("eve", dev, 1, "other name", 100);
    assert_string_equal(sessions_with("bob", dev), "2:two@300 3:three@200 1:one@100 ");
    put_session("bob", dev, 1, "ONE", 400);
    reopen();
    assert_string_equal(sessions_with("bob", dev), "1:ONE@400 2:two@300 3:three@200 ");
    assert_int_equal(sotto_sessions_trim(p, "bob", dev, 8, 200), 0);
    assert_string_equal(sessions_with("bob", dev), "1:ONE@400 2:two@300 3:three@200 ");
    assert_int_equal(sotto_sessions_trim(p, "bob", dev, 8, 201), 0);
    assert_string_equal(sessions_with("bob", dev), "1:ONE@400 2:two@300 ");
    assert_int_equal(sotto_sessions_trim(p, "bob", dev, 1, 0), 0);
    assert_string_equal(sessions_with("bob", dev), "1:ONE@400 ");
    put_session("bob", dev, 2, "again", 400); /* the same moment: the newer row first */
    assert_string_equal(sessions_with("bob", dev), "2:again@400 1:ONE@400 ");
    assert_int_equal(sotto_sessions_drop(p, "bob", dev, id), 0);
    assert_int_equal(sotto_sessions_drop(p, "bob", dev, id), 0);
    assert_string_equal(sessions_with("bob", dev), "1:ONE@400 ");
    assert_string_equal(sessions_with("bob", 7), "1:other device@100 ");
    assert_string_equal(sessions_with("eve", dev), "1:other name@100 ");
    assert_int_equal(sotto_sessions_clear(p, "bob", dev), 0);
    assert_string_equal(sessions_with("bob", dev), "");
    assert_string_equal(sessions_with("bob", 7), "1:other device@100 ");
    assert_int_equal(sotto_sessions_clear(p, "bob", 0), 0);
    assert_string_equal(sessions_with("bob", 7), "");
    assert_string_equal(sessions_with("eve", dev), "1:other name@100 ");
    assert_int_equal(sotto_sessions_clear(p, NULL, 0), 0);
    assert_string_equal(sessions_with("eve", dev), "");
}

/* --- one transaction --- */

/* What the client does for an envelope that came; every step in the caller's transaction. */
static enum sotto_err take_envelope(uint8_t n)
{
    static const uint8_t conversation[SOTTO_CONVERSATION_ID] = {9};
    uint8_t id[16] = {n}, session[SOTTO_SESSION_ID] = {1};
    static uint8_t record[3000];
    struct sotto_contact_record c = contact_of("bob", n);
    enum sotto_err e;

    record[0] = n;
    if ((e = sotto_profile_begin(p)) != 0)
        return e;
    if ((e = sotto_seen_note(p, id, n)) == 0 &&
        (e = sotto_sessions_put(p, "bob", 7, session, record, sizeof record, n)) == 0 &&
        (e = sotto_sessions_trim(p, "bob", 7, 8, 0)) == 0 &&
        (e = sotto_counter_note(p, conversation, 7, n)) == 0 &&
        (e = sotto_contact_put(p, &c)) == 0 && (e = add_message(n, "bob", false, n)) == 0 &&
        (e = sotto_due_add(p, "bob", id, SOTTO_RECEIPT_DELIVERED)) == 0)
        return sotto_profile_commit(p);
    sotto_profile_rollback(p);
    return e;
}

static enum sotto_err session_first_byte(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                         struct sotto_bytes record, uint64_t used_ms)
{
    *(uint8_t *)ctx = record.p[0];
    return SOTTO_OK;
}

/* All of envelope `taken` is there, and nothing of a later one. */
static void assert_taken(uint8_t taken)
{
    static const uint8_t conversation[SOTTO_CONVERSATION_ID] = {9};
    uint8_t due[SOTTO_RECEIPT_IDS][SOTTO_CONTENT_ID], got = 0;
    struct sotto_contact_record c;
    uint64_t counter;
    size_t count;

    for (uint8_t i = 1; i <= 5; i++) {
        uint8_t id[16] = {i};

        assert_int_equal(sotto_message_known(p, id), i <= taken ? SOTTO_OK : SOTTO_ERR_NOT_FOUND);
        if (i <= taken)
            assert_int_equal(sotto_seen_note(p, id, 0), SOTTO_ERR_REPLAY);
    }
    assert_int_equal(sotto_sessions_each(p, "bob", 7, session_first_byte, &got), 0);
    assert_int_equal(got, taken);
    assert_int_equal(sotto_counter_seen(p, conversation, 7, &counter), 0);
    assert_int_equal(counter, taken);
    if (taken > 0) {
        assert_int_equal(sotto_contact_get(p, "bob", &c), 0);
        assert_true(c.checked_ms == contact_of("bob", taken).checked_ms && c.unread == taken);
    }
    assert_int_equal(sotto_profile_begin(p), 0);
    assert_int_equal(sotto_due_take(p, "bob", SOTTO_RECEIPT_DELIVERED, due, &count), 0);
    assert_int_equal(count, taken);
    sotto_profile_rollback(p);
}

/* A disk that is full or fails at each write and sync of three envelopes: what was committed is
 * there as a whole, what was not is gone as a whole, and the rest can be taken afterwards. */
static void failing_disk_takes_an_envelope_whole_or_not(void **state)
{
    static const struct {
        int result;
        bool stays;
        enum sotto_err want;
    } cases[] = {{SQLITE_FULL, true, SOTTO_ERR_FULL},
                 {SQLITE_IOERR_WRITE, false, SOTTO_ERR_IO},
                 {SQLITE_IOERR_FSYNC, false, SOTTO_ERR_IO}};

    sotto_profile_close(p);
    for (size_t k = 0; k < COUNT(cases); k++) {
        int failures = 1;

        for (long n = 0; failures > 0; n++) {
            uint8_t taken = 0;
            enum sotto_err e = SOTTO_OK;

            (void)unlink(folder_file(&dir, "profile.db"));
            assert_int_equal(open_profile(true, "faulty"), 0);
            faulty.left = n;
            faulty.result = cases[k].result;
            faulty.stays = cases[k].stays;
            while (taken < 3 && (e = take_envelope((uint8_t)(taken + 1))) == SOTTO_OK)
                taken++;
            failures = faulty.failures;
            faulty_reset();
            if (failures > 0 && e != SOTTO_OK)
                assert_int_equal(e, cases[k].want);
            assert_taken(taken);
            for (; taken < 4; taken++)
                assert_int_equal(take_envelope((uint8_t)(taken + 1)), 0);
            reopen();
            assert_taken(4);
            sotto_profile_close(p);
            p = NULL;
        }
    }
}

static void transactions_nest(void **state)
{
    assert_int_equal(sotto_profile_begin(p), 0);
    assert_int_equal(take_envelope(1), 0);
    assert_int_equal(sotto_profile_begin(p), 0);
    assert_int_equal(take_envelope(2), 0);
    sotto_profile_rollback(p);
    assert_taken(1);
    assert_int_equal(take_envelope(1), SOTTO_ERR_REPLAY); /* undoes itself only */
    assert_int_equal(sotto_profile_commit(p), 0);
    reopen();
    assert_taken(1);
}

/* --- secrecy --- */

static void nothing_is_readable_in_the_files(void **state)
{
    struct sotto_dh_pair pair = pair_of(0x61);
    struct sotto_contact_record c = contact_of("bob.the.builder", 127);
    int found = 0;

    assert_int_equal(sotto_sealing_add(p, &pair, 1), 0);
    assert_int_equal(sotto_contact_put(p, &c), 0);
    for (uint8_t i = 1; i < 100; i++)
        assert_int_equal(add_message(i, c.name, false, i), 0);
    for (int round = 0; round < 2; round++) {
        found += folder_search(&dir, TEXT, strlen(TEXT));
        found += folder_search(&dir, c.name, strlen(c.name));
        found += folder_search(&dir, pair.priv.b, 32);
        found += folder_search(&dir, profile_rig_key.b, 32);
        found += folder_search(&dir, "CREATE TABLE", 12);
        found += folder_search(&dir, "SQLite format", 13);
        sotto_profile_close(p);
        p = NULL;
    }
    assert_int_equal(found, 0);
    assert_int_equal(folder_count(&dir), 1);
    file_write(folder_file(&dir, "planted"), TEXT, strlen(TEXT));
    assert_int_equal(folder_search(&dir, TEXT, strlen(TEXT)), 1); /* the search works */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(only_the_right_key_opens),
        CASE(newer_schema_is_refused),
        CASE(settings_come_back),
        CASE(sealing_keys_are_kept_until_swept),
        CASE(prekeys_live_until_used_or_expired),
        CASE(prekey_ids_are_never_given_twice),
        CASE(of_the_one_time_keys_the_newest_stay),
        CASE(handshakes_are_noticed_while_their_key_lives),
        CASE(contacts_come_back_whole),
        CASE(lists_lie_beside_their_contact),
        CASE(contacts_are_ordered_by_their_last_message),
        CASE(sessions_are_kept_by_use),
        CASE(failing_disk_takes_an_envelope_whole_or_not),
        CASE(transactions_nest),
        CASE(nothing_is_readable_in_the_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
