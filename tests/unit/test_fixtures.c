/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases and vaults of every schema version that was ever released lie in tests/fixtures and
 * must open for ever, with what is in them. When a version is new:
 *
 *     build/tests/unit/test_fixtures --make tests/fixtures
 *
 * writes its fixtures (and only those that are not there; make_*() are of the newest version), and
 * a new check_*() below says what they hold; the older ones stay as they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "folder.h"
#include "sotto/sotto.h"
#include "store/db.h"
#include "store/profile.h"
#include "store/relay_store.h"
#include "vault/vault.h"

#define PASSPHRASE "correct horse battery staple"
#define TEXT       "kept since version one \xe2\x9c\x93"

static struct folder dir;
static char why[512];

static int setup(void **state)
{
    (void)umask(077);
    folder_make(&dir);
    return 0;
}

static int teardown(void **state)
{
    folder_remove(&dir);
    return 0;
}

/* Copies, because a checkout makes files that others can read, and opening writes. */
static void take(const char *name, const char *as)
{
    char from[512];

    snprintf(from, sizeof from, SOTTO_FIXTURES "/%s", name);
    file_copy(from, folder_file(&dir, as));
}

static void fill(void *p, size_t len, uint8_t first)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)p)[i] = (uint8_t)(first + i);
}

static void assert_filled(const void *p, size_t len, uint8_t first)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(((const uint8_t *)p)[i], (uint8_t)(first + i));
}

/* --- profile, version 1 --- */

static struct sotto_message_record message_1(bool outgoing)
{
    struct sotto_message_record m = {
        .peer = "bob",
        .kind = SOTTO_CONTENT_TEXT,
        .outgoing = outgoing,
        .state = outgoing ? SOTTO_MESSAGE_STORED : SOTTO_MESSAGE_RECEIVED,
        .counter = 1,
        .sent_at_ms = 1795000000000u,
        .received_at_ms = 1795000001000u,
        .stored_at_ms = 1795000002000u,
        .text = {(const uint8_t *)TEXT, strlen(TEXT)},
        .content = {(const uint8_t *)TEXT, strlen(TEXT)},
    };

    snprintf(m.from, sizeof m.from, "%s", outgoing ? "alice" : "bob");
    fill(m.id, sizeof m.id, outgoing ? 1 : 2);
    return m;
}

static void make_outbox_1(struct sotto_profile *p)
{
    struct sotto_item item = {
        .to = "bob",
        .kind = SOTTO_CONTENT_TEXT,
        .state = SOTTO_ITEM_STORED,
        .keep = true,
        .list_version = 3,
        .content = {(const uint8_t *)TEXT, strlen(TEXT)},
    };
    struct sotto_parcel_record parcel = {
        .device = 0xfedcba9876543210u,
        .envelope = {(const uint8_t *)"sealed", 6},
        .progress = SOTTO_PARCEL_IS_STORED,
        .retries = 1,
    };

    fill(item.content_id, sizeof item.content_id, 1);
    assert_int_equal(sotto_item_add(p, &item), 0);
    parcel.item = item.id;
    fill(parcel.envelope_id, sizeof parcel.envelope_id, 50);
    assert_int_equal(sotto_parcel_put(p, &parcel), 0);
}

static void make_inbox_1(struct sotto_profile *p)
{
    uint8_t id[16], conversation[SOTTO_CONVERSATION_ID];
    uint64_t counter;

    fill(conversation, sizeof conversation, 60);
    assert_int_equal(sotto_counter_next(p, conversation, &counter), 0);
    assert_int_equal(sotto_counter_note(p, conversation, 7, 41), 0);
    fill(id, sizeof id, 70);
    assert_int_equal(sotto_seen_note(p, id, 1795000000000u), 0);
    assert_int_equal(sotto_quarantine_add(p, id, "opaque", 6, "no session", 1), 0);
    fill(id, sizeof id, 2);
    assert_int_equal(sotto_due_add(p, "bob", id, SOTTO_RECEIPT_READ), 0);
}

