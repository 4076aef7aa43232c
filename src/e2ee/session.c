/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "crypto/kdf.h"
#include "e2ee/message.h"
#include "e2ee/padding.h"
#include "e2ee/ratchet.h"

/*
 * Not in guarded memory: a client holds hundreds of sessions, loaded and dropped with every
 * transaction, and the pages that may be locked are few. The process is hardened against dumps as
 * a whole, and every copy is wiped.
 */
struct sotto_session {
    uint8_t id[SOTTO_SESSION_ID];
    uint8_t ad_hash[32];
    uint64_t created_ms;
    uint32_t our_generation, their_generation;
    bool initiator, confirmed;
    struct sotto_secret32 ephemeral_out, ephemeral_in;
    uint8_t handshake[SOTTO_HANDSHAKE_BYTES]; /* of an initiator, until confirmed */
    struct sotto_ratchet ratchet;
};

enum {
    RECORD_VERSION = 1,
    RECORD_INITIATOR = 1,
    RECORD_CONFIRMED = 2,
};

static void handshake_wipe(struct sotto_handshake *h)
{
    sotto_handshake_wipe(h);
}
#define AUTO_HANDSHAKE __attribute__((cleanup(handshake_wipe))) struct sotto_handshake
#define AUTO_SENDING   __attribute__((cleanup(sotto_sending_wipe))) struct sotto_sending
#define AUTO_RECEIVING __attribute__((cleanup(sotto_receiving_wipe))) struct sotto_receiving

void sotto_session_free(struct sotto_session *s)
{
    if (s == NULL)
        return;
    sotto_ratchet_clear(&s->ratchet);
    sotto_wipe(s, sizeof *s);
    free(s);
}

enum sotto_err sotto_message_peek(const uint8_t *msg, size_t len, struct sotto_message_info *ret)
{
    struct sotto_message_info info = {0};
    struct sotto_handshake_header h;
    struct sotto_message m;
    struct sotto_reader r;
    enum sotto_err e;

    if ((e = sotto_message_parse(msg, len, &m)) != 0)
        return e;
    memcpy(info.session_id, m.session_id, sizeof info.session_id);
    info.ephemeral = m.key == NULL;
    info.has_handshake = m.handshake != NULL;
    if (info.has_handshake) {
        sotto_reader_init(&r, m.handshake, SOTTO_HANDSHAKE_BYTES);
        if ((e = sotto_handshake_read(&r, &h)) != 0)
            return e;
        info.signed_prekey_id = h.signed_id;
        info.one_time_prekey_id = h.one_time_id;
        info.sender_generation = h.generation;
        sotto_handshake_digest(&h, info.handshake_digest);
    }
    *ret = info;
    return SOTTO_OK;
}

static struct sotto_session *session_new(const struct sotto_handshake *h, bool initiator,
                                         uint64_t now_ms)
{
    struct sotto_session *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    memcpy(s->id, h->session_id, sizeof s->id);
    memcpy(s->ad_hash, h->ad_hash, sizeof s->ad_hash);
    s->created_ms = now_ms;
    s->initiator = initiator;
    s->ephemeral_out = initiator ? h->from_initiator : h->from_responder;
    s->ephemeral_in = initiator ? h->from_responder : h->from_initiator;
    return s;
}

/* The caller's own mistakes, before any of them becomes a key that nobody else has. */
static bool parties_valid(const struct sotto_party *us, const struct sotto_dh_pair *our_dh,
                          const struct sotto_party *them)
{
    return memcmp(us->device->dh_pub, our_dh->pub, 32) == 0 && us->device->id != them->device->id;
}

static enum sotto_err prekey_check(const struct sotto_prekey *p, enum sotto_prekey_type type,
                                   const struct sotto_party *them, uint64_t now_ms)
{
    enum sotto_err e;

    if (p->type != type)
        return SOTTO_ERR_USAGE;
    if ((e = sotto_prekey_verify(p, them->device)) != 0)
        return e;
    return now_ms > p->expires_ms ? SOTTO_ERR_EXPIRED : SOTTO_OK;
}

enum sotto_err sotto_session_initiate(const struct sotto_env *env, const struct sotto_party *us,
                                      const struct sotto_dh_pair *our_dh,
                                      const struct sotto_party *them,
                                      const struct sotto_prekey *signed_prekey,
                                      const struct sotto_prekey *one_time, uint64_t now_ms,
                                      struct sotto_session **ret)
{
    struct sotto_handshake_header header;
    AUTO_HANDSHAKE h = {0};
    struct sotto_session *s;
    struct sotto_writer w;
    enum sotto_err e;

