/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the seeds of the fuzz targets request, answer, content, invite and opaque:
 *
 *     make_wire_corpus tests/fuzz/corpus
 *
 * Every message of wire_samples.h that is not large, and what its conversion has to refuse. The
 * same files in every run; run it again when a message changes, and commit what it writes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/kdf.h"
#include "opaque_world.h"
#include "wire/invite.h"
#include "wire_raw.h"
#include "wire_samples.h"

#define SMALL    6000 /* libFuzzer is quick with small inputs */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *root;

static void die(const char *what)
{
    fprintf(stderr, "make_wire_corpus: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_file(const char *target, const char *name, const void *data, size_t len)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", root, target);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        die(path);
    snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
    if ((f = fopen(path, "wb")) == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0)
        die(path);
}

static struct sotto_buf big(void)
{
    return SOTTO_BUF(1024 * 1024);
}

/* Many empty submessages: small on the wire, large in memory. */
static void flood(void)
{
    struct sotto_buf submit = big(), out = big();

    for (int i = 0; i < 2000; i++)
        raw_bytes(&submit, 4, "", 0);
    raw_number(&out, 1, 1);
    raw_bytes(&out, SOTTO_REQ_SUBMIT, submit.p, submit.n);
    write_file("request", "flood", out.p, out.n);
    sotto_buf_free(&submit);
    sotto_buf_free(&out);
}

/* The body of every sample, named after its place. */
static void samples(const char *target, const struct wire_codec *codec, const void *list,
                    size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        struct sotto_buf body = big();
        char name[32];

        if (codec->encode((const uint8_t *)list + i * size, &body) != 0)
            die("a sample cannot be encoded");
        snprintf(name, sizeof name, "sample-%02zu", i);
        if (body.n <= SMALL)
            write_file(target, name, body.p, body.n);
        sotto_buf_free(&body);
    }
}

/* A sample with one field changed. */
struct bend {
    const char *name;
    size_t sample;
    uint32_t path[5];
    struct raw_change change;
};

static void bent(const char *target, const struct wire_codec *codec, const void *list, size_t size,
                 const struct bend *bends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sotto_buf body = big(), out = big();

        if (codec->encode((const uint8_t *)list + bends[i].sample * size, &body) != 0)
            die("a sample cannot be encoded");
        raw_edit(body.p, body.n, bends[i].path, &bends[i].change, &out);
        write_file(target, bends[i].name, out.p, out.n);
        sotto_buf_free(&body);
        sotto_buf_free(&out);
    }
}

#define BYTES(text)                                                                                \
    {                                                                                              \
        .how = RAW_BYTES, .bytes = {(const uint8_t *)(text), sizeof(text) - 1 }                    \
    }
#define NUMBER(n)                                                                                  \
    {                                                                                              \
        .how = RAW_NUMBER, .number = (n)                                                           \
    }
#define REPEAT(n)                                                                                  \
    {                                                                                              \
        .how = RAW_REPEAT, .number = (n)                                                           \
    }
#define DROP                                                                                       \
    {                                                                                              \
        .how = RAW_DROP                                                                            \
    }

static size_t request_of(enum sotto_request_type type)
{
    const struct sotto_request *r;
    size_t n = wire_requests(&r), i = 0;

    while (i < n && r[i].type != type)
        i++;
    return i;
}

static size_t answer_of(enum sotto_answer_type type)
{
    const struct sotto_answer *a;
    size_t n = wire_answers(&a), i = 0;

    while (i < n && a[i].type != type)
        i++;
    return i;
}

static size_t content_of(enum sotto_content_kind kind)
{
    const struct sotto_content *c;
    size_t n = wire_contents(&c), i = 0;

    while (i < n && c[i].kind != kind)
        i++;
    return i;
}