static void make_keys_1(struct sotto_profile *p)
{
    struct sotto_prekey_private k = {.type = SOTTO_PREKEY_SIGNED, .expires_ms = 1800000000000u};
    struct sotto_dh_pair pair;
    uint8_t digest[32];

    fill(&pair, sizeof pair, 10);
    assert_int_equal(sotto_sealing_add(p, &pair, 1795000000000u), 0);
    assert_int_equal(sotto_prekey_next_id(p, &k.id), 0);
    fill(k.dh.priv.b, 32, 20);
    fill(k.kem.b, sizeof k.kem.b, 30);
    assert_int_equal(sotto_prekey_add(p, &k), 0);
    fill(digest, sizeof digest, 40);
    assert_int_equal(sotto_handshake_note(p, digest, k.id), 0);
}

static struct sotto_profile *make_common(const char *to)
{
    struct sotto_contact_record c = {
        .name = "bob",
        .state = SOTTO_CONTACT_ACCEPTED,
        .has_list = true,
        .list_version = 3,
        .has_our_token = true,
        .checked_ms = 1795000000000u,
    };
    uint8_t session[SOTTO_SESSION_ID];
    struct sotto_message_record m;
    struct sotto_secret32 key;
    struct sotto_profile *p;

    assert_int_equal(
        sotto_vault_create(sotto_env_system(), to, PASSPHRASE, strlen(PASSPHRASE), &key), 0);
    assert_int_equal(sotto_profile_open(to, &key, true, NULL, &p, why, sizeof why), 0);
    assert_int_equal(sotto_setting_put(p, "account.name", "alice", 5), 0);
    make_keys_1(p);
    fill(c.account_key, 32, 80);
    fill(c.our_token, sizeof c.our_token, 90);
    assert_int_equal(sotto_contact_put(p, &c), 0);
    assert_int_equal(sotto_contact_list_put(p, "bob", false, "a list", 6), 0);
    fill(session, sizeof session, 100);
    assert_int_equal(sotto_sessions_put(p, "bob", 7, session, "a record", 8, 1795000000000u), 0);
    for (int outgoing = 0; outgoing < 2; outgoing++) {
        m = message_1(outgoing);
        assert_int_equal(sotto_message_add(p, &m), 0);
    }
    fill(m.id, sizeof m.id, 3);
    assert_int_equal(sotto_message_add(p, &m), 0);
    assert_int_equal(sotto_message_delete(p, m.id), 0);
    make_outbox_1(p);
    make_inbox_1(p);
    return p;
}

static enum sotto_err check_message_1(void *ctx, const struct sotto_message_record *m)
{
    int *seen = ctx;
    struct sotto_message_record want = message_1(m->outgoing);

    (*seen)++;
    assert_memory_equal(m->id, want.id, sizeof want.id);
    assert_string_equal(m->peer, "bob");
    assert_string_equal(m->from, want.from);
    assert_true(m->kind == want.kind && m->state == want.state && m->counter == 1 &&
                m->sent_at_ms == want.sent_at_ms && m->received_at_ms == want.received_at_ms &&
                m->stored_at_ms == want.stored_at_ms);
    assert_int_equal(m->text.n, strlen(TEXT));
    assert_memory_equal(m->text.p, TEXT, strlen(TEXT));
    return SOTTO_OK;
}

static enum sotto_err check_session_1(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                      struct sotto_bytes record, uint64_t used_ms)
{
    (*(int *)ctx)++;
    assert_filled(id, SOTTO_SESSION_ID, 100);
    assert_int_equal(record.n, 8);
    assert_memory_equal(record.p, "a record", 8);
    return SOTTO_OK;
}

