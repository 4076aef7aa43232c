/* SPDX-License-Identifier: Apache-2.0 */
/* A device list, as it came and as if the owner of the account had signed those bytes. What opens
 * has one form only, and follows itself. */
#include "e2ee_fuzz.h"

static void open_list(const uint8_t *data, size_t size)
{
    static struct sotto_list l, copy;
    uint8_t again[SOTTO_LIST_MAX];
    size_t len;

    if (sotto_list_open(data, size, &l) != 0)
        return;
    CHECK(l.count >= 1 && l.count <= SOTTO_DEVICES_MAX && l.version >= 1);
    CHECK(sotto_list_follows(&l, &l) == 0);
    CHECK(sotto_list_find(&l, l.devices[0].id) == &l.devices[0]);
    if (memcmp(l.account.key, p.alice.account.key, 32) != 0)
        return;
    copy = l;
    memset(copy.hash, 0, sizeof copy.hash);
    memset(copy.devices, 0, sizeof copy.devices);
    CHECK(sotto_list_sign(&p.alice.account_key, &copy, again, &len) == 0);
    CHECK(len == size && memcmp(again, data, size) == 0);
    CHECK(memcmp(&copy, &l, sizeof l) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[SOTTO_LIST_MAX];

    meet();
    open_list(data, size);
    if (size < SOTTO_SIGNATURE || size > sizeof bytes)
        return 0;
    size -= SOTTO_SIGNATURE;
    memcpy(bytes, data, size);
    CHECK(sotto_sign(&p.alice.account_key, "device list", bytes, size, bytes + size) == 0);
    open_list(bytes, size + SOTTO_SIGNATURE);
    return 0;
}
