/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions. An input that begins with 0 is a record: what is read is written back the same, and a
 * session that came from it still refuses what is not its own. Any other input is a conversation:
 * each byte makes somebody speak, a message arrive (late, twice, or changed) or time pass, and what
 * opens is what was said, once; whatever is refused leaves the session as it was.
 */
#include "e2ee_fuzz.h"

enum { FLIGHTS = 32, OPS = 96, STORM = 600, KEPT = 1000 };

static struct flight {
    bool to_bob, heard;
    char said[12];
    size_t len;
    uint8_t m[2304];
} air[FLIGHTS];
static size_t count, said, lost;
static struct sotto_session *a, *b;
static uint8_t out[SOTTO_MESSAGE_MAX], scratch[SOTTO_MESSAGE_MAX];

static void record(const uint8_t *data, size_t size)
{
    SOTTO_AUTO_BUF again = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);
    struct sotto_session *s;
    size_t n;

    if (sotto_session_read(data, size, &s) != 0)
        return;
    CHECK(sotto_session_write(s, &again) == 0);
    CHECK(again.n == size && memcmp(again.p, data, size) == 0);
    CHECK(sotto_session_prefer(s, s) == 0);
    (void)sotto_session_decrypt(p.env, s, p.first, p.first_len, out, &n);
    (void)sotto_session_encrypt(p.env, s, "x", 1, scratch, sizeof scratch, &n);
    sotto_session_free(s);
}

static void speak(bool to_bob)
{
    struct flight *f = &air[count];

    if (count == FLIGHTS || (!to_bob && !sotto_session_confirmed(b)))
        return;
    *f = (struct flight){.to_bob = to_bob};
    snprintf(f->said, sizeof f->said, "%zu", said++);
    f->len = people_say(p.env, to_bob ? a : b, f->said, scratch);
    CHECK(f->len <= sizeof f->m);
    memcpy(f->m, scratch, f->len);
    count++;
}

static void arrive(struct flight *f)
{
    enum sotto_err e = people_hear(f->to_bob ? b : a, f->m, f->len, f->said);

    CHECK(e != SOTTO_ERR_BUG); /* another text */
    CHECK(!f->heard || e != 0);
    /* only so many keys are kept: what came before may be lost, but only then, and is called so */
    CHECK(f->heard || e == 0 || (lost + FLIGHTS > KEPT && e != SOTTO_ERR_REPLAY));
    f->heard = true;
}

/* Many messages that never arrive. */
static void storm(bool to_bob)
{
    if ((!to_bob && !sotto_session_confirmed(b)) || lost > 2 * KEPT)
        return;
    for (int i = 0; i < STORM; i++)
        (void)people_say(p.env, to_bob ? a : b, "gone", scratch);
    lost += STORM;
}

static void arrive_changed(const struct flight *f, uint8_t where, uint8_t how)
{
    struct sotto_session *s = f->to_bob ? b : a, *before = people_copy(s);
    size_t n;

    memcpy(scratch, f->m, f->len);
    scratch[where * f->len / 256] ^= how | 1;
    CHECK(sotto_session_decrypt(p.env, s, scratch, f->len, out, &n) != 0);
    CHECK(people_same(before, s));
    sotto_session_free(before);
}

static void through_the_record(struct sotto_session **s)
{
    struct sotto_session *copy = people_copy(*s);

    CHECK(people_same(copy, *s));
    sotto_session_free(*s);
    *s = copy;
}

/* The top three bits say what happens, the rest to which message; `args` are the bytes after. */
static void happen(uint8_t op, const uint8_t *args, size_t left)
{
    struct flight *f = count > 0 ? &air[(op & 31) % count] : NULL;
    uint8_t what = op >> 5;

    if (what < 2 && (op & 31) == 31)
        storm(what == 0);
    else if (what < 2)
        speak(what == 0);
    else if (what == 7)
        through_the_record(op % 2 == 0 ? &a : &b);
    else if (f != NULL && what == 6)
        *f = air[--count]; /* lost */
    else if (f != NULL && what == 5 && left >= 2)
        arrive_changed(f, args[0], args[1]);
    else if (f != NULL && what < 5)
        arrive(f);
}

static void conversation(const uint8_t *data, size_t size)
{
    count = said = lost = 0;
    p.random.block = 1000; /* the same input does the same every time */
    a = people_copy(p.a);
    CHECK(people_respond(p.env, &p.bob, &p.alice, p.first, p.first_len, &b) == 0);
    CHECK(people_hear(b, p.first, p.first_len, "first") == 0);
    for (size_t i = 0; i < size && i < OPS; i++)
        happen(data[i], data + i + 1, size - i - 1);
    sotto_session_free(a);
    sotto_session_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    meet();
    if (size > 0 && data[0] == 0)
        record(data + 1, size - 1);
    else if (size > 0)
        conversation(data + 1, size - 1);
    return 0;
}