static enum sotto_err check_item_1(void *ctx, const struct sotto_item *item)
{
    (*(int *)ctx)++;
    assert_string_equal(item->to, "bob");
    assert_true(item->state == SOTTO_ITEM_STORED && item->keep && item->list_version == 3);
    assert_int_equal(item->content.n, strlen(TEXT));
    return SOTTO_OK;
}

static void check_keys_1(struct sotto_profile *p)
{
    struct sotto_prekey_private k;
    struct sotto_dh_pair pair, got;
    uint8_t digest[32];
    uint32_t id;

    fill(&pair, sizeof pair, 10);
    assert_int_equal(sotto_sealing_find(p, sotto_sealing_key_id(pair.pub), &got), 0);
    assert_memory_equal(&pair, &got, sizeof pair);
    assert_int_equal(sotto_prekey_find(p, SOTTO_PREKEY_SIGNED, 1, &k), 0);
    assert_filled(k.dh.priv.b, 32, 20);
    assert_filled(k.kem.b, sizeof k.kem.b, 30);
    assert_int_equal(sotto_prekey_next_id(p, &id), 0);
    assert_int_equal(id, 2);
    fill(digest, sizeof digest, 40);
    assert_int_equal(sotto_handshake_note(p, digest, 1), SOTTO_ERR_REPLAY);
}

static void check_outbox_1(struct sotto_profile *p)
{
    uint8_t id[16];
    int64_t item;
    uint64_t device;
    uint32_t retries;
    int seen = 0;

    fill(id, sizeof id, 1);
    assert_int_equal(sotto_item_of_content(p, id, check_item_1, &seen), 0);
    assert_int_equal(seen, 1);
    fill(id, sizeof id, 50);
    assert_int_equal(sotto_parcel_find(p, id, &item, &device, &retries), 0);
    assert_true(device == 0xfedcba9876543210u && retries == 1);
}

static void check_inbox_1(struct sotto_profile *p)
{
    uint8_t id[16], conversation[SOTTO_CONVERSATION_ID], due[SOTTO_RECEIPT_IDS][SOTTO_CONTENT_ID];
    uint64_t counter;
    uint32_t quarantined;
    size_t count;

    fill(conversation, sizeof conversation, 60);
    assert_int_equal(sotto_counter_next(p, conversation, &counter), 0);
    assert_int_equal(counter, 2);
    assert_int_equal(sotto_counter_seen(p, conversation, 7, &counter), 0);
    assert_int_equal(counter, 41);
    fill(id, sizeof id, 70);
    assert_int_equal(sotto_seen_note(p, id, 1), SOTTO_ERR_REPLAY);
    assert_int_equal(sotto_quarantine_count(p, &quarantined), 0);
    assert_int_equal(quarantined, 1);
    assert_int_equal(sotto_due_take(p, "bob", SOTTO_RECEIPT_READ, due, &count), 0);
    assert_int_equal(count, 1);
    assert_filled(due[0], SOTTO_CONTENT_ID, 2);
}

