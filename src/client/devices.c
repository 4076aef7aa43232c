/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/proof.h"
#include "client/state.h"

/* The devices of our own account: show, approve, revoke; and the end of the account. */

static bool emit_listed(struct sotto_engine *e, struct job *j)
{
    char id[17];
    struct sotto_device_row row = {.id = id, .code = ""};

    for (size_t i = 0; i < e->own_list.count; i++) {
        const struct sotto_device *d = &e->own_list.devices[i];

        snprintf(id, sizeof id, "%016llx", (unsigned long long)d->id);
        row.state = d->id == e->device ? "this" : "listed";
        row.holds_account_key = d->id == e->device && e->holds_account_key;
        row.generation = d->generation;
        row.since_ms = 0;
        if (!sotto_emit(e, j->ref, SOTTO_EVENT_DEVICE, &row))
            return false;
    }
    return true;
}

/* Opens a pending entry and makes its code; false: not a right one. */
static bool pending_code(struct sotto_engine *e, struct sotto_bytes entry,
                         struct sotto_device *ret_device, char ret_code[SOTTO_LINK_CODE + 1])
{
    return sotto_entry_open(entry.p, entry.n, &e->us, ret_device) == SOTTO_OK &&
           sotto_list_find(&e->own_list, ret_device->id) == NULL &&
           sotto_link_code(&e->us, entry.p, ret_code) == SOTTO_OK;
}

static void links_listed(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct job *j = p->job;
    struct sotto_device d;
    char code[SOTTO_LINK_CODE + 1], id[17];
    struct sotto_device_row row = {.id = id, .code = code, .state = "pending"};

    bool told;

    if (j == NULL || j->dead)
        return;
    told = emit_listed(e, j);
    for (size_t i = 0; told && a != NULL && a->type == SOTTO_ANS_LINKS && i < a->u.links.count;
         i++) {
        if (!pending_code(e, a->u.links.pending[i].entry, &d, code))
            continue;
        snprintf(id, sizeof id, "%016llx", (unsigned long long)d.id);
        row.generation = d.generation;
        row.since_ms = a->u.links.pending[i].asked_at_ms;
        told = sotto_emit(e, j->ref, SOTTO_EVENT_DEVICE, &row);
    }
    if (!told)
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
    sotto_job_done(e, j, SOTTO_RESULT_OK, "%s",
                   a == NULL                    ? e->why_text
                   : a->type == SOTTO_ANS_ERROR ? "the relay does not say which devices wait"
                                                : "");
}

void sotto_devices_list(struct sotto_engine *e, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_GET_LINKS};
    struct sotto_engine_target target;

    if (e->phase == LINK_ONLINE) {
        j->phase = 1;
        j->needs_online = true; /* ends with what is known here if the question does not get out */
        sotto_ask(e, &r, links_listed, j);
    } else if (e->phase == LINK_DOWN && (j->phase == 1 || !sotto_engine_target(e, &target))) {
        /* What is known here; requests cannot be seen offline. */
        if (emit_listed(e, j))
            sotto_job_done(e, j, SOTTO_RESULT_OK, "%s", e->why_text);
        else
            sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
    } else {
        j->needs_online = true;
    }
}

/* "abcd-efgh" and "ABCDEFGH" are the same code. */
static bool same_code(const char *a, size_t a_len, const char *b)
{
    size_t i = 0;

    for (; *b != '\0'; b++) {
        if (*b == '-')
            continue;
        while (i < a_len && (a[i] == '-' || a[i] == ' '))
            i++;
        if (i == a_len || toupper((unsigned char)a[i]) != *b)
            return false;
        i++;
    }
    while (i < a_len && (a[i] == '-' || a[i] == ' '))
        i++;
    return i == a_len;
}

static void not_published(struct sotto_engine *e, struct job *j, enum sotto_err err)
{
    if (err == SOTTO_ERR_CONFLICT)
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "the list is being changed already: try again");
    else
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "the new list could not be made: %s",
                       sotto_err_text(err));
}

static void approve_one(struct sotto_engine *e, struct job *j, uint64_t device,
                        struct sotto_bytes entry)
{
    struct sotto_list *list;
    enum sotto_err err;

    if (e->own_list.count >= SOTTO_DEVICES_MAX) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED,
                       "an account has at most %d devices: revoke one first", SOTTO_DEVICES_MAX);
        return;
    }
    if ((list = malloc(sizeof *list)) == NULL) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
        return;
    }
    *list = e->own_list;
    memcpy(list->entries[list->count++], entry.p, SOTTO_ENTRY_BYTES);
    err = sotto_account_publish(e, list, device, j);
    free(list);
    if (err != SOTTO_OK)
        not_published(e, j, err);
}

static void links_for_approval(struct sotto_engine *e, struct pending *p,
                               const struct sotto_answer *a)
{
    struct job *j = p->job;
    struct sotto_device d;
    char code[SOTTO_LINK_CODE + 1];

    if (j == NULL || j->dead || a == NULL)
        return;
    for (size_t i = 0; a->type == SOTTO_ANS_LINKS && i < a->u.links.count; i++)
        if (pending_code(e, a->u.links.pending[i].entry, &d, code) &&
            same_code(j->text, j->text_len, code)) {
            approve_one(e, j, d.id, a->u.links.pending[i].entry);
            return;
        }
    if (a->type == SOTTO_ANS_ERROR) {
        sotto_job_done(e, j, sotto_relay_result(a->u.error.code),
                       "the relay does not say which devices wait: %s", a->u.error.text);
        return;
    }
    sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                   "no device waits with this code. Compare it with the other screen; a request "
                   "lives for ten minutes");
}

