/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MS (40ull * 24 * 3600 * 1000)

void evil_fail(const char *what)
{
    fprintf(stderr, "evil: %s\n", what);
    exit(1);
}

void evil_memory_init(struct evil_memory *m)
{
    const struct sotto_env *env = sotto_env_system();
    uint64_t until = sotto_now_ms(env) + KEYS_MS;
    struct sotto_prekey_private priv;

    memset(m, 0, sizeof *m);
    if (sotto_sign_generate(env, &m->own_account) != 0 ||
        sotto_device_keys_generate(env, &m->own_device) != 0 ||
        sotto_prekey_generate(env, &m->own_device.sign, 1, SOTTO_PREKEY_SIGNED, 1, until, &priv,
                              &m->own_signed) != 0 ||
        sotto_prekey_generate(env, &m->own_device.sign, 1, SOTTO_PREKEY_ONE_TIME, 1, until, &priv,
                              &m->own_one_time) != 0)
        evil_fail("no keys of its own");
    sotto_prekey_private_wipe(&priv);
}

void evil_memory_free(struct evil_memory *m)
{
    while (m->accounts != NULL) {
        struct evil_account *a = m->accounts;

        m->accounts = a->next;
        free(a);
    }
    for (size_t i = 0; i < EVIL_ENVELOPES; i++) {
        free(m->envelopes[i].p);
        free(m->notices[i].p);
    }
}

struct evil_account *evil_account(struct evil_memory *m, const char *name)
{
    struct evil_account *a = m->accounts;

    while (a != NULL && strcmp(a->name, name) != 0)
        a = a->next;
    if (a != NULL)
        return a;
    if ((a = calloc(1, sizeof *a)) == NULL)
        evil_fail("out of memory");
    snprintf(a->name, sizeof a->name, "%s", name);
    a->next = m->accounts;
    m->accounts = a;
    return a;
}

static void keep_list(struct evil_account *a, struct sotto_bytes list)
{
    size_t room = sizeof a->lists / sizeof a->lists[0];

    if (a->list_count == room)
        evil_fail("more lists than it can keep");
    memcpy(a->lists[a->list_count].p, list.p, list.n);
    a->lists[a->list_count++].n = list.n;
}

static void keep_prekey(uint8_t kept[SOTTO_PREKEY_BYTES], bool *has, struct sotto_bytes prekey)
{
    if (prekey.n != SOTTO_PREKEY_BYTES)
        return;
    memcpy(kept, prekey.p, SOTTO_PREKEY_BYTES);
    *has = true;
}

void evil_memory_request(struct evil_memory *m, const char *name, const struct sotto_request *q)
{
    struct evil_account *a;

    if (name[0] == '\0')
        return;
    a = evil_account(m, name);
    switch (q->type) {
    case SOTTO_REQ_REGISTER:
        keep_list(a, q->u.register_.list);
        keep_prekey(a->signed_prekey, &a->has_signed, q->u.register_.signed_prekey);
        break;
    case SOTTO_REQ_PUT_LIST:
        keep_list(a, q->u.put_list.list);
        break;
    case SOTTO_REQ_PUT_PREKEYS:
        keep_prekey(a->signed_prekey, &a->has_signed, q->u.put_prekeys.signed_prekey);
        if (q->u.put_prekeys.count > 0)
            keep_prekey(a->one_time, &a->has_one_time, q->u.put_prekeys.one_time[0]);
        break;
    default:
        break;
    }
}

static void keep(struct evil_kept *k, struct sotto_bytes envelope)
{
    uint8_t *p = realloc(k->p, envelope.n);

    if (p == NULL)
        evil_fail("out of memory");
    memcpy(p, envelope.p, envelope.n);
    *k = (struct evil_kept){envelope.n, p};
}

void evil_memory_delivery(struct evil_memory *m, const struct sotto_answer *a)
{
    keep(&m->envelopes[m->envelope_count++ % EVIL_ENVELOPES], a->u.deliver.envelope);
    if (a->u.deliver.seq > m->top_seq)
        m->top_seq = a->u.deliver.seq;
}

void evil_memory_notice(struct evil_memory *m, const struct sotto_answer *a)
{
    keep(&m->notices[m->notice_count++ % EVIL_ENVELOPES], a->u.ephemeral.envelope);
}

void evil_memory_entry(const struct evil_memory *m, const struct sotto_account *account,
                       uint8_t ret[SOTTO_ENTRY_BYTES])
{
    struct sotto_device d = {.id = sotto_device_id(m->own_device.sign.pub), .generation = 1};

    memcpy(d.sign_pub, m->own_device.sign.pub, 32);
    memcpy(d.dh_pub, m->own_device.dh.pub, 32);
    memcpy(d.sealing_pub, m->own_device.sealing.pub, 32);
    d.sealing_expires_ms = sotto_now_ms(sotto_env_system()) + KEYS_MS;
    if (sotto_entry_sign(&m->own_device.sign, account, &d, ret) != 0)
        evil_fail("no entry of its own");
}

void evil_memory_pose(struct evil_memory *m, const uint8_t relay_id[32], const char *name)
{
    struct sotto_list list = {.version = 1, .count = 1};

    memcpy(list.account.relay_id, relay_id, 32);
    snprintf(list.account.name, sizeof list.account.name, "%s", name);
    memcpy(list.account.key, m->own_account.pub, 32);
    list.time_ms = sotto_now_ms(sotto_env_system());
    evil_memory_entry(m, &list.account, list.entries[0]);
    if (sotto_list_sign(&m->own_account, &list, m->own_list, &m->own_list_len) != 0)
        evil_fail("no list of its own");
}
