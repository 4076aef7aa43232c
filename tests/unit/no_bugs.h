/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_NO_BUGS_H
#define SOTTO_TESTS_NO_BUGS_H

/* From now on a line in the log that says a bug of ours fails the test, as it is written. */
void no_bugs(void);

#endif
