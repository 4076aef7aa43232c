/* SPDX-License-Identifier: Apache-2.0 */
#include "vault_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

const struct sotto_vault_cost vault_cheap = {.mem_kib = 8, .passes = 1};
struct folder vault_dir;
int vault_said;

static void count_log(void *ctx, enum sotto_log_level level, const char *line)
{
    assert_int_equal(level, SOTTO_LOG_LOCAL);
    assert_null(strstr(line, VAULT_PASSPHRASE));
    vault_said++;
}

int vault_case_setup(void **state)
{
    folder_make(&vault_dir);
    vault_said = 0;
    sotto_log_set(count_log, NULL, SOTTO_LOG_DEBUG);
    return 0;
}

int vault_case_teardown(void **state)
{
    sotto_log_set(NULL, NULL, SOTTO_LOG_BUG);
    folder_remove(&vault_dir);
    return 0;
}

const char *vault_copy(int which)
{
    return folder_file(&vault_dir, which ? "vault.bak" : "vault");
}

const struct sotto_secret32 *vault_a_key(void)
{
    static struct sotto_secret32 k;

    for (int i = 0; i < 32; i++)
        k.b[i] = (uint8_t)i;
    return &k;
}

size_t vault_bytes(uint32_t serial, const char *passphrase, uint8_t ret[SOTTO_VAULT_FILE_MAX])
{
    size_t n = 0;

    assert_int_equal(sotto_vault_seal(sotto_env_system(), &vault_cheap, passphrase,
                                      strlen(passphrase), vault_a_key(), serial, ret,
                                      SOTTO_VAULT_FILE_MAX, &n),
                     0);
    return n;
}

size_t vault_put_both(uint32_t serial, uint8_t data[SOTTO_VAULT_FILE_MAX])
{
    size_t n = vault_bytes(serial, VAULT_PASSPHRASE, data);

    for (int i = 0; i < 2; i++)
        file_write(vault_copy(i), data, n);
    return n;
}

enum sotto_err vault_open_with(const char *passphrase, struct sotto_secret32 *ret)
{
    return sotto_vault_open(vault_dir.path, passphrase, strlen(passphrase), ret);
}

void vault_opens(void)
{
    struct sotto_secret32 k = {0};

    assert_int_equal(vault_open_with(VAULT_PASSPHRASE, &k), 0);
    assert_memory_equal(k.b, vault_a_key()->b, 32);
}

void vault_refused(enum sotto_err want)
{
    struct sotto_secret32 k = {0};

    assert_int_equal(vault_open_with(VAULT_PASSPHRASE, &k), want);
    assert_true(sotto_is_zero(k.b, sizeof k.b));
}

void vault_file_is(const char *path, const uint8_t *want, size_t len)
{
    size_t n;
    uint8_t *got = file_read(path, &n);

    assert_int_equal(n, len);
    assert_memory_equal(got, want, len);
    free(got);
}
