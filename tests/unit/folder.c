/* SPDX-License-Identifier: Apache-2.0 */
#include "folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void folder_make(struct folder *f)
{
    const char *base = getenv("TMPDIR");

    /* In memory where that can be had: no case is about what a real disk does, and thousands of
     * syncs take minutes on one that is busy. */
    if (base == NULL)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(f->path, sizeof f->path, "%s/sotto-test-XXXXXX", base);
    assert_non_null(mkdtemp(f->path));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

void folder_remove(struct folder *f)
{
    assert_int_equal(nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *folder_file(const struct folder *f, const char *name)
{
    static char buf[8][512];
    static unsigned next;
    char *p = buf[next++ % 8];

    snprintf(p, sizeof buf[0], "%s/%s", f->path, name);
    return p;
}

static int each_file(const struct folder *f, const void *what, size_t len)
{
    DIR *d = opendir(f->path);
    struct dirent *entry;
    int found = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        uint8_t *data;
        size_t n;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        data = file_read(folder_file(f, entry->d_name), &n);
        if (len == 0 || memmem(data, n, what, len) != NULL) {
            found++;
            if (len > 0)
                printf("# found in %s\n", entry->d_name);
        }
        free(data);
    }
    closedir(d);
    return found;
}

int folder_search(const struct folder *f, const void *what, size_t len)
{
    assert_true(len > 0);
    return each_file(f, what, len);
}

int folder_count(const struct folder *f)
{
    return each_file(f, NULL, 0);
}

uint8_t *file_read(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data;

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    *ret_len = (size_t)st.st_size;
    return data;
}

void file_write(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(close(fd), 0);
}

void file_copy(const char *from, const char *to)
{
    size_t n;
    uint8_t *data = file_read(from, &n);

    file_write(to, data, n);
    free(data);
}

void file_flip(const char *path, size_t at, uint8_t bits)
{
    size_t n;
    uint8_t *data = file_read(path, &n);

    assert_true(at < n);
    data[at] ^= bits;
    file_write(path, data, n);
    free(data);
}

int file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

unsigned file_mode(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (unsigned)st.st_mode & 07777;
}