static bool needs_account_key(struct sotto_engine *e, struct job *j)
{
    if (e->holds_account_key)
        return false;
    sotto_job_done(e, j, SOTTO_RESULT_PROFILE,
                   "only the device that the account was made on can do this");
    return true;
}

void sotto_devices_approve(struct sotto_engine *e, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_GET_LINKS};

    j->needs_online = true;
    if (needs_account_key(e, j) || e->phase != LINK_ONLINE)
        return;
    j->phase = 1;
    sotto_ask(e, &r, links_for_approval, j);
}

static int hex_prefix(const char *text, size_t len, uint64_t id)
{
    char hex[17];

    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)id);
    return len >= 4 && len <= 16 && strncasecmp(hex, text, len) == 0;
}

void sotto_devices_revoke(struct sotto_engine *e, struct job *j)
{
    struct sotto_list *list;
    size_t found = 0, at = 0;
    enum sotto_err err;

    j->needs_online = true;
    if (needs_account_key(e, j))
        return;
    for (size_t i = 0; i < e->own_list.count; i++)
        if (hex_prefix(j->text, j->text_len, e->own_list.devices[i].id)) {
            found++;
            at = i;
        }
    if (found != 1) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                       found == 0 ? "no device with this id: see sotto devices"
                                  : "more than one device begins like this: give more digits");
        return;
    }
    if (e->own_list.devices[at].id == e->device) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                       "that is this device, which holds the account key. To end the account: "
                       "sotto account delete");
        return;
    }
    if (e->phase != LINK_ONLINE)
        return;
    j->phase = 1;
    if ((list = malloc(sizeof *list)) == NULL) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
        return;
    }
    *list = e->own_list;
    list->count--;
    memmove(&list->entries[at], &list->entries[at + 1],
            (list->count - at) * sizeof list->entries[0]);
    err = sotto_account_publish(e, list, 0, j);
    free(list);
    if (err != SOTTO_OK)
        not_published(e, j, err);
}

/* --- pending requests: told on the screen of the device that may approve --- */

static void links_told(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct sotto_device d;
    char code[SOTTO_LINK_CODE + 1], id[17];
    struct sotto_link row = {.code = code, .device = id};

    (void)p;
    e->links_asked = false;
    if (a == NULL)
        return;
    for (size_t i = 0; a->type == SOTTO_ANS_LINKS && i < a->u.links.count; i++)
        if (pending_code(e, a->u.links.pending[i].entry, &d, code)) {
            snprintf(id, sizeof id, "%016llx", (unsigned long long)d.id);
            if (!sotto_emit(e, (struct sotto_ref){0}, SOTTO_EVENT_LINK, &row))
                e->links_again = true;
        }
    if (e->links_again)
        sotto_devices_link_pending(e);
}

void sotto_devices_link_pending(struct sotto_engine *e)
{
    struct sotto_request r = {.type = SOTTO_REQ_GET_LINKS};

    if (e->phase != LINK_ONLINE)
        return;
    /* A relay may say it as often as it likes; it gets one question at a time. */
    e->links_again = e->links_asked;
    if (!e->links_asked)
        e->links_asked = sotto_ask(e, &r, links_told, NULL) != NULL;
}

struct names {
    size_t count, room;
    sotto_name *name;
};

static enum sotto_err add_name(void *ctx, const struct sotto_contact_record *c)
{
    struct names *n = ctx;

    if (c->state == 0)
        return SOTTO_OK;
    if (n->count == n->room) {
        size_t room = n->room * 2 + 16;
        sotto_name *more = realloc(n->name, room * sizeof *more);

        if (more == NULL)
            return SOTTO_ERR_NOMEM;
        n->name = more;
        n->room = room;
    }
    memcpy(n->name[n->count++], c->name, sizeof c->name);
    return SOTTO_OK;
}

enum sotto_err sotto_devices_welcome(struct sotto_engine *e, uint64_t device)
{
    struct names names = {0};
    struct sotto_contact_record c;
    enum sotto_err err = sotto_contact_each(e->p, add_name, &names);

    for (size_t i = 0; err == SOTTO_OK && i < names.count; i++)
        if ((err = sotto_contact_load(e, names.name[i], &c)) == SOTTO_OK)
            err = sotto_contact_sync(e, &c, device);
    free(names.name);
    return err;
}

/* --- the end --- */

static void account_deleted(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct job *j = p->job;

    if (a == NULL)
        return;
    if (a->type != SOTTO_ANS_DONE) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "the relay refused: %s",
                       a->type == SOTTO_ANS_ERROR ? a->u.error.text : "wrong answer");
        return;
    }
    e->deleted = e->end_heard = true;
    if (sotto_setting_put_u64(e->p, "account.deleted", 1) != SOTTO_OK)
        sotto_notice(e, "The account is deleted on the relay, but the profile cannot be written.");
    sotto_job_done(e, j, SOTTO_RESULT_OK,
                   "the account %s is deleted on the relay; its name is not given out again. The "
                   "messages stay in this profile",
                   e->us.name);
    sotto_engine_trouble(e, SOTTO_ERR_DENIED, "the account was deleted");
}

void sotto_devices_delete_account(struct sotto_engine *e, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_DELETE_ACCOUNT};

    j->needs_online = true;
    if (needs_account_key(e, j) || e->phase != LINK_ONLINE)
        return;
    j->phase = 1;
    if (sotto_delete_proof_sign(&e->account_key, e->tls.exporter, e->relay.id, e->us.name,
                                r.u.delete_account.proof) != SOTTO_OK) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
        return;
    }
    sotto_ask(e, &r, account_deleted, j);
}
