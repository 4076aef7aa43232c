/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libFuzzer: runs a target over every file of the folders (or files) named on the
 * command line, in sorted order, and prints TAP. A target ends the process when a property is
 * broken; the name of the input is printed before it runs, so that the culprit is known.
 * An empty corpus is a failure: it would prove nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

enum { LARGEST_INPUT = 16 * 1024 * 1024 };

static size_t inputs;

/* The input lies in an allocation of exactly its size, so that ASan sees a read past the end. */
static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data;
    size_t size;
    int ok;

    if (f == NULL || fstat(fileno(f), &st) != 0 || st.st_size > LARGEST_INPUT) {
        printf("# cannot read %s: %s\n", path, f == NULL ? strerror(errno) : "too large");
        if (f != NULL)
            fclose(f);
        return -1;
    }
    size = (size_t)st.st_size;
    data = malloc(size > 0 ? size : 1);
    ok = data != NULL && fread(data, 1, size, f) == size;
    fclose(f);
    if (ok) {
        printf("# %s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, size);
        inputs++;
    } else {
        printf("# cannot read %s\n", path);
    }
    free(data);
    return ok ? 0 : -1;
}

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static int replay_path(const char *path)
{
    struct dirent **names;
    char file[4096];
    struct stat st;
    int i, n, bad = 0;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return replay_file(path);
    n = scandir(path, &names, not_hidden, alphasort);
    if (n < 0) {
        printf("# cannot read %s: %s\n", path, strerror(errno));
        return -1;
    }
    for (i = 0; i < n; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (replay_file(file) != 0)
            bad = -1;
        free(names[i]);
    }
    free(names);
    return bad;
}

int main(int argc, char **argv)
{
    int i, bad = 0;

    if (LLVMFuzzerInitialize != NULL)
        LLVMFuzzerInitialize(&argc, &argv);
    printf("1..1\n");
    for (i = 1; i < argc; i++)
        if (replay_path(argv[i]) != 0)
            bad = 1;
    if (inputs == 0)
        bad = 1;
    printf("%sok 1 - corpus replayed, %zu inputs\n", bad ? "not " : "", inputs);
    return bad;
}
