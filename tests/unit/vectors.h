/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_VECTORS_H
#define SOTTO_TESTS_VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Test vectors of others. The project's own selection lies in tests/vectors and always runs; the
 * environment variable SOTTO_VECTORS names a folder with the full sets under the same file names.
 * Whatever is missing, unreadable or of another form than expected fails the test.
 */

/* Runs the cases of one file and says how many they were. */
typedef size_t vectors_fn(json_t *root);

/*
 * Calls fn for our selection of the file and for the full one where SOTTO_VECTORS is set, prints
 * "vectors: FILE N cases" for each, and fails when fewer ran than the minimum.
 */
void vectors_run(const char *file, size_t own_min, size_t full_min, vectors_fn *fn);

/* For what takes too long for every run: only the full set. */
void vectors_run_full(const char *file, size_t full_min, vectors_fn *fn);

/* The same for a text file of lines; line is without its end. */
typedef size_t vectors_line_fn(const char *line, size_t len);
void vectors_run_lines(const char *file, size_t own_min, size_t full_min, vectors_line_fn *fn);

/* Bytes of a hex field. Lives until the file is done. */
struct vec {
    uint8_t *p;
    size_t n;
};
struct vec vec_hex(const json_t *object, const char *key);
/* The same with the one length that is right. */
const uint8_t *vec_hex_n(const json_t *object, const char *key, size_t len);
struct vec vec_from_hex(const char *text, size_t len);
const char *vec_string(const json_t *object, const char *key);
long vec_int(const json_t *object, const char *key);
json_t *vec_array(const json_t *object, const char *key);
/* Whether the case carries the flag ("flags": null or a list of strings). */
bool vec_flag(const json_t *test, const char *flag);
/* Prints which case failed; use as: if (!ok) vec_fail(test, "what"); */
_Noreturn void vec_fail(const json_t *test, const char *what);

#endif
