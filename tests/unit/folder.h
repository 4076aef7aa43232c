/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_FOLDER_H
#define SOTTO_TESTS_FOLDER_H

#include <stddef.h>
#include <stdint.h>

/* A folder of its own for one test case. Every failure in here fails the case. */
struct folder {
    char path[128];
};
void folder_make(struct folder *f);
void folder_remove(struct folder *f); /* with all that is in it */
/* PATH/name in one of eight static buffers. */
const char *folder_file(const struct folder *f, const char *name);
/* How many of its files hold these bytes somewhere; names them on stdout. */
int folder_search(const struct folder *f, const void *what, size_t len);
int folder_count(const struct folder *f); /* files */

/* Whole file, to be freed. */
uint8_t *file_read(const char *path, size_t *ret_len);
void file_write(const char *path, const void *data, size_t len); /* mode 0600 */
void file_copy(const char *from, const char *to);
void file_flip(const char *path, size_t at, uint8_t bits);
int file_exists(const char *path);
unsigned file_mode(const char *path); /* permission bits */

#endif
