/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_NAMES_H
#define SOTTO_TESTS_NAMES_H

/*
 * A name service that the test decides on (names_dep): "two.test" is 127.0.0.2 and then 127.0.0.1,
 * "none.test" does not exist, "slow.test" is 127.0.0.1 and answered when the test says so. All
 * other names and numbers go to the system's own.
 */

/* So many of the questions for slow.test, asked or still to come, are answered. */
void names_answer(int count);
/* Blocks until so many more of them were. */
void names_wait_answered(int count);

#endif
