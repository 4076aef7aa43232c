/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/message.h"

static enum sotto_err view(struct sotto_reader *r, size_t len, const uint8_t **ret)
{
    struct sotto_bytes v;
    enum sotto_err e = sotto_read_view(r, len, &v);

    if (e == 0)
        *ret = v.p;
    return e;
}

static enum sotto_err start_read(struct sotto_reader *r, struct sotto_message *m)
{
    const uint8_t known = SOTTO_MESSAGE_HANDSHAKE | SOTTO_MESSAGE_EPHEMERAL;
    uint8_t version, suite;
    enum sotto_err e;

    if ((e = sotto_read_u8(r, &version)) != 0 || (e = sotto_read_u8(r, &suite)) != 0 ||
        (e = sotto_read_u8(r, &m->flags)) != 0)
        return e;
    if (version != SOTTO_MESSAGE_VERSION || suite != SOTTO_MESSAGE_SUITE ||
        (m->flags & ~known) != 0)
        return SOTTO_ERR_UNSUPPORTED;
    if (m->flags == known) /* what is not kept cannot open a session */
        return SOTTO_ERR_MALFORMED;
    return view(r, SOTTO_SESSION_ID, &m->session_id);
}

enum sotto_err sotto_message_parse(const uint8_t *msg, size_t len, struct sotto_message *ret)
{
    struct sotto_message m = {0};
    struct sotto_reader r;
    enum sotto_err e;

    if (len > SOTTO_MESSAGE_MAX)
        return SOTTO_ERR_TOO_LARGE;
    sotto_reader_init(&r, msg, len);
    if ((e = start_read(&r, &m)) != 0)
        return e;
    if ((m.flags & SOTTO_MESSAGE_HANDSHAKE) != 0 &&
        (e = view(&r, SOTTO_HANDSHAKE_BYTES, &m.handshake)) != 0)
        return e;
    if ((m.flags & SOTTO_MESSAGE_EPHEMERAL) == 0 &&
        ((e = view(&r, 32, &m.key)) != 0 || (e = sotto_read_u32(&r, &m.pn)) != 0 ||
         (e = sotto_read_u32(&r, &m.n)) != 0))
        return e;
    if ((e = view(&r, SOTTO_MESSAGE_SALT, &m.salt)) != 0)
        return e;
    m.header_len = (size_t)(r.p - msg);
    m.ct = (struct sotto_bytes){r.p, sotto_reader_left(&r)};
    if (m.ct.n < SOTTO_PADDED_MIN + SOTTO_AEAD_TAG)
        return SOTTO_ERR_TRUNCATED;
    *ret = m;
    return SOTTO_OK;
}

void sotto_message_begin(struct sotto_writer *w, uint8_t flags,
                         const uint8_t session_id[SOTTO_SESSION_ID])
{
    sotto_write_u8(w, SOTTO_MESSAGE_VERSION);
    sotto_write_u8(w, SOTTO_MESSAGE_SUITE);
    sotto_write_u8(w, flags);
    sotto_write_bytes(w, session_id, SOTTO_SESSION_ID);
}
