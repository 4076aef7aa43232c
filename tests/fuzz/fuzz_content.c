/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "wire_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Both sides of a conversation give it one name. */
static void check_conversation(const uint8_t *data, size_t size)
{
    uint8_t one[SOTTO_CONVERSATION_ID], other[SOTTO_CONVERSATION_ID];
    struct sotto_content *c;

    if (sotto_content_decode(data, size, &c) != 0)
        abort();
    sotto_conversation_direct(c->sender_list.hash, c->members[0], c->members[1], one);
    sotto_conversation_direct(c->sender_list.hash, c->members[1], c->members[0], other);
    if (memcmp(one, other, sizeof one) != 0)
        abort();
    sotto_content_free(c);
}

/* Whatever is accepted is sent on and read back as the same (wire_samples.h). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (wire_check(&wire_content_codec, data, size) == 0)
        check_conversation(data, size);
    return 0;
}
