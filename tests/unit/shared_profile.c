/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_profile.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/engine.h"
#include "folder.h"
#include "store/profile.h"
#include "vault/vault.h"

static struct folder dir;

/* --- the profile --- */

static void put_account(struct sotto_profile *p)
{
    static const uint8_t zero[64];
    struct sotto_sign_pair account;
    struct sotto_device_keys keys;
    struct sotto_list *list = calloc(1, sizeof *list);
    struct sotto_contact_record me = {.name = "bob", .has_list = true, .list_version = 1};
    struct sotto_device d = {.generation = 1, .sealing_expires_ms = UINT64_MAX};
    uint8_t bytes[SOTTO_LIST_MAX];
    size_t len;

    assert_non_null(list);
    assert_int_equal(sotto_sign_generate(sotto_env_system(), &account), 0);
    assert_int_equal(sotto_device_keys_generate(sotto_env_system(), &keys), 0);
    list->version = 1;
    list->count = 1;
    list->time_ms = sotto_now_ms(sotto_env_system());
    snprintf(list->account.name, sizeof list->account.name, "bob");
    memcpy(list->account.key, account.pub, 32);
    d.id = sotto_device_id(keys.sign.pub);
    memcpy(d.sign_pub, keys.sign.pub, 32);
    memcpy(d.dh_pub, keys.dh.pub, 32);
    memcpy(d.sealing_pub, keys.sealing.pub, 32);
    assert_int_equal(sotto_entry_sign(&keys.sign, &list->account, &d, list->entries[0]), 0);
    assert_int_equal(sotto_list_sign(&account, list, bytes, &len), 0);
    assert_int_equal(sotto_setting_put(p, "account.name", "bob", 3), 0);
    assert_int_equal(sotto_setting_put(p, "account.key", account.pub, 32), 0);
    assert_int_equal(sotto_setting_put(p, "account.seed", account.seed.b, 32), 0);
    assert_int_equal(sotto_setting_put(p, "device.sign", keys.sign.seed.b, 32), 0);
    assert_int_equal(sotto_setting_put(p, "device.dh", keys.dh.priv.b, 32), 0);
    assert_int_equal(sotto_setting_put(p, "device.sealing", keys.sealing.priv.b, 32), 0);
    assert_int_equal(sotto_setting_put_u64(p, "device.generation", 1), 0);
    assert_int_equal(sotto_setting_put(p, "relay.id", zero, 32), 0);
    assert_int_equal(sotto_setting_put(p, "relay.pins", zero, 32), 0);
    assert_int_equal(sotto_setting_put(p, "relay.incarnation", zero, 16), 0);
    assert_int_equal(sotto_setting_put(p, "relay.host", "127.0.0.1", 9), 0);
    assert_int_equal(sotto_setting_put_u64(p, "relay.port", 1), 0);
    assert_int_equal(sotto_contact_put(p, &me), 0);
    assert_int_equal(sotto_contact_list_put(p, "bob", false, bytes, len), 0);
    assert_int_equal(sotto_setting_put_u64(p, "account.registered", 1), 0);
    free(list);
}

static void put_messages(struct sotto_profile *p)
{
    struct sotto_contact_record c = {.name = "alice", .state = SOTTO_CONTACT_ACCEPTED};

    assert_int_equal(sotto_contact_put(p, &c), 0);
    for (unsigned i = 0; i < SHARED_MESSAGES; i++) {
        struct sotto_message_record m = {.peer = "alice", .from = "alice", .reason = ""};

        memset(m.id, (int)i + 1, sizeof m.id);
        m.kind = SOTTO_CONTENT_TEXT;
        m.state = SOTTO_MESSAGE_RECEIVED;
        m.counter = i + 1;
        m.text = (struct sotto_bytes){(const uint8_t *)"hello", 5};
        assert_int_equal(sotto_message_add(p, &m), 0);
    }
}

