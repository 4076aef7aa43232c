/* SPDX-License-Identifier: Apache-2.0 */
#include "net/cert.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#include "base/log.h"
#include "folder.h"
#include "net/cert_internal.h"

enum { DAY = 24 * 60 * 60 };

static struct folder dir; /* the folder above the one of the pair */
static char pair_dir[160], cert_path[200], key_path[200];

static int setup(void **state)
{
    folder_make(&dir);
    snprintf(pair_dir, sizeof pair_dir, "%s/cert", dir.path);
    snprintf(cert_path, sizeof cert_path, "%s/server_cert.pem", pair_dir);
    snprintf(key_path, sizeof key_path, "%s/server_key.pem", pair_dir);
    return 0;
}

static int teardown(void **state)
{
    folder_remove(&dir);
    return 0;
}

static struct sotto_cert *load(const char *host)
{
    char why[512] = "";
    struct sotto_cert *c;
    enum sotto_err e = sotto_cert_server(pair_dir, host, &c, why, sizeof why);

    if (e != 0)
        fail_msg("%s: %s", sotto_err_name(e), why);
    return c;
}

/* Writes a pair as we would have made it at another time. */
static void plant_ours(int64_t made_at, uint8_t ret_pin[32])
{
    struct sotto_buf text = SOTTO_BUF(65536);
    struct sotto_cert *c;

    assert_int_equal(sotto_cert_make("relay.example", made_at, NULL, &c), 0);
    (void)mkdir(pair_dir, 0700);
    assert_int_equal(sotto_cert_pem(c, &text), 0);
    file_write(cert_path, text.p, text.n);
    sotto_buf_clear(&text);
    assert_int_equal(sotto_cert_key_pem(c, &text), 0);
    file_write(key_path, text.p, text.n);
    sotto_buf_free(&text);
    sotto_cert_pin(c, ret_pin);
    sotto_cert_free(c);
}

static void write_pem_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, passphrase ? EVP_aes_256_cbc() : NULL,
                                               passphrase, passphrase ? (int)strlen(passphrase) : 0,
                                               NULL, NULL),
                     1);
    fclose(f);
    assert_int_equal(chmod(path, 0600), 0);
}

static X509 *foreign_cert(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, int from_days,
                          int until_days)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);

    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), (long)from_days * DAY);
    X509_gmtime_adj(X509_getm_notAfter(x), (long)until_days * DAY);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)(issuer ? "leaf" : "root"), -1, -1, 0);
    X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, issuer_key ? issuer_key : key,
                          EVP_PKEY_is_a(key, "ED25519") && !issuer_key ? NULL : EVP_sha256()) > 0);
    return x;
}

static void write_pem_certs(const char *path, X509 *const *certs, int count)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    for (int i = 0; i < count; i++)
        assert_int_equal(PEM_write_X509(f, certs[i]), 1);
    fclose(f);
}

/* A self-signed pair of somebody else's. */
static void plant_foreign(EVP_PKEY *key, int from_days, int until_days)
{
    X509 *x = foreign_cert(key, NULL, NULL, from_days, until_days);

    (void)mkdir(pair_dir, 0700);
    write_pem_certs(cert_path, &x, 1);
    write_pem_key(key_path, key, NULL);
    X509_free(x);
}

/* First start */

static void is_made_where_missing(void **state)
{
    struct sotto_cert *c = load("relay.example"), *again;
    uint8_t pin[32], pin_again[32];
    int64_t from, until, now = time(NULL);

    assert_int_equal(file_mode(pair_dir), 0700);
    assert_int_equal(file_mode(key_path), 0600);
    assert_int_equal(file_mode(cert_path), 0644);
    assert_int_equal(sotto_cert_dates(c, &from, &until), 0);
    assert_in_range(now - from, DAY - 60, DAY + 60);
    assert_in_range(until - now, 730LL * DAY - 60, 730LL * DAY + 60);
    assert_true(sotto_cert_is_ours(c));
    assert_true(EVP_PKEY_is_a(c->key, "EC"));
    sotto_cert_pin(c, pin);
    again = load("other.example");
    sotto_cert_pin(again, pin_again);
    assert_memory_equal(pin, pin_again, 32);
    assert_int_equal(X509_cmp(c->leaf, again->leaf), 0);
    sotto_cert_free(c);
    sotto_cert_free(again);
    sotto_cert_free(NULL);
}

