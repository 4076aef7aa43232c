/* SPDX-License-Identifier: Apache-2.0 */
#include "twist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lies.h"

/* --- commands --- */

void evil_init(struct evil *v, const struct sotto_sign_pair *relay_key)
{
    memset(v, 0, sizeof *v);
    v->relay_key = relay_key;
    evil_memory_init(&v->memory);
}

static void disarm(struct evil *v)
{
    for (size_t i = 0; i < v->armed_count; i++)
        free(v->armed[i].line);
    v->armed_count = v->fired = v->requests = v->parcels = 0;
    v->has_one_time = false;
}

void evil_free(struct evil *v)
{
    disarm(v);
    evil_memory_free(&v->memory);
}

/* Arms each row of that name and number of words. */
static bool arm(struct evil *v, const char *rest)
{
    bool any = false;

    for (size_t i = 0; i < evil_twist_count; i++) {
        struct evil_armed *a = &v->armed[v->armed_count];
        char *line, *words[6] = {NULL}, *save = NULL;
        size_t n = 0;

        if (v->armed_count == sizeof v->armed / sizeof v->armed[0] || (line = strdup(rest)) == NULL)
            evil_fail("too much is armed");
        for (char *w = strtok_r(line, " ", &save); w != NULL && n < 6;
             w = strtok_r(NULL, " ", &save))
            words[n++] = w;
        if (n < 2 || strcmp(evil_twists[i].name, words[0]) != 0 || n != evil_twists[i].words + 2) {
            free(line);
            continue;
        }
        *a = (struct evil_armed){&evil_twists[i], line, words[1], {words[2], words[3]}};
        v->armed_count++;
        any = true;
    }
    return any;
}

void evil_command(struct evil *v, const char *line)
{
    if (strcmp(line, "disarm") == 0) {
        printf("ok %zu %zu %zu\n", v->fired, v->requests, v->parcels);
        disarm(v);
    } else if (strcmp(line, "fired") == 0) {
        printf("ok %zu\n", v->fired);
    } else if (strncmp(line, "arm ", 4) == 0 && arm(v, line + 4)) {
        printf("ok\n");
    } else {
        evil_fail(line);
    }
    fflush(stdout);
}

/* --- what goes by --- */

void evil_peer_init(struct evil_peer *p, struct evil *v)
{
    memset(p, 0, sizeof *p);
    p->v = v;
}

void evil_peer_free(struct evil_peer *p)
{
    for (size_t i = 0; i < p->held_count; i++)
        sotto_buf_free(&p->held[i]);
    sotto_answer_free(p->first);
}

static bool is_armed_for(const struct evil_armed *a, const struct evil_peer *p)
{
    return strcmp(a->name, "*") == 0 || strcmp(a->name, p->name) == 0;
}

/* Who asks, and about whom. */
static void note_request(struct evil_peer *p, const struct sotto_request *q)
{
    struct evil_asked *a = &p->asked[p->asked_count++ % (sizeof p->asked / sizeof p->asked[0])];
    const char *about = "";

    if (q->type == SOTTO_REQ_SIGN_IN)
        memcpy(p->name, q->u.sign_in.name, sizeof p->name);
    else if (q->type == SOTTO_REQ_REGISTER)
        memcpy(p->name, q->u.register_.name, sizeof p->name);
    else if (q->type == SOTTO_REQ_GET_BUNDLE)
        about = q->u.get_bundle.name;
    else if (q->type == SOTTO_REQ_GET_LISTS)
        about = q->u.get_lists.known[0].name;
    *a = (struct evil_asked){.id = q->id, .type = q->type};
    memcpy(a->name, about, strlen(about) + 1);
    if (q->type == SOTTO_REQ_GET_BUNDLE)
        a->device = q->u.get_bundle.device;
}

