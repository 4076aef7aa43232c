/* SPDX-License-Identifier: Apache-2.0 */
/* An envelope to Bob, as it came; and the input once more as what an evil sender has sealed inside
 * one. What opens is inside the buffer, and sealed again by us has the same inside. */
#include "crypto/hpke.h"
#include "e2ee_fuzz.h"

enum { OUTER = 38 };

static uint8_t buf[SOTTO_ENVELOPE_MAX], sealed[SOTTO_ENVELOPE_MAX], again[SOTTO_ENVELOPE_MAX];

static bool open_envelope(const uint8_t *data, size_t size, struct sotto_opened *ret)
{
    size_t room = size < sizeof buf ? size : sizeof buf;
    uint32_t key_id;

    if (sotto_envelope_peek(data, size, &key_id) != 0)
        return false;
    if (sotto_envelope_open(&p.bob.keys.sealing, &p.bob.account, p.bob.device.id, data, size, buf,
                            ret) != 0)
        return false;
    CHECK(key_id == sotto_sealing_key_id(p.bob.keys.sealing.pub));
    CHECK(ret->msg >= buf && ret->msg_len > 0 && ret->msg + ret->msg_len <= buf + room);
    CHECK(sotto_name_valid(ret->sender, strlen(ret->sender)));
    return true;
}

/* data as the plaintext of a right envelope; 0 when it is too long. */
static size_t seal_inner(const uint8_t *data, size_t size)
{
    uint8_t info[256];
    struct sotto_hpke h;
    struct sotto_writer w;

    if (size > sizeof sealed - OUTER - 16)
        return 0;
    sotto_writer_init(&w, info, sizeof info);
    sotto_write_bytes(&w, "sotto/1 envelope", 17);
    sotto_account_write(&w, &p.bob.account);
    sotto_write_u64(&w, p.bob.device.id);
    sealed[0] = sealed[1] = 1;
    sotto_put_u32(sealed + 2, sotto_sealing_key_id(p.bob.keys.sealing.pub));
    CHECK(sotto_hpke_setup_sender(p.env, p.bob.keys.sealing.pub, info, w.len, sealed + 6, &h) == 0);
    CHECK(sotto_hpke_seal(&h, sealed, 6, data, size, sealed + OUTER) == 0);
    sotto_hpke_wipe(&h);
    return OUTER + size + 16;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sotto_opened o;
    size_t len;

    meet();
    (void)open_envelope(data, size, &o);
    len = seal_inner(data, size);
    if (len == 0 || !open_envelope(sealed, len, &o))
        return 0;
    if (sotto_envelope_seal(p.env, &p.bob.account, &p.bob.device, o.sender, o.sender_device, o.kind,
                            o.msg, o.msg_len, again, sizeof again, &len) != 0) {
        CHECK(o.msg_len > SOTTO_ENVELOPE_MAX - SOTTO_ENVELOPE_OVERHEAD); /* never sealed so long */
        return 0;
    }
    CHECK(open_envelope(again, len, &o));
    CHECK(len == OUTER + size + 16 && memcmp(buf, data, size) == 0);
    return 0;
}
