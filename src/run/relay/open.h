/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_OPEN_H
#define SOTTO_RUN_RELAY_OPEN_H

#include "run/relay/folder.h"

/* What a relay and its operator's commands open first: folder, certificate, store. */
struct sotto_relay_parts {
    struct sotto_relay_folder folder;
    struct sotto_cert *cert;
    struct sotto_relay_store *store;
};

/* host: for the certificate, if it has to be made. create: make what is missing. why gets one line
 * on any error; nothing is left open then. */
enum sotto_err sotto_relay_parts_open(struct sotto_relay_parts *p,
                                      const struct sotto_relay_options *o, bool create, bool lock,
                                      char *why, size_t room);
void sotto_relay_parts_close(struct sotto_relay_parts *p);
enum sotto_err sotto_relay_cert_load(const struct sotto_relay_folder *f,
                                     const struct sotto_relay_options *o, struct sotto_cert **ret,
                                     char *why, size_t room);
/* The last thing before the first connection: the process gives up all that it does not need to run
 * on these parts (run/relay/sandbox.h), and the log says what that is. DENIED: why has one line. */
enum sotto_err sotto_relay_confine(const struct sotto_relay_parts *p,
                                   const struct sotto_relay_options *o, char *why, size_t room);

/* Whom a certificate that has to be made is for. */
const char *sotto_relay_cert_host(const struct sotto_relay_options *o);

/* Of the key in use and, while it is to be replaced, of the next one: clients keep both. The pair
 * for that lies in SOTTO_RELAY_NEXT (`sottod rotate`). Returns how many there are, 1 or 2. */
#define SOTTO_RELAY_NEXT "cert/next"
size_t sotto_relay_pins(const struct sotto_relay_folder *f, const struct sotto_cert *cert,
                        uint8_t ret[2][32]);

#endif
