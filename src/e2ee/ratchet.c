/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/ratchet.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/kdf.h"

/* KDF_RK: salt = root key, input = agreement; 32 bytes root key, 32 bytes chain key. */
static void root_step(const struct sotto_secret32 *root, const struct sotto_secret32 *agreed,
                      struct sotto_secret32 *ret_root, struct sotto_secret32 *ret_chain)
{
    static const char label[] = "sotto/1 root chain";
    struct sotto_secret32 out[2];

    sotto_hkdf_sha256(root->b, 32, agreed->b, 32, label, sizeof label, out, sizeof out);
    *ret_root = out[0];
    *ret_chain = out[1];
    sotto_wipe(out, sizeof out);
}

static enum sotto_err dh_step(const struct sotto_secret32 *root, const struct sotto_dh_pair *ours,
                              const uint8_t theirs[32], struct sotto_secret32 *ret_root,
                              struct sotto_secret32 *ret_chain)
{
    struct sotto_secret32 agreed SOTTO_WIPED = {0};
    enum sotto_err e = sotto_dh(ours, theirs, &agreed);

    if (e == 0)
        root_step(root, &agreed, ret_root, ret_chain);
    return e;
}

/* KDF_CK, in its two halves: HMAC(chain, 1) is the message's key, HMAC(chain, 2) the next chain. */
static void message_key(const struct sotto_secret32 *chain, struct sotto_secret32 *ret)
{
    sotto_hmac_sha256(chain->b, 32, "\x01", 1, ret->b);
}

static void next_chain(const struct sotto_secret32 *chain, struct sotto_secret32 *ret)
{
    sotto_hmac_sha256(chain->b, 32, "\x02", 1, ret->b);
}

enum sotto_err sotto_ratchet_start(const struct sotto_env *env, const struct sotto_secret32 *root,
                                   const uint8_t signed_prekey[32], struct sotto_ratchet *ret)
{
    struct sotto_ratchet r = {.phase = SOTTO_RATCHET_FIRST};
    enum sotto_err e;

    if ((e = sotto_dh_generate(env, &r.ours)) == 0 &&
        (e = dh_step(root, &r.ours, signed_prekey, &r.root, &r.send)) == 0)
        *ret = r;
    sotto_wipe(&r, sizeof r);
    return e;
}

void sotto_ratchet_wait(const struct sotto_secret32 *root,
                        const struct sotto_dh_pair *signed_prekey, struct sotto_ratchet *ret)
{
    *ret =
        (struct sotto_ratchet){.phase = SOTTO_RATCHET_WAIT, .root = *root, .ours = *signed_prekey};
}

void sotto_ratchet_clear(struct sotto_ratchet *r)
{
    if (r->skipped != NULL)
        sotto_wipe(r->skipped, r->skipped_room * sizeof *r->skipped);
    free(r->skipped);
    sotto_wipe(r, sizeof *r);
}

/* Out */

void sotto_sending_wipe(struct sotto_sending *step)
{
    sotto_wipe(step, sizeof *step);
}

enum sotto_err sotto_ratchet_send(const struct sotto_env *env, const struct sotto_ratchet *r,
                                  struct sotto_sending *ret)
{
    struct sotto_secret32 chain SOTTO_WIPED = {0};
    enum sotto_err e;

    if (r->phase == SOTTO_RATCHET_WAIT)
        return SOTTO_ERR_STATE;
    if (r->phase == SOTTO_RATCHET_TURN) {
        if ((e = sotto_dh_generate(env, &ret->ours)) != 0 ||
            (e = dh_step(&r->root, &ret->ours, r->theirs, &ret->root, &chain)) != 0)
            return e;
        ret->pn = r->ns;
        ret->n = 0;
    } else {
        if (r->ns == UINT32_MAX)
            return SOTTO_ERR_STATE;
        ret->ours = r->ours;
        ret->root = r->root;
        chain = r->send;
        ret->pn = r->pn;
        ret->n = r->ns;
    }
    message_key(&chain, &ret->key);
    next_chain(&chain, &ret->chain);
    return SOTTO_OK;
}

void sotto_ratchet_sent(struct sotto_ratchet *r, const struct sotto_sending *step)
{
    if (r->phase == SOTTO_RATCHET_TURN) {
        r->phase = SOTTO_RATCHET_BOTH;
        r->ours = step->ours;
        r->root = step->root;
    }
    r->send = step->chain;
    r->pn = step->pn;
    r->ns = step->n + 1;
}

