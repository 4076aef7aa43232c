/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_PROFILE_RIG_H
#define SOTTO_TESTS_PROFILE_RIG_H

#include "folder.h"
#include "store/profile.h"

/* A profile, new, in a scratch folder. What is put there gets ids from small numbers. */
extern const struct sotto_secret32 profile_rig_key;
void profile_rig_make(struct folder *dir, struct sotto_profile **p);
void profile_rig_free(struct folder *dir, struct sotto_profile *p);
/* Closed, and opened again. */
void profile_rig_reopen(const struct folder *dir, struct sotto_profile **p);
/* 16 bytes; good while seven more are asked for. */
const uint8_t *id_of(unsigned n);

#endif
