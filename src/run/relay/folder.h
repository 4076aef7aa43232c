/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_FOLDER_H
#define SOTTO_RUN_RELAY_FOLDER_H

#include "run/relay/options.h"

/*
 * The data folder of a relay and the user who owns what is in it:
 *
 *     DIR/cert/server_cert.pem, server_key.pem
 *     DIR/relay.db
 *     DIR/lock        held by the relay that runs; the kernel lets go of it when a process ends
 *
 * With another user than the one who started, the process works under that user's rights from here
 * on and takes its own back only to bind.
 */
struct sotto_relay_folder {
    char path[1024];
    int lock;          /* fd or -1 */
    int setup;         /* fd of the folder, locked while things are made in it; or -1 */
    bool switched;     /* effective user is another one */
    unsigned uid, gid; /* of that user */
};

/* Makes the folder (0700) if create; refuses one that is another's or that others can change.
 * DENIED, NOT_FOUND, IO: why has one line. */
enum sotto_err sotto_relay_folder_open(struct sotto_relay_folder *f,
                                       const struct sotto_relay_options *o, bool create, char *why,
                                       size_t room);
/* LOCKED: a relay runs on it. */
enum sotto_err sotto_relay_folder_lock(struct sotto_relay_folder *f, char *why, size_t room);
/* While things are made that two processes must not make at once. Waits. */
void sotto_relay_folder_setup(struct sotto_relay_folder *f, bool on);
/* The rights of whoever started the process: on to bind, off again. */
enum sotto_err sotto_relay_folder_privilege(struct sotto_relay_folder *f, bool on);
/* For good. DENIED. */
enum sotto_err sotto_relay_folder_drop(struct sotto_relay_folder *f);
void sotto_relay_folder_close(struct sotto_relay_folder *f);

#endif
