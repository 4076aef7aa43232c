/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/metrics_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "folder.h"
#include "wire/answer.h"

static struct folder folder;
static struct sotto_metrics *m;
static struct sotto_counters one, two;
static struct sotto_buf page;

static int setup(void **state)
{
    memset(&one, 0, sizeof one);
    memset(&two, 0, sizeof two);
    folder_make(&folder);
    m = sotto_metrics_new(folder.path);
    assert_non_null(m);
    page = SOTTO_BUF(256 * 1024);
    return 0;
}

static int teardown(void **state)
{
    sotto_metrics_free(m);
    folder_remove(&folder);
    sotto_buf_free(&page);
    return 0;
}

static void print(void)
{
    const struct sotto_counters *both[] = {&one, &two};
    const struct sotto_metrics_now now = {
        .uptime_ms = 61999, .connections_max = 77, .certificate_s = -5};

    assert_int_equal(sotto_metrics_print(m, both, 2, &now, &page), 0);
    assert_int_equal(sotto_buf_add(&page, "", 1), 0);
}

static bool has(const char *line)
{
    char whole[256];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr((const char *)page.p, whole) != NULL)
        return true;
    printf("# no line: %s\n", line);
    return false;
}

static void sums_of_all_threads(void **state)
{
    sotto_count(&one, SOTTO_COUNT_LIVE, 3);
    sotto_count(&two, SOTTO_COUNT_LIVE, 4);
    sotto_count(&two, SOTTO_COUNT_STORED, 1);
    sotto_gauge(&one, SOTTO_COUNT_CONNECTIONS, 9);
    sotto_gauge(&one, SOTTO_COUNT_CONNECTIONS, 8);
    sotto_count_refusal(&one, SOTTO_RELAY_WRONG_PASSWORD);
    sotto_count_refusal(&two, SOTTO_RELAY_WRONG_PASSWORD);
    sotto_count_refusal(&two, 1000000); /* nothing that we know: counted all the same */
    print();
    assert_true(has("sottod_messages_total{way=\"live\"} 7"));
    assert_true(has("sottod_messages_total{way=\"stored\"} 1"));
    assert_true(has("sottod_connections 8"));
    assert_true(has("sottod_refusals_total{reason=\"wrong password\"} 2"));
    assert_true(has("sottod_refusals_total{reason=\"other\"} 1"));
    assert_true(has("sottod_uptime_seconds 61"));
    assert_true(has("sottod_connections_max 77"));
    assert_true(has("sottod_certificate_seconds -5"));
}

static void durations_are_cumulative(void **state)
{
    static const uint64_t took[] = {0, 100, 101, 999999, 1000000, 1000001, 60000000};

    for (size_t i = 0; i < sizeof took / sizeof took[0]; i++)
        sotto_observe(i % 2 == 0 ? &one.commit : &two.commit, took[i]);
    print();
    assert_true(has("sottod_commit_seconds_bucket{le=\"0.0001\"} 2"));
    assert_true(has("sottod_commit_seconds_bucket{le=\"0.00025\"} 3"));
    assert_true(has("sottod_commit_seconds_bucket{le=\"0.25\"} 3"));
    assert_true(has("sottod_commit_seconds_bucket{le=\"1\"} 5"));
    assert_true(has("sottod_commit_seconds_bucket{le=\"+Inf\"} 7"));
    assert_true(has("sottod_commit_seconds_count 7"));
    assert_true(has("sottod_commit_seconds_sum 63.000201"));
    assert_true(has("sottod_turn_seconds_count 0"));
}

static void sizes_of_the_folder(void **state)
{
    file_write(folder_file(&folder, "relay.db"), "12345", 5);
    print();
    assert_true(has("sottod_database_bytes 5"));
    assert_true(has("sottod_database_log_bytes 0"));
    assert_non_null(strstr((const char *)page.p, "\nsottod_disk_free_bytes "));
    assert_non_null(strstr((const char *)page.p, "\nsottod_open_files "));
    assert_non_null(strstr((const char *)page.p, "\nsottod_memory_bytes "));
}

/* As the format wants it: one HELP and one TYPE before the lines of a metric, which stand together
 * and differ in their labels. */
static void well_formed(void **state)
{
    char seen[128][64], current[64] = "", *save = NULL, *text;
    size_t count = 0;

    print();
    text = (char *)page.p;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# HELP sottod_", 14) == 0) {
            assert_int_equal(sscanf(line, "# HELP %63s", current), 1);
            for (size_t i = 0; i < count; i++)
                assert_string_not_equal(seen[i], current);
            assert_true(count < 128);
            memcpy(seen[count++], current, sizeof current);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(strncmp(line + 7, current, strlen(current)), 0);
        } else {
            assert_int_equal(strncmp(line, current, strlen(current)), 0);
            assert_non_null(strchr(line, ' '));
        }
    }
    assert_true(count > 20);
}

static void every_refusal_has_a_word(void **state)
{
    for (unsigned code = 1; code <= SOTTO_RELAY_TOO_LARGE; code++)
        sotto_count_refusal(&one, code);
    print();
    assert_null(strstr((const char *)page.p, "reason=\"other\""));
}

static void page_too_long(void **state)
{
    const struct sotto_counters *both[] = {&one, &two};
    const struct sotto_metrics_now now = {0};
    SOTTO_AUTO_BUF small = SOTTO_BUF(1000);

    assert_int_equal(sotto_metrics_print(m, both, 2, &now, &small), SOTTO_ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_of_all_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(durations_are_cumulative, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_of_the_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(well_formed, setup, teardown),
        cmocka_unit_test_setup_teardown(every_refusal_has_a_word, setup, teardown),
        cmocka_unit_test_setup_teardown(page_too_long, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
