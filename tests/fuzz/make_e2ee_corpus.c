/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the seeds of the targets entry, list, prekey, handshake, ratchet and envelope into
 * FOLDER/NAME/, from the same two people as the targets: make_e2ee_corpus tests/fuzz/corpus
 * Each seed leads to one way through the parser.
 */
#include <errno.h>
#include <sys/stat.h>

#include "e2ee_fuzz.h"

static const char *folder;

static void write_seed(const char *target, const char *name, const void *data, size_t len)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, target);
    CHECK(mkdir(path, 0777) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/%s/%s", folder, target, name);
    f = fopen(path, "wb");
    CHECK(f != NULL && fwrite(data, 1, len, f) == len && fclose(f) == 0);
}

/* The bytes with some replaced. */
static void write_changed(const char *target, const char *name, const uint8_t *data, size_t len,
                          size_t at, const void *with, size_t n)
{
    static uint8_t copy[8192];

    CHECK(len <= sizeof copy && at + n <= len);
    memcpy(copy, data, len);
    memcpy(copy + at, with, n);
    write_seed(target, name, copy, len);
}

static void entries(void)
{
    const uint8_t *e = p.alice.entry;
    static const uint8_t zero[32], one[4] = {0, 0, 0, 1};

    write_seed("entry", "right", e, SOTTO_ENTRY_BYTES);
    write_seed("entry", "empty", e, 0);
    write_seed("entry", "short", e, 100);
    write_seed("entry", "of-bob", p.bob.entry, SOTTO_ENTRY_BYTES);
    write_changed("entry", "version", e, SOTTO_ENTRY_BYTES, 0, "\2", 1);
    write_changed("entry", "id", e, SOTTO_ENTRY_BYTES, 1, zero, 8);
    write_changed("entry", "generation", e, SOTTO_ENTRY_BYTES, 9, zero, 4);
    write_changed("entry", "low-order-identity", e, SOTTO_ENTRY_BYTES, 45, zero, 32);
    write_changed("entry", "low-order-sealing", e, SOTTO_ENTRY_BYTES, 77, zero, 32);
    write_changed("entry", "reserved", e, SOTTO_ENTRY_BYTES, 121, one, 4);
    write_changed("entry", "signature", e, SOTTO_ENTRY_BYTES, 150, zero, 4);
}

static void lists(void)
{
    struct sotto_list l = {.account = p.alice.account, .version = 1, .time_ms = PEOPLE_NOW_MS};
    struct person laptop = p.alice;
    uint8_t b[SOTTO_LIST_MAX];
    static const uint8_t zero[4];
    size_t len;

    memcpy(l.entries[l.count++], p.alice.entry, SOTTO_ENTRY_BYTES);
    CHECK(sotto_list_sign(&p.alice.account_key, &l, b, &len) == 0);
    write_seed("list", "first", b, len);
    for (size_t n = 0; n < len; n += 23)
        if (n < 140 || n > len - 70) {
            char name[32];

            snprintf(name, sizeof name, "short-%zu", n);
            write_seed("list", name, b, n);
        }
    write_changed("list", "layout-version", b, len, 0, "\2", 1);
    write_changed("list", "name-length", b, len, 33, "\x40", 1);
    write_changed("list", "name", b, len, 34, "A", 1);
    write_changed("list", "other-name", b, len, 34, "b", 1);
    write_changed("list", "list-version-0", b, len, 71, zero, 4);
    write_changed("list", "previous", b, len, 75, "\1", 1);
    write_changed("list", "count-0", b, len, 115, zero, 1);
    write_changed("list", "count-2", b, len, 115, "\2", 1);
    write_changed("list", "count-17", b, len, 115, "\x11", 1);
    write_changed("list", "entry", b, len, 116 + 130, zero, 4);
    write_changed("list", "signature", b, len, len - 64, zero, 4);

    CHECK(sotto_device_keys_generate(p.env, &laptop.keys) == 0);
    person_update(&laptop);
    memcpy(l.entries[l.count++], laptop.entry, SOTTO_ENTRY_BYTES);
    memcpy(l.prev_hash, l.hash, 32);
    l.version = 2;
    CHECK(sotto_list_sign(&p.alice.account_key, &l, b, &len) == 0);
    write_seed("list", "second", b, len);
    write_changed("list", "twice", b, len, 116 + SOTTO_ENTRY_BYTES, p.alice.entry,
                  SOTTO_ENTRY_BYTES);
}

