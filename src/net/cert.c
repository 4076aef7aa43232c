/* SPDX-License-Identifier: Apache-2.0 */
#include "net/cert.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/env.h"
#include "net/cert_internal.h"

enum {
    DAY = 24 * 60 * 60,
    VALID_DAYS = 2 * 365,
    COMMON_NAME_MAX = 64, /* ub-common-name, RFC 5280 appendix A.1 */
    SERIAL_BYTES = 16,
    WEAKEST_KEY_BITS = 112, /* OpenSSL's security level 2, Debian's default */
};
/* What marks a certificate as ours, together with its own signature. */
static const char MARK[] = "made by Sotto, renewed by itself";
static const char ORGANISATION[] = "Sotto";

/* Life */

void sotto_cert_free(struct sotto_cert *c)
{
    if (c == NULL)
        return;
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    free(c);
}

void sotto_cert_pin(const struct sotto_cert *c, uint8_t ret[32])
{
    memcpy(ret, c->pin, 32);
}

static struct sotto_cert *cert_new(void)
{
    struct sotto_cert *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    if ((c->chain = sk_X509_new_null()) == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

bool sotto_cert_spki_pin(X509 *x, uint8_t ret[32])
{
    uint8_t *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    bool ok = n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, ret, NULL) == 1;

    OPENSSL_free(der);
    return ok;
}

/* Parsing */

static BIO *bio_of(const struct sotto_bytes *text)
{
    return text->n > INT_MAX ? NULL : BIO_new_mem_buf(text->p, (int)text->n);
}

static enum sotto_err parse_chain(const struct sotto_bytes *pem, struct sotto_cert *c)
{
    BIO *bio = bio_of(pem);
    enum sotto_err e = SOTTO_OK;
    X509 *x;

    if (bio == NULL)
        return SOTTO_ERR_NOMEM;
    c->leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    while (c->leaf != NULL && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(c->chain, x) <= 0) {
            X509_free(x);
            e = SOTTO_ERR_NOMEM;
            break;
        }
    }
    /* Reading ends with "no start line"; anything else is a broken certificate in the chain. */
    if (e == 0 && (c->leaf == NULL || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
        e = SOTTO_ERR_MALFORMED;
    ERR_clear_error();
    BIO_free(bio);
    return e;
}

/* Never asks on the terminal; remembers that it would have. */
static int refuse_passphrase(char *buf, int size, int writing, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

static bool key_usable(const EVP_PKEY *key)
{
    static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1"};
    char curve[64];

    if (EVP_PKEY_get_security_bits(key) < WEAKEST_KEY_BITS)
        return false;
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448"))
        return true;
    if (!EVP_PKEY_is_a(key, "EC") || !EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL))
        return false;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (strcmp(curve, curves[i]) == 0)
            return true;
    }
    return false;
}

static enum sotto_cert_problem parse_key(const struct sotto_bytes *pem, struct sotto_cert *c)
{
    BIO *bio = bio_of(pem);
    bool asked = false;

    if (bio == NULL)
        return SOTTO_CERT_NOT_A_KEY;
    c->key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
    BIO_free(bio);
    ERR_clear_error();
    if (c->key == NULL)
        return asked ? SOTTO_CERT_KEY_ENCRYPTED : SOTTO_CERT_NOT_A_KEY;
    return key_usable(c->key) ? SOTTO_CERT_FINE : SOTTO_CERT_KEY_UNUSABLE;
}

static bool pair_matches(const struct sotto_cert *c)
{
    bool ok = X509_check_private_key(c->leaf, c->key) == 1;

    ERR_clear_error();
    return ok;
}

enum sotto_err sotto_cert_parse(const struct sotto_bytes *cert_pem,
                                const struct sotto_bytes *key_pem, struct sotto_cert **ret,
                                enum sotto_cert_problem *ret_problem)
{
    enum sotto_cert_problem problem = SOTTO_CERT_FINE;
    struct sotto_cert *c = cert_new();
    enum sotto_err e;

    if (c == NULL)
        return SOTTO_ERR_NOMEM;
    e = parse_chain(cert_pem, c);
    if (e == SOTTO_ERR_MALFORMED)
        problem = SOTTO_CERT_NOT_A_CERT;
    else if (e == 0)
        problem = parse_key(key_pem, c);
    if (e == 0 && problem == SOTTO_CERT_FINE && !pair_matches(c))
        problem = SOTTO_CERT_MISMATCH;
    if (e == 0 && problem != SOTTO_CERT_FINE)
        e = SOTTO_ERR_MALFORMED;
    if (e == 0 && !sotto_cert_spki_pin(c->leaf, c->pin))
        e = SOTTO_ERR_NOMEM;
    if (e != 0) {
        *ret_problem = problem;
        sotto_cert_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}

static bool to_seconds(const ASN1_TIME *t, int64_t *ret)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *ret = timegm(&tm);
    return true;
}

enum sotto_err sotto_cert_dates(const struct sotto_cert *c, int64_t *ret_from, int64_t *ret_until)
{
    int64_t from, until;

