/* SPDX-License-Identifier: Apache-2.0 */
/* The relay of a world: what its program does around the core, its ends and its starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "engine_rig_internal.h"

/* --- its side of the frames --- */

static void take_relay_output(struct sotto_relay_conn *c)
{
    struct phone *p = sotto_relay_ctx(c);
    struct sotto_bytes out = sotto_relay_output(c);

    assert_int_equal(sotto_buf_add(&p->down, out.p, out.n), SOTTO_OK);
    sotto_relay_taken(c);
    if (sotto_relay_ending(c)) {
        sotto_relay_closed(c); /* what it said last is still under way */
        p->conn = NULL;
        p->ending = true;
        return;
    }
    sotto_relay_sent(c, p->down.n);
    (void)sotto_relay_wants_input(c); /* it would name the connection until somebody has looked */
}

static void relay_hand_out(struct world *w)
{
    struct sotto_relay_conn *c;

    while ((c = sotto_relay_next(w->relay)) != NULL)
        take_relay_output(c);
}

/* As the program: it ends when the disk fails while it stores. false: it is another one now. */
static bool relay_lives(struct world *w, enum sotto_err e)
{
    if (e == SOTTO_OK && !rig_is_dead(w, w->relay_path))
        return true;
    rig_trace("the relay died while it wrote");
    assert_non_null(w->disk);
    w->relay_deaths++;
    relay_kill(w);
    return false;
}

bool rig_relay_commit(struct world *w)
{
    return relay_lives(w, sotto_relay_turn(w->relay));
}

static bool relay_turns(struct world *w)
{
    do {
        if (!rig_relay_commit(w))
            return false;
        relay_hand_out(w);
    } while (sotto_relay_deadline(w->relay) == 0);
    return true;
}

/* When a sync begins the disk has all of it already, or it will have it at the end: with what came
 * since, which it is not told to keep. Before its death the disk is slow: what is handed out in
 * that time rests on the syncs before. false: the relay died of it. */
static bool sync_begins(struct world *w)
{
    sotto_relay_sync_begun(w->relay);
    w->syncing = true;
    w->sync_at_end = w->slow_sync && (w->kill_in > 0 || rig_next_turn(w) % 2 == 0);
    return w->sync_at_end || relay_lives(w, sotto_rs_sync(w->store));
}

bool rig_sync_ends(struct world *w)
{
    w->syncing = false;
    if (w->sync_at_end && !relay_lives(w, sotto_rs_sync(w->store)))
        return false;
    sotto_relay_synced(w->relay);
    if (w->kill_after_sync > 0 && w->disk->unsynced(w->relay_path)) {
        w->kill_in = w->kill_after_sync;
        w->kill_after_sync = 0;
    }
    return relay_turns(w);
}

/* Two things that the program does between turns, the first in a thread: what was committed in
 * between is in the log alone. The disk may be full. false: the relay died of it. */
static bool carries_over(struct world *w)
{
    enum { BEGIN = 40, END = 47 };

    if (++w->log_turns == BEGIN)
        (void)sotto_rs_checkpoint(w->store);
    if (w->log_turns == END) {
        (void)sotto_rs_checkpoint_rest(w->store);
        w->log_turns = 0;
    }
    return relay_lives(w, SOTTO_OK);
}

void rig_relay_turn(struct world *w)
{
    if (w->relay == NULL || !relay_turns(w) || (w->slow_sync && !carries_over(w)))
        return;
    while (w->syncing || sotto_relay_sync_due(w->relay)) {
        if (!w->syncing && !sync_begins(w))
            return;
        if (w->slow_sync && (w->kill_in > 0 || rig_next_turn(w) % 64 != 0))
            return; /* the rest goes on meanwhile */
        if (!rig_sync_ends(w))
            return;
    }
}

/* --- its life --- */

static void relay_move(struct world *w, const char *from);

