/* SPDX-License-Identifier: Apache-2.0 */
#include "primitives.h"

int main(void)
{
    struct primitives p;

    primitives_measure(&p);
    return 0;
}
