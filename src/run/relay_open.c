/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay_open.h"

#include <stdio.h>
#include <string.h>

enum sotto_err sotto_relay_cert_load(const struct sotto_relay_folder *f,
                                     const struct sotto_relay_options *o, struct sotto_cert **ret,
                                     char *why, size_t room)
{
    const char *host = "localhost";
    char path[1100];

    if (o->has_public)
        host = o->public_address.host;
    else if (o->listen_count > 0)
        host = o->listen[0].host;
    snprintf(path, sizeof path, "%s/cert", f->path);
    return sotto_cert_server(path, host, ret, why, room);
}

static enum sotto_err open_rest(struct sotto_relay_parts *p, const struct sotto_relay_options *o,
                                bool create, char *why, size_t room)
{
    char path[1100];
    enum sotto_err e;

    /* The store first: a folder in which no relay ever ran gets no certificate by being looked at.
     */
    snprintf(path, sizeof path, "%s/relay.db", p->folder.path);
    if ((e = sotto_rs_open(path, create, NULL, &p->store, why, room)) != 0)
        return e;
    return sotto_relay_cert_load(&p->folder, o, &p->cert, why, room);
}

enum sotto_err sotto_relay_parts_open(struct sotto_relay_parts *p,
                                      const struct sotto_relay_options *o, bool create, bool lock,
                                      char *why, size_t room)
{
    enum sotto_err e;

    memset(p, 0, sizeof *p);
    snprintf(why, room, "out of memory");
    if ((e = sotto_relay_folder_open(&p->folder, o, create, why, room)) != 0)
        return e;
    if (lock && (e = sotto_relay_folder_lock(&p->folder, why, room)) != 0) {
        sotto_relay_parts_close(p);
        return e;
    }
    sotto_relay_folder_setup(&p->folder, true);
    e = open_rest(p, o, create, why, room);
    sotto_relay_folder_setup(&p->folder, false);
    if (e != 0)
        sotto_relay_parts_close(p);
    return e;
}

void sotto_relay_parts_close(struct sotto_relay_parts *p)
{
    sotto_rs_close(p->store);
    sotto_cert_free(p->cert);
    sotto_relay_folder_close(&p->folder);
    p->store = NULL;
    p->cert = NULL;
}