/* A field below a body: its name as a seed, the change, the type, where it is. */
#define REQUEST(name, change, type, ...)                                                           \
    {                                                                                              \
        name, request_of(SOTTO_REQ_##type), {SOTTO_REQ_##type, __VA_ARGS__}, change                \
    }
#define SECOND(name, change, type, ...)                                                            \
    {                                                                                              \
        name, request_of(SOTTO_REQ_##type) + 1, {SOTTO_REQ_##type, __VA_ARGS__}, change            \
    }
#define ANSWER(name, change, type, ...)                                                            \
    {                                                                                              \
        name, answer_of(SOTTO_ANS_##type), {SOTTO_ANS_##type, __VA_ARGS__}, change                 \
    }
#define CONTENT(name, change, kind, ...)                                                           \
    {                                                                                              \
        name, content_of(SOTTO_CONTENT_##kind), {SOTTO_CONTENT_##kind, __VA_ARGS__}, change        \
    }
/* A field of every content. */
#define TOP(name, change, ...)                                                                     \
    {                                                                                              \
        name, content_of(SOTTO_CONTENT_TEXT), {__VA_ARGS__}, change                                \
    }

static void requests(void)
{
    const struct sotto_request *r;
    size_t n = wire_requests(&r), ping = request_of(SOTTO_REQ_PING);
    const struct bend bends[] = {
        REQUEST("bad-name", BYTES("Alice"), SIGN_IN, 1),
        REQUEST("bad-name-nul", BYTES("alice\0b"), GET_BUNDLE, 1),
        REQUEST("bad-proof", BYTES("short"), SIGN_IN, 4),
        REQUEST("bad-opaque-name", BYTES(""), OPAQUE_REGISTER, 1),
        REQUEST("bad-login-name", BYTES(""), OPAQUE_LOGIN, 1),
        REQUEST("bad-code", BYTES("code"), REGISTER, 2),
        REQUEST("bad-entry", BYTES("entry"), LINK, 1),
        SECOND("bad-known-name", BYTES("-"), GET_LISTS, 1, 1),
        SECOND("many-known", REPEAT(17), GET_LISTS, 1),
        REQUEST("bad-signed-prekey", BYTES("pre-key"), PUT_PREKEYS, 1),
        REQUEST("bad-one-time", BYTES("pre-key"), PUT_PREKEYS, 2),
        REQUEST("bad-to", BYTES("@"), SUBMIT, 1),
        REQUEST("bad-token", BYTES("token"), SUBMIT, 3),
        REQUEST("no-parcel", DROP, SUBMIT, 4),
        REQUEST("same-device", REPEAT(2), SUBMIT, 4),
        REQUEST("many-parcels", REPEAT(17), SUBMIT, 4),
        REQUEST("empty-envelope", BYTES(""), SUBMIT, 4, 2),
        SECOND("bad-added", BYTES(""), SET_TOKENS, 1),
        SECOND("bad-removed", BYTES(""), SET_TOKENS, 2),
        SECOND("many-added", REPEAT(65), SET_TOKENS, 1),
        REQUEST("new-field", BYTES("new"), SUBMIT, 99),
        {"no-id", ping, {1}, NUMBER(0)},
        {"new-body", ping, {28}, BYTES("new")},
    };

    samples("request", &wire_request_codec, r, n, sizeof *r);
    bent("request", &wire_request_codec, r, sizeof *r, bends, COUNT(bends));
    write_file("request", "empty", "", 0);
    write_file("request", "id-alone", "\x08\x01", 2);
    write_file("request", "cut", "\x08\x01\x52\x09name", 8);
    write_file("request", "group", "\x08\x01\xd3\x01\xd4\x01", 6);
    flood();
}

static void answers(void)
{
    const struct sotto_answer *a;
    size_t n = wire_answers(&a), done = answer_of(SOTTO_ANS_DONE);
    const struct bend bends[] = {
        ANSWER("no-code", NUMBER(0), ERROR, 1),
        ANSWER("new-code", NUMBER(77), ERROR, 1),
        ANSWER("escape-in-text", BYTES("\x1b[2J"), ERROR, 2),
        ANSWER("c1-in-text", BYTES("\xc2\x9b[2J"), ERROR, 2),
        ANSWER("broken-text", BYTES("\xff"), ERROR, 2),
        ANSWER("empty-list", BYTES(""), ERROR, 3),
        ANSWER("hello-empty", BYTES(""), HELLO, 1),
        ANSWER("hello-new-layout", BYTES("\x02"), HELLO, 1),
        ANSWER("hello-cut", BYTES("\x01 cut"), HELLO, 1),
        ANSWER("hello-short-signature", BYTES("short"), HELLO, 2),
        ANSWER("hello-bad-version", BYTES("\n"), HELLO, 3),
        ANSWER("hello-new-mode", NUMBER(9), HELLO, 4),
        ANSWER("bad-lease", BYTES("lease"), SIGNED_IN, 1),
        ANSWER("bad-pending", BYTES("entry"), LINKS, 1, 1),
        ANSWER("many-pending", REPEAT(9), LINKS, 1),
        ANSWER("bad-since-name", BYTES("A"), LISTS, 1, 1),
        ANSWER("many-since", REPEAT(17), LISTS, 1),
        ANSWER("bad-one-time", BYTES("pre-key"), BUNDLE, 2),
        ANSWER("bad-state", NUMBER(6), SUBMITTED, 1, 2),
        ANSWER("many-results", REPEAT(17), SUBMITTED, 1),
        ANSWER("bad-reason", NUMBER(9), CLOSING, 1),
        {"pushed-answer", done, {1}, NUMBER(0)},
        {"new-body", done, {40}, BYTES("new")},
    };

    samples("answer", &wire_answer_codec, a, n, sizeof *a);
    bent("answer", &wire_answer_codec, a, sizeof *a, bends, COUNT(bends));
    write_file("answer", "empty", "", 0);
    write_file("answer", "cut", "\x08\x01\x4a\x09\x08\x01", 6);
    write_file("answer", "only-new-body", "\xc2\x02\x03new", 6);
}

static void contents(void)
{
    const struct sotto_content *c;
    size_t n = wire_contents(&c), grant = content_of(SOTTO_CONTENT_GRANT);
    const struct bend bends[] = {
        TOP("bad-id", BYTES("id"), 1),
        TOP("bad-member", BYTES("Al"), 3),
        TOP("same-members", BYTES("bob"), 3),
        TOP("many-members", REPEAT(3), 3),
        TOP("no-list", DROP, 5),
        TOP("list-zero", NUMBER(0), 6, 1),
        CONTENT("broken-text", BYTES("\xc3"), TEXT, 1),
        CONTENT("bad-receipt-state", NUMBER(3), RECEIPT, 1),
        CONTENT("bad-receipt-id", BYTES("id"), RECEIPT, 2),
        CONTENT("no-receipt-id", DROP, RECEIPT, 2),
        CONTENT("bad-contact-state", NUMBER(0), CONTACT_SYNC, 2),
        CONTENT("bad-contact-name", BYTES(""), CONTACT_SYNC, 1),
        {"no-kind", grant, {SOTTO_CONTENT_GRANT}, DROP},
        {"beside-a-kind", grant, {60}, BYTES("new")},
    };
    const struct raw_change drop = DROP, kind = BYTES("new");
    struct sotto_buf body = big(), none = big(), out = big();

    samples("content", &wire_content_codec, c, n, sizeof *c);
    bent("content", &wire_content_codec, c, sizeof *c, bends, COUNT(bends));
    if (wire_content_codec.encode(&c[0], &body) != 0)
        die("a sample cannot be encoded");
    raw_edit(body.p, body.n, (const uint32_t[]){SOTTO_CONTENT_TEXT, 0}, &drop, &none);
    raw_edit(none.p, none.n, (const uint32_t[]){27, 0}, &kind, &out);
    write_file("content", "new-kind", out.p, out.n);
    write_file("content", "cut", body.p, body.n / 2);
    sotto_buf_free(&body);
    sotto_buf_free(&none);
    sotto_buf_free(&out);
}

/* A link whose check bytes are right although its payload is not. */
static void odd_link(const char *name, const uint8_t *payload, size_t n)
{
    uint8_t hash[32], whole[256];
    char text[512] = "isotto://host:9/";
    const struct sotto_bytes parts[] = {{(const uint8_t *)"host:9/", 7}, {payload, n}};

    sotto_sha256v(parts, 2, hash);
    memcpy(whole, payload, n);
    memcpy(whole + n, hash, 4);
    sotto_base64_encode(whole, n + 4, text + strlen(text));
    write_file("invite", name, text, strlen(text));
}

static void invites(void)
{
    static const char *const hosts[] = {"127.0.0.1", "relay.example.org", "::1"};
    static const char *const texts[] = {
        "i",
        "ihello",
        "isotto://",
        "isotto://host:9/",
        "isotto://host:9/AQ",
        "isotto:///AQ",
        "isotto://host:0/AQ",
        "a",
        "alocalhost",
        "aLocalHost:1",
        "a[::1]:12345",
        "a[::1]",
        "a[::1",
        "a[::1]x",
        "a::1",
        "a[1.2.3.4]:5",
        "a1.2.3.4",
        "a1.2.3",
        "a-a",
        "a.a",
        "aa-",
        "aa..b",
        "aa b",
        "ahost:",
        "ahost:01",
        "ahost:65536",
        "ahost:123456",
        "ahost:1x",
        "ax\x80",
        "psha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "psha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9",
        "psha256:",
        "pAAEC",
    };
    uint8_t payload[200] = {1};
    char name[32], text[SOTTO_INVITE_LINK_MAX + 8];

    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct sotto_invite inv = {.port = (uint16_t)(12345 + i), .pin_count = i + 1};

        strcpy(inv.host, hosts[i]);
        inv.has_code = i != 1;
        memset(inv.pins, 0x70, sizeof inv.pins);
        text[0] = 'i';
        strcpy(text + 1, i == 2 ? " \n" : "");
        if (sotto_invite_print(&inv, text + strlen(text)) != 0)
            die("an invite cannot be printed");
        strcat(text, i == 2 ? " " : "");
        snprintf(name, sizeof name, "link-%zu", i);
        write_file("invite", name, text, strlen(text));
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        snprintf(name, sizeof name, "text-%02zu", i);
        write_file("invite", name, texts[i], strlen(texts[i]));
    }
    odd_link("odd-empty", payload, 0);
    payload[33] = 1;
    odd_link("odd-cut", payload, 50);
    payload[66] = 15;
    odd_link("odd-code", payload, 67 + 15);
    payload[0] = 2;
    odd_link("odd-version", payload, 67);
    memset(text, 'a', 300);
    write_file("invite", "long-host", text, 300);
}

static void opaque(void)
{
    uint8_t in[1 + SOTTO_OPAQUE_KE2];
    struct world w;
    struct run r;

    world_make(&w, identity_stretch);
    run_start(&w, world_password, &r);
    if (run_answer(&w, &w.alice, w.record, &r) != 0 || run_finish(&w, &r) != 0)
        die("the sign-in fails");
#define SEED(op, name, data, len)                                                                  \
    in[0] = op;                                                                                    \
    memcpy(in + 1, data, len);                                                                     \
    write_file("opaque", name, in, 1 + (len))
    SEED(0, "request", r.ke1, 32);
    SEED(1, "response", r.ke2, 32);
    memcpy(in + 33, w.server.pub, 32);
    write_file("opaque", "response", in, 65);
    SEED(2, "ke1", r.ke1, SOTTO_OPAQUE_KE1);
    SEED(3, "ke2", r.ke2, SOTTO_OPAQUE_KE2);
    in[300] ^= 1;
    write_file("opaque", "ke2-mac", in, sizeof in);
    SEED(3, "ke2", r.ke2, SOTTO_OPAQUE_KE2);
    in[100] ^= 1;
    write_file("opaque", "ke2-masked", in, sizeof in);
    SEED(4, "ke3", r.ke3, SOTTO_OPAQUE_KE3);
    SEED(5, "record", w.record, SOTTO_OPAQUE_REG_RECORD);
    memset(in, 0, sizeof in);
    for (in[0] = 0; in[0] < 6; in[0]++) {
        static const size_t lengths[] = {32, 64, 96, 320, 64, 192};
        char name[32];

        snprintf(name, sizeof name, "zeros-%u", in[0]);
        write_file("opaque", name, in, 1 + lengths[in[0]]);
    }
    run_free(&r);
#undef SEED
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_wire_corpus tests/fuzz/corpus\n");
        return 2;
    }
    root = argv[1];
    requests();
    answers();
    contents();
    invites();
    opaque();
    return 0;
}