/* The key is never readable by others, not even for a moment: created so, whatever the umask. */
static void modes_do_not_depend_on_the_umask(void **state)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    mode_t before = umask(0);

    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        struct sotto_cert *c;

        umask(masks[i]);
        c = load("127.0.0.1");
        assert_int_equal(file_mode(pair_dir), 0700);
        assert_int_equal(file_mode(key_path), 0600);
        sotto_cert_free(c);
        unlink(key_path);
        unlink(cert_path);
        rmdir(pair_dir);
    }
    umask(before);
}

/* The pin is the SHA-256 of the SPKI as OpenSSL's own tools would compute it. */
static void pin_is_the_hash_of_the_spki(void **state)
{
    struct sotto_cert *c = load("127.0.0.1");
    uint8_t *der = NULL, hash[32], pin[32];
    int n = i2d_PUBKEY(c->key, &der);

    assert_true(n > 0);
    assert_int_equal(EVP_Digest(der, (size_t)n, hash, NULL, EVP_sha256(), NULL), 1);
    sotto_cert_pin(c, pin);
    assert_memory_equal(pin, hash, 32);
    OPENSSL_free(der);
    sotto_cert_free(c);
}

static void names_are_what_was_given(void **state)
{
    static const struct {
        const char *host, *cn;
    } t[] = {
        {"relay.example", "relay.example"},
        {"127.0.0.1", "127.0.0.1"},
        {"2001:db8::7", "2001:db8::7"},
        {"a,DNS:evil.example", "a,DNS:evil.example"},
        {"relay-with-a-name-that-is-longer-than-a-common-name-may-be-by-far.example", "Sotto"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sotto_cert *c;
        GENERAL_NAMES *names;
        GENERAL_NAME *name;
        char cn[128];
        uint8_t ip[16];

        assert_int_equal(sotto_cert_make(t[i].host, time(NULL), NULL, &c), 0);
        X509_NAME_get_text_by_NID(X509_get_subject_name(c->leaf), NID_commonName, cn, sizeof cn);
        assert_string_equal(cn, t[i].cn);
        names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
        assert_int_equal(sk_GENERAL_NAME_num(names), 1);
        name = sk_GENERAL_NAME_value(names, 0);
        if (inet_pton(AF_INET, t[i].host, ip) == 1 || inet_pton(AF_INET6, t[i].host, ip) == 1) {
            assert_int_equal(name->type, GEN_IPADD);
            assert_int_equal(X509_check_ip_asc(c->leaf, t[i].host, 0), 1);
        } else {
            assert_int_equal(name->type, GEN_DNS);
            assert_int_equal(ASN1_STRING_length(name->d.dNSName), strlen(t[i].host));
            assert_memory_equal(ASN1_STRING_get0_data(name->d.dNSName), t[i].host,
                                strlen(t[i].host));
        }
        GENERAL_NAMES_free(names);
        sotto_cert_free(c);
    }
}

/* Renewal */

static void renewal_keeps_the_key(void **state)
{
    static const struct {
        int made_days_ago;
        bool renewed;
    } t[] = {
        {0, false},  {365, false}, {730 - 31, false}, {730 - 29, true},
        {730, true}, {2000, true}, {-10, true}, /* the clock was set back */
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        uint8_t before[32], after[32], *old_cert, *old_key, *cert, *key;
        size_t old_cert_n, old_key_n, cert_n, key_n;
        int64_t from, until;
        struct sotto_cert *c;

        plant_ours(time(NULL) - (int64_t)t[i].made_days_ago * DAY, before);
        old_cert = file_read(cert_path, &old_cert_n);
        old_key = file_read(key_path, &old_key_n);
        c = load("relay.example");
        sotto_cert_pin(c, after);
        assert_memory_equal(before, after, 32);
        cert = file_read(cert_path, &cert_n);
        key = file_read(key_path, &key_n);
        assert_int_equal(key_n, old_key_n);
        assert_memory_equal(key, old_key, key_n);
        assert_int_equal(cert_n != old_cert_n || memcmp(cert, old_cert, cert_n) != 0, t[i].renewed);
        assert_int_equal(sotto_cert_dates(c, &from, &until), 0);
        assert_true(from <= time(NULL) && until > time(NULL) + 30LL * DAY);
        assert_int_equal(file_mode(key_path), 0600);
        free(old_cert);
        free(old_key);
        free(cert);
        free(key);
        sotto_cert_free(c);
    }
}

/* Our words in somebody else's certificate do not make it ours: it would be replaced. */
static void mark_alone_is_not_ours(void **state)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = foreign_cert(ca_key, NULL, NULL, -10, 10);
    X509 *leaf = foreign_cert(key, ca, ca_key, -10, -1);
    struct sotto_cert *ours, *c;
    char why[512];
    int at;

    assert_int_equal(sotto_cert_make("relay.example", time(NULL), NULL, &ours), 0);
    at = X509_get_ext_by_NID(ours->leaf, NID_netscape_comment, -1);
    assert_true(at >= 0);
    assert_int_equal(X509_add_ext(leaf, X509_get_ext(ours->leaf, at), -1), 1);
    assert_true(X509_sign(leaf, ca_key, EVP_sha256()) > 0);
    assert_int_equal(mkdir(pair_dir, 0700), 0);
    write_pem_certs(cert_path, &leaf, 1);
    write_pem_key(key_path, key, NULL);
    assert_int_equal(sotto_cert_server(pair_dir, "h", &c, why, sizeof why), SOTTO_ERR_EXPIRED);
    sotto_cert_free(ours);
    X509_free(leaf);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

/* What is loaded */

static void foreign_pairs_are_taken(void **state)
{
    static const char *const kinds[] = {"P-256", "P-384", "P-521", "RSA", "ED25519"};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        EVP_PKEY *key = strcmp(kinds[i], "RSA") == 0 ? EVP_RSA_gen(2048)
                        : strcmp(kinds[i], "ED25519") == 0
                            ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                            : EVP_EC_gen(kinds[i]);
        struct sotto_cert *c;

        assert_non_null(key);
        plant_foreign(key, -10, 10); /* ends in 10 days: ours would be renewed, this stays */
        c = load("relay.example");
        assert_false(sotto_cert_is_ours(c));
        assert_int_equal(EVP_PKEY_eq(c->key, key), 1);
        sotto_cert_free(c);
        EVP_PKEY_free(key);
    }
}

