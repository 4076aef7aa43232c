/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

/* What vec_from_hex() handed out for the file that is being run. */
static struct chunk {
    struct chunk *next;
    uint8_t b[];
} * chunks;

static void free_chunks(void)
{
    while (chunks != NULL) {
        struct chunk *c = chunks;

        chunks = c->next;
        free(c);
    }
}

_Noreturn void vec_fail(const json_t *test, const char *what)
{
    char *text = json_dumps(test, JSON_COMPACT);

    fail_msg("%s in %.2000s", what, text != NULL ? text : "?");
    abort();
}

static const json_t *get(const json_t *object, const char *key, json_type type)
{
    const json_t *v = json_object_get(object, key);

    if (v == NULL || json_typeof(v) != type)
        fail_msg("the field %s is missing or has another type", key);
    return v;
}

struct vec vec_from_hex(const char *text, size_t len)
{
    struct chunk *c = malloc(sizeof *c + len / 2 + 1);
    struct vec v = {0};

    assert_non_null(c);
    c->next = chunks;
    chunks = c;
    v.p = c->b;
    if (sotto_hex_decode(text, len, v.p, len / 2, &v.n) != 0)
        fail_msg("not hex: %.*s", len < 200 ? (int)len : 200, text);
    return v;
}

struct vec vec_hex(const json_t *object, const char *key)
{
    const json_t *v = get(object, key, JSON_STRING);

    return vec_from_hex(json_string_value(v), json_string_length(v));
}

const uint8_t *vec_hex_n(const json_t *object, const char *key, size_t len)
{
    struct vec v = vec_hex(object, key);

    if (v.n != len)
        fail_msg("the field %s has %zu bytes, not %zu", key, v.n, len);
    return v.p;
}

const char *vec_string(const json_t *object, const char *key)
{
    return json_string_value(get(object, key, JSON_STRING));
}

long vec_int(const json_t *object, const char *key)
{
    return (long)json_integer_value(get(object, key, JSON_INTEGER));
}

json_t *vec_array(const json_t *object, const char *key)
{
    (void)get(object, key, JSON_ARRAY);
    return json_object_get(object, key);
}

bool vec_flag(const json_t *test, const char *flag)
{
    const json_t *flags = json_object_get(test, "flags"), *f;
    size_t i;

    json_array_foreach(flags, i, f)
    {
        if (json_is_string(f) && strcmp(json_string_value(f), flag) == 0)
            return true;
    }
    return false;
}

static void count(const char *label, const char *file, size_t n, size_t min)
{
    printf("vectors: %s%s %zu cases\n", label, file, n);
    fflush(stdout);
    if (n < min)
        fail_msg("%s%s: %zu cases ran, at least %zu expected", label, file, n, min);
}

/* Where the full sets are; NULL when they were not asked for. */
static const char *full_dir(void)
{
    const char *dir = getenv("SOTTO_VECTORS");

    return dir != NULL && dir[0] != 0 ? dir : NULL;
}

static void run(const char *dir, const char *label, const char *file, size_t min, vectors_fn *fn)
{
    char path[4096];
    json_error_t err;
    json_t *root;
    size_t n;

    snprintf(path, sizeof path, "%s/%s", dir, file);
    root = json_load_file(path, JSON_REJECT_DUPLICATES, &err);
    if (root == NULL)
        fail_msg("%s:%d: %s", path, err.line, err.text);
    n = fn(root);
    json_decref(root);
    free_chunks();
    count(label, file, n, min);
}

void vectors_run(const char *file, size_t own_min, size_t full_min, vectors_fn *fn)
{
    run(SOTTO_OWN_VECTORS, "tests/vectors/", file, own_min, fn);
    vectors_run_full(file, full_min, fn);
}

void vectors_run_full(const char *file, size_t full_min, vectors_fn *fn)
{
    if (full_dir() != NULL)
        run(full_dir(), "", file, full_min, fn);
}

static void run_lines(const char *dir, const char *label, const char *file, size_t min,
                      vectors_line_fn *fn)
{
    char path[4096], *line = NULL;
    size_t room = 0, n = 0;
    ssize_t len;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, file);
    if ((f = fopen(path, "r")) == NULL)
        fail_msg("%s cannot be read", path);
    while ((len = getline(&line, &room, f)) >= 0) {
        if (len > 0 && line[len - 1] == '\n')
            line[--len] = 0;
        n += fn(line, (size_t)len);
    }
    assert_int_equal(ferror(f), 0);
    fclose(f);
    free(line);
    free_chunks();
    count(label, file, n, min);
}

void vectors_run_lines(const char *file, size_t own_min, size_t full_min, vectors_line_fn *fn)
{
    run_lines(SOTTO_OWN_VECTORS, "tests/vectors/", file, own_min, fn);
    if (full_dir() != NULL)
        run_lines(full_dir(), "", file, full_min, fn);
}
