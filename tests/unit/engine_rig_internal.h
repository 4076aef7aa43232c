/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_ENGINE_RIG_INTERNAL_H
#define SOTTO_TESTS_ENGINE_RIG_INTERNAL_H

#include "engine_rig.h"

/* What engine_rig.c (the world, frames, time, the relay) and engine_phone.c share. */

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
void rig_relay_turn(struct world *w);
void rig_phone_free(struct phone *p);
void rig_printed_clear(struct phone *p);

#endif
