/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"

static struct sotto_relay_options o;
static char why[1024];

static int setup(void **state)
{
    (void)sotto_relay_options_init(&o);
    why[0] = '\0';
    return 0;
}

static enum sotto_err set(const char *name, const char *value)
{
    return sotto_relay_options_set(&o, name, value, why, sizeof why);
}

static void test_defaults(void **state)
{
    assert_int_equal(o.relay.registration, SOTTO_REGISTRATION_INVITE);
    assert_int_equal(o.relay.client_certificates, SOTTO_CLIENT_CERTS_REQUEST);
    assert_int_equal(o.relay.quota_messages, 2000);
    assert_int_equal(o.relay.quota_bytes, 16 * 1024 * 1024);
    assert_int_equal(o.relay.lifetime_days, 30);
    assert_int_equal(o.listen_count, 0);
    /* A thousand people behind one address. */
    assert_true(o.connections_per_address >= 2000 && o.handshakes_per_minute >= 2000);
    assert_true(o.relay.sign_ups_per_hour >= 1000 && o.relay.bundles_per_hour >= 1000);
    assert_int_equal(o.relay.strangers_per_hour, 60);
    assert_int_equal(o.relay.sign_ins_per_minute, 60);
    assert_int_equal(o.relay.bytes_per_second, 1024 * 1024);
    assert_int_equal(o.relay.lock_minutes, 15);
    assert_int_equal(o.relay.idle_seconds, 600);
    assert_false(o.has_public);
    if (geteuid() == 0)
        assert_string_equal(o.data, "/var/lib/sottod");
    else
        assert_int_equal(o.data[0], '/');
}

