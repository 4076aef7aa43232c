/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_ENGINE_RIG_INTERNAL_H
#define SOTTO_TESTS_ENGINE_RIG_INTERNAL_H

#include "engine_rig.h"

/* What engine_rig.c (the world, frames, time), engine_phone.c and engine_relay.c share. */

extern const struct sotto_engine_ops rig_engine_ops; /* ctx: the phone */
void rig_fresh_folder(struct world *w, const char *who, char *ret, size_t room);
void rig_drop_folder(const struct world *w, const char *path);
/* A database as it lies on the disk at this moment; crash: its process is gone. */
void rig_copy_database(const struct world *w, const char *from, const char *to, const char *name,
                       bool crash);
bool rig_is_dead(const struct world *w, const char *folder);
void rig_label_folder(const struct world *w, const char *who, const char *label, char ret[256]);
/* Both ends go, with what was under way; the engine is not told. */
void rig_link_close(struct phone *p);
/* And it is told. */
void rig_link_lost(struct phone *p, enum sotto_err why, const char *text, const uint8_t *pin);
/* After every entry into the engine, as its owner has to. */
void rig_phone_after(struct phone *p);
/* Who is next: in turn, or by the dice. */
unsigned rig_next_turn(struct world *w);
void rig_phone_free(struct phone *p);
void rig_printed_clear(struct phone *p);

/* On what lies in its folder; it dies there as often as the disk wants. */
void rig_relay_open(struct world *w);
/* With its ends of the connections; the phones are not told. */
void rig_relay_close(struct world *w);
/* One turn, of which nothing leaves yet. false: it died of it, and another one was started. */
bool rig_relay_commit(struct world *w);
/* As many turns as it wants, and syncs as far as they are over. */
void rig_relay_turn(struct world *w);
/* The sync that goes on is over. false: the relay died of it. */
bool rig_sync_ends(struct world *w);

#endif