    if (!parties_valid(us, our_dh, them))
        return SOTTO_ERR_USAGE;
    if ((e = prekey_check(signed_prekey, SOTTO_PREKEY_SIGNED, them, now_ms)) != 0 ||
        (one_time != NULL &&
         (e = prekey_check(one_time, SOTTO_PREKEY_ONE_TIME, them, now_ms)) != 0))
        return e;
    if (one_time != NULL && one_time->generation != signed_prekey->generation)
        return SOTTO_ERR_EXPIRED;
    if ((e = sotto_handshake_initiate(env, us, our_dh, them, signed_prekey, one_time, &header,
                                      &h)) != 0)
        return e;
    if ((s = session_new(&h, true, now_ms)) == NULL)
        return SOTTO_ERR_NOMEM;
    s->our_generation = us->generation;
    s->their_generation = signed_prekey->generation;
    sotto_writer_init(&w, s->handshake, sizeof s->handshake);
    sotto_handshake_write(&w, &header);
    if ((e = sotto_ratchet_start(env, &h.root, signed_prekey->dh_pub, &s->ratchet)) != 0) {
        sotto_session_free(s);
        return e;
    }
    *ret = s;
    return SOTTO_OK;
}

static enum sotto_err message_handshake(const uint8_t *msg, size_t len, struct sotto_message *m,
                                        struct sotto_handshake_header *ret)
{
    struct sotto_reader r;
    enum sotto_err e;

    if ((e = sotto_message_parse(msg, len, m)) != 0)
        return e;
    if (m->handshake == NULL)
        return SOTTO_ERR_USAGE;
    sotto_reader_init(&r, m->handshake, SOTTO_HANDSHAKE_BYTES);
    return sotto_handshake_read(&r, ret);
}

enum sotto_err sotto_session_respond(const struct sotto_env *env, const struct sotto_party *us,
                                     const struct sotto_dh_pair *our_dh,
                                     const struct sotto_party *them, const uint8_t *msg, size_t len,
                                     const struct sotto_prekey_private *signed_prekey,
                                     const struct sotto_prekey_private *one_time, uint64_t now_ms,
                                     struct sotto_session **ret)
{
    struct sotto_handshake_header header;
    AUTO_HANDSHAKE h = {0};
    struct sotto_session *s;
    struct sotto_message m;
    enum sotto_err e;

    if ((e = message_handshake(msg, len, &m, &header)) != 0)
        return e;
    if (!parties_valid(us, our_dh, them) || signed_prekey->type != SOTTO_PREKEY_SIGNED ||
        signed_prekey->id != header.signed_id ||
        header.one_time_id != (one_time != NULL ? one_time->id : 0) ||
        (one_time != NULL && (one_time->type != SOTTO_PREKEY_ONE_TIME ||
                              one_time->generation != signed_prekey->generation)))
        return SOTTO_ERR_USAGE;
    /* Theirs may be one from before they were put back: what they wrote then is read all the same,
     * as on a session that was there already. Nobody sends on it once there is a newer one. */
    if (signed_prekey->generation < us->device->generation)
        return SOTTO_ERR_EXPIRED;
    if ((e = sotto_handshake_respond(us, our_dh, them, &header, signed_prekey, one_time, &h)) != 0)
        return e;
    /* Not the parties, keys or ciphertext that the sender meant: nothing of his would open. */
    if (memcmp(h.session_id, m.session_id, SOTTO_SESSION_ID) != 0)
        return SOTTO_ERR_BAD_TAG;
    if ((s = session_new(&h, false, now_ms)) == NULL)
        return SOTTO_ERR_NOMEM;
    s->our_generation = signed_prekey->generation;
    s->their_generation = header.generation;
    sotto_ratchet_wait(&h.root, &signed_prekey->dh, &s->ratchet);
    *ret = s;
    return SOTTO_OK;
}

/* Key and nonce of one message: HKDF(salt = its random bytes, input = its key). A second secret
 * may follow the key in a later suite. */
struct cipher {
    struct sotto_secret32 key;
    uint8_t nonce[SOTTO_AEAD_NONCE];
};

