/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_WIRE_INVITE_H
#define SOTTO_WIRE_INVITE_H

#include "wire/answer.h"

/*
 * sotto://HOST:PORT/<base64url of: u8 version 1 | relay id 32 | u8 pins | pins 32 each |
 * u8 code length (0 or 16) | code | first 4 bytes of SHA-256 of all before, the host and port
 * text included>. HOST is a name, an IPv4 address or [IPv6]. The check bytes catch a link
 * that was cut or mistyped; they are no protection. They are over the text "HOST:PORT/" in lower
 * case and the bytes, so that a newer version is told from a slip of the hand.
 */
struct sotto_invite {
    char host[256]; /* in lower case, IPv6 without brackets */
    uint16_t port;
    uint8_t relay_id[32];
    size_t pin_count; /* 1 .. SOTTO_PINS_MAX */
    uint8_t pins[SOTTO_PINS_MAX][32];
    bool has_code;
    uint8_t code[SOTTO_INVITE_CODE];
};
#define SOTTO_INVITE_LINK_MAX 640

/* MALFORMED: not an invite link; TRUNCATED: cut short or mistyped (check bytes); UNSUPPORTED. White
 * space around the link is ignored. */
enum sotto_err sotto_invite_parse(const char *text, size_t len, struct sotto_invite *ret);
/* USAGE: the host is not one, no port, no pin or too many. */
enum sotto_err sotto_invite_print(const struct sotto_invite *inv, char ret[SOTTO_INVITE_LINK_MAX]);

/* "HOST:PORT", "HOST" (default port 12345), "[::1]:12345"; the host comes out in lower case and
 * without brackets. MALFORMED. */
#define SOTTO_DEFAULT_PORT 12345
enum sotto_err sotto_address_parse(const char *text, size_t len, char ret_host[256],
                                   uint16_t *ret_port);
/* "sha256:<43 characters base64url>". MALFORMED. */
#define SOTTO_PIN_TEXT 51
enum sotto_err sotto_pin_parse(const char *text, size_t len, uint8_t ret[32]);
void sotto_pin_print(const uint8_t pin[32], char ret[SOTTO_PIN_TEXT]);

#endif
