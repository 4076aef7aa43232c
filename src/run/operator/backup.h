/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_OPERATOR_BACKUP_H
#define SOTTO_RUN_OPERATOR_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * A backup is a folder (0700) of files (0600) that have the names that they have in the data
 * folder, and "sottod-backup", which says what belongs to it:
 *
 *     sottod backup 1
 *     time 1795000000000                       milliseconds since 1970
 *     relay HEX                                the relay's id
 *     file relay.db BYTES HASH                 and so on, at most SOTTO_BACKUP_FILES
 *     end
 *
 * HASH is of the last block of 1 MiB, H(n) = SHA-256(H(n-1) || block n), H(0) = 32 zeros.
 * It is written under another name and gets its own once everything in it is on disk and verified.
 * Who has it is the relay: it holds all its keys.
 */
#define SOTTO_BACKUP_LIST  "sottod-backup"
#define SOTTO_BACKUP_FILES 4
extern const char *const sotto_backup_names[SOTTO_BACKUP_FILES]; /* relay.db is the first */

struct sotto_backup {
    uint64_t time_ms;
    uint8_t relay_id[32];
    struct {
        bool present;
        uint64_t bytes;
        uint8_t hash[32];
    } files[SOTTO_BACKUP_FILES];
};
/* Reads the list; the files are not looked at. NOT_FOUND: no backup; MALFORMED, IO: why. */
enum sotto_err sotto_backup_read(const char *dir, struct sotto_backup *ret, char *why, size_t room);
enum sotto_err sotto_backup_write(const char *dir, const struct sotto_backup *b, char *why,
                                  size_t room);

/* From an open file to a new one (0600), or to nowhere (NULL); durable on return. ret_*: what was
 * read. EXISTS, FULL, IO. */
enum sotto_err sotto_backup_copy(int from, const char *to, uint64_t *ret_bytes,
                                 uint8_t ret_hash[32], char *why, size_t room);
/* What is in a folder is durable. */
enum sotto_err sotto_folder_sync(const char *path, char *why, size_t room);
/* A folder with what a backup holds, and nothing else. */
void sotto_backup_remove(const char *dir);

#endif
