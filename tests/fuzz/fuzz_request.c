/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "wire/hot.h"
#include "wire_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is accepted is sent on and read back as the same (wire_samples.h); what the reader of
 * hot frames accepts is accepted with the same result. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sotto_request hot;
    struct sotto_request *full;

    (void)wire_check(&wire_request_codec, data, size);
    memset(&hot, 0, sizeof hot); /* what is not set is compared too */
    if (!sotto_hot_request(data, size, &hot))
        return 0;
    if (sotto_request_decode(data, size, &full) != 0 || !wire_request_equal(&hot, full))
        abort();
    sotto_request_free(full);
    return 0;
}