static void profile_1_opens(void **state)
{
    struct sotto_buf buf = SOTTO_BUF(64);
    struct sotto_contact_record c;
    struct sotto_secret32 key;
    struct sotto_profile *p = NULL;
    uint8_t deleted[16];
    int seen = 0;

    take("profile-1/vault", "vault");
    take("profile-1/profile.db", "profile.db");
    assert_int_equal(sotto_vault_open(dir.path, "another passphrase", 18, &key), SOTTO_ERR_BAD_TAG);
    assert_int_equal(sotto_vault_open(dir.path, PASSPHRASE, strlen(PASSPHRASE), &key), 0);
    assert_int_equal(sotto_profile_open(dir.path, &key, false, NULL, &p, why, sizeof why), 0);
    assert_int_equal(sotto_setting_get(p, "account.name", &buf), 0);
    assert_int_equal(buf.n, 5);
    assert_memory_equal(buf.p, "alice", 5);
    assert_int_equal(sotto_contact_get(p, "bob", &c), 0);
    assert_true(c.state == SOTTO_CONTACT_ACCEPTED && c.has_list && c.list_version == 3 &&
                c.has_our_token && !c.has_their_token && c.unread == 1);
    assert_filled(c.account_key, 32, 80);
    assert_filled(c.our_token, sizeof c.our_token, 90);
    assert_int_equal(sotto_contact_list_get(p, "bob", false, &buf), 0);
    assert_memory_equal(buf.p, "a list", 6);
    assert_int_equal(sotto_sessions_each(p, "bob", 7, check_session_1, &seen), 0);
    assert_int_equal(seen, 1);
    seen = 0;
    assert_int_equal(sotto_message_history(p, "bob", 0, check_message_1, &seen), 0);
    assert_int_equal(seen, 2);
    fill(deleted, sizeof deleted, 3);
    assert_int_equal(sotto_message_known(p, deleted), 0);
    check_keys_1(p);
    check_outbox_1(p);
    check_inbox_1(p);
    sotto_profile_close(p);
    sotto_buf_free(&buf);
}

/* Version 1 did not note what a blocked account had been: its messages tell it. */
static void who_was_blocked_in_version_1_can_go_back(void **state)
{
    static const char label[] = "sotto/1 profile database";
    static const struct sotto_migration version_1[] = {{""}};
    struct sotto_contact_record c;
    struct sotto_secret32 vault_key, key;
    struct sotto_profile *p = NULL;
    struct sotto_db *db = NULL;

    take("profile-1/vault", "vault");
    take("profile-1/profile.db", "profile.db");
    assert_int_equal(sotto_vault_open(dir.path, PASSPHRASE, strlen(PASSPHRASE), &vault_key), 0);
    sotto_hkdf_sha256(NULL, 0, vault_key.b, 32, label, strlen(label), key.b, 32);
    assert_int_equal(sotto_db_open(folder_file(&dir, "profile.db"), &key, false, version_1, 1, NULL,
                                   &db, why, sizeof why),
                     0);
    assert_int_equal(
        sotto_db_run(db,
                     "INSERT INTO contact SELECT 'eve', 3, gone, has_list, account_key,"
                     " list_version, list_hash, NULL, NULL, NULL, 0, 0, 0, NULL, NULL"
                     " FROM contact WHERE name = 'bob'",
                     ""),
        0);
    assert_int_equal(sotto_db_run(db, "UPDATE contact SET state = 3", ""), 0);
    sotto_db_close(db);
    assert_int_equal(sotto_profile_open(dir.path, &vault_key, false, NULL, &p, why, sizeof why), 0);
    assert_int_equal(sotto_contact_get(p, "bob", &c), 0);
    assert_true(c.state == SOTTO_CONTACT_BLOCKED && c.unblocked == SOTTO_CONTACT_ACCEPTED);
    assert_int_equal(sotto_contact_get(p, "eve", &c), 0);
    assert_true(c.state == SOTTO_CONTACT_BLOCKED && c.unblocked == 0);
    sotto_profile_close(p);
}

/* --- profile, version 2: who was blocked, the order on the screen, devices heard of --- */

static void add_2(struct sotto_profile *p, uint8_t id, uint64_t counter, bool gap)
{
    struct sotto_message_record m = message_1(false);

    snprintf(m.peer, sizeof m.peer, "eve");
    snprintf(m.from, sizeof m.from, "eve");
    fill(m.id, sizeof m.id, id);
    m.counter = counter;
    m.gap = gap;
    assert_int_equal(sotto_message_add(p, &m), 0);
}

static struct sotto_profile *make_common_2(const char *to)
{
    struct sotto_contact_record c = {
        .name = "eve",
        .state = SOTTO_CONTACT_BLOCKED,
        .unblocked = SOTTO_CONTACT_REQUEST,
    };
    struct sotto_profile *p = make_common(to);