/* In */

void sotto_receiving_wipe(struct sotto_receiving *step)
{
    sotto_wipe(step, sizeof *step);
}

static bool has_chain(const struct sotto_ratchet *r)
{
    return r->phase == SOTTO_RATCHET_TURN || r->phase == SOTTO_RATCHET_BOTH;
}

/* Moves *chain from number `from` to `to`; *ret_gap are the last `keep` numbers on the way. */
static void advance(struct sotto_secret32 *chain, uint32_t from, uint32_t to, uint32_t keep,
                    struct sotto_gap *ret_gap)
{
    uint32_t first = to - from > keep ? to - keep : from;

    for (uint32_t n = from; n < to; n++) {
        if (n == first)
            ret_gap->chain = *chain;
        next_chain(chain, chain);
    }
    ret_gap->first = first;
    ret_gap->end = to;
}

/* The message itself, once its chain stands at its number. */
static void arrive(struct sotto_secret32 *chain, uint32_t n, struct sotto_receiving *ret)
{
    message_key(chain, &ret->key);
    next_chain(chain, &ret->chain);
    ret->n = n;
}

static enum sotto_err receive_ahead(const struct sotto_ratchet *r, uint32_t n,
                                    struct sotto_receiving *ret)
{
    struct sotto_secret32 chain SOTTO_WIPED = r->recv;

    if (n - r->nr > SOTTO_JUMP_MAX)
        return SOTTO_ERR_TOO_FAR;
    ret->kind = SOTTO_RECEIVING_AHEAD;
    advance(&chain, r->nr, n, SOTTO_SKIPPED_MAX, &ret->gap);
    arrive(&chain, n, ret);
    return SOTTO_OK;
}

static enum sotto_err receive_turn(const struct sotto_ratchet *r, const uint8_t theirs[32],
                                   uint32_t pn, uint32_t n, struct sotto_receiving *ret)
{
    struct sotto_secret32 chain SOTTO_WIPED = {0}, old SOTTO_WIPED = {0};
    uint32_t old_from = 0, old_end = 0, keep;
    enum sotto_err e;

    if (has_chain(r)) {
        old_from = r->nr;
        /* Less than was received: the peer went back to an older state; the chain ends here. */
        old_end = pn > r->nr ? pn : r->nr;
    }
    if (n > SOTTO_JUMP_MAX || old_end - old_from > SOTTO_JUMP_MAX)
        return SOTTO_ERR_TOO_FAR;
    if ((e = dh_step(&r->root, &r->ours, theirs, &ret->root, &chain)) != 0)
        return e;
    ret->kind = SOTTO_RECEIVING_TURN;
    memcpy(ret->theirs, theirs, sizeof ret->theirs);
    advance(&chain, 0, n, SOTTO_SKIPPED_MAX, &ret->gap);
    arrive(&chain, n, ret);
    keep = SOTTO_SKIPPED_MAX - (ret->gap.end - ret->gap.first);
    old = r->recv;
    advance(&old, old_from, old_end, keep, &ret->old_gap);
    ret->old_end = old_end;
    return SOTTO_OK;
}

static const struct sotto_skipped *find_skipped(const struct sotto_ratchet *r,
                                                const uint8_t theirs[32], uint32_t n)
{
    for (size_t i = 0; i < r->skipped_count; i++) {
        const struct sotto_skipped *s = &r->skipped[i];

        if (s->n == n && memcmp(s->theirs, theirs, sizeof s->theirs) == 0)
            return s;
    }
    return NULL;
}

static size_t find_ended(const struct sotto_ratchet *r, const uint8_t theirs[32])
{
    size_t i = 0;

    while (i < r->ended_count && memcmp(r->ended[i].tag, theirs, sizeof r->ended[i].tag) != 0)
        i++;
    return i;
}

