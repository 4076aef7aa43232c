/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_SAFE_H
#define SOTTO_APP_SAFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Text of others on a person's screen. Whoever writes to us may put orders to the terminal, text
 * that runs backwards, or a line that looks like somebody else's into a message; what passes
 * through here can do none of that. Scripts use --json, which loses nothing.
 */

/* Where the pieces go; p is not NUL-terminated. */
typedef void sotto_safe_emit(void *ctx, const char *p, size_t n);

/*
 * Hands text to emit with everything neutralised that is not simply visible: control characters
 * become their pictures (U+2400...), direction overrides, isolates and broken UTF-8 become U+FFFD.
 * A line break is followed by indent, so that no continuation line can be taken for a line of
 * ours; indent NULL: it becomes a picture too.
 */
void sotto_safe_text(const char *text, size_t len, const char *indent, sotto_safe_emit *emit,
                     void *ctx);

/*
 * The next character of UTF-8 text: returns how many bytes it takes (1 .. 4), 0 when n is 0.
 * Broken bytes give U+FFFD, one at a time.
 */
size_t sotto_safe_next(const char *p, size_t n, uint32_t *ret_char);
/* c as UTF-8; returns the length (1 .. 4). c that is no Unicode scalar value becomes U+FFFD. */
size_t sotto_safe_encode(uint32_t c, char ret[4]);
/* May c change how the text around it reads, or what the terminal does? */
bool sotto_safe_is_control(uint32_t c);

#endif
