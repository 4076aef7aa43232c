/* SPDX-License-Identifier: Apache-2.0 */
#include "run/client/event.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

struct sotto_event {
    struct sotto_event *next;
    uint32_t request;
    enum sotto_event_type type;
    size_t arena_len;
    char *arena; /* all strings of the row */
    union {
        struct sotto_done done;
        struct sotto_connection connection;
        struct sotto_message message;
        struct sotto_typing_row typing;
        struct sotto_contact contact;
        struct sotto_device_row device;
        struct sotto_status_row status;
        struct sotto_safety safety;
        struct sotto_link link;
        const char *notice;
    } u;
};

/* Each row type as a list of members: one description serves copying and both ways of the socket.
 */
enum kind { END, TEXT, BYTES, U32, U64, FLAG };
struct member {
    enum kind kind; /* BYTES: a pointer, its length is the size_t member that follows it */
    size_t at;
};
#define M(kind, type, name)                                                                        \
    {                                                                                              \
        kind, offsetof(struct type, name)                                                          \
    }

static const struct member done_members[] = {
    M(U32, sotto_done, result), M(TEXT, sotto_done, text), M(TEXT, sotto_done, id), {END, 0}};
static const struct member connection_members[] = {
    M(U32, sotto_connection, state),    M(U32, sotto_connection, result),
    M(TEXT, sotto_connection, text),    M(TEXT, sotto_connection, pin),
    M(U32, sotto_connection, retry_ms), {END, 0}};
static const struct member message_members[] = {
    M(TEXT, sotto_message, id),        M(TEXT, sotto_message, peer),
    M(TEXT, sotto_message, from),      M(TEXT, sotto_message, device),
    M(TEXT, sotto_message, kind),      M(BYTES, sotto_message, text),
    M(U64, sotto_message, sent_at_ms), M(U64, sotto_message, received_at_ms),
    M(FLAG, sotto_message, outgoing),  M(FLAG, sotto_message, is_request),
    M(FLAG, sotto_message, gap),       M(U32, sotto_message, state),
    M(TEXT, sotto_message, reason),    {END, 0}};
static const struct member typing_members[] = {
    M(TEXT, sotto_typing_row, from), M(FLAG, sotto_typing_row, active), {END, 0}};
static const struct member contact_members[] = {M(TEXT, sotto_contact, name),
                                                M(U32, sotto_contact, state),
                                                M(FLAG, sotto_contact, verified),
                                                M(FLAG, sotto_contact, new_identity),
                                                M(FLAG, sotto_contact, accepted_us),
                                                M(U32, sotto_contact, unread),
                                                M(U32, sotto_contact, devices),
                                                M(U64, sotto_contact, last_ms),
                                                {END, 0}};
static const struct member device_members[] = {M(TEXT, sotto_device_row, id),
                                               M(TEXT, sotto_device_row, state),
                                               M(TEXT, sotto_device_row, code),
                                               M(FLAG, sotto_device_row, holds_account_key),
                                               M(U32, sotto_device_row, generation),
                                               M(U64, sotto_device_row, since_ms),
                                               {END, 0}};
static const struct member status_members[] = {M(TEXT, sotto_status_row, name),
                                               M(TEXT, sotto_status_row, relay),
                                               M(TEXT, sotto_status_row, relay_id),
                                               M(TEXT, sotto_status_row, pin),
                                               M(TEXT, sotto_status_row, device),
                                               M(U32, sotto_status_row, connection),
                                               M(TEXT, sotto_status_row, why),
                                               M(TEXT, sotto_status_row, tls_version),
                                               M(TEXT, sotto_status_row, cipher),
                                               M(TEXT, sotto_status_row, group),
                                               M(TEXT, sotto_status_row, relay_version),
                                               M(U32, sotto_status_row, queued),
                                               M(U32, sotto_status_row, undelivered),
                                               M(U32, sotto_status_row, one_time_keys),
                                               M(U32, sotto_status_row, list_version),
                                               M(U32, sotto_status_row, devices),
                                               M(U32, sotto_status_row, contacts),
                                               M(FLAG, sotto_status_row, holds_account_key),
                                               M(FLAG, sotto_status_row, clock_known),
                                               M(U64, sotto_status_row, clock_off_ms),
                                               {END, 0}};
static const struct member safety_members[] = {M(TEXT, sotto_safety, number),
                                               M(FLAG, sotto_safety, verified),
                                               M(FLAG, sotto_safety, new_identity),
                                               {END, 0}};
static const struct member link_members[] = {
    M(TEXT, sotto_link, code), M(TEXT, sotto_link, device), M(FLAG, sotto_link, ours), {END, 0}};
static const struct member notice_members[] = {{TEXT, 0}, {END, 0}};