    if (!to_seconds(X509_get0_notBefore(c->leaf), &from) ||
        !to_seconds(X509_get0_notAfter(c->leaf), &until))
        return SOTTO_ERR_MALFORMED;
    *ret_from = from;
    *ret_until = until;
    return SOTTO_OK;
}

bool sotto_cert_is_ours(const struct sotto_cert *c)
{
    ASN1_IA5STRING *mark = X509_get_ext_d2i(c->leaf, NID_netscape_comment, NULL, NULL);
    bool ours = mark != NULL && ASN1_STRING_length(mark) == (int)sizeof MARK - 1 &&
                memcmp(ASN1_STRING_get0_data(mark), MARK, sizeof MARK - 1) == 0 &&
                X509_verify(c->leaf, c->key) == 1;

    ASN1_IA5STRING_free(mark);
    ERR_clear_error();
    return ours;
}

/* Making */

static bool set_serial(X509 *x)
{
    uint8_t bytes[SERIAL_BYTES];
    BIGNUM *n;
    bool ok;

    if (sotto_random(sotto_env_system(), bytes, sizeof bytes) != 0)
        return false;
    bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive and of full length */
    n = BN_bin2bn(bytes, sizeof bytes, NULL);
    ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    return ok;
}

static bool set_names(X509 *x, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(x);
    const char *cn = strlen(common_name) <= COMMON_NAME_MAX ? common_name : ORGANISATION;

    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)ORGANISATION,
                                      -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(x, name) == 1;
}

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = ext != NULL && X509_add_ext(x, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    return ok;
}

/* Built by hand: the text form of this extension would let a comma in a name add another name. */
static GENERAL_NAME *name_of_host(const char *host)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = NULL;
    uint8_t ip[16];
    int n = inet_pton(AF_INET, host, ip) == 1 ? 4 : inet_pton(AF_INET6, host, ip) == 1 ? 16 : 0;

    if (name != NULL)
        value = n > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (value == NULL || ASN1_STRING_set(value, n > 0 ? (const void *)ip : host,
                                         n > 0 ? n : (int)strlen(host)) != 1) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, n > 0 ? GEN_IPADD : GEN_DNS, value);
    return name;
}

static bool add_host(X509 *x, const char *host)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = names == NULL ? NULL : name_of_host(host);
    bool ok = name != NULL && sk_GENERAL_NAME_push(names, name) > 0;

    if (!ok)
        GENERAL_NAME_free(name);
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return ok;
}

static bool add_mark(X509 *x)
{
    ASN1_IA5STRING *mark = ASN1_IA5STRING_new();
    bool ok = mark != NULL && ASN1_STRING_set(mark, MARK, -1) == 1 &&
              X509_add1_ext_i2d(x, NID_netscape_comment, mark, 0, 0) == 1;

    ASN1_IA5STRING_free(mark);
    return ok;
}

static bool fill_common(struct sotto_cert *c, const char *common_name, const char *purpose)
{
    X509 *x = c->leaf;

    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) && set_names(x, common_name) &&
           X509_set_pubkey(x, c->key) == 1 &&
           add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x, NID_key_usage, "critical,digitalSignature") &&
           add_extension(x, NID_ext_key_usage, purpose);
}

/* One day in the past, because clocks differ. */
static bool fill_server(struct sotto_cert *c, const char *host, int64_t now)
{
    return fill_common(c, host, "serverAuth") &&
           ASN1_TIME_set(X509_getm_notBefore(c->leaf), (time_t)(now - DAY)) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(c->leaf), (time_t)(now + VALID_DAYS * (int64_t)DAY)) !=
               NULL &&
           add_host(c->leaf, host) && add_mark(c->leaf);
}

/* A device is known by its key for as long as it exists, so the date says "no end" in the form of
 * RFC 5280 section 4.1.2.5. */
static bool fill_client(struct sotto_cert *c, const char *common_name)
{
    return fill_common(c, common_name, "clientAuth") &&
           ASN1_TIME_set_string(X509_getm_notBefore(c->leaf), "20200101000000Z") == 1 &&
           ASN1_TIME_set_string(X509_getm_notAfter(c->leaf), "99991231235959Z") == 1;
}