static void cipher_wipe(struct cipher *c)
{
    sotto_wipe(c, sizeof *c);
}
#define AUTO_CIPHER __attribute__((cleanup(cipher_wipe))) struct cipher

static void cipher_derive(const struct sotto_secret32 *key, const uint8_t salt[SOTTO_MESSAGE_SALT],
                          bool ephemeral, struct cipher *ret)
{
    static const char message[] = "sotto/1 message", eph[] = "sotto/1 ephemeral message";

    _Static_assert(sizeof *ret == 44, "a key and a nonce, without padding");
    sotto_hkdf_sha256(salt, SOTTO_MESSAGE_SALT, key->b, sizeof key->b, ephemeral ? eph : message,
                      ephemeral ? sizeof eph : sizeof message, ret, sizeof *ret);
}

/* The associated data of a message: the handshake's, then all that precedes the ciphertext. */
struct associated {
    uint8_t b[32 + SOTTO_MESSAGE_HEADER_MAX];
    struct sotto_writer w; /* of the header */
};

static void associated_init(struct associated *ad, const struct sotto_session *s)
{
    memcpy(ad->b, s->ad_hash, 32);
    sotto_writer_init(&ad->w, ad->b + 32, sizeof ad->b - 32);
}

static enum sotto_err seal(const struct cipher *c, const struct associated *ad, const void *content,
                           size_t len, uint8_t *ret, size_t *ret_len)
{
    size_t padded = sotto_padded(len), header = ad->w.len;
    enum sotto_err e;

    sotto_pad(content, len, ret + header);
    e = sotto_aead_seal(&c->key, c->nonce, ad->b, 32 + header, ret + header, padded, ret + header);
    if (e != 0) {
        sotto_wipe(ret + header, padded);
        return e;
    }
    memcpy(ret, ad->b + 32, header);
    *ret_len = header + padded + SOTTO_AEAD_TAG;
    return SOTTO_OK;
}

static enum sotto_err open_message(const struct sotto_session *s, const struct cipher *c,
                                   const struct sotto_message *m, const uint8_t *msg, uint8_t *ret,
                                   size_t *ret_len)
{
    size_t padded = m->ct.n - SOTTO_AEAD_TAG;
    struct associated ad;
    enum sotto_err e;

    associated_init(&ad, s);
    sotto_write_bytes(&ad.w, msg, m->header_len);
    e = sotto_aead_open(&c->key, c->nonce, ad.b, 32 + ad.w.len, m->ct.p, m->ct.n, ret);
    if (e != 0)
        return e;
    if ((e = sotto_unpad(ret, padded, ret_len)) != 0)
        sotto_wipe(ret, padded);
    return e;
}

size_t sotto_session_room(size_t len)
{
    if (len > SOTTO_CONTENT_MAX)
        len = SOTTO_CONTENT_MAX;
    return SOTTO_MESSAGE_HEADER_MAX + sotto_padded(len) + SOTTO_AEAD_TAG;
}

enum sotto_err sotto_session_encrypt(const struct sotto_env *env, struct sotto_session *s,
                                     const void *content, size_t len, uint8_t *ret, size_t room,
                                     size_t *ret_len)
{
    bool handshake = s->initiator && !s->confirmed;
    uint8_t salt[SOTTO_MESSAGE_SALT];
    struct associated ad;
    AUTO_SENDING step = {0};
    AUTO_CIPHER c;
    enum sotto_err e;

    if (len > SOTTO_CONTENT_MAX || room < sotto_session_room(len))
        return SOTTO_ERR_TOO_LARGE;
    if ((e = sotto_random(env, salt, sizeof salt)) != 0 ||
        (e = sotto_ratchet_send(env, &s->ratchet, &step)) != 0)
        return e;
    associated_init(&ad, s);
    sotto_message_begin(&ad.w, handshake ? SOTTO_MESSAGE_HANDSHAKE : 0, s->id);
    if (handshake)
        sotto_write_bytes(&ad.w, s->handshake, sizeof s->handshake);
    sotto_write_bytes(&ad.w, step.ours.pub, 32);
    sotto_write_u32(&ad.w, step.pn);
    sotto_write_u32(&ad.w, step.n);
    sotto_write_bytes(&ad.w, salt, sizeof salt);
    cipher_derive(&step.key, salt, false, &c);
    if ((e = seal(&c, &ad, content, len, ret, ret_len)) != 0)
        return e;
    sotto_ratchet_sent(&s->ratchet, &step);
    return SOTTO_OK;
}