enum sotto_err sotto_ratchet_receive(const struct sotto_ratchet *r, const uint8_t theirs[32],
                                     uint32_t pn, uint32_t n, struct sotto_receiving *ret)
{
    bool current = has_chain(r) && memcmp(r->theirs, theirs, sizeof r->theirs) == 0;
    const struct sotto_skipped *s;
    size_t i;

    if (n == UINT32_MAX)
        return SOTTO_ERR_MALFORMED;
    if (current && n >= r->nr)
        return receive_ahead(r, n, ret);
    if ((s = find_skipped(r, theirs, n)) != NULL) {
        ret->kind = SOTTO_RECEIVING_SKIPPED;
        ret->index = (size_t)(s - r->skipped);
        ret->key = s->key;
        return SOTTO_OK;
    }
    if (current)
        return n < r->floor ? SOTTO_ERR_TOO_FAR : SOTTO_ERR_REPLAY;
    if ((i = find_ended(r, theirs)) < r->ended_count) {
        if (n >= r->ended[i].end)
            return SOTTO_ERR_BAD_TAG; /* no such message was ever sent */
        return n < r->ended[i].floor ? SOTTO_ERR_TOO_FAR : SOTTO_ERR_REPLAY;
    }
    /* They make a new key only in answer to one of ours, and they have answered the last one. */
    if (r->phase == SOTTO_RATCHET_TURN)
        return SOTTO_ERR_BAD_TAG;
    return receive_turn(r, theirs, pn, n, ret);
}

/* Room for `more` skipped keys after the oldest have gone. */
static enum sotto_err reserve(struct sotto_ratchet *r, size_t more)
{
    size_t need = r->skipped_count + more, room = r->skipped_room == 0 ? 16 : r->skipped_room;
    struct sotto_skipped *p;

    if (need > SOTTO_SKIPPED_MAX)
        need = SOTTO_SKIPPED_MAX;
    if (need <= r->skipped_room)
        return SOTTO_OK;
    while (room < need)
        room *= 4;
    if (room > SOTTO_SKIPPED_MAX)
        room = SOTTO_SKIPPED_MAX;
    if ((p = calloc(room, sizeof *p)) == NULL)
        return SOTTO_ERR_NOMEM;
    if (r->skipped != NULL) {
        memcpy(p, r->skipped, r->skipped_count * sizeof *p);
        sotto_wipe(r->skipped, r->skipped_room * sizeof *p);
        free(r->skipped);
    }
    r->skipped = p;
    r->skipped_room = room;
    return SOTTO_OK;
}

/* Takes out skipped keys first..first+count-1. */
static void drop(struct sotto_ratchet *r, size_t first, size_t count)
{
    size_t after = r->skipped_count - first - count;

    memmove(r->skipped + first, r->skipped + first + count, after * sizeof *r->skipped);
    sotto_wipe(r->skipped + first + after, count * sizeof *r->skipped);
    r->skipped_count -= count;
}

static void make_room(struct sotto_ratchet *r, size_t more)
{
    size_t over = 0, ended;

    if (r->skipped_count + more > SOTTO_SKIPPED_MAX)
        over = r->skipped_count + more - SOTTO_SKIPPED_MAX;
    for (size_t i = 0; i < over; i++) {
        const struct sotto_skipped *s = &r->skipped[i];

        if (memcmp(s->theirs, r->theirs, sizeof s->theirs) == 0)
            r->floor = s->n + 1;
        else if ((ended = find_ended(r, s->theirs)) < r->ended_count)
            r->ended[ended].floor = s->n + 1;
    }
    if (over > 0)
        drop(r, 0, over);
}

static void keep_gap(struct sotto_ratchet *r, const struct sotto_gap *gap)
{
    struct sotto_secret32 chain SOTTO_WIPED = gap->chain;

    for (uint32_t n = gap->first; n < gap->end; n++) {
        struct sotto_skipped *s = &r->skipped[r->skipped_count++];

        memcpy(s->theirs, r->theirs, sizeof s->theirs);
        s->n = n;
        message_key(&chain, &s->key);
        next_chain(&chain, &chain);
    }
    if (gap->first > r->nr)
        r->floor = gap->first;
}

static void end_chain(struct sotto_ratchet *r, uint32_t end)
{
    struct sotto_ended *e = r->ended;

    if (r->ended_count < SOTTO_ENDED_MAX)
        r->ended_count++;
    memmove(e + 1, e, (r->ended_count - 1) * sizeof *e);
    memcpy(e->tag, r->theirs, sizeof e->tag);
    e->end = end;
    e->floor = r->floor;
}

enum sotto_err sotto_ratchet_received(struct sotto_ratchet *r, const struct sotto_receiving *step)
{
    size_t more;
    enum sotto_err e;