static enum sotto_err cert_with_key(const struct sotto_cert *old, struct sotto_cert **ret)
{
    struct sotto_cert *c = cert_new();

    if (c == NULL)
        return SOTTO_ERR_NOMEM;
    if (old != NULL && EVP_PKEY_up_ref(old->key) == 1)
        c->key = old->key;
    else if (old == NULL)
        c->key = EVP_EC_gen("P-256");
    c->leaf = X509_new();
    if (c->key == NULL || c->leaf == NULL) {
        bool no_memory = c->leaf == NULL;

        ERR_clear_error();
        sotto_cert_free(c);
        return no_memory ? SOTTO_ERR_NOMEM : SOTTO_ERR_RANDOM;
    }
    *ret = c;
    return SOTTO_OK;
}

static enum sotto_err finish(struct sotto_cert *c, bool filled, struct sotto_cert **ret)
{
    enum sotto_err e = SOTTO_OK;

    /* With memory at hand only the random generator can fail here. */
    if (!filled || X509_sign(c->leaf, c->key, EVP_sha256()) <= 0)
        e = SOTTO_ERR_RANDOM;
    if (e == 0 && !sotto_cert_spki_pin(c->leaf, c->pin))
        e = SOTTO_ERR_NOMEM;
    if (e != 0) {
        ERR_clear_error();
        sotto_cert_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}

enum sotto_err sotto_cert_make(const char *host, int64_t now, const struct sotto_cert *old,
                               struct sotto_cert **ret)
{
    struct sotto_cert *c;
    enum sotto_err e = cert_with_key(old, &c);

    return e != 0 ? e : finish(c, fill_server(c, host, now), ret);
}

/* Writing */

static enum sotto_err take_bio(BIO *bio, bool written, struct sotto_buf *buf)
{
    enum sotto_err e = SOTTO_ERR_NOMEM;
    char *text;
    long n;

    if (written && (n = BIO_get_mem_data(bio, &text)) > 0)
        e = sotto_buf_add(buf, text, (size_t)n);
    BIO_free(bio); /* wipes */
    return e;
}

enum sotto_err sotto_cert_pem(const struct sotto_cert *c, struct sotto_buf *buf)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return take_bio(bio, bio != NULL && PEM_write_bio_X509(bio, c->leaf) == 1, buf);
}

enum sotto_err sotto_cert_key_pem(const struct sotto_cert *c, struct sotto_buf *buf)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return take_bio(bio,
                    bio != NULL &&
                        PEM_write_bio_PKCS8PrivateKey(bio, c->key, NULL, NULL, 0, NULL, NULL) == 1,
                    buf);
}

/* Client pairs */

static enum sotto_err key_der(const struct sotto_cert *c, struct sotto_buf *buf)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(c->key);
    enum sotto_err e = SOTTO_ERR_NOMEM;
    uint8_t *der = NULL;
    int n = info == NULL ? 0 : i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    if (n > 0) {
        e = sotto_buf_add(buf, der, (size_t)n);
        OPENSSL_clear_free(der, (size_t)n);
    }
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    return e;
}

enum sotto_err sotto_cert_client_make(const char *common_name, struct sotto_buf *ret_cert_pem,
                                      struct sotto_buf *ret_key_der)
{
    size_t cert_n = ret_cert_pem->n;
    struct sotto_cert *c;
    enum sotto_err e = cert_with_key(NULL, &c);

    if (e != 0 || (e = finish(c, fill_client(c, common_name), &c)) != 0)
        return e;
    e = sotto_cert_pem(c, ret_cert_pem);
    if (e == 0 && (e = key_der(c, ret_key_der)) != 0)
        ret_cert_pem->n = cert_n;
    sotto_cert_free(c);
    return e;
}

enum sotto_err sotto_cert_client_load(const struct sotto_bytes *cert_pem,
                                      const struct sotto_bytes *key_der, struct sotto_cert **ret)
{
    const uint8_t *p = key_der->p;
    struct sotto_cert *c = cert_new();
    enum sotto_err e;

    if (c == NULL)
        return SOTTO_ERR_NOMEM;
    e = parse_chain(cert_pem, c);
    if (e == 0 && key_der->n <= LONG_MAX)
        c->key = d2i_AutoPrivateKey(NULL, &p, (long)key_der->n);
    if (e == 0 &&
        (c->key == NULL || p != key_der->p + key_der->n || !key_usable(c->key) || !pair_matches(c)))
        e = SOTTO_ERR_MALFORMED;
    if (e == 0 && !sotto_cert_spki_pin(c->leaf, c->pin))
        e = SOTTO_ERR_NOMEM;
    ERR_clear_error();
    if (e != 0) {
        sotto_cert_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}
