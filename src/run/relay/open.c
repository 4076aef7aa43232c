/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/open.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret.h"
#include "run/relay/sandbox.h"

const char *sotto_relay_cert_host(const struct sotto_relay_options *o)
{
    if (o->has_public)
        return o->public_address.host;
    return o->listen_count > 0 ? o->listen[0].host : "localhost";
}

enum sotto_err sotto_relay_cert_load(const struct sotto_relay_folder *f,
                                     const struct sotto_relay_options *o, struct sotto_cert **ret,
                                     char *why, size_t room)
{
    char path[1100];

    snprintf(path, sizeof path, "%s/cert", f->path);
    return sotto_cert_server(path, sotto_relay_cert_host(o), ret, why, room);
}

size_t sotto_relay_pins(const struct sotto_relay_folder *f, const struct sotto_cert *cert,
                        uint8_t ret[2][32])
{
    char path[1100], key[1200], why[1024];
    struct sotto_cert *next = NULL;

    sotto_cert_pin(cert, ret[0]);
    snprintf(path, sizeof path, "%s/" SOTTO_RELAY_NEXT, f->path);
    snprintf(key, sizeof key, "%s/server_key.pem", path);
    if (access(key, F_OK) != 0)
        return 1;
    if (sotto_cert_server(path, "localhost", &next, why, sizeof why) != 0) {
        sotto_log_local("the next key is not announced: %s", why);
        return 1;
    }
    sotto_cert_pin(next, ret[1]);
    sotto_cert_free(next);
    return memcmp(ret[0], ret[1], 32) == 0 ? 1 : 2;
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

/* --- what it gives up --- */

static void confine_to(const struct sotto_relay_parts *p, const struct sotto_relay_options *o,
                       char readable[][1100], struct sotto_sandbox_paths *ret)
{
    static const char *const pair[] = {"server_cert.pem", "server_key.pem"};
    char path[1100];
    size_t n = 0;

    *ret = (struct sotto_sandbox_paths){.data = p->folder.path};
    /* Links to where some other program keeps and renews them. */
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/cert/%s", p->folder.path, pair[i]);
        n += sotto_sandbox_around(path, readable[n], sizeof readable[n]);
    }
    if (o->config[0] != '\0')
        n += sotto_sandbox_around(o->config, readable[n], sizeof readable[n]);
    for (size_t i = 0; i < n; i++)
        ret->readable[i] = readable[i];
    ret->readable_count = n;
}

enum sotto_err sotto_relay_confine(const struct sotto_relay_parts *p,
                                   const struct sotto_relay_options *o, char *why, size_t room)
{
    char readable[3][1100], line[256];
    struct sotto_sandbox_paths paths;
    struct sotto_sandbox active;
    enum sotto_err e;

    /* Becoming another user made the kernel forget it (fs.suid_dumpable). */
    sotto_secret_harden_process();
    if (geteuid() == 0)
        sotto_log_event(SOTTO_LOG_LOCAL, "root",
                        "this relay runs as root: who takes it over has the machine; let it be "
                        "another user, with --user NAME");
    if (!o->sandbox) {
        sotto_log_event(SOTTO_LOG_LOCAL, "sandbox",
                        "sandbox: off (--no-sandbox); who takes this relay over can start "
                        "programs, call others and read all that its user can read");
        return SOTTO_OK;
    }
    confine_to(p, o, readable, &paths);
    if ((e = sotto_sandbox_enter(&paths, &active)) != 0) {
        snprintf(why, room, "the sandbox could not be put in place: %s; without it: --no-sandbox",
                 sotto_err_text(e));
        return SOTTO_ERR_DENIED;
    }
    sotto_sandbox_describe(&active, line, sizeof line);
    sotto_log_event(SOTTO_LOG_INFO, "sandbox", "%s", line);
    return SOTTO_OK;
}
