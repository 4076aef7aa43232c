/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "safe.h"
#include "when.h"

/* A text of 32 KiB may grow by six, and nothing else here comes near that. */
enum { OBJECT_MAX = 1024 * 1024 };

static void add(struct sotto_json *j, const char *p, size_t n)
{
    if (j->err == SOTTO_OK)
        j->err = sotto_buf_add(&j->buf, p, n);
}

static void add_string(struct sotto_json *j, const char *s)
{
    add(j, s, strlen(s));
}

void sotto_json_begin(struct sotto_json *j)
{
    sotto_json_free(j);
    add_string(j, "{");
}

/* Keys are ours: plain words without anything to escape. */
static void key_of(struct sotto_json *j, const char *key)
{
    add_string(j, j->any ? ",\"" : "\"");
    add_string(j, key);
    add_string(j, "\":");
    j->any = true;
}

static bool must_escape(uint32_t c)
{
    return c == '"' || c == '\\' || sotto_safe_is_control(c) || c == 0x200e || c == 0x200f ||
           c == 0x061c;
}

static void escape(struct sotto_json *j, uint32_t c)
{
    static const struct {
        uint32_t c;
        const char *text;
    } shorts[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\r', "\\r"},
                  {'\t', "\\t"}, {'\b', "\\b"},  {'\f', "\\f"}};
    char out[8];

    for (size_t i = 0; i < sizeof shorts / sizeof shorts[0]; i++) {
        if (shorts[i].c == c) {
            add_string(j, shorts[i].text);
            return;
        }
    }
    /* All that is escaped lies in the basic plane. */
    (void)snprintf(out, sizeof out, "\\u%04x", (unsigned)(c & 0xffff));
    add_string(j, out);
}

void sotto_json_text(struct sotto_json *j, const char *key, const char *text, size_t len)
{
    size_t begin = 0, at = 0;

    key_of(j, key);
    add_string(j, "\"");
    while (at < len) {
        uint32_t c = 0;
        size_t n = sotto_safe_next(text + at, len - at, &c);
        bool broken = c == 0xfffd && n == 1;

        if (broken || must_escape(c)) {
            add(j, text + begin, at - begin);
            escape(j, c);
            begin = at + n;
        }
        at += n;
    }
    add(j, text + begin, at - begin);
    add_string(j, "\"");
}

void sotto_json_string(struct sotto_json *j, const char *key, const char *text)
{
    sotto_json_text(j, key, text, strlen(text));
}

void sotto_json_number(struct sotto_json *j, const char *key, int64_t value)
{
    char out[24];

    key_of(j, key);
    (void)snprintf(out, sizeof out, "%" PRId64, value);
    add_string(j, out);
}

void sotto_json_bool(struct sotto_json *j, const char *key, bool value)
{
    key_of(j, key);
    add_string(j, value ? "true" : "false");
}

void sotto_json_time(struct sotto_json *j, const char *key, uint64_t ms)
{
    char out[SOTTO_WHEN_ROOM];

    if (ms == 0) {
        key_of(j, key);
        add_string(j, "null");
        return;
    }
    sotto_when_utc(ms, out);
    sotto_json_string(j, key, out);
}

enum sotto_err sotto_json_end(struct sotto_json *j, const char **ret_text, size_t *ret_len)
{
    add_string(j, "}");
    if (j->err != SOTTO_OK)
        return j->err;
    *ret_text = (const char *)j->buf.p;
    *ret_len = j->buf.n;
    return SOTTO_OK;
}

void sotto_json_free(struct sotto_json *j)
{
    sotto_buf_free(&j->buf);
    *j = (struct sotto_json){.buf = SOTTO_BUF(OBJECT_MAX)};
}
