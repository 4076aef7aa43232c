/* SPDX-License-Identifier: Apache-2.0 */
#include "run/operator/reach.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run/relay/audit.h"
#include "run/relay/operator.h"

#define TRIES   100 /* while a relay starts or stops */
#define TRY_NS  (50 * 1000 * 1000L)
#define REQUEST 256

int sotto_reach_fail(const char *fmt, ...)
{
    va_list ap;

    fputs("sottod: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return 1;
}

/* --- opening --- */

enum sotto_err sotto_reach_open(struct sotto_reach *c, const struct sotto_relay_options *o)
{
    char path[1100];
    enum sotto_err e;

    memset(c, 0, sizeof *c);
    if ((e = sotto_relay_folder_open(&c->folder, o, false, c->why, sizeof c->why)) == 0) {
        snprintf(path, sizeof path, "%s/relay.db", c->folder.path);
        e = sotto_rs_open(path, false, NULL, &c->store, c->why, sizeof c->why);
    }
    if (e == 0)
        return e;
    sotto_relay_folder_close(&c->folder);
    if (e == SOTTO_ERR_NOT_FOUND)
        sotto_reach_fail("%s; no relay has run there: give --data of the one that you mean",
                         c->why);
    else
        sotto_reach_fail("%s", c->why);
    return e;
}

void sotto_reach_close(struct sotto_reach *c)
{
    sotto_rs_close(c->store);
    sotto_relay_folder_close(&c->folder);
    c->store = NULL;
}

/* --- the relay that runs --- */

/* Under the rights of whoever started the command: that is the user in the audit log. */
static enum sotto_err call(struct sotto_reach *c, const char *request, struct sotto_buf *ret_lines)
{
    enum sotto_err e;

    if (sotto_relay_folder_privilege(&c->folder, true) != 0)
        return SOTTO_ERR_DENIED;
    e = sotto_operator_call(c->folder.path, request, ret_lines, c->why, sizeof c->why);
    if (sotto_relay_folder_privilege(&c->folder, false) != 0)
        return SOTTO_ERR_DENIED;
    return e == SOTTO_ERR_NOT_FOUND && c->why[0] == '\0' ? SOTTO_ERR_STATE : e;
}

enum sotto_err sotto_reach_ask(struct sotto_reach *c, const char *request,
                               struct sotto_buf *ret_lines)
{
    return call(c, request, ret_lines);
}

enum sotto_err sotto_reach_change(struct sotto_reach *c, const char *request,
                                  struct sotto_buf *ret_lines)
{
    static const struct timespec pause = {.tv_nsec = TRY_NS};
    char locked[sizeof c->why] = "";
    enum sotto_err e = SOTTO_ERR_LOCKED;

    for (int i = 0; i < TRIES; i++) {
        e = sotto_relay_folder_lock(&c->folder, locked, sizeof locked);
        if (e != SOTTO_ERR_LOCKED) {
            snprintf(c->why, sizeof c->why, "%s", locked);
            return e == 0 ? SOTTO_ERR_STATE : e;
        }
        if ((e = call(c, request, ret_lines)) != SOTTO_ERR_STATE)
            return e;
        nanosleep(&pause, NULL);
    }
    snprintf(c->why, sizeof c->why,
             "something holds %s/lock and takes no commands: a relay that starts or stops, or one "
             "of an older version; try again, or end it first",
             c->folder.path);
    return SOTTO_ERR_LOCKED;
}

enum sotto_err sotto_reach_audit(struct sotto_reach *c, const char *action, const char *subject,
                                 const char *detail)
{
    return sotto_audit_add(c->folder.path, sotto_now_ms(sotto_env_system()), getuid(), action,
                           subject, detail, c->why, sizeof c->why);
}

/* --- what waits --- */

struct box_owner {
    int64_t box, account;
    uint64_t floor;
};
struct counting {
    struct sotto_reach *c;
    struct sotto_tally *all; /* by account id, until it is sorted by name */
    size_t count, room;
    struct box_owner *boxes; /* by box */
    size_t box_count, box_room;
};

/* Room for one more in an array. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
    size_t more = *room == 0 ? 256 : *room * 2;
    void *grown;

    if (count < *room)
        return true;
    if ((grown = realloc(*array, more * size)) == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

static enum sotto_err take_account(void *ctx, const struct sotto_rs_account *a, uint32_t devices)
{
    struct counting *n = ctx;
    void *all = n->all;

    if (!grow(&all, n->count, &n->room, sizeof *n->all))
        return SOTTO_ERR_NOMEM;
    n->all = all;
    n->all[n->count++] = (struct sotto_tally){.account = *a, .devices = devices};
    return SOTTO_OK;
}

static enum sotto_err take_box(void *ctx, int64_t box, int64_t account)
{
    struct counting *n = ctx;
    void *boxes = n->boxes;

    if (!grow(&boxes, n->box_count, &n->box_room, sizeof *n->boxes))
        return SOTTO_ERR_NOMEM;
    n->boxes = boxes;
    n->boxes[n->box_count++] = (struct box_owner){.box = box, .account = account};
    return SOTTO_OK;
}

static int by_box(const void *a, const void *b)
{
    const struct box_owner *x = a, *y = b;

    return x->box < y->box ? -1 : x->box > y->box;
}

static int by_account(const void *a, const void *b)
{
    const struct sotto_tally *x = a, *y = b;

    return x->account.id < y->account.id ? -1 : x->account.id > y->account.id;
}

static int by_name(const void *a, const void *b)
{
    const struct sotto_tally *x = a, *y = b;

    return strcmp(x->account.name, y->account.name);
}

static struct box_owner *owner_of(struct counting *n, int64_t box)
{
    struct box_owner key = {.box = box};

    return n->box_count == 0 ? NULL
                             : bsearch(&key, n->boxes, n->box_count, sizeof *n->boxes, by_box);
}

static void count_in(struct counting *n, const struct box_owner *owner, uint64_t count,
                     uint64_t bytes)
{
    struct sotto_tally key = {.account = {.id = owner->account}};
    struct sotto_tally *t =
        n->count == 0 ? NULL : bsearch(&key, n->all, n->count, sizeof *n->all, by_account);

    if (t == NULL)
        return;
    t->waiting += count;
    t->bytes += bytes;
}

/* What lies in a row is wanted above the box's floor; what a stopped relay has not looked at since
 * may be gone as soon as it runs. */
static enum sotto_err count_place(void *ctx, int64_t row, const struct sotto_rs_place *p)
{
    struct counting *n = ctx;
    struct box_owner *owner = owner_of(n, p->box);
    enum sotto_err e = SOTTO_OK;

    if (owner == NULL)
        return SOTTO_OK;
    if (owner->floor == 0) {
        e = sotto_rs_floor(n->c->store, p->box, &owner->floor);
        if (e == SOTTO_ERR_NOT_FOUND)
            owner->floor = UINT64_MAX;
        else if (owner->floor == 0)
            owner->floor = 1;
    }
    if (p->seq > owner->floor)
        count_in(n, owner, 1, p->len);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

static void count_lines(struct counting *n, const struct sotto_buf *lines)
{
    const char *p = (const char *)lines->p;
    size_t left = lines->n;

    while (left > 0) {
        const char *stop = memchr(p, '\n', left);
        unsigned long long count, bytes;
        struct box_owner *owner;
        long long box;

        if (stop == NULL)
            return;
        if (sscanf(p, "%lld %llu %llu", &box, &count, &bytes) == 3 &&
            (owner = owner_of(n, box)) != NULL)
            count_in(n, owner, count, bytes);
        left -= (size_t)(stop + 1 - p);
        p = stop + 1;
    }
}

static enum sotto_err count_all(struct counting *n)
{
    SOTTO_AUTO_BUF lines = SOTTO_BUF(SOTTO_OPERATOR_LINES);
    enum sotto_err e;

    if ((e = sotto_rs_accounts_each(n->c->store, take_account, n)) != 0 ||
        (e = sotto_rs_boxes_each(n->c->store, take_box, n)) != 0)
        return e;
    if (n->count > 0)
        qsort(n->all, n->count, sizeof *n->all, by_account);
    if (n->box_count > 0)
        qsort(n->boxes, n->box_count, sizeof *n->boxes, by_box);
    e = sotto_reach_ask(n->c, "boxes", &lines);
    if (e == 0)
        count_lines(n, &lines);
    else if (e == SOTTO_ERR_STATE)
        e = sotto_rs_mail_each(n->c->store, count_place, n);
    if (n->count > 0)
        qsort(n->all, n->count, sizeof *n->all, by_name);
    return e;
}

enum sotto_err sotto_reach_tally(struct sotto_reach *c, struct sotto_tally **ret, size_t *ret_count)
{
    struct counting n = {.c = c};
    enum sotto_err e;

    c->why[0] = '\0';
    e = count_all(&n);
    free(n.boxes);
    if (e == 0) {
        *ret = n.all;
        *ret_count = n.count;
        return SOTTO_OK;
    }
    free(n.all);
    if (c->why[0] == '\0')
        snprintf(c->why, sizeof c->why, "the store in %s cannot be read: %s", c->folder.path,
                 sotto_err_text(e));
    return e;
}

/* --- for people --- */

void sotto_reach_time(uint64_t ms, char ret[SOTTO_REACH_TIME])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(ret, SOTTO_REACH_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(ret, SOTTO_REACH_TIME, "?");
}

void sotto_reach_size(uint64_t bytes, char ret[SOTTO_REACH_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t i = 0;

    if (bytes < 1024) {
        snprintf(ret, SOTTO_REACH_SIZE, "%u B", (unsigned)bytes);
        return;
    }
    for (v /= 1024; v >= 1024 && i + 1 < sizeof units / sizeof units[0]; i++)
        v /= 1024;
    snprintf(ret, SOTTO_REACH_SIZE, "%.1f %s", v, units[i]);
}