static void chains_and_links_are_taken(void **state)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = foreign_cert(ca_key, NULL, NULL, -10, 10);
    X509 *certs[2] = {foreign_cert(key, ca, ca_key, -10, 10), ca};
    char real_cert[200];
    struct sotto_cert *c;

    assert_int_equal(mkdir(pair_dir, 0700), 0);
    snprintf(real_cert, sizeof real_cert, "%s/fullchain.pem", dir.path);
    write_pem_certs(real_cert, certs, 2);
    assert_int_equal(symlink(real_cert, cert_path), 0);
    write_pem_key(key_path, key, NULL);
    c = load("relay.example");
    assert_int_equal(X509_cmp(c->leaf, certs[0]), 0);
    assert_int_equal(sk_X509_num(c->chain), 1);
    assert_int_equal(X509_cmp(sk_X509_value(c->chain, 0), ca), 0);
    sotto_cert_free(c);
    X509_free(certs[0]);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

/* What is refused, each with its mending line, and nothing on disk changed */

static void key_0640(void)
{
    assert_int_equal(chmod(key_path, 0640), 0);
}
static void key_0604(void)
{
    assert_int_equal(chmod(key_path, 0604), 0);
}
static void cert_garbage(void)
{
    file_write(cert_path, "hello\n", 6);
}
static void cert_empty(void)
{
    file_write(cert_path, "", 0);
}
static void cert_cut(void)
{
    assert_int_equal(truncate(cert_path, 300), 0);
}
static void cert_chain_broken(void)
{
    FILE *f = fopen(cert_path, "a");

    fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f);
    fclose(f);
}
static void key_garbage(void)
{
    file_write(key_path, "hello\n", 6);
}
static void key_is_a_cert(void)
{
    file_copy(cert_path, key_path);
}
static void key_other(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    write_pem_key(key_path, key, NULL);
    EVP_PKEY_free(key);
}
static void key_encrypted(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    plant_foreign(key, -1, 10);
    write_pem_key(key_path, key, "secret");
    EVP_PKEY_free(key);
}
static void key_weak(void)
{
    EVP_PKEY *key = EVP_RSA_gen(1024);

    plant_foreign(key, -1, 10);
    EVP_PKEY_free(key);
}
static void key_odd_curve(void)
{
    EVP_PKEY *key = EVP_EC_gen("secp256k1");

    plant_foreign(key, -1, 10);
    EVP_PKEY_free(key);
}
static void foreign_expired(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    plant_foreign(key, -10, -1);
    EVP_PKEY_free(key);
}
static void foreign_future(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    plant_foreign(key, 2, 10);
    EVP_PKEY_free(key);
}
static void no_key(void)
{
    unlink(key_path);
}
static void no_cert(void)
{
    unlink(cert_path);
}
static void no_cert_but_a_stray_one(void)
{
    char stray[220];
    struct sotto_buf text = SOTTO_BUF(65536);
    struct sotto_cert *c;

    unlink(cert_path);
    snprintf(stray, sizeof stray, "%s.new", cert_path);
    assert_int_equal(sotto_cert_make("h", time(NULL), NULL, &c), 0);
    assert_int_equal(sotto_cert_pem(c, &text), 0);
    file_write(stray, text.p, text.n);
    sotto_buf_free(&text);
    sotto_cert_free(c);
}
static void key_is_a_folder(void)
{
    unlink(key_path);
    assert_int_equal(mkdir(key_path, 0700), 0);
}
static void key_is_a_pipe(void)
{
    unlink(key_path);
    assert_int_equal(mkfifo(key_path, 0600), 0);
}
static void both_lead_nowhere(void)
{
    no_cert();
    no_key();
    assert_int_equal(symlink("/nonexistent/cert.pem", cert_path), 0);
    assert_int_equal(symlink("/nonexistent/key.pem", key_path), 0);
}
static void huge_cert(void)
{
    assert_int_equal(truncate(cert_path, 64 * 1024 * 1024), 0);
}

