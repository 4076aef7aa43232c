/* SPDX-License-Identifier: Apache-2.0 */
#include "people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

void person_update(struct person *p)
{
    memcpy(p->account.key, p->account_key.pub, 32);
    memcpy(p->device.sign_pub, p->keys.sign.pub, 32);
    memcpy(p->device.dh_pub, p->keys.dh.pub, 32);
    memcpy(p->device.sealing_pub, p->keys.sealing.pub, 32);
    p->device.id = sotto_device_id(p->device.sign_pub);
    p->party = (struct sotto_party){&p->account, &p->device, p->device.generation};
    MUST(sotto_entry_sign(&p->keys.sign, &p->account, &p->device, p->entry) == 0);
}

void person_prekeys(const struct sotto_env *env, struct person *p)
{
    const uint64_t expires = PEOPLE_NOW_MS + SOTTO_PREKEY_LIFETIME_MS;

    MUST(sotto_prekey_generate(env, &p->keys.sign, p->party.generation, SOTTO_PREKEY_SIGNED, 7,
                               expires, &p->signed_private, &p->signed_prekey) == 0);
    MUST(sotto_prekey_generate(env, &p->keys.sign, p->party.generation, SOTTO_PREKEY_ONE_TIME, 21,
                               expires, &p->one_time_private, &p->one_time) == 0);
}

void person_make(const struct sotto_env *env, const char *name, struct person *ret)
{
    memset(ret, 0, sizeof *ret);
    memset(ret->account.relay_id, 0x11, 32);
    snprintf(ret->account.name, sizeof ret->account.name, "%s", name);
    MUST(sotto_sign_generate(env, &ret->account_key) == 0);
    MUST(sotto_device_keys_generate(env, &ret->keys) == 0);
    ret->device.generation = 1;
    ret->device.sealing_expires_ms = PEOPLE_NOW_MS + 1000;
    person_update(ret);
    person_prekeys(env, ret);
}

enum sotto_err people_initiate(const struct sotto_env *env, const struct person *us,
                               const struct person *them, bool one_time, struct sotto_session **ret)
{
    return sotto_session_initiate(env, &us->party, &us->keys.dh, &them->party, &them->signed_prekey,
                                  one_time ? &them->one_time : NULL, PEOPLE_NOW_MS, ret);
}

enum sotto_err people_respond(const struct sotto_env *env, const struct person *us,
                              const struct person *them, const uint8_t *msg, size_t len,
                              struct sotto_session **ret)
{
    struct sotto_message_info info;
    enum sotto_err e = sotto_message_peek(msg, len, &info);

    if (e != 0)
        return e;
    return sotto_session_respond(
        env, &us->party, &us->keys.dh, &them->party, msg, len, &us->signed_private,
        info.one_time_prekey_id != 0 ? &us->one_time_private : NULL, PEOPLE_NOW_MS, ret);
}

void pair_start(struct pair *p, const char *seed, bool one_time)
{
    uint8_t s[32] = {0};

    memset(p, 0, sizeof *p);
    memcpy(s, seed, strnlen(seed, sizeof s));
    sotto_env_fixed_init(&p->random, s, PEOPLE_NOW_MS);
    p->env = &p->random.env;
    person_make(p->env, "alice", &p->alice);
    person_make(p->env, "bob", &p->bob);
    MUST(people_initiate(p->env, &p->alice, &p->bob, one_time, &p->a) == 0);
    p->first_len = people_say(p->env, p->a, "first", p->first);
}

void pair_accept(struct pair *p)
{
    MUST(people_respond(p->env, &p->bob, &p->alice, p->first, p->first_len, &p->b) == 0);
    MUST(people_hear(p->b, p->first, p->first_len, "first") == 0);
}

void pair_talk(struct pair *p)
{
    uint8_t msg[SOTTO_MESSAGE_MAX];
    size_t len;

    if (p->b == NULL)
        pair_accept(p);
    len = people_say(p->env, p->b, "answer", msg);
    MUST(people_hear(p->a, msg, len, "answer") == 0);
    len = people_say(p->env, p->a, "again", msg);
    MUST(people_hear(p->b, msg, len, "again") == 0);
}

void pair_end(struct pair *p)
{
    sotto_session_free(p->a);
    sotto_session_free(p->b);
    p->a = p->b = NULL;
}

static enum sotto_err failing_random(void *ctx, void *ret, size_t len)
{
    struct people_failing *f = ctx;

    if (f->left == 0)
        return SOTTO_ERR_RANDOM;
    f->left--;
    return sotto_random(f->inner, ret, len);
}

void people_failing_init(struct people_failing *f, const struct sotto_env *inner, unsigned left)
{
    *f = (struct people_failing){
        .env = {.ctx = f, .random = failing_random}, .inner = inner, .left = left};
}

size_t people_say(const struct sotto_env *env, struct sotto_session *from, const char *text,
                  uint8_t ret[SOTTO_MESSAGE_MAX])
{
    size_t len = 0;

    MUST(sotto_session_encrypt(env, from, text, strlen(text), ret, SOTTO_MESSAGE_MAX, &len) == 0);
    return len;
}

enum sotto_err people_hear(struct sotto_session *to, const uint8_t *msg, size_t len,
                           const char *text)
{
    uint8_t out[SOTTO_MESSAGE_MAX];
    size_t n;
    enum sotto_err e = sotto_session_decrypt(NULL, to, msg, len, out, &n);

    if (e == 0 && (n != strlen(text) || memcmp(out, text, n) != 0))
        return SOTTO_ERR_BUG;
    return e;
}

struct sotto_session *people_copy(const struct sotto_session *s)
{
    SOTTO_AUTO_BUF record = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);
    struct sotto_session *copy;

    MUST(sotto_session_write(s, &record) == 0);
    MUST(sotto_session_read(record.p, record.n, &copy) == 0);
    return copy;
}

bool people_same(const struct sotto_session *a, const struct sotto_session *b)
{
    SOTTO_AUTO_BUF x = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);
    SOTTO_AUTO_BUF y = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);

    MUST(sotto_session_write(a, &x) == 0);
    MUST(sotto_session_write(b, &y) == 0);
    return x.n == y.n && memcmp(x.p, y.p, x.n) == 0;
}
