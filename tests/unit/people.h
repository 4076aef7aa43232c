/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_PEOPLE_H
#define SOTTO_TESTS_PEOPLE_H

#include "e2ee/envelope.h"
#include "e2ee/session.h"

/*
 * People with real keys for tests, fuzz targets and benchmarks of the end-to-end encryption. What
 * has to work for a test to mean anything ends the process here when it does not.
 */
#define PEOPLE_NOW_MS 1790000000000ull

struct person {
    struct sotto_sign_pair account_key;
    struct sotto_account account;
    struct sotto_device_keys keys;
    struct sotto_device device;
    struct sotto_party party; /* points into this struct: person_update() a copy */
    uint8_t entry[SOTTO_ENTRY_BYTES];
    struct sotto_prekey signed_prekey, one_time;
    struct sotto_prekey_private signed_private, one_time_private;
};

/* generation 1, pre-keys 7 (signed) and 21 (one-time), 40 days valid */
void person_make(const struct sotto_env *env, const char *name, struct person *ret);
/* The device id, entry and party after a change to account, keys or device. */
void person_update(struct person *p);
/* New pre-keys, of the party's generation. */
void person_prekeys(const struct sotto_env *env, struct person *p);

/* sotto_session_initiate() and sotto_session_respond() with all that the two have. */
enum sotto_err people_initiate(const struct sotto_env *env, const struct person *us,
                               const struct person *them, bool one_time,
                               struct sotto_session **ret);
enum sotto_err people_respond(const struct sotto_env *env, const struct person *us,
                              const struct person *them, const uint8_t *msg, size_t len,
                              struct sotto_session **ret);

/* Two people who have opened a session: Alice's first message lies in `first`, unanswered. */
struct pair {
    struct sotto_env_fixed random;
    const struct sotto_env *env;
    struct person alice, bob;
    struct sotto_session *a, *b; /* Alice's end, Bob's end */
    uint8_t first[SOTTO_MESSAGE_MAX];
    size_t first_len;
};
/* b is NULL until pair_accept(). */
void pair_start(struct pair *p, const char *seed, bool one_time);
/* Bob opens the first message. */
void pair_accept(struct pair *p);
/* And both say something, so that both ends are confirmed. */
void pair_talk(struct pair *p);
void pair_end(struct pair *p);

/* Random bytes that fail from the request on that `left` says (0: the next one). */
struct people_failing {
    struct sotto_env env; /* use &f->env */
    const struct sotto_env *inner;
    unsigned left;
};
void people_failing_init(struct people_failing *f, const struct sotto_env *inner, unsigned left);

/* A message of this text; returns its length. */
size_t people_say(const struct sotto_env *env, struct sotto_session *from, const char *text,
                  uint8_t ret[SOTTO_MESSAGE_MAX]);
/* Opens it and compares: the error, or SOTTO_ERR_BUG when the text is another one. */
enum sotto_err people_hear(struct sotto_session *to, const uint8_t *msg, size_t len,
                           const char *text);
/* Another object with the same state, by way of its record. */
struct sotto_session *people_copy(const struct sotto_session *s);
/* Are the records of both the same bytes? */
bool people_same(const struct sotto_session *a, const struct sotto_session *b);

#endif
