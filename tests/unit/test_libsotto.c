/* SPDX-License-Identifier: Apache-2.0 */
/* libsotto where several processes share a profile, and the one that runs the engine ends. */
#include "sotto/sotto.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/engine.h"
#include "folder.h"
#include "store/profile.h"
#include "vault/vault.h"

#define PASSPHRASE  "six words that nobody would guess"
#define PATIENCE_MS 20000
#define MESSAGES    3

static struct folder dir;
static char profile[300];
static pid_t other;

/* --- a profile with an account on a relay that is not there, and messages nobody has read --- */

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
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct sotto_message_record m = {.peer = "alice", .from = "alice", .reason = ""};

        memset(m.id, (int)i + 1, sizeof m.id);
        m.kind = SOTTO_CONTENT_TEXT;
        m.state = SOTTO_MESSAGE_RECEIVED;
        m.counter = i + 1;
        m.text = (struct sotto_bytes){(const uint8_t *)"hello", 5};
        assert_int_equal(sotto_message_add(p, &m), 0);
    }
}

static int setup(void **state)
{
    struct sotto_secret32 key SOTTO_WIPED = {0};
    struct sotto_profile *p;
    char why[256];

    folder_make(&dir);
    snprintf(profile, sizeof profile, "%s", dir.path);
    assert_int_equal(
        sotto_vault_create(sotto_env_system(), profile, PASSPHRASE, strlen(PASSPHRASE), &key), 0);
    assert_int_equal(sotto_profile_open(profile, &key, true, NULL, &p, why, sizeof why), 0);
    put_account(p);
    put_messages(p);
    sotto_profile_close(p);
    other = 0;
    return 0;
}

static int setup_empty(void **state)
{
    folder_make(&dir);
    snprintf(profile, sizeof profile, "%s", dir.path);
    other = 0;
    return 0;
}

static void end_other(void)
{
    if (other > 0) {
        (void)kill(other, SIGKILL);
        (void)waitpid(other, NULL, 0);
    }
    other = 0;
}

static int teardown(void **state)
{
    end_other();
    folder_remove(&dir);
    return 0;
}

/* --- processes --- */

static struct sotto_client *open_client(bool create)
{
    struct sotto_options options = {.profile = profile, .passphrase = PASSPHRASE, .create = create};
    struct sotto_client *c = NULL;
    char why[256] = "";

    if (sotto_client_open(&options, &c, why, sizeof why) != SOTTO_RESULT_OK)
        print_error("open: %s\n", why);
    return c;
}

/* Runs the engine until it is killed. */
static void start_other(void)
{
    int ready[2];
    char one;

    assert_int_equal(pipe(ready), 0);
    other = fork();
    assert_true(other >= 0);
    if (other == 0) {
        struct sotto_client *c = open_client(false);

        if (c == NULL || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;) {
            struct pollfd p = {.fd = sotto_client_fd(c), .events = POLLIN};

            (void)poll(&p, 1, -1);
            sotto_client_dispatch(c);
            for (struct sotto_event *e; (e = sotto_client_next_event(c)) != NULL;)
                sotto_event_free(e);
        }
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &one, 1), 1);
    close(ready[0]);
}

static void halt_other(void)
{
    int status;

    assert_int_equal(kill(other, SIGSTOP), 0);
    assert_int_equal(waitpid(other, &status, WUNTRACED), other);
    assert_true(WIFSTOPPED(status));
}

/* --- what comes --- */

static unsigned done_count[64], message_count[MESSAGES + 1];

static void take(struct sotto_event *e)
{
    uint32_t request = sotto_event_request(e);
    const struct sotto_message *m = sotto_event_message(e);

    if (sotto_event_done(e) != NULL && request < 64)
        done_count[request]++;
    if (sotto_event_type(e) == SOTTO_EVENT_MESSAGE) {
        unsigned n = (unsigned)strtoul((char[]){m->id[0], m->id[1], '\0'}, NULL, 16);

        assert_in_range(n, 1, MESSAGES);
        message_count[n]++;
    }
    sotto_event_free(e);
}

static void take_all(struct sotto_client *c)
{
    for (struct sotto_event *e; (e = sotto_client_next_event(c)) != NULL;)
        take(e);
}