static const struct {
    const struct member *members;
    size_t size;
} rows[] = {
    [SOTTO_EVENT_DONE] = {done_members, sizeof(struct sotto_done)},
    [SOTTO_EVENT_CONNECTION] = {connection_members, sizeof(struct sotto_connection)},
    [SOTTO_EVENT_MESSAGE] = {message_members, sizeof(struct sotto_message)},
    [SOTTO_EVENT_STATE] = {message_members, sizeof(struct sotto_message)},
    [SOTTO_EVENT_TYPING] = {typing_members, sizeof(struct sotto_typing_row)},
    [SOTTO_EVENT_CONTACT] = {contact_members, sizeof(struct sotto_contact)},
    [SOTTO_EVENT_DEVICE] = {device_members, sizeof(struct sotto_device_row)},
    [SOTTO_EVENT_STATUS] = {status_members, sizeof(struct sotto_status_row)},
    [SOTTO_EVENT_SAFETY] = {safety_members, sizeof(struct sotto_safety)},
    [SOTTO_EVENT_NOTICE] = {notice_members, sizeof(const char *)},
    [SOTTO_EVENT_LINK] = {link_members, sizeof(struct sotto_link)},
};

static const char *text_at(const void *row, const struct member *m)
{
    const char *s;

    memcpy(&s, (const char *)row + m->at, sizeof s);
    return s != NULL ? s : "";
}

/* BYTES members are sotto_message.text and text_len only. */
static size_t bytes_len(const void *row, const struct member *m)
{
    size_t n;

    memcpy(&n,
           (const char *)row + m->at +
               (offsetof(struct sotto_message, text_len) - offsetof(struct sotto_message, text)),
           sizeof n);
    return n;
}

static size_t string_len(const void *row, const struct member *m)
{
    return m->kind == BYTES ? bytes_len(row, m) : strlen(text_at(row, m));
}

struct sotto_event *sotto_event_new(uint32_t request, enum sotto_event_type type, const void *row)
{
    const void *from = type == SOTTO_EVENT_NOTICE ? (const void *)&row : row;
    struct sotto_event *e = calloc(1, sizeof *e);
    size_t need = 0;
    char *to;

    if (e == NULL)
        return NULL;
    e->request = request;
    e->type = type;
    for (const struct member *m = rows[type].members; m->kind != END; m++)
        if (m->kind == TEXT || m->kind == BYTES)
            need += string_len(from, m) + 1;
    if ((e->arena = malloc(need + 1)) == NULL) {
        free(e);
        return NULL;
    }
    e->arena_len = need;
    memcpy(&e->u, from, rows[type].size);
    to = e->arena;
    for (const struct member *m = rows[type].members; m->kind != END; m++) {
        if (m->kind != TEXT && m->kind != BYTES)
            continue;
        size_t n = string_len(from, m);

        memcpy(to, text_at(from, m), n);
        to[n] = '\0';
        memcpy((char *)&e->u + m->at, &to, sizeof to);
        to += n + 1;
    }
    return e;
}

void sotto_event_free(struct sotto_event *e)
{
    if (e == NULL)
        return;
    sotto_wipe(e->arena, e->arena_len);
    free(e->arena);
    free(e);
}

/* --- the socket's layout --- */

static enum sotto_err add_u32(struct sotto_buf *buf, uint32_t v)
{
    uint8_t b[4];

    sotto_put_u32(b, v);
    return sotto_buf_add(buf, b, sizeof b);
}

static enum sotto_err encode_member(const void *row, const struct member *m, struct sotto_buf *buf)
{
    const char *at = (const char *)row + m->at;
    uint8_t b[8];
    uint64_t u64;
    uint32_t u32;
    bool flag;
    enum sotto_err err;

    switch (m->kind) {
    case TEXT:
    case BYTES:
        if ((err = add_u32(buf, (uint32_t)string_len(row, m))) != SOTTO_OK)
            return err;
        return sotto_buf_add(buf, text_at(row, m), string_len(row, m));
    case U32:
        memcpy(&u32, at, sizeof u32);
        return add_u32(buf, u32);
    case U64:
        memcpy(&u64, at, sizeof u64);
        sotto_put_u64(b, u64);
        return sotto_buf_add(buf, b, 8);
    default:
        memcpy(&flag, at, sizeof flag);
        b[0] = flag;
        return sotto_buf_add(buf, b, 1);
    }
}

enum sotto_err sotto_event_encode(uint32_t request, enum sotto_event_type type, const void *row,
                                  struct sotto_buf *buf)
{
    const void *from = type == SOTTO_EVENT_NOTICE ? (const void *)&row : row;
    uint8_t t = (uint8_t)type;
    enum sotto_err err;

    if ((err = add_u32(buf, request)) != SOTTO_OK || (err = sotto_buf_add(buf, &t, 1)) != SOTTO_OK)
        return err;
    for (const struct member *m = rows[type].members; m->kind != END; m++)
        if ((err = encode_member(from, m, buf)) != SOTTO_OK)
            return err;
    return SOTTO_OK;
}