    if (step->kind == SOTTO_RECEIVING_SKIPPED) {
        drop(r, step->index, 1);
        return SOTTO_OK;
    }
    more = (step->gap.end - step->gap.first) + (step->old_gap.end - step->old_gap.first);
    if (more > 0) {
        if ((e = reserve(r, more)) != 0)
            return e;
        make_room(r, more);
    }
    if (step->kind == SOTTO_RECEIVING_TURN) {
        if (has_chain(r)) {
            keep_gap(r, &step->old_gap);
            end_chain(r, step->old_end);
        }
        memcpy(r->theirs, step->theirs, sizeof r->theirs);
        r->nr = r->floor = 0;
        r->root = step->root;
        r->phase = SOTTO_RATCHET_TURN;
        /* Their answer is here, so what it answered is needed no more: neither this private key
         * nor the chain that was sent on opens anything any longer. */
        sotto_dh_pair_wipe(&r->ours);
        sotto_secret32_wipe(&r->send);
    }
    keep_gap(r, &step->gap);
    r->recv = step->chain;
    r->nr = step->n + 1;
    return SOTTO_OK;
}

/* The record */

static size_t run_length(const struct sotto_ratchet *r, size_t first)
{
    size_t n = 1;

    while (first + n < r->skipped_count &&
           memcmp(r->skipped[first].theirs, r->skipped[first + n].theirs, 32) == 0)
        n++;
    return n;
}

static void skipped_write(struct sotto_writer *w, const struct sotto_ratchet *r)
{
    sotto_write_u16(w, (uint16_t)r->skipped_count);
    for (size_t i = 0; i < r->skipped_count;) {
        size_t run = run_length(r, i);

        sotto_write_bytes(w, r->skipped[i].theirs, 32);
        sotto_write_u16(w, (uint16_t)run);
        for (size_t end = i + run; i < end; i++) {
            sotto_write_u32(w, r->skipped[i].n);
            sotto_write_bytes(w, r->skipped[i].key.b, 32);
        }
    }
}

static void receiving_write(struct sotto_writer *w, const struct sotto_ratchet *r)
{
    sotto_write_bytes(w, r->theirs, 32);
    sotto_write_bytes(w, r->recv.b, 32);
    sotto_write_u32(w, r->nr);
    sotto_write_u32(w, r->floor);
    sotto_write_u8(w, (uint8_t)r->ended_count);
    for (size_t i = 0; i < r->ended_count; i++) {
        sotto_write_bytes(w, r->ended[i].tag, sizeof r->ended[i].tag);
        sotto_write_u32(w, r->ended[i].end);
        sotto_write_u32(w, r->ended[i].floor);
    }
    skipped_write(w, r);
}

enum sotto_err sotto_ratchet_write(const struct sotto_ratchet *r, struct sotto_buf *ret)
{
    const size_t fixed = 512, each = 32 + 2 + 4 + 32;
    size_t room = fixed + r->skipped_count * each;
    struct sotto_writer w;
    enum sotto_err e;

    if ((e = sotto_buf_reserve(ret, room)) != 0)
        return e;
    sotto_writer_init(&w, ret->p + ret->n, room);
    sotto_write_u8(&w, (uint8_t)r->phase);
    sotto_write_bytes(&w, r->root.b, 32);
    if (r->phase != SOTTO_RATCHET_TURN) {
        sotto_write_bytes(&w, r->ours.priv.b, 32);
        sotto_write_bytes(&w, r->ours.pub, 32);
    }
    if (r->phase == SOTTO_RATCHET_FIRST || r->phase == SOTTO_RATCHET_BOTH)
        sotto_write_bytes(&w, r->send.b, 32);
    if (r->phase != SOTTO_RATCHET_WAIT)
        sotto_write_u32(&w, r->ns);
    if (r->phase == SOTTO_RATCHET_BOTH)
        sotto_write_u32(&w, r->pn);
    if (has_chain(r))
        receiving_write(&w, r);
    ret->n += w.len;
    return w.err;
}

static enum sotto_err run_read(struct sotto_reader *in, struct sotto_ratchet *r, size_t total)
{
    uint8_t theirs[32];
    uint16_t run;
    enum sotto_err e;