    assert_int_equal(sotto_contact_put(p, &c), 0);
    add_2(p, 140, 1, false);
    add_2(p, 141, 3, true);
    add_2(p, 142, 2, false);
    assert_int_equal(sotto_heard_note(p, "bob", 0xfedcba9876543210u, 1795000000000u, false), 0);
    return p;
}

static enum sotto_err check_order_2(void *ctx, const struct sotto_message_record *m)
{
    static const uint8_t order[] = {140, 142, 141};
    int *seen = ctx;

    assert_filled(m->id, sizeof m->id, order[*seen]);
    assert_false(m->gap);
    (*seen)++;
    return SOTTO_OK;
}

static void check_2(struct sotto_profile *p)
{
    struct sotto_contact_record c;
    uint64_t ms;
    int seen = 0;

    assert_int_equal(sotto_message_history(p, "bob", 0, check_message_1, &seen), 0);
    assert_int_equal(seen, 2);
    check_keys_1(p);
    check_outbox_1(p);
    check_inbox_1(p);
    assert_int_equal(sotto_contact_get(p, "eve", &c), 0);
    assert_true(c.state == SOTTO_CONTACT_BLOCKED && c.unblocked == SOTTO_CONTACT_REQUEST);
    seen = 0;
    assert_int_equal(sotto_message_history(p, "eve", 0, check_order_2, &seen), 0);
    assert_int_equal(seen, 3);
    assert_int_equal(sotto_heard_get(p, "bob", 0xfedcba9876543210u, &ms), 0);
    assert_true(ms == 1795000000000u);
}

/* folder: of the fixture. */
static struct sotto_profile *open_fixture(const char *folder)
{
    struct sotto_secret32 key;
    struct sotto_profile *p = NULL;
    char from[64];

    snprintf(from, sizeof from, "%s/vault", folder);
    take(from, "vault");
    snprintf(from, sizeof from, "%s/profile.db", folder);
    take(from, "profile.db");
    assert_int_equal(sotto_vault_open(dir.path, PASSPHRASE, strlen(PASSPHRASE), &key), 0);
    assert_int_equal(sotto_profile_open(dir.path, &key, false, NULL, &p, why, sizeof why), 0);
    return p;
}

/* What version 3 added is there as well, and can be used. */
static void profile_2_opens(void **state)
{
    struct sotto_profile *p = open_fixture("profile-2");
    struct sotto_unasked next;
    uint8_t id[SOTTO_ENVELOPE_ID];

    check_2(p);
    assert_int_equal(sotto_unasked_take(p, "bob", &next), SOTTO_ERR_NOT_FOUND);
    fill(id, sizeof id, 150);
    assert_int_equal(sotto_unasked_add(p, "bob", 7, id, 1795000000000u), 0);
    assert_int_equal(sotto_unasked_take(p, "bob", &next), 0);
    assert_filled(next.envelope_id, sizeof next.envelope_id, 150);
    sotto_profile_close(p);
}

/* --- profile, version 3: what is still to be asked for --- */

static void make_profile_3(const char *to)
{
    struct sotto_profile *p = make_common_2(to);
    uint8_t id[SOTTO_ENVELOPE_ID];

    fill(id, sizeof id, 150);
    assert_int_equal(sotto_unasked_add(p, "bob", 0xfedcba9876543210u, id, 1795000000000u), 0);
    sotto_profile_close(p);
}

static void profile_3_opens(void **state)
{
    struct sotto_profile *p = open_fixture("profile-3");
    struct sotto_unasked next;

    check_2(p);
    assert_int_equal(sotto_unasked_take(p, "bob", &next), 0);
    assert_true(next.device == 0xfedcba9876543210u);
    assert_filled(next.envelope_id, sizeof next.envelope_id, 150);
    assert_int_equal(sotto_unasked_take(p, "bob", &next), SOTTO_ERR_NOT_FOUND);
    sotto_profile_close(p);
}

/* --- relay, version 1 --- */