/* A parcel for a device of our making would be a text that we can read. */
static void count_request(struct evil_peer *p, const struct sotto_request *q)
{
    struct evil *v = p->v;
    bool watched = false, submit = q->type == SOTTO_REQ_SUBMIT;

    for (size_t i = 0; i < v->armed_count; i++)
        watched = watched || is_armed_for(&v->armed[i], p);
    for (size_t i = 0; submit && i < q->u.submit.count; i++)
        if (q->u.submit.parcels[i].device == sotto_device_id(v->memory.own_device.sign.pub))
            printf("leak\n");
    v->requests += watched;
    v->parcels += watched && submit && !q->u.submit.ephemeral ? q->u.submit.count : 0;
}

/* "Stored", without anybody having been told. */
static bool submit_lost(struct evil_peer *p, const struct sotto_request *q, struct sotto_buf *out)
{
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_SUBMITTED};
    struct evil *v = p->v;

    for (size_t i = 0; i < v->armed_count; i++) {
        if (v->armed[i].twist->fn != NULL || !is_armed_for(&v->armed[i], p))
            continue;
        v->fired++;
        a.u.submitted.count = q->u.submit.count;
        for (size_t n = 0; n < q->u.submit.count; n++) {
            a.u.submitted.results[n].device = q->u.submit.parcels[n].device;
            a.u.submitted.results[n].state = SOTTO_PARCEL_STORED;
        }
        if (!q->u.submit.more && sotto_answer_encode(&a, NULL, out) != 0)
            evil_fail("an answer that cannot be encoded");
        return true;
    }
    return false;
}

bool evil_request(struct evil_peer *p, const uint8_t *body, size_t len, struct sotto_buf *out)
{
    struct sotto_request *q;
    bool lost = false;

    if (sotto_request_decode(body, len, &q) != 0)
        return true;
    note_request(p, q);
    evil_memory_request(&p->v->memory, p->name, q);
    count_request(p, q);
    if (q->type == SOTTO_REQ_SUBMIT)
        lost = submit_lost(p, q, out);
    sotto_request_free(q);
    return !lost;
}

static const struct evil_asked *asked(const struct evil_peer *p, uint32_t id)
{
    for (size_t i = 0; id != 0 && i < sizeof p->asked / sizeof p->asked[0]; i++)
        if (p->asked[i].id == id)
            return &p->asked[i];
    return NULL;
}

static bool fits(const struct evil_twist *w, const struct turn *t)
{
    if (t->q == NULL)
        return w->pushes != 0 && w->pushes == (unsigned)t->a->type;
    return w->answers == ANY || (w->answers != 0 && w->answers == (unsigned)t->q->type);
}

static void say_raw(struct sotto_buf *out, const void *body, size_t len)
{
    uint8_t head[SOTTO_FRAME_HEADER];

    sotto_put_u32(head, (uint32_t)len);
    if (sotto_buf_add(out, head, sizeof head) != 0 || sotto_buf_add(out, body, len) != 0)
        evil_fail("out of memory");
}

void evil_answer(struct evil_peer *p, const uint8_t *body, size_t len, struct sotto_buf *out)
{
    struct turn t = {.v = p->v, .p = p, .out = out};
    enum deed all = LEFT;

    if (sotto_answer_decode(body, len, &t.a) != 0)
        evil_fail("the core says something that is not the protocol");
    t.q = asked(p, t.a->id);
    if (t.a->type == SOTTO_ANS_DELIVER)
        evil_memory_delivery(&p->v->memory, t.a);
    if (t.a->type == SOTTO_ANS_EPHEMERAL)
        evil_memory_notice(&p->v->memory, t.a);
    for (size_t i = 0; all != TAKEN && i < p->v->armed_count; i++) {
        enum deed d;

        t.arm = &p->v->armed[i];
        if (t.arm->twist->fn == NULL || !is_armed_for(t.arm, p) || !fits(t.arm->twist, &t))
            continue;
        d = t.arm->twist->fn(&t);
        p->v->fired += d != LEFT;
        all = d != LEFT ? d : all;
    }
    if (all == TWISTED)
        evil_say(&t, t.a);
    else if (all == LEFT)
        say_raw(out, body, len);
    sotto_answer_free(t.a);
}
