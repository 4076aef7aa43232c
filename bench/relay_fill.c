/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_fill --data DIR --accounts N [--keys N]
 *
 * Makes the folder of a relay with the accounts u0 .. u(N-1) (relay_people.h), without N sign-ups.
 * Each device has so many one-time keys and a signed one, which nobody could use; without --keys
 * none. The relay must not run. Messages that are to wait come over the wire (relay_load --work
 * stock).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/cert.h"
#include "relay_people.h"
#include "store/relay_store.h"

#define PER_COMMIT 5000
#define WHY        512
#define KEY_MS     (40ull * 24 * 3600 * 1000)

static int fail(const char *what, enum sotto_err e, const char *why)
{
    fprintf(stderr, "relay_fill: %s: %s%s%s\n", what, sotto_err_text(e), *why != 0 ? ": " : "",
            why);
    return 1;
}

static enum sotto_err add_keys(struct sotto_relay_store *s, int64_t account, uint32_t keys,
                               uint64_t now_ms)
{
    struct sotto_prekey key = {.generation = 1, .expires_ms = now_ms + KEY_MS};
    struct sotto_rs_box boxes[SOTTO_DEVICES_MAX];
    size_t count = 0;
    enum sotto_err e = sotto_rs_devices(s, account, boxes, &count);

    if (e != 0 || keys == 0 || count == 0)
        return e;
    if ((e = sotto_random(sotto_env_system(), key.bytes, sizeof key.bytes)) == 0)
        e = sotto_rs_signed_put(s, boxes[0].box, key.bytes);
    for (key.id = 1; e == 0 && key.id <= keys; key.id++)
        e = sotto_rs_one_time_add(s, boxes[0].box, &key);
    return e;
}

static enum sotto_err add(struct sotto_relay_store *s, const struct sotto_rs_identity *self,
                          uint32_t number, uint32_t keys, uint64_t now_ms)
{
    static const uint8_t no_password[SOTTO_OPAQUE_RECORD];
    struct relay_person p;
    struct relay_person_records r;
    int64_t id;
    enum sotto_err e;

    relay_person_make(number, &p);
    if ((e = relay_person_records(&p, self->key.pub, now_ms, &r)) != 0 ||
        (e = sotto_rs_account_add(s, p.name, r.account_key, no_password, &id)) != 0 ||
        (e = sotto_rs_list_add(s, id, RELAY_PERSON_LIST_VERSION,
                               (struct sotto_bytes){r.list, r.list_len})) != 0 ||
        (e = sotto_rs_device_add(s, id, p.device, r.entry, NULL, false, NULL)) != 0)
        return e;
    e = sotto_rs_token_add(s, id, r.token_hash);
    return e == 0 ? add_keys(s, id, keys, now_ms) : e;
}

static enum sotto_err add_all(struct sotto_relay_store *s, uint32_t count, uint32_t keys)
{
    const struct sotto_env *env = sotto_env_system();
    struct sotto_rs_identity self;
    enum sotto_err e = sotto_rs_identity_load(s, env, &self);

    for (uint32_t i = 0; e == 0 && i < count; i++) {
        if (i % PER_COMMIT == 0 && (e = sotto_rs_begin(s)) != 0)
            break;
        if ((e = add(s, &self, i, keys, sotto_now_ms(env))) != 0)
            sotto_rs_rollback(s);
        else if (i % PER_COMMIT == PER_COMMIT - 1 || i == count - 1)
            e = sotto_rs_commit(s);
    }
    sotto_rs_identity_wipe(&self);
    return e;
}

static int fill(const char *dir, uint32_t count, uint32_t keys)
{
    struct sotto_relay_store *s;
    struct sotto_cert *cert;
    char path[1024], why[WHY] = "";
    enum sotto_err e;

    (void)umask(077);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fail(dir, SOTTO_ERR_IO, strerror(errno));
    snprintf(path, sizeof path, "%s/cert", dir);
    if ((e = sotto_cert_server(path, "127.0.0.1", &cert, why, sizeof why)) != 0)
        return fail(path, e, why);
    sotto_cert_free(cert);
    snprintf(path, sizeof path, "%s/relay.db", dir);
    if ((e = sotto_rs_open(path, true, NULL, &s, why, sizeof why)) != 0)
        return fail(path, e, why);
    e = add_all(s, count, keys);
    sotto_rs_close(s);
    return e != 0 ? fail(path, e, "the accounts were not added") : 0;
}

int main(int argc, char **argv)
{
    const char *dir = NULL;
    unsigned long count = 0, keys = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--data") == 0)
            dir = argv[i + 1];
        else if (strcmp(argv[i], "--accounts") == 0)
            count = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--keys") == 0)
            keys = strtoul(argv[i + 1], NULL, 10);
        else
            dir = NULL;
    }
    if (dir == NULL || count == 0 || count > UINT32_MAX || keys > SOTTO_RS_ONE_TIME_MAX ||
        argc % 2 == 0) {
        fputs("usage: relay_fill --data DIR --accounts N [--keys N]\n", stderr);
        return 2;
    }
    return fill(dir, (uint32_t)count, (uint32_t)keys);
}
