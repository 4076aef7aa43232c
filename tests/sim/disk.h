/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_SIM_DISK_H
#define SOTTO_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A disk in memory, as a VFS of SQLite called "sim". It knows what was synced and what was not:
 * when the power goes, each write since the last sync of its file is there, is missing, or is torn
 * at a boundary of 512 bytes, whatever the order they came in. Nothing touches the real disk, so a
 * forked process has a disk of its own.
 *
 * A folder (all up to the last '/') is a machine. The next fault can be set for one machine at a
 * time: at its n-th write, sync or truncation the process dies, or the disk is full for a while.
 * From its death on every write of that machine fails, and what is left of its files lies apart
 * (sim_disk_copy() takes it from there).
 */
enum sim_loss {
    SIM_KILLED,    /* the process is gone, what it wrote is there */
    SIM_POWER_CUT, /* and what was not synced may not be */
};

void sim_disk_init(void); /* registers the VFS; once */

/* Chooses what is lost; the same state gives the same losses. */
void sim_disk_seed(uint64_t seed);

/* After `ops` more operations of that machine. */
void sim_disk_die(const char *folder, unsigned ops, enum sim_loss loss);
/* `count` operations from now on find no room. */
void sim_disk_fill(const char *folder, unsigned count);
void sim_disk_calm(void); /* no fault is set any more */
bool sim_disk_dead(const char *folder);
bool sim_disk_unsynced(const char *folder); /* a power cut would lose something */

/* FOLDER/name and its WAL as they would be found after the loss; a dead machine's as they were when
 * it died. */
void sim_disk_copy(const char *from, const char *to, const char *name, enum sim_loss loss);
void sim_disk_drop(const char *folder);

/* Above 0 while it asks for memory of its own. */
extern volatile int sim_disk_busy;

/* Counted since the start of the process. */
struct sim_disk_count {
    unsigned long writes, syncs, deaths, power_cuts, lost, torn, full;
};
extern struct sim_disk_count sim_disk_count;

#endif
