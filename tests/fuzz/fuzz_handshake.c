/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A first message to Bob from somebody whose list says that he is Alice: as it came, and once more
 * with the session id that its handshake leads to, so that the session comes into being and has to
 * refuse by the tag. Only what Alice made opens.
 */
#include "e2ee/handshake.h"
#include "e2ee/message.h"
#include "e2ee_fuzz.h"

static uint8_t out[SOTTO_MESSAGE_MAX];

static void respond(const uint8_t *data, size_t size)
{
    struct sotto_message_info info;
    struct sotto_session *s;
    size_t n;

    if (sotto_message_peek(data, size, &info) != 0 ||
        people_respond(p.env, &p.bob, &p.alice, data, size, &s) != 0)
        return;
    CHECK(info.has_handshake && !info.ephemeral);
    CHECK(memcmp(sotto_session_id(s), info.session_id, SOTTO_SESSION_ID) == 0);
    CHECK(!sotto_session_confirmed(s));
    if (sotto_session_decrypt(p.env, s, data, size, out, &n) == 0)
        CHECK(sotto_session_confirmed(s) && n == 5 && memcmp(out, "first", 5) == 0);
    else
        CHECK(!sotto_session_confirmed(s));
    sotto_session_free(s);
}

/* The id that the two would agree on under this header. */
static bool session_id(const struct sotto_handshake_header *h, uint8_t ret[SOTTO_SESSION_ID])
{
    struct sotto_handshake agreed;

    if (sotto_handshake_respond(&p.bob.party, &p.bob.keys.dh, &p.alice.party, h,
                                &p.bob.signed_private,
                                h->one_time_id != 0 ? &p.bob.one_time_private : NULL, &agreed) != 0)
        return false;
    memcpy(ret, agreed.session_id, SOTTO_SESSION_ID);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[SOTTO_MESSAGE_MAX];
    struct sotto_handshake_header h;
    struct sotto_message m;
    struct sotto_reader r;

    meet();
    respond(data, size);
    if (sotto_message_parse(data, size, &m) != 0 || m.handshake == NULL)
        return 0;
    sotto_reader_init(&r, m.handshake, SOTTO_HANDSHAKE_BYTES);
    CHECK(sotto_handshake_read(&r, &h) == 0 && sotto_read_done(&r) == 0);
    memcpy(copy, data, size);
    if (session_id(&h, copy + (m.session_id - data)))
        respond(copy, size);
    return 0;
}