static void fill(const char *profile)
{
    struct sotto_secret32 key SOTTO_WIPED = {0};
    struct sotto_profile *p;
    char why[256];

    assert_int_equal(sotto_vault_create(sotto_env_system(), profile, SHARED_PASSPHRASE,
                                        strlen(SHARED_PASSPHRASE), &key),
                     0);
    assert_int_equal(sotto_profile_open(profile, &key, true, NULL, &p, why, sizeof why), 0);
    put_account(p);
    put_messages(p);
    sotto_profile_close(p);
}

void shared_make(struct shared_profile *p, bool full)
{
    memset(p, 0, sizeof *p);
    folder_make(&dir);
    snprintf(p->dir, sizeof p->dir, "%s", dir.path);
    if (full)
        fill(p->dir);
}

void shared_remove(struct shared_profile *p)
{
    shared_end_other(p);
    folder_remove(&dir);
}

/* --- processes --- */

struct sotto_client *shared_open(const struct shared_profile *p, bool create)
{
    struct sotto_options options = {
        .profile = p->dir, .passphrase = SHARED_PASSPHRASE, .create = create};
    struct sotto_client *c = NULL;
    char why[256] = "";

    if (sotto_client_open(&options, &c, why, sizeof why) != SOTTO_RESULT_OK)
        print_error("open: %s\n", why);
    return c;
}

void shared_start_other(struct shared_profile *p)
{
    int ready[2];
    char one;

    assert_int_equal(pipe(ready), 0);
    p->other = fork();
    assert_true(p->other >= 0);
    if (p->other == 0) {
        struct sotto_client *c = shared_open(p, false);

        if (c == NULL || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;) {
            struct pollfd fd = {.fd = sotto_client_fd(c), .events = POLLIN};

            (void)poll(&fd, 1, -1);
            sotto_client_dispatch(c);
            for (struct sotto_event *e; (e = sotto_client_next_event(c)) != NULL;)
                sotto_event_free(e);
        }
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &one, 1), 1);
    close(ready[0]);
}

void shared_end_other(struct shared_profile *p)
{
    if (p->other > 0) {
        (void)kill(p->other, SIGKILL);
        (void)waitpid(p->other, NULL, 0);
    }
    p->other = 0;
}

void shared_halt_other(struct shared_profile *p)
{
    int status;

    assert_int_equal(kill(p->other, SIGSTOP), 0);
    assert_int_equal(waitpid(p->other, &status, WUNTRACED), p->other);
    assert_true(WIFSTOPPED(status));
}

/* --- what comes --- */

static void take(struct shared_profile *p, struct sotto_event *e)
{
    uint32_t request = sotto_event_request(e);
    const struct sotto_message *m = sotto_event_message(e);
    const struct sotto_done *done = sotto_event_done(e);

    if (done != NULL && request < 64) {
        p->done[request]++;
        p->failed[request] += strstr(done->text, "out of memory") != NULL;
    }
    if (sotto_event_type(e) == SOTTO_EVENT_MESSAGE) {
        unsigned n = (unsigned)strtoul((char[]){m->id[0], m->id[1], '\0'}, NULL, 16);

        assert_in_range(n, 1, SHARED_MESSAGES);
        p->message[n]++;
    }
    sotto_event_free(e);
}

void shared_take_all(struct shared_profile *p, struct sotto_client *c)
{
    for (struct sotto_event *e; (e = sotto_client_next_event(c)) != NULL;)
        take(p, e);
}

void shared_wait(struct shared_profile *p, struct sotto_client *c, const unsigned *counter,
                 unsigned value)
{
    while (*counter < value) {
        struct pollfd fd = {.fd = sotto_client_fd(c), .events = POLLIN};

        assert_int_equal(poll(&fd, 1, SHARED_PATIENCE_MS), 1);
        sotto_client_dispatch(c);
        shared_take_all(p, c);
    }
}

void shared_forget(struct shared_profile *p)
{
    memset(p->done, 0, sizeof p->done);
    memset(p->failed, 0, sizeof p->failed);
    memset(p->message, 0, sizeof p->message);
}