static struct sotto_env_fixed fixed_env(void)
{
    struct sotto_env_fixed env;
    uint8_t seed[32];

    fill(seed, sizeof seed, 110);
    sotto_env_fixed_init(&env, seed, 1795000000000u);
    return env;
}

static void make_account(struct sotto_relay_store *s)
{
    static uint8_t opaque[SOTTO_OPAQUE_RECORD], entry[SOTTO_ENTRY_BYTES],
        prekey[SOTTO_PREKEY_BYTES];
    struct sotto_rs_place places[2] = {{.len = 100, .day = 20000}, {.len = 100, .day = 20000}};
    uint8_t key[32], envelopes[200];
    struct sotto_rs_device d;
    int64_t account, row;

    fill(opaque, sizeof opaque, 1);
    fill(entry, sizeof entry, 2);
    fill(prekey, sizeof prekey, 3);
    fill(key, sizeof key, 120);
    assert_int_equal(sotto_rs_account_add(s, "alice", key, opaque, &account), 0);
    assert_int_equal(sotto_rs_list_add(s, account, 1, (struct sotto_bytes){prekey, 300}), 0);
    assert_int_equal(
        sotto_rs_device_add(s, account, 0xfedcba9876543210u, entry, key, false, prekey), 0);
    assert_int_equal(sotto_rs_device_find(s, account, 0xfedcba9876543210u, &d), 0);
    assert_int_equal(sotto_rs_token_add(s, account, key), 0);
    for (uint8_t i = 0; i < 2; i++) {
        fill(places[i].id, sizeof places[i].id, i + 1);
        places[i].box = d.box;
        places[i].seq = (1ull << 40) + i + 1;
        places[i].at = i * 100u;
        places[i].request = i == 1;
        memcpy(envelopes + places[i].at, entry, 100);
    }
    assert_int_equal(
        sotto_rs_mail_add(s, places, 2, (struct sotto_bytes){envelopes, sizeof envelopes}, &row),
        0);
}

static void make_relay(const char *path)
{
    struct sotto_env_fixed env = fixed_env();
    struct sotto_rs_identity identity;
    struct sotto_relay_store *s;
    uint8_t hash[32];
    uint32_t epoch;

    assert_int_equal(sotto_rs_open(path, true, NULL, &s, why, sizeof why), 0);
    assert_int_equal(sotto_rs_identity_load(s, &env.env, &identity), 0);
    assert_int_equal(sotto_rs_boot(s, &epoch), 0);
    assert_int_equal(sotto_rs_address_put(s, "127.0.0.1:12345"), 0);
    fill(hash, sizeof hash, 130);
    assert_int_equal(sotto_rs_invite_add(s, hash, 2, 1800000000000u), 0);
    make_account(s);
    sotto_rs_close(s);
}

struct mail_seen {
    struct sotto_relay_store *s;
    int64_t box;
    unsigned count;
};

static enum sotto_err check_place(void *ctx, int64_t row, const struct sotto_rs_place *p)
{
    struct mail_seen *v = ctx;
    uint8_t envelope[100];

    v->count++;
    assert_true(p->box == v->box && p->seq == (1ull << 40) + v->count && p->day == 20000);
    assert_true(p->request == (v->count == 2));
    assert_filled(p->id, sizeof p->id, (uint8_t)v->count);
    assert_int_equal(p->len, 100);
    assert_int_equal(sotto_rs_mail_read(v->s, row, p->at, p->len, envelope), 0);
    assert_filled(envelope, 100, 2);
    return SOTTO_OK;
}

