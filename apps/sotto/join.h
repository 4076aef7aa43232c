/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_JOIN_H
#define SOTTO_APP_JOIN_H

#include "cli.h"

/* Getting an account (register) or joining one with a further device (login). */
struct sotto_join {
    const char *address; /* invite link or HOST:PORT */
    const char *pin;     /* NULL: not given */
    const char *name;
    bool login;
    bool made_profile; /* the profile did not exist before */
};

/* Does address look like an invite or HOST:PORT, and is a pin of the right shape? False: why. */
bool sotto_join_address_fits(const char *address, const char *pin, char *why);
/* Opens or makes the profile. On failure the reason was said. */
enum sotto_result sotto_join_open(struct sotto_cli *cli, struct sotto_join *j);
/* Asks the relay. Shows a strange relay's fingerprint to the person and goes on if it is right. */
enum sotto_result sotto_join(struct sotto_cli *cli, struct sotto_join *j);
/* After a failure: removes the profile again if it was made for this and nothing depends on it. */
void sotto_join_undo(struct sotto_cli *cli, struct sotto_join *j, enum sotto_result result);

#endif