static void test_values(void **state)
{
    static const struct {
        const char *name, *value;
        bool taken;
    } table[] = {
        {"registration", "open", true},
        {"registration", "closed", true},
        {"registration", "code", true},
        {"registration", "Open", false},
        {"registration", "", false},
        {"client_certificates", "require", true},
        {"client-certificates", "off", true},
        {"client_certificates", "no", false},
        {"quota_messages", "1", true},
        {"quota-messages", "1000000", true},
        {"quota_messages", "0", false},
        {"quota_messages", "1000001", false},
        {"quota_messages", "-1", false},
        {"quota_messages", "1k", false},
        {"quota_messages", "99999999999999999999999", false},
        {"quota_bytes", "65535", false},
        {"quota_bytes", "1099511627776", true},
        {"lifetime_days", "365", true},
        {"lifetime_days", "366", false},
        {"max_connections", "0", false},
        {"handshakes-per-minute", "0", true},
        {"connections_per_address", "1000001", false},
        {"bytes_per_second", "1000000000", true},
        {"bytes_per_second", "1000000001", false},
        {"lock_minutes", "1441", false},
        {"idle_seconds", "5", true},
        {"idle_seconds", "0", false},
        {"idle_seconds", "841", false},
        {"user", "sotto", true},
        {"user", "", false},
        {"data", "", false},
        {"public", "relay.example.org", true},
        {"public", "relay.example.org:443", true},
        {"public", "relay.example.org:0", false},
        {"public", "[::1]", true},
        {"public", "a b", false},
        {"listen", "127.0.0.1:0", true},
        {"listen", "[::]:12345", true},
        {"listen", "127.0.0.1:65536", false},
        {"listen", ":0", false},
        {"listen", "", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum sotto_err e = set(table[i].name, table[i].value);

        if ((e == 0) != table[i].taken)
            fail_msg("%s = %s: %s", table[i].name, table[i].value, sotto_err_name(e));
        if (e != 0)
            assert_non_null(strstr(why, "has to be"));
    }
}

static void test_addresses(void **state)
{
    char text[SOTTO_RELAY_ADDRESS_TEXT];

    assert_int_equal(set("listen", "127.0.0.1:0"), 0);
    assert_int_equal(set("listen", "[::1]:7"), 0);
    assert_int_equal(set("listen", "localhost"), 0);
    assert_int_equal(o.listen_count, 3);
    assert_int_equal(o.listen[0].port, 0);
    assert_int_equal(o.listen[2].port, 12345);
    sotto_relay_address_print(&o.listen[1], text);
    assert_string_equal(text, "[::1]:7");
    assert_int_equal(set("public", "relay.example.org"), 0);
    assert_int_equal(o.public_address.port, 0); /* the one that is bound */
    assert_int_equal(set("public", "[2001:db8::1]"), 0);
    assert_string_equal(o.public_address.host, "2001:db8::1");
    assert_int_equal(o.public_address.port, 0);
    assert_int_equal(set("public", "relay.example.org:443"), 0);
    assert_int_equal(o.public_address.port, 443);
    for (int i = 3; i < SOTTO_RELAY_LISTEN_MAX; i++)
        assert_int_equal(set("listen", "127.0.0.1:0"), 0);
    assert_int_equal(set("listen", "127.0.0.1:0"), SOTTO_ERR_MALFORMED);
}

static void test_unknown_setting(void **state)
{
    assert_int_equal(set("quota", "1"), SOTTO_ERR_NOT_FOUND);
    assert_non_null(strstr(why, "quota_messages")); /* says what there is */
    assert_int_equal(set("", "1"), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(set("listens", "x"), SOTTO_ERR_NOT_FOUND);
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } table[] = {
        {"30m", 30 * 60000ull},
        {"12h", 12 * 3600000ull},
        {"7d", 7 * 86400000ull},
        {"2w", 14 * 86400000ull},
        {"3650d", 3650 * 86400000ull},
        {"3651d", 0},
        {"0d", 0},
        {"d", 0},
        {"", 0},
        {"7", 0},
        {"7 d", 0},
        {"-7d", 0},
        {"7y", 0},
        {"18446744073709551615w", 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint64_t ms = 0;
        enum sotto_err e = sotto_relay_duration_parse(table[i].text, &ms);

        assert_int_equal(e, table[i].ms != 0 ? 0 : SOTTO_ERR_MALFORMED);
        assert_int_equal(ms, table[i].ms);
    }
}

/* --- files --- */

static enum sotto_err read_text(const char *text)
{
    struct folder dir;
    enum sotto_err e;

    folder_make(&dir);
    file_write(folder_file(&dir, "sottod.conf"), text, strlen(text));
    e = sotto_relay_options_read(&o, folder_file(&dir, "sottod.conf"), why, sizeof why);
    folder_remove(&dir);
    return e;
}

static void test_file(void **state)
{
    assert_int_equal(read_text("# a relay\n"
                               "\n"
                               "listen = 127.0.0.1:1\n"
                               "listen=[::1]:2   # and this\n"
                               "\tquota_messages =  7\t\r\n"
                               "data = /srv/a folder\n"
                               "registration = open"),
                     0);
    assert_int_equal(o.listen_count, 2);
    assert_int_equal(o.relay.quota_messages, 7);
    assert_string_equal(o.data, "/srv/a folder");
    assert_int_equal(o.relay.registration, SOTTO_REGISTRATION_OPEN);
}

static void test_bad_lines(void **state)
{
    static const struct {
        const char *text, *place, *says;
    } table[] = {
        {"listen = 127.0.0.1:1\nquota_messages = many\n", "sottod.conf:2:", "\"many\""},
        {"listen\n", "sottod.conf:1:", "name = value"},
        {"\n\ncolour = red\n", "sottod.conf:3:", "colour"},
        {"= 3\n", "sottod.conf:1:", "no setting"},
        {"data =\n", "sottod.conf:1:", "a folder"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(read_text(table[i].text), SOTTO_ERR_MALFORMED);
        assert_non_null(strstr(why, table[i].place));
        assert_non_null(strstr(why, table[i].says));
        assert_null(strchr(why, '\n'));
    }
}

static void test_long_line(void **state)
{
    static char text[3000];

    memset(text, 'x', sizeof text - 1);
    assert_int_equal(read_text(text), SOTTO_ERR_MALFORMED);
    assert_non_null(strstr(why, "longer than"));
}

static void test_no_file(void **state)
{
    assert_int_equal(sotto_relay_options_read(&o, "/nonexistent/sottod.conf", why, sizeof why),
                     SOTTO_ERR_NOT_FOUND);
    assert_non_null(strstr(why, "/nonexistent/sottod.conf"));
}

static void test_metrics_stay_here(void **state)
{
    static const struct {
        const char *value;
        bool taken;
    } table[] = {
        {"127.0.0.1:9464", true}, {"127.8.9.10:1", true},  {"[::1]:9464", true},
        {"127.0.0.1:0", true},    {"off", true},           {"127.0.0.1", false},
        {"0.0.0.0:9464", false},  {"[::]:9464", false},    {"localhost:9464", false},
        {"10.0.0.1:9464", false}, {"1.127.0.0:1", false},  {"[fe80::1]:9464", false},
        {"127.0.0.1x:1", false},  {"[::ffff:1]:1", false}, {"", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(set("metrics", table[i].value), table[i].taken ? 0 : SOTTO_ERR_MALFORMED);
    assert_int_equal(set("metrics", "127.0.0.1:9464"), 0);
    assert_int_equal(set("metrics", "off"), 0);
    assert_string_equal(o.metrics.host, "");
}

/* --- once more, while the relay runs --- */

static struct folder etc;
static struct sotto_relay_options now;
static char later[256];

static void write_conf(const char *text)
{
    file_write(folder_file(&etc, "sottod.conf"), text, strlen(text));
}

static enum sotto_err reread(void)
{
    memset(&now, 0, sizeof now);
    memset(later, 0, sizeof later);
    return sotto_relay_options_reread(&o, &now, later, sizeof later, why, sizeof why);
}

static int setup_conf(void **state)
{
    folder_make(&etc);
    return setup(state);
}

static int teardown_conf(void **state)
{
    folder_remove(&etc);
    return 0;
}

static void begin(const char *text)
{
    write_conf(text);
    assert_int_equal(
        sotto_relay_options_read(&o, folder_file(&etc, "sottod.conf"), why, sizeof why), 0);
}

static enum sotto_err flag(const char *name, const char *value)
{
    return sotto_relay_options_flag(&o, name, value, why, sizeof why);
}

static void test_reread_nothing_new(void **state)
{
    begin("data = /srv/a\nlisten = 127.0.0.1:1\nquota_bytes = 70000\n");
    assert_int_equal(flag("public", "chat.example.org"), 0);
    assert_int_equal(flag("quota-messages", "9"), 0);
    assert_int_equal(reread(), 0);
    assert_string_equal(later, "");
    assert_memory_equal(&now, &o, sizeof now);
}

/* Root's relay that works as somebody else: what that one's own would be is nothing new. */
static void test_reread_as_another_user(void **state)
{
    char before[sizeof o.data];
    bool root = geteuid() == 0;

    memcpy(before, o.data, sizeof before);
    assert_int_equal(root ? seteuid(65534) : setenv("XDG_DATA_HOME", "/somewhere/else", 1), 0);
    assert_int_equal(reread(), 0);
    assert_int_equal(root ? seteuid(0) : unsetenv("XDG_DATA_HOME"), 0);
    assert_string_equal(later, "");
    assert_string_equal(now.data, before);
}

static void test_reread_live(void **state)
{
    begin("quota_messages = 5\nregistration = open\nlog = json\n");
    assert_int_equal(flag("lifetime_days", "3"), 0);
    write_conf("quota_messages = 6\nlifetime_days = 9\nmax_connections = 5\n");
    assert_int_equal(reread(), 0);
    assert_string_equal(later, "");
    assert_int_equal(now.relay.quota_messages, 6);
    assert_int_equal(now.relay.lifetime_days, 3); /* the flag stands above the file */
    assert_int_equal(now.max_connections, 5);
    assert_int_equal(now.relay.registration, SOTTO_REGISTRATION_INVITE); /* the default again */
    assert_false(now.log_json);
    assert_int_equal(o.relay.quota_messages, 5);
}

static void test_reread_restart(void **state)
{
    begin("listen = 127.0.0.1:1\nuser = somebody with a long name\nquota_messages = 5\n");
    write_conf("listen = 127.0.0.1:1\nlisten = [::1]:2\ndata = /x\nuser = me\nsandbox = off\n"
               "public = a.example\nmetrics = 127.0.0.1:1\nquota_messages = 6\n");
    assert_int_equal(reread(), 0);
    assert_string_equal(later, "data, listen, public, user, sandbox, metrics");
    assert_int_equal(now.relay.quota_messages, 6);
    assert_int_equal(now.listen_count, 1);
    assert_string_equal(now.user, "somebody with a long name");
    assert_true(now.sandbox);
    assert_false(now.has_public);
    assert_string_equal(now.metrics.host, "");
}

static void test_reread_mistake(void **state)
{
    begin("quota_messages = 5\n");
    write_conf("quota_messages = 6\nquota_messages = x\n");
    assert_int_equal(reread(), SOTTO_ERR_MALFORMED);
    assert_non_null(strstr(why, "sottod.conf:2:"));
    assert_int_equal(now.relay.quota_messages, 0); /* nothing was written */
    assert_int_equal(unlink(folder_file(&etc, "sottod.conf")), 0);
    assert_int_equal(reread(), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(o.relay.quota_messages, 5);
}

static void test_listen_flags_replace(void **state)
{
    begin("listen = 127.0.0.1:1\nlisten = 127.0.0.1:2\n");
    assert_int_equal(flag("listen", "127.0.0.1:3"), 0);
    assert_int_equal(flag("listen", "127.0.0.1:4"), 0);
    assert_int_equal(o.listen_count, 2);
    assert_int_equal(o.listen[0].port, 3);
    assert_int_equal(reread(), 0);
    assert_string_equal(later, "");
    assert_int_equal(now.listen_count, 2);
    for (size_t i = o.flag_count; i < SOTTO_RELAY_FLAGS_MAX; i++)
        assert_int_equal(flag("quota-messages", "7"), 0);
    assert_int_equal(flag("quota-messages", "8"), SOTTO_ERR_FULL);
    assert_int_equal(o.relay.quota_messages, 7);
}

#define CONF(f) cmocka_unit_test_setup_teardown(f, setup_conf, teardown_conf)
#define CASE(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_defaults),
        CASE(test_values),
        CASE(test_addresses),
        CASE(test_unknown_setting),
        CASE(test_durations),
        CASE(test_file),
        CASE(test_bad_lines),
        CASE(test_long_line),
        CASE(test_no_file),
        CASE(test_metrics_stay_here),
        CONF(test_reread_nothing_new),
        CONF(test_reread_as_another_user),
        CONF(test_reread_live),
        CONF(test_reread_restart),
        CONF(test_reread_mistake),
        CONF(test_listen_flags_replace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
