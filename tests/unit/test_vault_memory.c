/* SPDX-License-Identifier: Apache-2.0 */
/* Memory runs out once while a vault is made or opened, at each request of ours and of OpenSSL's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/pwhash.h"
#include "folder.h"
#include "scarce.h"
#include "vault/vault.h"

#define PASSPHRASE "correct horse battery"
#define WRONG      "incorrect horse battery"

static struct folder dir;
static unsigned bugs;

static void count_bugs(void *ctx, enum sotto_log_level level, const char *line)
{
    bugs += level == SOTTO_LOG_BUG;
}

/* What makes guessing dear is no part of this, but for the memory that it takes. */
enum sotto_err __real_sotto_pwhash(const void *password, size_t password_len,
                                   const uint8_t salt[16], uint32_t mem_kib, uint32_t passes,
                                   void *ret, size_t ret_len);
enum sotto_err __wrap_sotto_pwhash(const void *password, size_t password_len,
                                   const uint8_t salt[16], uint32_t mem_kib, uint32_t passes,
                                   void *ret, size_t ret_len);
enum sotto_err __wrap_sotto_pwhash(const void *password, size_t password_len,
                                   const uint8_t salt[16], uint32_t mem_kib, uint32_t passes,
                                   void *ret, size_t ret_len)
{
    void *volatile memory = malloc(1024);
    enum sotto_err e = SOTTO_ERR_NOMEM;

    if (memory != NULL)
        e = __real_sotto_pwhash(password, password_len, salt, 8, 1, ret, ret_len);
    free(memory);
    return e;
}

static enum sotto_err make(struct sotto_secret32 *ret)
{
    enum sotto_err e;

    scarce_enter();
    e = sotto_vault_create(sotto_env_system(), dir.path, PASSPHRASE, strlen(PASSPHRASE), ret);
    scarce_leave();
    return e;
}

static enum sotto_err open_with(const char *passphrase, struct sotto_secret32 *ret)
{
    enum sotto_err e;

    scarce_enter();
    e = sotto_vault_open(dir.path, passphrase, strlen(passphrase), ret);
    scarce_leave();
    return e;
}

/* The first time: what libraries keep for ever is made here. */
static int setup(void **state)
{
    struct sotto_secret32 key;

    sotto_log_set(count_bugs, NULL, SOTTO_LOG_BUG);
    scarce_from_now(SCARCE_OURS, 0);
    folder_make(&dir);
    return make(&key) == 0 && open_with(PASSPHRASE, &key) == 0 &&
                   open_with(WRONG, &key) == SOTTO_ERR_BAD_TAG
               ? 0
               : -1;
}

static int teardown(void **state)
{
    folder_remove(&dir);
    return bugs == 0 ? 0 : -1;
}

/* No memory is no wrong passphrase and no damage: what it would make a person do is something else.
 */
static void opened(enum scarce_whose whose, const char *passphrase, enum sotto_err wanted)
{
    struct sotto_secret32 key, untouched;
    size_t before = scarce_blocks();
    unsigned long n = 0;
    enum sotto_err e;
    bool happened;

    memset(&untouched, 0x5a, sizeof untouched);
    do {
        key = untouched;
        scarce_from_now(whose, ++n);
        e = open_with(passphrase, &key);
        happened = scarce_happened();
        if (e != wanted && !(happened && e == SOTTO_ERR_NOMEM))
            fail_msg("request %lu: %s", n, sotto_err_name(e));
        if (e != 0)
            assert_memory_equal(&key, &untouched, sizeof key);
        assert_int_equal(scarce_blocks(), before);
    } while (happened);
    assert_true(n > 1 || whose == SCARCE_OPENSSL); /* not asked where the processor knows AES */
    assert_int_equal(e, wanted);
}

static void no_memory_to_open(void **state)
{
    opened(SCARCE_OURS, PASSPHRASE, SOTTO_OK);
    opened(SCARCE_OPENSSL, PASSPHRASE, SOTTO_OK);
    opened(SCARCE_OURS, WRONG, SOTTO_ERR_BAD_TAG);
    opened(SCARCE_OPENSSL, WRONG, SOTTO_ERR_BAD_TAG);
}

/* No half of a vault is left, over which the next one could not be made. */
static void made(enum scarce_whose whose)
{
    struct sotto_secret32 key, again;
    size_t before = scarce_blocks();
    unsigned long n = 0;
    bool happened;
    enum sotto_err e;

    do {
        folder_remove(&dir);
        folder_make(&dir);
        scarce_from_now(whose, ++n);
        e = make(&key);
        happened = scarce_happened();
        if (e != 0) {
            assert_true(happened);
            assert_int_equal(e, SOTTO_ERR_NOMEM);
            assert_int_equal(open_with(PASSPHRASE, &key), SOTTO_ERR_NOT_FOUND);
            assert_int_equal(make(&key), SOTTO_OK);
        }
        assert_int_equal(open_with(PASSPHRASE, &again), SOTTO_OK);
        assert_memory_equal(&key, &again, sizeof key);
        assert_int_equal(scarce_blocks(), before);
    } while (happened);
    assert_true(n > 1 || whose == SCARCE_OPENSSL); /* not asked where the processor knows AES */
}

static void no_memory_to_make(void **state)
{
    made(SCARCE_OURS);
    made(SCARCE_OPENSSL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_memory_to_open, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_to_make, setup, teardown),
    };

    scarce_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
