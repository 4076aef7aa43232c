/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is accepted is sent on and read back as the same (wire_samples.h). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)wire_check(&wire_answer_codec, data, size);
    return 0;
}
