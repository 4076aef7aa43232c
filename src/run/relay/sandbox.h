/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_SANDBOX_H
#define SOTTO_RUN_RELAY_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * What a relay gives up once it listens, so that somebody who takes it over gets mailboxes that he
 * cannot read, and no machine:
 *
 * - seccomp: only the system calls that a relay needs. No program is started, no process made, no
 *   other one looked into, no socket opened, no memory made executable. What has no place in a
 *   relay at all (execve, ptrace, mount, bpf...) ends the process; the rest is refused.
 * - Landlock: no file outside of the data folder, but for reading the config file and the
 *   certificate; no TCP address bound, none called; no signal to others.
 *
 * Both are for good, for all threads that are made afterwards, and need no rights.
 */
#define SOTTO_SANDBOX_READABLE 4
struct sotto_sandbox_paths {
    const char *data; /* a folder: everything is allowed in it */
    size_t readable_count;
    const char *readable[SOTTO_SANDBOX_READABLE]; /* files or folders; a missing one is left out */
};

struct sotto_sandbox {
    bool seccomp;
    int landlock;   /* version of its interface; 0: the kernel has none, or does not allow it */
    bool available; /* false: this build has none (sanitizers need what it forbids) */
};

/*
 * Call it once, before threads are made. What the kernel does not have is left out: *ret says what
 * is active. IO: a part that the kernel has could not be put in place; the process is to end, as
 * nobody knows how far it came. NOT_FOUND: no such data folder. BUG: there are threads already.
 */
enum sotto_err sotto_sandbox_enter(const struct sotto_sandbox_paths *paths,
                                   struct sotto_sandbox *ret);

/*
 * For a file that will be read again: what has to be readable so that it also can be when it was
 * replaced by another one. That is the folder that it lies in, or for a file in "/" or in a folder
 * right below it, which belong to the system, the file alone. Symbolic links are followed. path may
 * be used for ret. False: there is no such file.
 */
bool sotto_sandbox_around(const char *path, char *ret, size_t room);

/* One line for the log: what is active, and what that means. */
void sotto_sandbox_describe(const struct sotto_sandbox *s, char *ret, size_t room);

#endif