static void prekeys(void)
{
    const uint8_t *k = p.bob.one_time.bytes;
    uint8_t priv[SOTTO_PREKEY_PRIVATE_BYTES];
    static const uint8_t zero[32];

    write_seed("prekey", "one-time", k, SOTTO_PREKEY_BYTES);
    write_seed("prekey", "signed", p.bob.signed_prekey.bytes, SOTTO_PREKEY_BYTES);
    write_seed("prekey", "of-alice", p.alice.one_time.bytes, SOTTO_PREKEY_BYTES);
    write_seed("prekey", "short", k, 40);
    write_changed("prekey", "type", k, SOTTO_PREKEY_BYTES, 0, "\3", 1);
    write_changed("prekey", "id", k, SOTTO_PREKEY_BYTES, 1, zero, 4);
    write_changed("prekey", "generation", k, SOTTO_PREKEY_BYTES, 13, zero, 4);
    write_changed("prekey", "low-order", k, SOTTO_PREKEY_BYTES, 25, zero, 32);
    write_changed("prekey", "modulus", k, SOTTO_PREKEY_BYTES, 57, "\xff\xff\xff", 3);
    write_changed("prekey", "signature", k, SOTTO_PREKEY_BYTES, 1640, zero, 4);
    sotto_prekey_private_write(&p.bob.one_time_private, priv);
    write_seed("prekey", "private", priv, sizeof priv);
    write_seed("prekey", "private-short", priv, 50);
    write_changed("prekey", "private-id", priv, sizeof priv, 1, zero, 4);
}

static void handshakes(void)
{
    enum { AT = 19 };
    const uint8_t *m = p.first;
    struct sotto_session *s;
    uint8_t other[SOTTO_MESSAGE_MAX];
    static const uint8_t zero[32];
    size_t n, full = p.first_len;

    write_seed("handshake", "one-time", m, full);
    CHECK(people_initiate(p.env, &p.alice, &p.bob, false, &s) == 0);
    n = people_say(p.env, s, "first", other);
    write_seed("handshake", "last-resort", other, n);
    write_seed("handshake", "empty", m, 0);
    for (n = 1; n < full; n += n < 3 ? 1 : 290) {
        char name[32];

        snprintf(name, sizeof name, "short-%zu", n);
        write_seed("handshake", name, m, n);
    }
    write_seed("handshake", "short-key", m, AT + 1612 + 10);
    write_seed("handshake", "short-numbers", m, AT + 1612 + 33);
    write_seed("handshake", "short-n", m, AT + 1612 + 37);
    write_seed("handshake", "short-salt", m, AT + 1612 + 45);
    write_changed("handshake", "version", m, full, 0, "\2", 1);
    write_changed("handshake", "suite", m, full, 1, "\2", 1);
    write_changed("handshake", "flags", m, full, 2, "\4", 1);
    write_changed("handshake", "both-flags", m, full, 2, "\3", 1);
    write_changed("handshake", "no-handshake", m, full, 2, zero, 1);
    write_changed("handshake", "ephemeral", m, full, 2, "\2", 1);
    write_changed("handshake", "session-id", m, full, 3, zero, 4);
    write_changed("handshake", "generation", m, full, AT, zero, 4);
    write_changed("handshake", "signed-id", m, full, AT + 4, zero, 4);
    write_changed("handshake", "one-time-id", m, full, AT + 8, zero, 4);
    write_changed("handshake", "low-order", m, full, AT + 12, zero, 32);
    write_changed("handshake", "ciphertext", m, full, AT + 44, zero, 4);
    write_changed("handshake", "ratchet-low-order", m, full, AT + 1612, zero, 32);
    write_changed("handshake", "number", m, full, AT + 1612 + 36, "\xff\xff\xff\xff", 4);
    write_changed("handshake", "far", m, full, AT + 1612 + 36, "\x00\x01\xff\xff", 4);
    write_changed("handshake", "tag", m, full, full - 4, zero, 4);
    sotto_session_free(s);
}

