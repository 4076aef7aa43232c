/* SPDX-License-Identifier: Apache-2.0 */
/* The list in a backup, which may come from anywhere. */
#include "run/operator/backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "folder.h"

#define HEX   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD  "sottod backup 1\n"
#define TIME  "time 1795000000000\n"
#define RELAY "relay " HEX "\n"
#define DB    "file relay.db 4096 " HEX "\n"
#define AUDIT "file audit.log 0 " HEX "\n"

static struct folder f;

static int setup(void **state)
{
    folder_make(&f);
    return 0;
}

static int teardown(void **state)
{
    folder_remove(&f);
    return 0;
}

static enum sotto_err read_bytes(const void *text, size_t len, struct sotto_backup *ret)
{
    char why[512] = "";
    enum sotto_err e;

    file_write(folder_file(&f, SOTTO_BACKUP_LIST), text, len);
    e = sotto_backup_read(f.path, ret, why, sizeof why);
    assert_true(e == SOTTO_OK || (e == SOTTO_ERR_MALFORMED && why[0] != '\0'));
    return e;
}

static enum sotto_err read_text(const char *text)
{
    struct sotto_backup b;

    return read_bytes(text, strlen(text), &b);
}

/* A list, and what it is read as: writing that gives the same file. */
static void what_is_written_is_read(void **state)
{
    struct sotto_backup b = {.time_ms = 1795000000000, .relay_id = {1, 2, 3}}, again;
    char why[512];

    for (unsigned which = 1; which < 1u << SOTTO_BACKUP_FILES; which += 2) {
        memset(b.files, 0, sizeof b.files);
        for (unsigned i = 0; i < SOTTO_BACKUP_FILES; i++) {
            if ((which >> i & 1) == 0)
                continue;
            b.files[i].present = true;
            b.files[i].bytes = 1ull << (10 * i);
            memset(b.files[i].hash, (int)(which + i), 32);
        }
        assert_int_equal(sotto_backup_write(f.path, &b, why, sizeof why), 0);
        assert_int_equal(sotto_backup_read(f.path, &again, why, sizeof why), 0);
        assert_memory_equal(&b, &again, sizeof b);
        assert_int_equal(remove(folder_file(&f, SOTTO_BACKUP_LIST)), 0);
    }
}

static void only_what_is_written_is_read(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } t[] = {
        {HEAD TIME RELAY DB "end\n", true},
        {HEAD TIME RELAY DB AUDIT "end\n", true},
        {HEAD TIME RELAY AUDIT DB "end\n", true},
        {"", false},
        {"\n", false},
        {HEAD, false},
        {"sottod backup 2\n" TIME RELAY DB "end\n", false},
        {"sottod backup 1 \n" TIME RELAY DB "end\n", false},
        {TIME RELAY DB "end\n", false},
        {HEAD TIME RELAY "end\n", false},       /* no database */
        {HEAD TIME RELAY AUDIT "end\n", false}, /* the same */
        {HEAD RELAY DB "end\n", false},
        {HEAD TIME DB "end\n", false},
        {HEAD RELAY TIME DB "end\n", false},
        {HEAD TIME TIME RELAY DB "end\n", false},
        {HEAD TIME RELAY RELAY DB "end\n", false},
        {HEAD TIME RELAY DB DB "end\n", false},
        {HEAD TIME RELAY DB, false},        /* cut */
        {HEAD TIME RELAY DB "end", false},  /* cut */
        {HEAD TIME RELAY DB "en\n", false}, /* cut */
        {HEAD TIME RELAY DB "end\n\n", false},
        {HEAD TIME RELAY DB "end\nend\n", false},
        {HEAD TIME RELAY DB "end\n" DB, false},
        {HEAD TIME RELAY DB "\nend\n", false},
        {HEAD "time 0\n" RELAY DB "end\n", false},
        {HEAD "time -1\n" RELAY DB "end\n", false},
        {HEAD "time +1\n" RELAY DB "end\n", false},
        {HEAD "time 1 \n" RELAY DB "end\n", false},
        {HEAD "time 0x10\n" RELAY DB "end\n", false},
        {HEAD "time 99999999999999999999999999\n" RELAY DB "end\n", false},
        {HEAD "time \n" RELAY DB "end\n", false},
        {HEAD "time\n" RELAY DB "end\n", false},
        {HEAD TIME "relay \n" DB "end\n", false},
        {HEAD TIME "relay 00\n" DB "end\n", false},
        {HEAD TIME "relay " HEX "00\n" DB "end\n", false},
        {HEAD TIME "relay " HEX " \n" DB "end\n", false},
        {HEAD TIME RELAY "file relay.db 4096\nend\n", false},
        {HEAD TIME RELAY "file relay.db\nend\n", false},
        {HEAD TIME RELAY "file \nend\n", false},
        {HEAD TIME RELAY "file relay.db  4096 " HEX "\nend\n", false},
        {HEAD TIME RELAY "file relay.db 4096 " HEX " x\nend\n", false},
        {HEAD TIME RELAY "file relay.db 4096 " HEX "00\nend\n", false},
        {HEAD TIME RELAY "file relay.db -4096 " HEX "\nend\n", false},
        {HEAD TIME RELAY "file relay.db 18446744073709551616 " HEX "\nend\n", false},
        {HEAD TIME RELAY DB "file ../../etc/passwd 1 " HEX "\nend\n", false},
        {HEAD TIME RELAY DB "file /etc/passwd 1 " HEX "\nend\n", false},
        {HEAD TIME RELAY DB "file cert/other.pem 1 " HEX "\nend\n", false},
        {HEAD TIME RELAY DB "file cert/server_key.pem 1 " HEX "\nend\n", true},
        {HEAD "time 1\r\n" RELAY DB "end\n", false},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        if ((read_text(t[i].text) == 0) != t[i].good)
            fail_msg("taken wrongly: %s", t[i].text);
}

