/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts as submits need them: name, list version, boxes, delivery tokens. A relay that asked the
 * store for each message would spend most of its time there.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/kdf.h"
#include "relay/core.h"

/* Only names that have accounts are kept, and the seed is of this process: nobody can aim. */
static size_t slot_of(const struct sotto_relay *r, const char *name)
{
    uint64_t h = r->person_seed;

    while (*name != '\0') {
        h = (h ^ (uint8_t)*name++) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return (size_t)(h & (PERSONS_KNOWN - 1));
}

static enum sotto_err load(struct sotto_relay *r, const char *name, struct person **ret)
{
    struct sotto_rs_account account;
    struct sotto_rs_box boxes[SOTTO_DEVICES_MAX];
    size_t count = 0;
    struct person *p;
    enum sotto_err e = sotto_rs_account_find(r->store, name, &account);

    if (e == 0 && !account.gone)
        e = sotto_rs_devices(r->store, account.id, boxes, &count);
    if (e != 0)
        return e;
    if ((p = calloc(1, sizeof *p + count * sizeof p->boxes[0])) == NULL)
        return SOTTO_ERR_NOMEM;
    p->account = account;
    p->box_count = count;
    memcpy(p->boxes, boxes, count * sizeof p->boxes[0]);
    *ret = p;
    return SOTTO_OK;
}

enum sotto_err sotto_directory_find(struct sotto_relay *r, const char *name, struct person **ret)
{
    struct person *p;
    enum sotto_err e;
    size_t i = slot_of(r, name);

    if (r->persons == NULL && (r->persons = calloc(PERSONS_KNOWN, sizeof(struct person *))) == NULL)
        return SOTTO_ERR_NOMEM;
    for (p = r->persons[i]; p != NULL; p = p->next)
        if (strcmp(p->account.name, name) == 0)
            break;
    if (p == NULL) {
        if ((e = load(r, name, &p)) != 0)
            return e;
        if (r->person_count >= PERSONS_KNOWN)
            sotto_directory_forget_all(r);
        p->next = r->persons[i];
        r->persons[i] = p;
        r->person_count++;
    }
    *ret = p;
    return SOTTO_OK;
}

enum sotto_err sotto_directory_token(struct sotto_relay *r, struct person *p,
                                     const uint8_t token[SOTTO_TOKEN])
{
    uint8_t hash[32];
    enum sotto_err e;

    for (size_t i = 0; i < TOKENS_KNOWN && i < p->token_count; i++)
        if (sotto_equal(p->tokens[i], token, SOTTO_TOKEN))
            return SOTTO_OK;
    sotto_sha256(token, SOTTO_TOKEN, hash);
    if ((e = sotto_rs_token_check(r->store, p->account.id, hash)) == 0)
        memcpy(p->tokens[p->token_count++ % TOKENS_KNOWN], token, SOTTO_TOKEN);
    return e;
}

void sotto_directory_forget(struct sotto_relay *r, const char *name)
{
    if (r->persons == NULL)
        return;
    for (struct person **at = &r->persons[slot_of(r, name)]; *at != NULL; at = &(*at)->next) {
        struct person *p = *at;

        if (strcmp(p->account.name, name) != 0)
            continue;
        *at = p->next;
        free(p);
        r->person_count--;
        return;
    }
}

void sotto_directory_forget_all(struct sotto_relay *r)
{
    for (size_t i = 0; r->persons != NULL && i < PERSONS_KNOWN; i++) {
        for (struct person *p = r->persons[i], *next; p != NULL; p = next) {
            next = p->next;
            free(p);
        }
        r->persons[i] = NULL;
    }
    r->person_count = 0;
}
