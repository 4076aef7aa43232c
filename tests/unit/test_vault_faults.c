/* SPDX-License-Identifier: Apache-2.0 */
/* A vault over a disk and a generator that fail, and over a crash. */
#include "vault/vault.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vault_case.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Stand in for the C library's calls in this program, so that a full disk and a crash can happen at
 * each of them.
 */
static struct {
    int left; /* calls until it happens; -1: never */
    int error;
    bool crash; /* end the process instead */
    int happened;
} disk = {.left = -1};

static bool disk_fails(void)
{
    if (disk.left < 0)
        return false;
    if (disk.left > 0) {
        disk.left--;
        return false;
    }
    if (disk.crash)
        _exit(77);
    disk.happened++;
    errno = disk.error;
    return true;
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *p, size_t n);
ssize_t write(int fd, const void *p, size_t n)
{
    /* Half of it arrives, as on a disk that fills up. */
    if (disk.left == 0 && n > 1)
        (void)syscall(SYS_write, fd, p, n / 2);
    return disk_fails() ? -1 : syscall(SYS_write, fd, p, n);
}

__attribute__((visibility("default"))) int fsync(int fd);
int fsync(int fd)
{
    return disk_fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int renameat(int from_dir, const char *from, int to_dir,
                                                    const char *to);
int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return disk_fails() ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

struct failing_random {
    struct sotto_env env;
    int left;
};

static enum sotto_err random_that_fails(void *ctx, void *ret, size_t len)
{
    struct failing_random *f = ctx;

    if (f->left-- <= 0)
        return SOTTO_ERR_RANDOM;
    return sotto_random(sotto_env_system(), ret, len);
}

static void failing_random_makes_no_vault(void **state)
{
    struct failing_random f = {.env = *sotto_env_system()};
    struct sotto_secret32 k = {0};
    enum sotto_err e = SOTTO_ERR_RANDOM;
    int n;

    f.env.ctx = &f;
    f.env.random = random_that_fails;
    for (n = 0; e == SOTTO_ERR_RANDOM; n++) {
        f.left = n;
        e = sotto_vault_create(&f.env, vault_dir.path, VAULT_PASSPHRASE, strlen(VAULT_PASSPHRASE),
                               &k);
        if (e != SOTTO_OK) {
            assert_true(sotto_is_zero(k.b, 32));
            assert_int_equal(folder_count(&vault_dir), 0);
        }
    }
    assert_int_equal(e, 0);
    assert_int_equal(n, 3); /* the key, the salt */
}

static void failing_disk_makes_no_half_vault(void **state)
{
    static const struct {
        int error;
        enum sotto_err want;
    } cases[] = {{ENOSPC, SOTTO_ERR_FULL}, {EDQUOT, SOTTO_ERR_FULL}, {EIO, SOTTO_ERR_IO}};
    struct sotto_secret32 k = {0};

    for (size_t i = 0; i < COUNT(cases); i++) {
        int n;

        for (n = 0;; n++) {
            enum sotto_err e;

            disk.left = n;
            disk.error = cases[i].error;
            disk.happened = 0;
            e = sotto_vault_create(sotto_env_system(), vault_dir.path, VAULT_PASSPHRASE,
                                   strlen(VAULT_PASSPHRASE), &k);
            disk.left = -1;
            if (disk.happened == 0) {
                assert_int_equal(e, 0);
                break;
            }
            disk.left = -1;
            assert_int_equal(e, cases[i].want);
            assert_true(sotto_is_zero(k.b, 32));
            assert_int_equal(folder_count(&vault_dir), 0);
        }
        assert_true(n >= 8); /* two copies: write, fsync, rename, fsync */
        folder_remove(&vault_dir);
        folder_make(&vault_dir);
        sotto_secret32_wipe(&k);
    }
}

/* Mending fails at each call: it opens all the same, and the good copy stays good. */
static void failing_disk_keeps_nobody_out(void **state)
{
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    size_t n = vault_put_both(1, data);
    int k;

    for (k = 0;; k++) {
        file_flip(vault_copy(0), 40, 1);
        disk.left = k;
        disk.error = ENOSPC;
        disk.happened = 0;
        vault_opens();
        disk.left = -1;
        vault_file_is(vault_copy(1), data, n);
        if (disk.happened == 0)
            break;
        vault_opens();
        vault_file_is(vault_copy(0), data, n);
    }
    assert_int_equal(k, 4);
    assert_int_equal(folder_count(&vault_dir), 2);
}

/* A crash at each call of creating: afterwards there is no vault, or one that opens. */
static void crash_leaves_none_or_a_whole_one(void **state)
{
    int none = 0, whole = 0;

    for (int n = 0; none + whole == n; n++) {
        struct sotto_secret32 k;
        int status;
        enum sotto_err e;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            disk.left = n;
            disk.crash = true;
            _exit(sotto_vault_create(sotto_env_system(), vault_dir.path, VAULT_PASSPHRASE,
                                     strlen(VAULT_PASSPHRASE), &k) != 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        e = vault_open_with(VAULT_PASSPHRASE, &k);
        if (WEXITSTATUS(status) == 77) {
            none += e == SOTTO_ERR_NOT_FOUND;
            whole += e == SOTTO_OK;
            if (e == SOTTO_ERR_NOT_FOUND) /* what the crash left is in nobody's way */
                assert_int_equal(sotto_vault_create(sotto_env_system(), vault_dir.path,
                                                    VAULT_PASSPHRASE, strlen(VAULT_PASSPHRASE), &k),
                                 0);
        } else {
            assert_int_equal(WEXITSTATUS(status), 0);
            assert_int_equal(e, 0);
        }
        folder_remove(&vault_dir);
        folder_make(&vault_dir);
    }
    assert_int_equal(none, 3);
    assert_true(whole >= 5);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, vault_case_setup, vault_case_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(failing_random_makes_no_vault),
        CASE(failing_disk_makes_no_half_vault),
        CASE(failing_disk_keeps_nobody_out),
        CASE(crash_leaves_none_or_a_whole_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
