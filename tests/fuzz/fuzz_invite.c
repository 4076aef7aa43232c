/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "wire/invite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* What is accepted is printed in its one canonical form, and that is read as the same invite. */
static void check_link(const char *text, size_t len)
{
    char printed[SOTTO_INVITE_LINK_MAX], again[SOTTO_INVITE_LINK_MAX];
    struct sotto_invite a, b;

    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    if (sotto_invite_parse(text, len, &a) != 0)
        return;
    require(sotto_invite_print(&a, printed) == 0);
    require(sotto_invite_parse(printed, strlen(printed), &b) == 0);
    require(memcmp(&a, &b, sizeof a) == 0);
    require(sotto_invite_print(&b, again) == 0 && strcmp(printed, again) == 0);
}

/* An address that is accepted is one in a link too, and comes out as it went in. */
static void check_address(const char *text, size_t len)
{
    struct sotto_invite a, b;
    char printed[SOTTO_INVITE_LINK_MAX];

    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    if (sotto_address_parse(text, len, a.host, &a.port) != 0)
        return;
    a.pin_count = 1;
    require(sotto_invite_print(&a, printed) == 0);
    require(sotto_invite_parse(printed, strlen(printed), &b) == 0);
    require(strcmp(a.host, b.host) == 0 && a.port == b.port);
}

static void check_pin(const char *text, size_t len)
{
    char printed[SOTTO_PIN_TEXT];
    uint8_t bytes[32];

    if (sotto_pin_parse(text, len, bytes) != 0)
        return;
    sotto_pin_print(bytes, printed);
    require(strlen(printed) == len && memcmp(printed, text, len) == 0);
}

/* The first byte says what the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;

    if (size == 0)
        return 0;
    if (data[0] == 'i')
        check_link(text, size - 1);
    else if (data[0] == 'a')
        check_address(text, size - 1);
    else
        check_pin(text, size - 1);
    return 0;
}