void rig_relay_open(struct world *w)
{
    char path[256], why[512] = "";

    for (;;) {
        enum sotto_err e;

        snprintf(path, sizeof path, "%s/relay.db", w->relay_path);
        e = sotto_rs_open(path, true, w->vfs, &w->store, why, sizeof why);
        if (e == SOTTO_OK)
            e = sotto_relay_new(&w->env.env, w->store, &w->config, &w->relay);
        if (e == SOTTO_OK) {
            w->relay_boots++;
            return;
        }
        if (rig_is_dead(w, w->relay_path))
            relay_move(w, w->relay_path);
        else if (w->disk != NULL && (e == SOTTO_ERR_FULL || e == SOTTO_ERR_NOMEM))
            rig_relay_close(w); /* somebody makes room, and starts it again */
        else
            fail_msg("the relay does not start: %s %s", sotto_err_text(e), why);
    }
}

void rig_relay_close(struct world *w)
{
    sotto_relay_free(w->relay); /* and all of its ends of connections */
    sotto_rs_close(w->store);
    w->relay = NULL;
    w->store = NULL;
    for (size_t i = 0; i < w->phone_count; i++)
        w->phones[i]->conn = NULL;
}

static void links_break(struct world *w)
{
    for (size_t i = 0; i < w->phone_count; i++)
        if (w->phones[i]->linked && w->phones[i]->conn == NULL)
            rig_link_lost(w->phones[i], SOTTO_ERR_CLOSED, "the connection broke", NULL);
}

void relay_stop(struct world *w)
{
    sotto_relay_shutdown(w->relay);
    rig_relay_turn(w);
    world_run(w);
    rig_relay_close(w);
    links_break(w);
}

void relay_start(struct world *w)
{
    rig_relay_open(w);
}

static void relay_move(struct world *w, const char *from)
{
    char fresh[160];

    rig_fresh_folder(w, "relay", fresh, sizeof fresh);
    rig_copy_database(w, from, fresh, "relay.db", from == w->relay_path);
    rig_relay_close(w);
    rig_drop_folder(w, w->relay_path);
    snprintf(w->relay_path, sizeof w->relay_path, "%s", fresh);
}

void relay_kill(struct world *w)
{
    relay_move(w, w->relay_path);
    rig_relay_open(w);
    links_break(w);
}

void relay_save(struct world *w, const char *label)
{
    char to[256];

    rig_label_folder(w, "relay", label, to);
    (void)mkdir(to, 0700);
    rig_copy_database(w, w->relay_path, to, "relay.db", false);
}

void relay_restore(struct world *w, const char *label, bool renewed)
{
    char from[256], path[256], why[512];

    rig_label_folder(w, "relay", label, from);
    relay_move(w, from);
    if (renewed) {
        snprintf(path, sizeof path, "%s/relay.db", w->relay_path);
        assert_int_equal(sotto_rs_open(path, false, w->vfs, &w->store, why, sizeof why), SOTTO_OK);
        assert_int_equal(sotto_rs_renew(w->store, &w->env.env), SOTTO_OK);
        sotto_rs_close(w->store);
        w->store = NULL;
    }
    rig_relay_open(w);
    links_break(w);
}

void relay_invite(struct world *w, uint8_t fill, uint32_t uses, char ret[SOTTO_INVITE_LINK_MAX])
{
    struct sotto_invite inv = {.port = 12345, .has_code = true};
    uint8_t hash[32];

    snprintf(inv.host, sizeof inv.host, "%s", WORLD_HOST);
    memcpy(inv.relay_id, sotto_relay_id(w->relay), 32);
    inv.pin_count = w->config.pin_count;
    memcpy(inv.pins, w->config.pins, sizeof inv.pins);
    memset(inv.code, fill, sizeof inv.code);
    sotto_sha256(inv.code, sizeof inv.code, hash);
    assert_int_equal(sotto_rs_invite_add(w->store, hash, uses, w->env.now + 86400000), SOTTO_OK);
    assert_int_equal(sotto_invite_print(&inv, ret), SOTTO_OK);
}