/* All names, modes, times of change and contents of the folder in one hash. */
static void fingerprint(uint8_t ret[32])
{
    char line[400], all[4096] = "";
    static const char *const names[] = {"server_cert.pem", "server_key.pem", "server_cert.pem.new",
                                        "server_key.pem.new"};

    for (size_t i = 0; i < 4; i++) {
        char path[220];
        struct stat st;
        uint8_t hash[32] = {0}, *data;
        size_t n;

        snprintf(path, sizeof path, "%s/%s", pair_dir, names[i]);
        if (lstat(path, &st) != 0)
            continue;
        if (S_ISREG(st.st_mode) && st.st_size < 1024 * 1024) {
            data = file_read(path, &n);
            EVP_Digest(data, n, hash, NULL, EVP_sha256(), NULL);
            free(data);
        }
        snprintf(line, sizeof line, "%s %o %ld %ld %ld %02x%02x%02x%02x\n", names[i], st.st_mode,
                 (long)st.st_ino, (long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec, hash[0],
                 hash[1], hash[2], hash[3]);
        strncat(all, line, sizeof all - strlen(all) - 1);
    }
    EVP_Digest(all, strlen(all), ret, NULL, EVP_sha256(), NULL);
}

static void bad_pairs_are_refused_with_a_way_out(void **state)
{
    static const struct {
        const char *name;
        void (*spoil)(void);
        enum sotto_err err;
        const char *says, *mends;
    } t[] = {
        {"key 0640", key_0640, SOTTO_ERR_DENIED, "read by other users", "chmod 600"},
        {"key 0604", key_0604, SOTTO_ERR_DENIED, "read by other users", "chmod 600"},
        {"cert garbage", cert_garbage, SOTTO_ERR_MALFORMED, "not a PEM certificate", "restore"},
        {"cert empty", cert_empty, SOTTO_ERR_MALFORMED, "not a PEM certificate", "restore"},
        {"cert cut", cert_cut, SOTTO_ERR_MALFORMED, "not a PEM certificate", "restore"},
        {"chain", cert_chain_broken, SOTTO_ERR_MALFORMED, "not a PEM certificate", "restore"},
        {"key garbage", key_garbage, SOTTO_ERR_MALFORMED, "not a PEM private key", "restore"},
        {"key a cert", key_is_a_cert, SOTTO_ERR_MALFORMED, "not a PEM private key", "restore"},
        {"mismatch", key_other, SOTTO_ERR_MALFORMED, "do not belong together", "put the key"},
        {"encrypted", key_encrypted, SOTTO_ERR_MALFORMED, "passphrase", "openssl pkey -in"},
        {"weak", key_weak, SOTTO_ERR_MALFORMED, "TLS 1.3 does not take", "P-256"},
        {"curve", key_odd_curve, SOTTO_ERR_MALFORMED, "TLS 1.3 does not take", "P-256"},
        {"expired", foreign_expired, SOTTO_ERR_EXPIRED, "expired on 20", "same key"},
        {"future", foreign_future, SOTTO_ERR_EXPIRED, "is valid from 20", "clock"},
        {"no key", no_key, SOTTO_ERR_NOT_FOUND, "server_key.pem is missing", "put it back"},
        {"no cert", no_cert, SOTTO_ERR_NOT_FOUND, "server_cert.pem is missing", "put it back"},
        {"stray", no_cert_but_a_stray_one, SOTTO_ERR_NOT_FOUND, "is missing", "put it back"},
        {"folder", key_is_a_folder, SOTTO_ERR_MALFORMED, "not a PEM file", "put one there"},
        {"pipe", key_is_a_pipe, SOTTO_ERR_MALFORMED, "not a PEM file", "put one there"},
        {"dangling", both_lead_nowhere, SOTTO_ERR_IO, "cannot read", "No such file"},
        {"huge", huge_cert, SOTTO_ERR_MALFORMED, "not a PEM file", "put one there"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        uint8_t pin[32], before[32], after[32];
        struct sotto_cert *c = NULL;
        char why[512] = "";
        enum sotto_err e;

        plant_ours(time(NULL), pin);
        t[i].spoil();
        fingerprint(before);
        e = sotto_cert_server(pair_dir, "relay.example", &c, why, sizeof why);
        if (e != t[i].err || strstr(why, t[i].says) == NULL || strstr(why, t[i].mends) == NULL)
            fail_msg("%s: %s, %s", t[i].name, sotto_err_name(e), why);
        assert_null(c);
        assert_null(strchr(why, '\n'));
        assert_non_null(strstr(why, pair_dir));
        fingerprint(after);
        assert_memory_equal(before, after, 32);
        folder_remove(&dir);
        folder_make(&dir);
        setup(NULL);
    }
}

static void folder_that_cannot_be_is_said(void **state)
{
    struct sotto_cert *c;
    char why[512] = "";

    file_write(pair_dir, "x", 1);
    assert_int_equal(sotto_cert_server(pair_dir, "h", &c, why, sizeof why), SOTTO_ERR_IO);
    assert_non_null(strstr(why, pair_dir));
    snprintf(pair_dir, sizeof pair_dir, "%s/missing/cert", dir.path);
    assert_int_equal(sotto_cert_server(pair_dir, "h", &c, why, sizeof why), SOTTO_ERR_IO);
    assert_non_null(strstr(why, "No such file"));
}

/* A crash while the first pair was made */

static void move_to_new(const char *path)
{
    char to[220];

    snprintf(to, sizeof to, "%s.new", path);
    assert_int_equal(rename(path, to), 0);
}

static void half_published_pair_is_completed(void **state)
{
    uint8_t before[32], after[32];
    struct sotto_cert *c;

    plant_ours(time(NULL), before);
    move_to_new(cert_path);
    c = load("relay.example");
    sotto_cert_pin(c, after);
    assert_memory_equal(before, after, 32);
    assert_true(file_exists(cert_path));
    sotto_cert_free(c);
}

static void unpublished_pair_is_made_anew(void **state)
{
    uint8_t before[32];
    struct sotto_cert *c;

    plant_ours(time(NULL), before);
    move_to_new(cert_path);
    move_to_new(key_path);
    c = load("relay.example");
    assert_true(file_exists(cert_path) && file_exists(key_path));
    assert_int_equal(file_mode(key_path), 0600);
    sotto_cert_free(c);
}

/* A full disk */

static char log_line[512];

static void keep_line(void *ctx, enum sotto_log_level level, const char *line)
{
    if (level == SOTTO_LOG_LOCAL)
        snprintf(log_line, sizeof log_line, "%s", line);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit r;

    signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void full_disk_leaves_nothing_behind(void **state)
{
    struct sotto_cert *c;
    char why[512] = "";

    limit_files(100);
    assert_int_equal(sotto_cert_server(pair_dir, "h", &c, why, sizeof why), SOTTO_ERR_IO);
    limit_files(RLIM_INFINITY);
    assert_non_null(strstr(why, "cannot write"));
    assert_int_equal(rmdir(pair_dir), 0); /* empty */
}

/* A certificate that is good for a while yet is used, with a warning; an expired one is not. */
static void renewal_on_a_full_disk(void **state)
{
    static const int made_days_ago[] = {720, 740};

    for (int i = 0; i < 2; i++) {
        uint8_t pin[32], before[32], after[32];
        struct sotto_cert *c = NULL;
        char why[512] = "";
        enum sotto_err e;

        plant_ours(time(NULL) - (int64_t)made_days_ago[i] * DAY, pin);
        fingerprint(before);
        log_line[0] = 0;
        sotto_log_set(keep_line, NULL, SOTTO_LOG_DEBUG);
        limit_files(100);
        e = sotto_cert_server(pair_dir, "h", &c, why, sizeof why);
        limit_files(RLIM_INFINITY);
        sotto_log_set(NULL, NULL, SOTTO_LOG_DEBUG);
        assert_int_equal(e, i == 0 ? SOTTO_OK : SOTTO_ERR_IO);
        assert_int_equal(strstr(log_line, "could not be renewed") != NULL, i == 0);
        fingerprint(after);
        assert_memory_equal(before, after, 32);
        sotto_cert_free(c);
    }
}

/* Client pairs */

static void client_pair_goes_round(void **state)
{
    struct sotto_buf pem = SOTTO_BUF(8192), der = SOTTO_BUF(8192);
    struct sotto_cert *c;
    int64_t from, until;
    char cn[64];

    assert_int_equal(sotto_cert_client_make("alice", &pem, &der), 0);
    assert_int_equal(sotto_cert_client_load(&(struct sotto_bytes){pem.p, pem.n},
                                            &(struct sotto_bytes){der.p, der.n}, &c),
                     0);
    X509_NAME_get_text_by_NID(X509_get_subject_name(c->leaf), NID_commonName, cn, sizeof cn);
    assert_string_equal(cn, "alice");
    assert_int_equal(sotto_cert_dates(c, &from, &until), 0);
    assert_true(until > time(NULL) + 1000LL * 365 * DAY);
    assert_null(memmem(pem.p, pem.n, "PRIVATE", 7));
    sotto_cert_free(c);
    sotto_buf_free(&pem);
    sotto_buf_free(&der);
}

static void spoiled_client_pairs_are_refused(void **state)
{
    struct sotto_buf pem = SOTTO_BUF(8192), der = SOTTO_BUF(8192);
    struct sotto_buf pem2 = SOTTO_BUF(8192), der2 = SOTTO_BUF(8192);
    struct sotto_cert *c = NULL;

    assert_int_equal(sotto_cert_client_make("a", &pem, &der), 0);
    assert_int_equal(sotto_cert_client_make("b", &pem2, &der2), 0);
    assert_int_equal(sotto_buf_add(&der, "x", 1), 0);
    const struct {
        struct sotto_bytes pem, der;
    } t[] = {
        {{pem.p, pem.n}, {der2.p, der2.n}},   /* mismatch */
        {{pem.p, pem.n}, {der.p, der.n}},     /* one byte too many */
        {{pem.p, pem.n}, {der.p, der.n - 2}}, /* cut */
        {{pem.p, pem.n / 2}, {der.p, der.n - 1}},
        {{pem.p, 0}, {der.p, der.n - 1}},
        {{pem.p, pem.n}, {der.p, 0}},
        {{der.p, der.n}, {pem.p, pem.n}},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        assert_int_equal(sotto_cert_client_load(&t[i].pem, &t[i].der, &c), SOTTO_ERR_MALFORMED);
    assert_null(c);
    sotto_buf_free(&pem);
    sotto_buf_free(&der);
    sotto_buf_free(&pem2);
    sotto_buf_free(&der2);
}

/* A buffer that is too small for the key leaves the other as it was. */
static void client_make_is_all_or_nothing(void **state)
{
    struct sotto_buf pem = SOTTO_BUF(8192), der = SOTTO_BUF(16);

    assert_int_equal(sotto_buf_add(&pem, "before", 6), 0);
    assert_int_equal(sotto_cert_client_make("a", &pem, &der), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(pem.n, 6);
    assert_int_equal(der.n, 0);
    sotto_buf_free(&pem);
    sotto_buf_free(&der);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(is_made_where_missing),
        CASE(modes_do_not_depend_on_the_umask),
        CASE(pin_is_the_hash_of_the_spki),
        CASE(names_are_what_was_given),
        CASE(renewal_keeps_the_key),
        CASE(mark_alone_is_not_ours),
        CASE(foreign_pairs_are_taken),
        CASE(chains_and_links_are_taken),
        CASE(bad_pairs_are_refused_with_a_way_out),
        CASE(folder_that_cannot_be_is_said),
        CASE(half_published_pair_is_completed),
        CASE(unpublished_pair_is_made_anew),
        CASE(full_disk_leaves_nothing_behind),
        CASE(renewal_on_a_full_disk),
        CASE(client_pair_goes_round),
        CASE(spoiled_client_pairs_are_refused),
        CASE(client_make_is_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