static void write_record(const char *name, const struct sotto_session *s, size_t at,
                         const void *with, size_t n)
{
    SOTTO_AUTO_BUF b = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);

    CHECK(sotto_buf_add(&b, "", 1) == 0 && sotto_session_write(s, &b) == 0);
    write_changed("ratchet", name, b.p, b.n, 1 + at, with, n);
    if (n > 0)
        return;
    for (size_t cut = 1; cut < b.n; cut += 37) {
        char cut_name[64];

        if (cut > 200 && cut < 1700 && b.n > 1700)
            continue;
        snprintf(cut_name, sizeof cut_name, "%s-short-%zu", name, cut);
        write_seed("ratchet", cut_name, b.p, cut);
    }
}

/* Records of every phase, with kept keys of two chains, and ways to break them. */
static void records(void)
{
    enum { HEAD = 131, FLOOR = HEAD + 1 + 32 + 64 + 32 + 8 + 64 + 4, ENDED = FLOOR + 4 };
    uint8_t m[SOTTO_MESSAGE_MAX];
    size_t len = 0;

    write_record("first", p.a, 0, NULL, 0);
    CHECK(people_respond(p.env, &p.bob, &p.alice, p.first, p.first_len, &p.b) == 0);
    write_record("wait", p.b, 0, NULL, 0);
    CHECK(people_hear(p.b, p.first, p.first_len, "first") == 0);
    write_record("turn", p.b, 0, NULL, 0);
    pair_talk(&p);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 4; i++)
            len = people_say(p.env, p.a, "over", m);
        CHECK(people_hear(p.b, m, len, "over") == 0);
        len = people_say(p.env, p.b, "out", m);
        CHECK(people_hear(p.a, m, len, "out") == 0);
    }
    write_record("both", p.b, 0, NULL, 0);
    write_record("record-version", p.b, 0, "\2", 1);
    write_record("record-suite", p.b, 1, "\2", 1);
    write_record("record-flags", p.b, 2, "\4", 1);
    write_record("unconfirmed", p.b, 2, "\0", 1);
    write_record("phase-0", p.b, HEAD, "\0", 1);
    write_record("phase-2", p.b, HEAD, "\2", 1);
    write_record("phase-5", p.b, HEAD, "\5", 1);
    write_record("floor", p.b, FLOOR, "\xff", 1);
    write_record("ended", p.b, ENDED, "\x09", 1);
    write_record("ended-floor", p.b, ENDED + 1 + 12, "\xff", 1);
    write_record("skipped", p.b, ENDED + 1 + 3 * 16, "\xff", 1);
    write_record("run-0", p.b, ENDED + 1 + 3 * 16 + 2 + 32, "\0\0", 2);
    write_record("not-rising", p.b, ENDED + 1 + 3 * 16 + 2 + 32 + 2 + 36, "\0\0\0\0", 4);
    write_record("skipped-less", p.b, ENDED + 1 + 3 * 16, "\0\1", 2);
}

