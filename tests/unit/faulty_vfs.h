/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_FAULTY_VFS_H
#define SOTTO_TESTS_FAULTY_VFS_H

#include <stdbool.h>

/*
 * A VFS for SQLite, called "faulty", that hands everything to the system's one and can be told to
 * fail. One for the whole process; single-threaded tests only.
 */
struct faulty_vfs {
    long left;  /* so many writes, syncs and truncations work before the failure; -1: all */
    int result; /* what the failing call gives: SQLITE_FULL, SQLITE_IOERR_WRITE... */
    bool stays; /* all later ones fail too (a full disk); else one only */
    bool only_sync;
    void (*meanwhile)(void); /* called once, at the next write to a database */
    /* counted */
    long calls;    /* writes, syncs and truncations */
    int failures;  /* of them, made to fail */
    int temporary; /* temporary files that were opened */
    long unsynced; /* writes to databases (not their logs) since the last sync of one */
};
extern struct faulty_vfs faulty;

/* Registers the VFS (calls sotto_db_init() first) and makes everything work. */
void faulty_reset(void);

#endif
