/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sottod rotate: another TLS key. Clients hold a relay to the pins of its keys, so the next one has
 * to be known to them before it is used: first a pair is made in cert/next, and the relay announces
 * its pin along with the current one; when all have had time to come by, the pair changes places.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/cert.h"
#include "run/operator/backup.h"
#include "run/operator/command.h"
#include "run/operator/reach.h"
#include "run/relay/audit.h"
#include "run/relay/open.h"
#include "wire/invite.h"

#define KEY  "server_key.pem"
#define CERT "server_cert.pem"

struct rotation {
    struct sotto_relay_folder folder;
    char now[1100], next[1200]; /* folders */
    char why[1400];
};

static bool is_there(const char *dir, const char *name)
{
    char path[1300];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static enum sotto_err audit(struct rotation *r, const char *what, const char *pin)
{
    return sotto_audit_add(r->folder.path, sotto_now_ms(sotto_env_system()), getuid(), "rotate",
                           what, pin, r->why, sizeof r->why);
}

static enum sotto_err pin_of(struct rotation *r, const char *dir, const char *host,
                             char ret[SOTTO_PIN_TEXT])
{
    struct sotto_cert *c = NULL;
    uint8_t pin[32];
    enum sotto_err e = sotto_cert_server(dir, host, &c, r->why, sizeof r->why);

    if (e != 0)
        return e;
    sotto_cert_pin(c, pin);
    sotto_cert_free(c);
    sotto_pin_print(pin, ret);
    return SOTTO_OK;
}

static int prepare(struct rotation *r, const struct sotto_relay_options *o)
{
    bool was_there = is_there(r->next, KEY);
    char pin[SOTTO_PIN_TEXT];

    if (!is_there(r->now, KEY))
        return sotto_reach_fail("there is no key in %s yet, so there is none to replace", r->now);
    if (pin_of(r, r->next, sotto_relay_cert_host(o), pin) != 0)
        return sotto_reach_fail("%s", r->why);
    if (!was_there && audit(r, "next", pin) != 0)
        return sotto_reach_fail("%s", r->why);
    printf("%s\nThis is the pin of the next key, in %s%s. Send the relay SIGHUP (systemctl reload "
           "sottod): then it tells everybody who connects, and invites name it. Whoever does not "
           "connect before the change will be asked to trust the new key. When all had time: "
           "sottod rotate --yes\n",
           pin, r->next, was_there ? ", made earlier" : "");
    return fflush(stdout) == 0 ? 0 : 1;
}

static enum sotto_err move(struct rotation *r, const char *name)
{
    char from[1300], to[1300];

    snprintf(from, sizeof from, "%s/%s", r->next, name);
    snprintf(to, sizeof to, "%s/%s", r->now, name);
    if (rename(from, to) == 0)
        return SOTTO_OK;
    snprintf(r->why, sizeof r->why, "%s: %s", to, strerror(errno));
    return SOTTO_ERR_IO;
}

/* The key first: what is left of an interrupted change is a certificate in cert/next, which the
 * next try puts in its place. */
static int change(struct rotation *r)
{
    char pin[SOTTO_PIN_TEXT] = "";
    bool half = is_there(r->next, CERT) && !is_there(r->next, KEY);

    if (!half && !is_there(r->next, KEY))
        return sotto_reach_fail("no next key was made known; begin with: sottod rotate");
    if (!half && pin_of(r, r->next, "localhost", pin) != 0)
        return sotto_reach_fail("%s; nothing was changed", r->why);
    if (audit(r, "now", pin) != 0)
        return sotto_reach_fail("%s; nothing was changed", r->why);
    if ((!half && move(r, KEY) != 0) || move(r, CERT) != 0 ||
        sotto_folder_sync(r->now, r->why, sizeof r->why) != 0)
        return sotto_reach_fail("the change is not complete, do it once more: %s", r->why);
    (void)rmdir(r->next);
    if (pin_of(r, r->now, "localhost", pin) != 0)
        return sotto_reach_fail("%s", r->why);
    printf("%s\nThis is the pin from now on. Send the relay SIGHUP (systemctl reload sottod), or "
           "start it; and make a backup, as older ones hold the old key\n",
           pin);
    return fflush(stdout) == 0 ? 0 : 1;
}

int sotto_command_rotate(const struct sotto_command_args *a)
{
    struct rotation r = {0};
    int code;

    if (sotto_relay_folder_open(&r.folder, a->o, false, r.why, sizeof r.why) != 0)
        return sotto_reach_fail("%s", r.why);
    snprintf(r.now, sizeof r.now, "%s/cert", r.folder.path);
    snprintf(r.next, sizeof r.next, "%s/" SOTTO_RELAY_NEXT, r.folder.path);
    sotto_relay_folder_setup(&r.folder, true);
    code = a->yes ? change(&r) : prepare(&r, a->o);
    sotto_relay_folder_close(&r.folder);
    return code;
}