/* Parses, and refuses what is not of this session or of the other kind. */
static enum sotto_err message_of(const struct sotto_session *s, const uint8_t *msg, size_t len,
                                 bool ephemeral, struct sotto_message *ret)
{
    struct sotto_message m;
    enum sotto_err e;

    if ((e = sotto_message_parse(msg, len, &m)) != 0)
        return e;
    if (memcmp(m.session_id, s->id, SOTTO_SESSION_ID) != 0 || (m.key == NULL) != ephemeral)
        return SOTTO_ERR_STATE;
    *ret = m;
    return SOTTO_OK;
}

enum sotto_err sotto_session_decrypt(const struct sotto_env *env, struct sotto_session *s,
                                     const uint8_t *msg, size_t len, uint8_t *ret, size_t *ret_len)
{
    AUTO_RECEIVING step = {0};
    struct sotto_message m;
    AUTO_CIPHER c;
    size_t n;
    enum sotto_err e;

    if ((e = message_of(s, msg, len, false, &m)) != 0 ||
        (e = sotto_ratchet_receive(&s->ratchet, m.key, m.pn, m.n, &step)) != 0)
        return e;
    cipher_derive(&step.key, m.salt, false, &c);
    if ((e = open_message(s, &c, &m, msg, ret, &n)) != 0)
        return e;
    if ((e = sotto_ratchet_received(&s->ratchet, &step)) != 0) {
        sotto_wipe(ret, n);
        return e;
    }
    s->confirmed = true;
    *ret_len = n;
    return SOTTO_OK;
}

enum sotto_err sotto_session_encrypt_ephemeral(const struct sotto_env *env,
                                               const struct sotto_session *s, const void *content,
                                               size_t len, uint8_t *ret, size_t room,
                                               size_t *ret_len)
{
    uint8_t salt[SOTTO_MESSAGE_SALT];
    struct associated ad;
    AUTO_CIPHER c;
    enum sotto_err e;

    if (len > SOTTO_EPHEMERAL_MAX || room < sotto_session_room(len))
        return SOTTO_ERR_TOO_LARGE;
    if ((e = sotto_random(env, salt, sizeof salt)) != 0)
        return e;
    associated_init(&ad, s);
    sotto_message_begin(&ad.w, SOTTO_MESSAGE_EPHEMERAL, s->id);
    sotto_write_bytes(&ad.w, salt, sizeof salt);
    cipher_derive(&s->ephemeral_out, salt, true, &c);
    return seal(&c, &ad, content, len, ret, ret_len);
}

enum sotto_err sotto_session_decrypt_ephemeral(const struct sotto_session *s, const uint8_t *msg,
                                               size_t len, uint8_t *ret, size_t *ret_len)
{
    struct sotto_message m;
    AUTO_CIPHER c;
    enum sotto_err e;

    if ((e = message_of(s, msg, len, true, &m)) != 0)
        return e;
    cipher_derive(&s->ephemeral_in, m.salt, true, &c);
    return open_message(s, &c, &m, msg, ret, ret_len);
}

const uint8_t *sotto_session_id(const struct sotto_session *s)
{
    return s->id;
}

bool sotto_session_confirmed(const struct sotto_session *s)
{
    return s->confirmed;
}

uint64_t sotto_session_created_ms(const struct sotto_session *s)
{
    return s->created_ms;
}

uint32_t sotto_session_our_generation(const struct sotto_session *s)
{
    return s->our_generation;
}

uint32_t sotto_session_their_generation(const struct sotto_session *s)
{
    return s->their_generation;
}

int sotto_session_prefer(const struct sotto_session *a, const struct sotto_session *b)
{
    uint64_t sum_a = (uint64_t)a->our_generation + a->their_generation;
    uint64_t sum_b = (uint64_t)b->our_generation + b->their_generation;

    if (a->confirmed != b->confirmed)
        return a->confirmed ? -1 : 1;
    if (sum_a != sum_b)
        return sum_a > sum_b ? -1 : 1;
    return memcmp(a->id, b->id, sizeof a->id);
}