static void conversations(void)
{
    /* 0x00 speak to Bob, 0x20 to Alice, 0x40-0x80 arrive, 0xa0 arrive changed, 0xc0 lost, 0xe0
     * through the record; 0x1f, 0x3f: hundreds that are lost */
    static const uint8_t in_order[] = {1, 0x00, 0x40, 0x20, 0x41, 0x00, 0x42, 0x20, 0x43, 0xe0};
    static const uint8_t reversed[] = {1,    0x00, 0x00, 0x00, 0x00, 0x43, 0xe0, 0xe1, 0x42,
                                       0x41, 0x40, 0x40, 0x20, 0x20, 0x45, 0x44, 0x44};
    static const uint8_t turns[] = {1,    0x00, 0x00, 0x40, 0x20, 0x42, 0x00, 0x00, 0x44, 0x20,
                                    0x45, 0x00, 0x46, 0x41, 0x43, 0x40, 0x42, 0x44, 0xe1, 0x41};
    static const uint8_t changed[] = {1,    0x00, 0xa0, 0x00, 0x00, 0xa0, 0x05, 0x00, 0xa0,
                                      0x20, 0x00, 0xa0, 0xc0, 0x00, 0xa0, 0xc8, 0x00, 0xa0,
                                      0xd0, 0x00, 0xa0, 0xff, 0x00, 0x40, 0xa0, 0x80, 0x01};
    static const uint8_t lost[] = {1,    0x00, 0x00, 0x00, 0xc0, 0xc0, 0x40, 0x20, 0x41,
                                   0x00, 0x00, 0xc2, 0x42, 0xe1, 0x20, 0x43, 0xe0};
    static const uint8_t storms[] = {1,    0x00, 0x00, 0x1f, 0x00, 0x42, 0x1f, 0x00, 0x43, 0x40,
                                     0x41, 0x20, 0x44, 0x1f, 0x00, 0x45, 0x00, 0x46, 0x3f, 0x20,
                                     0x47, 0x40, 0x41, 0x42, 0x1f, 0x1f, 0x00, 0x48, 0x48, 0x41};
    uint8_t many[1 + 31 + 31 + 31];

    write_seed("ratchet", "in-order", in_order, sizeof in_order);
    write_seed("ratchet", "reversed", reversed, sizeof reversed);
    write_seed("ratchet", "turns", turns, sizeof turns);
    write_seed("ratchet", "changed", changed, sizeof changed);
    write_seed("ratchet", "lost", lost, sizeof lost);
    write_seed("ratchet", "storms", storms, sizeof storms);
    memset(many, 0, sizeof many);
    many[0] = 1;
    for (int i = 0; i < 31; i++) {
        many[32 + i] = (uint8_t)(0x40 + 30 - i);
        many[63 + i] = (uint8_t)(0x40 + i);
    }
    write_seed("ratchet", "many", many, sizeof many);
}

static void envelopes(void)
{
    static const uint8_t low[32];
    uint8_t e[4096], m[300] = {1, 1, 0};
    size_t len;

    CHECK(sotto_envelope_seal(p.env, &p.bob.account, &p.bob.device, "alice", p.alice.device.id,
                              SOTTO_ENVELOPE_MESSAGE, m, sizeof m, e, sizeof e, &len) == 0);
    write_seed("envelope", "right", e, len);
    write_seed("envelope", "empty", e, 0);
    write_seed("envelope", "short", e, 54);
    write_changed("envelope", "version", e, len, 0, "\2", 1);
    write_changed("envelope", "suite", e, len, 1, "\2", 1);
    write_changed("envelope", "low-order", e, len, 6, low, 32);
    write_changed("envelope", "tag", e, len, len - 4, low, 4);
    /* what an evil sender puts inside */
    write_seed("envelope", "inner-message", "\5alice12345678\1m", 16);
    write_seed("envelope", "inner-ephemeral", "\5alice12345678\2m", 16);
    write_seed("envelope", "inner-kind", "\5alice12345678\3m", 16);
    write_seed("envelope", "inner-empty", "\5alice12345678\1", 15);
    write_seed("envelope", "inner-no-kind", "\5alice12345678", 14);
    write_seed("envelope", "inner-no-device", "\5alice1234", 10);
    write_seed("envelope", "inner-name", "\5Alice12345678\1m", 16);
    write_seed("envelope", "inner-long-name",
               "\x40"
               "abcdefgh",
               9);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    folder = argv[1];
    meet();
    entries();
    lists();
    prekeys();
    handshakes();
    records();
    conversations();
    envelopes();
    return 0;
}