static void check_account(struct sotto_relay_store *s)
{
    uint8_t key[32], opaque[SOTTO_OPAQUE_RECORD], list[SOTTO_LIST_MAX], prekey[SOTTO_PREKEY_BYTES];
    struct sotto_rs_account a;
    struct sotto_rs_device d;
    size_t len;
    struct mail_seen seen = {.s = s};

    fill(key, sizeof key, 120);
    assert_int_equal(sotto_rs_account_find(s, "alice", &a), 0);
    assert_memory_equal(a.key, key, 32);
    assert_int_equal(a.version, 1);
    assert_int_equal(sotto_rs_opaque_record(s, a.id, opaque), 0);
    assert_filled(opaque, sizeof opaque, 1);
    assert_int_equal(sotto_rs_list_get(s, a.id, 1, list, &len), 0);
    assert_int_equal(len, 300);
    assert_filled(list, len, 3);
    assert_int_equal(sotto_rs_device_find(s, a.id, 0xfedcba9876543210u, &d), 0);
    assert_true(d.listed && d.has_certificate);
    assert_filled(d.entry, sizeof d.entry, 2);
    assert_int_equal(sotto_rs_signed_get(s, d.box, prekey), 0);
    assert_filled(prekey, sizeof prekey, 3);
    assert_int_equal(sotto_rs_token_check(s, a.id, key), 0);
    seen.box = d.box;
    assert_int_equal(sotto_rs_mail_each(s, check_place, &seen), 0);
    assert_int_equal(seen.count, 2);
    sotto_rs_mail_read_done(s);
}

static void relay_opens(const char *fixture)
{
    struct sotto_env_fixed env = fixed_env();
    struct sotto_rs_identity identity;
    struct sotto_relay_store *s = NULL;
    char address[SOTTO_RS_ADDRESS];
    uint8_t hash[32];
    uint32_t epoch;

    take(fixture, "relay.db");
    env.fail_random = 1; /* nothing may be made anew */
    assert_int_equal(sotto_rs_open(folder_file(&dir, "relay.db"), false, NULL, &s, why, sizeof why),
                     0);
    assert_int_equal(sotto_rs_identity_load(s, &env.env, &identity), 0);
    assert_int_equal(sotto_rs_boot(s, &epoch), 0);
    assert_int_equal(epoch, 2);
    assert_int_equal(sotto_rs_address_get(s, address), 0);
    assert_string_equal(address, "127.0.0.1:12345");
    fill(hash, sizeof hash, 130);
    assert_int_equal(sotto_rs_invite_check(s, hash, 1795000000000u), 0);
    check_account(s);
    sotto_rs_close(s);
}

/* One row an envelope became rows of mail. */
static void relay_1_opens(void **state)
{
    relay_opens("relay-1.db");
}

static void relay_2_opens(void **state)
{
    relay_opens("relay-2.db");
}

/* Accounts can be disabled, invites can be for one name. */
static void relay_3_opens(void **state)
{
    relay_opens("relay-3.db");
}

/* The lease that is tried lies beside the one that began. */
static void relay_4_opens(void **state)
{
    relay_opens("relay-4.db");
}

/* --- making them --- */

static const char *make_to;

static void make_all(void **state)
{
    char path[512];

    (void)umask(077);
    snprintf(path, sizeof path, "%s/relay-4.db", make_to);
    if (!file_exists(path))
        make_relay(path);
    snprintf(path, sizeof path, "%s/profile-3", make_to);
    if (!file_exists(path)) {
        assert_int_equal(mkdir(path, 0700), 0);
        make_profile_3(path);
        strcat(path, "/vault.bak"); /* the same bytes as the vault */
        assert_int_equal(unlink(path), 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(profile_1_opens), CASE(who_was_blocked_in_version_1_can_go_back),
        CASE(profile_2_opens), CASE(profile_3_opens),
        CASE(relay_1_opens),   CASE(relay_2_opens),
        CASE(relay_3_opens),   CASE(relay_4_opens),
    };
    const struct CMUnitTest make[] = {
        cmocka_unit_test(make_all),
    };

    if (argc == 3 && strcmp(argv[1], "--make") == 0) {
        make_to = argv[2];
        return cmocka_run_group_tests(make, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