static void head_write(struct sotto_writer *w, const struct sotto_session *s)
{
    sotto_write_u8(w, RECORD_VERSION);
    sotto_write_u8(w, SOTTO_MESSAGE_SUITE);
    sotto_write_u8(w, (uint8_t)((s->initiator ? RECORD_INITIATOR : 0) |
                                (s->confirmed ? RECORD_CONFIRMED : 0)));
    sotto_write_bytes(w, s->id, sizeof s->id);
    sotto_write_bytes(w, s->ad_hash, sizeof s->ad_hash);
    sotto_write_u64(w, s->created_ms);
    sotto_write_u32(w, s->our_generation);
    sotto_write_u32(w, s->their_generation);
    sotto_write_bytes(w, s->ephemeral_out.b, 32);
    sotto_write_bytes(w, s->ephemeral_in.b, 32);
    if (s->initiator && !s->confirmed)
        sotto_write_bytes(w, s->handshake, sizeof s->handshake);
}

enum sotto_err sotto_session_write(const struct sotto_session *s, struct sotto_buf *ret)
{
    const size_t room = 256 + SOTTO_HANDSHAKE_BYTES;
    size_t start = ret->n;
    struct sotto_writer w;
    enum sotto_err e;

    if ((e = sotto_buf_reserve(ret, room)) != 0)
        return e;
    sotto_writer_init(&w, ret->p + ret->n, room);
    head_write(&w, s);
    if (w.err != 0)
        return w.err;
    ret->n += w.len;
    if ((e = sotto_ratchet_write(&s->ratchet, ret)) != 0) {
        sotto_wipe(ret->p + start, ret->n - start);
        ret->n = start;
    }
    return e;
}

static enum sotto_err head_read(struct sotto_reader *r, struct sotto_session *s)
{
    uint8_t version, suite, flags;
    enum sotto_err e;

    if ((e = sotto_read_u8(r, &version)) != 0 || (e = sotto_read_u8(r, &suite)) != 0)
        return e;
    if (version != RECORD_VERSION || suite != SOTTO_MESSAGE_SUITE)
        return SOTTO_ERR_UNSUPPORTED;
    if ((e = sotto_read_u8(r, &flags)) != 0)
        return e;
    if ((flags & ~(RECORD_INITIATOR | RECORD_CONFIRMED)) != 0)
        return SOTTO_ERR_MALFORMED;
    s->initiator = (flags & RECORD_INITIATOR) != 0;
    s->confirmed = (flags & RECORD_CONFIRMED) != 0;
    if ((e = sotto_read_bytes(r, s->id, sizeof s->id)) != 0 ||
        (e = sotto_read_bytes(r, s->ad_hash, sizeof s->ad_hash)) != 0 ||
        (e = sotto_read_u64(r, &s->created_ms)) != 0 ||
        (e = sotto_read_u32(r, &s->our_generation)) != 0 ||
        (e = sotto_read_u32(r, &s->their_generation)) != 0 ||
        (e = sotto_read_bytes(r, s->ephemeral_out.b, 32)) != 0 ||
        (e = sotto_read_bytes(r, s->ephemeral_in.b, 32)) != 0)
        return e;
    if (s->initiator && !s->confirmed)
        e = sotto_read_bytes(r, s->handshake, sizeof s->handshake);
    return e;
}

/* Confirmed means that something was opened, and that is what moves the ratchet on. */
static bool record_consistent(const struct sotto_session *s)
{
    enum sotto_ratchet_phase phase = s->ratchet.phase;

    if (s->confirmed)
        return phase == SOTTO_RATCHET_TURN || phase == SOTTO_RATCHET_BOTH;
    return phase == (s->initiator ? SOTTO_RATCHET_FIRST : SOTTO_RATCHET_WAIT);
}

enum sotto_err sotto_session_read(const uint8_t *data, size_t len, struct sotto_session **ret)
{
    struct sotto_session *s = calloc(1, sizeof *s);
    struct sotto_reader r;
    enum sotto_err e;

    if (s == NULL)
        return SOTTO_ERR_NOMEM;
    sotto_reader_init(&r, data, len);
    if ((e = head_read(&r, s)) == 0 && (e = sotto_ratchet_read(&r, &s->ratchet)) == 0 &&
        (e = sotto_read_done(&r)) == 0 && !record_consistent(s))
        e = SOTTO_ERR_MALFORMED;
    if (e != 0) {
        sotto_session_free(s);
        return e == SOTTO_ERR_TRUNCATED ? SOTTO_ERR_MALFORMED : e;
    }
    *ret = s;
    return SOTTO_OK;
}
