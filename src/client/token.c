/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/state.h"
#include "crypto/kdf.h"

/* The delivery tokens that the relay is to know or to forget: kept here until it has said yes. */

/* Setting "tokens.queue": 33 bytes each, 1 add or 2 remove, then the token's hash; in order. */
#define TOKEN_STEP      33
#define TOKEN_QUEUE_MAX (100000 * TOKEN_STEP)

enum sotto_err sotto_token_queue(struct sotto_engine *e, bool add, const uint8_t token[SOTTO_TOKEN])
{
    SOTTO_AUTO_BUF queue = SOTTO_BUF(TOKEN_QUEUE_MAX);
    uint8_t step[TOKEN_STEP];
    enum sotto_err err = sotto_setting_get(e->p, "tokens.queue", &queue);

    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    step[0] = add ? 1 : 2;
    sotto_sha256(token, SOTTO_TOKEN, step + 1);
    if ((err = sotto_buf_add(&queue, step, sizeof step)) != SOTTO_OK)
        return err;
    return sotto_setting_put(e->p, "tokens.queue", queue.p, queue.n);
}

static void tokens_set(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    SOTTO_AUTO_BUF queue = SOTTO_BUF(TOKEN_QUEUE_MAX);
    size_t sent = (size_t)p->item * TOKEN_STEP;

    e->tokens_busy = false;
    if (a == NULL)
        return;
    if (a->type != SOTTO_ANS_DONE) {
        sotto_log_local("the relay did not take delivery tokens");
        return;
    }
    if (sotto_setting_get(e->p, "tokens.queue", &queue) != SOTTO_OK || queue.n < sent)
        return;
    sotto_buf_consume(&queue, sent);
    if (sotto_setting_put(e->p, "tokens.queue", queue.p, queue.n) != SOTTO_OK)
        sotto_engine_trouble(e, SOTTO_ERR_IO, "the profile cannot be written");
    sotto_tokens_flush(e);
}

void sotto_tokens_flush(struct sotto_engine *e)
{
    SOTTO_AUTO_BUF queue = SOTTO_BUF(TOKEN_QUEUE_MAX);
    struct sotto_request *r;
    struct pending *p;
    size_t taken = 0;

    if (e->phase != LINK_ONLINE || e->tokens_busy ||
        sotto_setting_get(e->p, "tokens.queue", &queue) != SOTTO_OK || queue.n < TOKEN_STEP ||
        (r = calloc(1, sizeof *r)) == NULL)
        return;
    r->type = SOTTO_REQ_SET_TOKENS;
    /* Within one request the relay adds first, then removes: stop where the order would matter. */
    for (; taken < SOTTO_TOKENS_MAX && (taken + 1) * TOKEN_STEP <= queue.n; taken++) {
        const uint8_t *step = queue.p + taken * TOKEN_STEP;

        if (step[0] == 1 && r->u.set_tokens.remove_count > 0)
            break;
        if (step[0] == 1)
            memcpy(r->u.set_tokens.add[r->u.set_tokens.add_count++], step + 1, 32);
        else
            memcpy(r->u.set_tokens.remove[r->u.set_tokens.remove_count++], step + 1, 32);
    }
    e->tokens_busy = true;
    if ((p = sotto_ask(e, r, tokens_set, NULL)) != NULL)
        p->item = (int64_t)taken;
    free(r);
}

static enum sotto_err requeue_token(void *ctx, const struct sotto_contact_record *c)
{
    struct sotto_buf *queue = ctx;
    uint8_t step[TOKEN_STEP] = {1};

    if (!c->has_our_token)
        return SOTTO_OK;
    sotto_sha256(c->our_token, SOTTO_TOKEN, step + 1);
    return sotto_buf_add(queue, step, sizeof step);
}

/* A restored relay may have forgotten some of them. What it was to forget anyway goes before. */
enum sotto_err sotto_tokens_requeue_all(struct sotto_engine *e)
{
    SOTTO_AUTO_BUF old = SOTTO_BUF(TOKEN_QUEUE_MAX);
    SOTTO_AUTO_BUF queue = SOTTO_BUF(TOKEN_QUEUE_MAX);
    enum sotto_err err = sotto_setting_get(e->p, "tokens.queue", &old);

    if (err == SOTTO_ERR_NOT_FOUND)
        err = SOTTO_OK;
    for (size_t i = 0; err == SOTTO_OK && i + TOKEN_STEP <= old.n; i += TOKEN_STEP)
        if (old.p[i] == 2)
            err = sotto_buf_add(&queue, old.p + i, TOKEN_STEP);
    if (err == SOTTO_OK)
        err = sotto_contact_each(e->p, requeue_token, &queue);
    return err != SOTTO_OK ? err : sotto_setting_put(e->p, "tokens.queue", queue.p, queue.n);
}
