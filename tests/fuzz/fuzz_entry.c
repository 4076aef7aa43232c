/* SPDX-License-Identifier: Apache-2.0 */
/* A device's entry, as it came and as if its device had signed those bytes. What opens has one form
 * only: signing it again gives the same bytes. */
#include "e2ee_fuzz.h"

enum { BODY = SOTTO_ENTRY_BYTES - SOTTO_SIGNATURE };

static void open_entry(const uint8_t *data, size_t size)
{
    uint8_t again[SOTTO_ENTRY_BYTES];
    struct sotto_device d;

    if (sotto_entry_open(data, size, &p.alice.account, &d) != 0)
        return;
    CHECK(size == SOTTO_ENTRY_BYTES);
    CHECK(memcmp(d.sign_pub, p.alice.keys.sign.pub, 32) == 0); /* nobody else can sign */
    CHECK(sotto_entry_sign(&p.alice.keys.sign, &p.alice.account, &d, again) == 0);
    CHECK(memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t e[SOTTO_ENTRY_BYTES], over[SOTTO_ACCOUNT_MAX + BODY];
    struct sotto_writer w;

    meet();
    open_entry(data, size);
    if (size != sizeof e)
        return 0;
    memcpy(e, data, sizeof e);
    sotto_writer_init(&w, over, sizeof over);
    sotto_account_write(&w, &p.alice.account);
    sotto_write_bytes(&w, e, BODY);
    CHECK(sotto_sign(&p.alice.keys.sign, "device entry", over, w.len, e + BODY) == 0);
    open_entry(e, sizeof e);
    return 0;
}
