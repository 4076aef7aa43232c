/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_IDSET_H
#define SOTTO_RELAY_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A set of numbers that look random: which envelopes wait in which box. Open addressing without
 * tombstones, so it costs the same after a year. Zero-initialized it is empty.
 */
struct sotto_idset {
    uint64_t *slots; /* 0: free */
    size_t count, room;
};

/* Half an envelope id (a hash) within one box. */
uint64_t sotto_idset_key(int64_t box, uint64_t half_id);
bool sotto_idset_has(const struct sotto_idset *s, uint64_t key);
/* false: no memory. One that is there already stays once. */
bool sotto_idset_add(struct sotto_idset *s, uint64_t key);
void sotto_idset_remove(struct sotto_idset *s, uint64_t key);
void sotto_idset_free(struct sotto_idset *s);

#endif