/* Until the counter has this value. */
static void wait_for(struct sotto_client *c, const unsigned *counter, unsigned value)
{
    while (*counter < value) {
        struct pollfd p = {.fd = sotto_client_fd(c), .events = POLLIN};

        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        sotto_client_dispatch(c);
        take_all(c);
    }
}

static void forget_all(void)
{
    memset(done_count, 0, sizeof done_count);
    memset(message_count, 0, sizeof message_count);
}

/* --- */

static void calls_outlive_the_engine_that_had_them(void **state)
{
    struct sotto_client *c;
    uint32_t requests[6];

    forget_all();
    start_other();
    c = open_client(false);
    assert_non_null(c);
    assert_false(sotto_client_is_engine(c));
    halt_other();
    requests[0] = sotto_contacts(c);
    requests[1] = sotto_status(c);
    requests[2] = sotto_receive(c, "nobody");
    requests[3] = sotto_contacts(c);
    requests[4] = sotto_delete(c, "nonsense");
    requests[5] = sotto_contacts(c);
    end_other();
    for (unsigned i = 0; i < 6; i++)
        wait_for(c, &done_count[requests[i]], 1);
    assert_true(sotto_client_is_engine(c));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(done_count[requests[i]], 1);
    sotto_client_close(c);
}

static void no_message_is_handed_out_twice_when_the_engine_ends(void **state)
{
    struct sotto_client *c;
    uint32_t request;

    forget_all();
    start_other();
    c = open_client(false);
    assert_non_null(c);
    request = sotto_receive(c, NULL);
    wait_for(c, &message_count[MESSAGES], 1);
    wait_for(c, &done_count[request], 1); /* the relay is not there */
    halt_other();
    sotto_shown(c, "01010101010101010101010101010101"); /* the engine will not hear of it */
    end_other();
    while (!sotto_client_is_engine(c)) {
        struct pollfd p = {.fd = sotto_client_fd(c), .events = POLLIN};

        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        sotto_client_dispatch(c);
    }
    sotto_shown(c, "02020202020202020202020202020202");
    request = sotto_status(c);
    wait_for(c, &done_count[request], 1);
    for (unsigned i = 1; i <= MESSAGES; i++)
        assert_int_equal(message_count[i], 1);
    sotto_client_close(c);
    /* What was confirmed, to whomever, is so. */
    forget_all();
    c = open_client(false);
    assert_non_null(c);
    request = sotto_receive(c, NULL);
    wait_for(c, &done_count[request], 1);
    assert_int_equal(message_count[1], 0);
    assert_int_equal(message_count[2], 0);
    assert_int_equal(message_count[3], 1);
    sotto_client_close(c);
}

/* Waits for a sign, then for the lock of the profile; ends with 0 when there is none any more. */
static void start_heir(int *ret_sign, int *ret_ready)
{
    int sign[2], ready[2];
    char lock[320], one;

    snprintf(lock, sizeof lock, "%s/lock", profile);
    assert_int_equal(pipe(sign), 0);
    assert_int_equal(pipe(ready), 0);
    other = fork();
    assert_true(other >= 0);
    if (other == 0) {
        int fd = read(sign[0], &one, 1) == 1 ? open(lock, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0 || write(ready[1], "r", 1) != 1 || flock(fd, LOCK_EX) != 0)
            _exit(2);
        _exit(sotto_profile_exists(profile) ? 1 : 0);
    }
    close(sign[0]);
    close(ready[1]);
    *ret_sign = sign[1];
    *ret_ready = ready[0];
}

/* Whoever gets the lock of a profile that was thrown away finds none: what he makes is his. */
static void a_profile_is_thrown_away_before_another_can_have_it(void **state)
{
    for (unsigned i = 0; i < 10; i++) {
        struct sotto_client *c;
        int status, sign, ready;
        char one;

        start_heir(&sign, &ready); /* before there is a lock that it would inherit */
        c = open_client(true);
        assert_non_null(c);
        assert_true(sotto_client_is_engine(c));
        assert_true(sotto_profile_exists(profile));
        assert_int_equal(write(sign, "s", 1), 1);
        assert_int_equal(read(ready, &one, 1), 1);
        close(sign);
        close(ready);
        sotto_client_discard(c);
        assert_int_equal(waitpid(other, &status, 0), other);
        other = 0;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(calls_outlive_the_engine_that_had_them, setup),
        T(no_message_is_handed_out_twice_when_the_engine_ends, setup),
        T(a_profile_is_thrown_away_before_another_can_have_it, setup_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
