/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_SIM_STORY_H
#define SOTTO_TESTS_SIM_STORY_H

#include <stdbool.h>

/*
 * One conversation from the first start of a relay to the last word: two accounts sign up, get to
 * know each other, talk, one is away meanwhile, a second device comes and goes, relay and clients
 * are restarted, a third account is deleted. What does not work is asked for again, as people do;
 * whoever is told no without a reason, or nothing at all, fails the process. So does everything
 * that is not as it has to be in the end.
 *
 * story_trouble says that something has gone wrong which may be noticed. Then the story comes to
 * its end after the part that it is in, unless to_the_end: everybody is restarted, and talks.
 */
extern bool story_trouble;
void story_play(bool to_the_end);

#endif