    if ((e = sotto_read_bytes(in, theirs, 32)) != 0 || (e = sotto_read_u16(in, &run)) != 0)
        return e;
    if (run == 0 || run > total - r->skipped_count ||
        (r->skipped_count > 0 && memcmp(r->skipped[r->skipped_count - 1].theirs, theirs, 32) == 0))
        return SOTTO_ERR_MALFORMED;
    for (uint16_t i = 0; i < run; i++) {
        struct sotto_skipped *s = &r->skipped[r->skipped_count];

        if ((e = sotto_read_u32(in, &s->n)) != 0 || (e = sotto_read_bytes(in, s->key.b, 32)) != 0)
            return e;
        if (i > 0 && s->n <= s[-1].n)
            return SOTTO_ERR_MALFORMED;
        memcpy(s->theirs, theirs, 32);
        r->skipped_count++;
    }
    return SOTTO_OK;
}

static enum sotto_err skipped_read(struct sotto_reader *in, struct sotto_ratchet *r)
{
    uint16_t total;
    enum sotto_err e;

    if ((e = sotto_read_u16(in, &total)) != 0)
        return e;
    if (total > SOTTO_SKIPPED_MAX)
        return SOTTO_ERR_MALFORMED;
    if (total > 0 && (e = reserve(r, total)) != 0)
        return e;
    while (r->skipped_count < total) {
        if ((e = run_read(in, r, total)) != 0)
            return e;
    }
    return SOTTO_OK;
}

static enum sotto_err receiving_read(struct sotto_reader *in, struct sotto_ratchet *r)
{
    uint8_t ended;
    enum sotto_err e;

    if ((e = sotto_read_bytes(in, r->theirs, 32)) != 0 ||
        (e = sotto_read_bytes(in, r->recv.b, 32)) != 0 || (e = sotto_read_u32(in, &r->nr)) != 0 ||
        (e = sotto_read_u32(in, &r->floor)) != 0 || (e = sotto_read_u8(in, &ended)) != 0)
        return e;
    if (ended > SOTTO_ENDED_MAX || r->floor > r->nr)
        return SOTTO_ERR_MALFORMED;
    for (; r->ended_count < ended; r->ended_count++) {
        struct sotto_ended *c = &r->ended[r->ended_count];

        if ((e = sotto_read_bytes(in, c->tag, sizeof c->tag)) != 0 ||
            (e = sotto_read_u32(in, &c->end)) != 0 || (e = sotto_read_u32(in, &c->floor)) != 0)
            return e;
        if (c->floor > c->end)
            return SOTTO_ERR_MALFORMED;
    }
    return skipped_read(in, r);
}

static enum sotto_err ratchet_read(struct sotto_reader *in, struct sotto_ratchet *r)
{
    uint8_t phase;
    enum sotto_err e;

    if ((e = sotto_read_u8(in, &phase)) != 0)
        return e;
    if (phase < SOTTO_RATCHET_FIRST || phase > SOTTO_RATCHET_BOTH)
        return SOTTO_ERR_MALFORMED;
    r->phase = (enum sotto_ratchet_phase)phase;
    if ((e = sotto_read_bytes(in, r->root.b, 32)) != 0)
        return e;
    if (phase != SOTTO_RATCHET_TURN && ((e = sotto_read_bytes(in, r->ours.priv.b, 32)) != 0 ||
                                        (e = sotto_read_bytes(in, r->ours.pub, 32)) != 0))
        return e;
    if ((phase == SOTTO_RATCHET_FIRST || phase == SOTTO_RATCHET_BOTH) &&
        (e = sotto_read_bytes(in, r->send.b, 32)) != 0)
        return e;
    if (phase != SOTTO_RATCHET_WAIT && (e = sotto_read_u32(in, &r->ns)) != 0)
        return e;
    if (phase == SOTTO_RATCHET_BOTH && (e = sotto_read_u32(in, &r->pn)) != 0)
        return e;
    return has_chain(r) ? receiving_read(in, r) : SOTTO_OK;
}

enum sotto_err sotto_ratchet_read(struct sotto_reader *in, struct sotto_ratchet *ret)
{
    struct sotto_reader rest = *in;
    struct sotto_ratchet r = {0};
    enum sotto_err e = ratchet_read(&rest, &r);

    if (e != 0) {
        sotto_ratchet_clear(&r);
        return e;
    }
    *ret = r;
    sotto_wipe(&r, sizeof r);
    *in = rest;
    return SOTTO_OK;
}