/* Every byte changed to every value, and every length: refused, or read as what writing it gives.
 */
static void whatever_it_holds(void **state)
{
    static const char whole[] = HEAD TIME RELAY DB AUDIT "end\n";
    struct sotto_backup b;
    char why[512];
    unsigned taken = 0;

    for (size_t n = 0; n < sizeof whole - 1; n++)
        assert_int_equal(read_bytes(whole, n, &b), SOTTO_ERR_MALFORMED);
    for (size_t at = 0; at < sizeof whole - 1; at += at < 60 ? 1 : 7) {
        for (unsigned value = 0; value < 256; value += 3) {
            char text[sizeof whole];
            uint8_t *again;
            size_t len;

            memcpy(text, whole, sizeof whole);
            text[at] = (char)value;
            if (read_bytes(text, sizeof whole - 1, &b) != 0)
                continue;
            taken++;
            assert_int_equal(remove(folder_file(&f, SOTTO_BACKUP_LIST)), 0);
            assert_int_equal(sotto_backup_write(f.path, &b, why, sizeof why), 0);
            again = file_read(folder_file(&f, SOTTO_BACKUP_LIST), &len);
            for (size_t i = 0; i < len; i++) /* hex is taken in either case */
                if (text[i] >= 'A' && text[i] <= 'F')
                    text[i] = (char)(text[i] - 'A' + 'a');
            if (text[sizeof "sottod backup 1\ntime"] != '0') { /* leading zeros are not written */
                assert_int_equal(len, sizeof whole - 1);
                assert_memory_equal(again, text, len);
            }
            free(again);
        }
    }
    assert_true(taken > 0);
}

static void long_lines_and_odd_files(void **state)
{
    struct sotto_backup b;
    char *big = malloc(1 << 20), why[512];

    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    assert_int_equal(read_bytes(big, 1 << 20, &b), SOTTO_ERR_MALFORMED);
    memset(big, '\n', 1 << 20);
    assert_int_equal(read_bytes(big, 1 << 20, &b), SOTTO_ERR_MALFORMED);
    memset(big, 0, 1 << 20);
    assert_int_equal(read_bytes(big, 1 << 20, &b), SOTTO_ERR_MALFORMED);
    free(big);
    assert_int_equal(remove(folder_file(&f, SOTTO_BACKUP_LIST)), 0);
    assert_int_equal(sotto_backup_read(f.path, &b, why, sizeof why), SOTTO_ERR_NOT_FOUND);
    assert_non_null(strstr(why, "is no backup"));
    assert_int_equal(mkfifo(folder_file(&f, SOTTO_BACKUP_LIST), 0600), 0);
    assert_int_equal(sotto_backup_read(f.path, &b, why, sizeof why), SOTTO_ERR_IO);
    assert_int_equal(remove(folder_file(&f, SOTTO_BACKUP_LIST)), 0);
    assert_int_equal(mkdir(folder_file(&f, SOTTO_BACKUP_LIST), 0700), 0);
    assert_int_equal(sotto_backup_read(f.path, &b, why, sizeof why), SOTTO_ERR_IO);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_written_is_read),
        CASE(only_what_is_written_is_read),
        CASE(whatever_it_holds),
        CASE(long_lines_and_odd_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