static enum sotto_err decode_member(struct sotto_reader *r, const struct member *m,
                                    struct sotto_event *e, char **arena)
{
    char *at = (char *)&e->u + m->at;
    struct sotto_bytes view;
    uint64_t u64;
    uint32_t u32;
    uint8_t u8;
    bool flag;
    enum sotto_err err;

    switch (m->kind) {
    case TEXT:
    case BYTES:
        if ((err = sotto_read_field32(r, 1024 * 1024, &view)) != SOTTO_OK)
            return err;
        memcpy(*arena, view.p, view.n);
        (*arena)[view.n] = '\0';
        memcpy(at, arena, sizeof *arena);
        if (m->kind == BYTES)
            memcpy(at + (offsetof(struct sotto_message, text_len) -
                         offsetof(struct sotto_message, text)),
                   &view.n, sizeof view.n);
        *arena += view.n + 1;
        return SOTTO_OK;
    case U32:
        if ((err = sotto_read_u32(r, &u32)) == SOTTO_OK)
            memcpy(at, &u32, sizeof u32);
        return err;
    case U64:
        if ((err = sotto_read_u64(r, &u64)) == SOTTO_OK)
            memcpy(at, &u64, sizeof u64);
        return err;
    default:
        if ((err = sotto_read_u8(r, &u8)) == SOTTO_OK) {
            flag = u8 != 0;
            memcpy(at, &flag, sizeof flag);
        }
        return err;
    }
}

enum sotto_err sotto_event_decode(const uint8_t *data, size_t len, struct sotto_event **ret)
{
    struct sotto_event *e = calloc(1, sizeof *e);
    struct sotto_reader r;
    uint8_t type;
    char *to;
    enum sotto_err err;

    if (e == NULL)
        return SOTTO_ERR_NOMEM;
    sotto_reader_init(&r, data, len);
    /* Strings take at most what they take here: each had a length of four bytes. */
    if ((err = sotto_read_u32(&r, &e->request)) == SOTTO_OK &&
        (err = sotto_read_u8(&r, &type)) == SOTTO_OK) {
        e->type = (enum sotto_event_type)type;
        e->arena_len = len + 1;
        if (type == 0 || type >= sizeof rows / sizeof rows[0])
            err = SOTTO_ERR_MALFORMED;
        else if ((e->arena = calloc(1, e->arena_len)) == NULL)
            err = SOTTO_ERR_NOMEM;
    }
    to = e->arena;
    for (const struct member *m = err == SOTTO_OK ? rows[e->type].members : notice_members + 1;
         err == SOTTO_OK && m->kind != END; m++)
        err = decode_member(&r, m, e, &to);
    if (err == SOTTO_OK)
        err = sotto_read_done(&r);
    if (err != SOTTO_OK) {
        if (e->arena != NULL)
            sotto_event_free(e);
        else
            free(e);
        return err;
    }
    *ret = e;
    return SOTTO_OK;
}

/* --- queue --- */

void sotto_event_queue_init(struct sotto_event_queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

void sotto_event_queue_push(struct sotto_event_queue *q, struct sotto_event *e)
{
    if (e == NULL)
        return;
    e->next = NULL;
    *q->last = e;
    q->last = &e->next;
}

struct sotto_event *sotto_event_queue_pop(struct sotto_event_queue *q)
{
    struct sotto_event *e = q->first;

    if (e != NULL && (q->first = e->next) == NULL)
        q->last = &q->first;
    return e;
}

void sotto_event_queue_clear(struct sotto_event_queue *q)
{
    struct sotto_event *e;

    while ((e = sotto_event_queue_pop(q)) != NULL)
        sotto_event_free(e);
}

/* --- what the public header promises --- */

enum sotto_event_type sotto_event_type(const struct sotto_event *e)
{
    return e->type;
}

uint32_t sotto_event_request(const struct sotto_event *e)
{
    return e->request;
}

const struct sotto_done *sotto_event_done(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_DONE ? &e->u.done : NULL;
}

const struct sotto_connection *sotto_event_connection(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_CONNECTION ? &e->u.connection : NULL;
}

const struct sotto_message *sotto_event_message(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_MESSAGE || e->type == SOTTO_EVENT_STATE ? &e->u.message : NULL;
}

const struct sotto_typing_row *sotto_event_typing(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_TYPING ? &e->u.typing : NULL;
}

const struct sotto_contact *sotto_event_contact(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_CONTACT ? &e->u.contact : NULL;
}

const struct sotto_device_row *sotto_event_device(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_DEVICE ? &e->u.device : NULL;
}

const struct sotto_status_row *sotto_event_status(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_STATUS ? &e->u.status : NULL;
}

const struct sotto_safety *sotto_event_safety(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_SAFETY ? &e->u.safety : NULL;
}

const char *sotto_event_notice(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_NOTICE ? e->u.notice : NULL;
}

const struct sotto_link *sotto_event_link(const struct sotto_event *e)
{
    return e->type == SOTTO_EVENT_LINK ? &e->u.link : NULL;
}
