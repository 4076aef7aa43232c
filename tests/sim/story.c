/* SPDX-License-Identifier: Apache-2.0 */
#include "story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "disk.h"
#include "engine_rig.h"

#define TRIES    4
#define LINES    40
#define PATIENCE 30 /* times ten seconds */
#define NEVER    "\n"

static struct line {
    struct said said;
    struct phone *from;
    const char *to;
    char text[48];
    bool others; /* the sender's other device has to have it */
} lines[LINES];
static size_t line_count;
static struct world w;
static struct phone *alice, *bob, *tablet, *carol;
bool story_trouble;

static void copy_of(const char *from, const char *to, const char *name, bool crash)
{
    sim_disk_copy(from, to, name, SIM_KILLED);
}

static const struct rig_disk disk = {
    .vfs = "sim",
    .copy = copy_of,
    .drop = sim_disk_drop,
    .dead = sim_disk_dead,
};

static int wait_for(const struct phone *p, uint32_t request)
{
    for (int i = 0; i < PATIENCE && phone_result(p, request) < 0; i++)
        world_settle(&w);
    if (phone_result(p, request) < 0)
        fail_msg("%s: request %u has no answer", p->name, request);
    return phone_result(p, request);
}

/* true: done; false: it may be asked for once more. */
static bool done(const struct phone *p, uint32_t request, const char *what, bool again,
                 const char *harmless)
{
    int result = wait_for(p, request);

    if (result == SOTTO_RESULT_OK)
        return true;
    /* Somebody who was told that it failed, and it had not, is told so when he asks again. */
    if (story_trouble && again && strstr(phone_done(p, request)->text, harmless) != NULL)
        return true;
    if (!story_trouble || (result != SOTTO_RESULT_FAILED && result != SOTTO_RESULT_UNREACHABLE))
        fail_msg("%s: %s: result %d: %s", p->name, what, result, phone_done(p, request)->text);
    return false;
}

static void ask(struct phone *p, enum sotto_op op, const char *a, const char *harmless)
{
    char what[16];

    snprintf(what, sizeof what, "call %d", (int)op);
    for (int i = 0; i < TRIES; i++)
        if (done(p, phone_call(p, op, a, NULL), what, i > 0, harmless))
            return;
    fail_msg("%s: call %d does not work again", p->name, (int)op);
}

static struct phone *join(const char *name, uint8_t invite)
{
    struct phone *p = phone_make(&w, name);
    char link[SOTTO_INVITE_LINK_MAX];

    relay_invite(&w, invite, 1, link);
    for (int i = 0; i < TRIES; i++)
        if (done(p, phone_register(p, link, name), "sign-up", i > 0, "holds the account"))
            return p;
    fail_msg("%s: sign-up does not work again", name);
    return NULL;
}

static struct line *say(struct phone *from, const char *to, const char *text)
{
    struct line *l = &lines[line_count++];

    assert_true(line_count <= LINES);
    *l = (struct line){.from = from, .to = to};
    snprintf(l->text, sizeof l->text, "%s", text);
    l->said = phone_say(from, to, text, SOTTO_WAIT_QUEUED);
    for (int i = 0; i < TRIES; i++) {
        if (done(from, l->said.request, text, i > 0, "already"))
            return l;
        l->said.request = phone_say_again(from, &l->said, to, text, SOTTO_WAIT_QUEUED);
    }
    fail_msg("%s cannot be sent again", text);
    return l;
}

static size_t rows_of(const struct phone *p, enum sotto_event_type type)
{
    return phone_count(p, type, p->requests);
}

/* --- the parts --- */

static void beginning(void)
{
    w.config.registration = SOTTO_REGISTRATION_INVITE;
    for (int i = 0; sotto_relay_reconfigure(w.relay, &w.config) != SOTTO_OK; i++)
        assert_true(i < TRIES && story_trouble);
    alice = join("alice", 1);
    bob = join("bob", 2);
}

static void getting_to_know(void)
{
    say(alice, "bob", "may I?");
    world_settle(&w);
    ask(bob, SOTTO_OP_ACCEPT, "alice", NEVER);
    say(bob, "alice", "you may");
    world_settle(&w);
    ask(alice, SOTTO_OP_SAFETY, "bob", NEVER);
    assert_int_equal(rows_of(alice, SOTTO_EVENT_SAFETY), 1);
    for (int i = 0; i < 3; i++) {
        char text[32];

        snprintf(text, sizeof text, "alice %d", i);
        say(alice, "bob", text);
        snprintf(text, sizeof text, "bob %d", i);
        say(bob, "alice", text);
    }
    world_settle(&w);
}

static void away(void)
{
    phone_offline(bob);
    say(alice, "bob", "away 0");
    say(alice, "bob", "away 1");
    world_settle(&w);
    say(alice, "bob", "away 2");
    say(bob, "alice", "from the tunnel");
    relay_stop(&w);
    world_settle(&w);
    relay_start(&w);
    world_settle(&w);
    phone_online(bob);
    world_settle(&w);
}

static void second_device(void)
{
    const struct sotto_event *e = NULL;
    uint32_t login = 0;
    bool in = false;

    tablet = phone_make(&w, "tablet");
    for (int i = 0; i < TRIES && !in; i++) {
        login = phone_login(tablet, "alice", PASSPHRASE);
        for (int k = 0; k < PATIENCE && e == NULL && phone_result(tablet, login) < 0; k++) {
            world_run(&w);
            if ((e = phone_event(tablet, SOTTO_EVENT_LINK, login)) == NULL)
                world_settle(&w);
        }
        if (e != NULL)
            ask(alice, SOTTO_OP_APPROVE, sotto_event_link(e)->code, "no device waits");
        in = done(tablet, login, "login", i > 0, "holds the account");
        e = NULL;
    }
    if (!in)
        fail_msg("login does not work again");
    world_settle(&w);
    say(bob, "alice", "to both")->others = false;
    say(tablet, "bob", "from the tablet")->others = true;
    say(alice, "bob", "from the first")->others = true;
    world_settle(&w);
    ask(alice, SOTTO_OP_DEVICES, NULL, NEVER);
    assert_int_equal(rows_of(alice, SOTTO_EVENT_DEVICE), 2);
}

static void restarts(void)
{
    phone_stop(alice);
    say(bob, "alice", "while alice sleeps");
    phone_crash(bob);
    phone_start(alice);
    world_settle(&w);
    relay_kill(&w);
    say(alice, "bob", "after all that");
    world_settle(&w);
}

static void looking(void)
{
    ask(bob, SOTTO_OP_HISTORY, "alice", NEVER);
    assert_in_range(rows_of(bob, SOTTO_EVENT_MESSAGE), 10, LINES);
    ask(bob, SOTTO_OP_CONTACTS, NULL, NEVER);
    assert_int_equal(rows_of(bob, SOTTO_EVENT_CONTACT), 1);
    ask(bob, SOTTO_OP_STATUS, NULL, NEVER);
    assert_int_equal(rows_of(bob, SOTTO_EVENT_STATUS), 1);
    ask(bob, SOTTO_OP_BLOCK, "alice", NEVER);
    world_settle(&w);
    ask(bob, SOTTO_OP_UNBLOCK, "alice", NEVER);
    ask(bob, SOTTO_OP_ACCEPT, "alice", NEVER);
    world_settle(&w);
    say(bob, "alice", "friends again");
    world_settle(&w);
    say(alice, "bob", "good");
    world_pass(&w, 3 * 3600 * 1000);
}

static void leaving(void)
{
    char id[17];

    snprintf(id, sizeof id, "%016llx", (unsigned long long)phone_device(tablet));
    ask(alice, SOTTO_OP_REVOKE, id, "no device with this id");
    world_settle(&w);
    carol = join("carol", 3);
    say(carol, "bob", "hello from carol");
    world_settle(&w);
    ask(carol, SOTTO_OP_ACCOUNT_DELETE, NULL, "account was deleted");
    world_settle(&w);
}

/* --- what has to be true --- */

static void check_line(const struct line *l)
{
    const struct phone *to = strcmp(l->to, "alice") == 0 ? alice : bob;
    uint32_t state = phone_state(l->from, &l->said);
    struct row row;

    if (phone_printed(to, l->text) != 1)
        fail_msg("\"%s\" was shown %zu times at %s", l->text, phone_printed(to, l->text), to->name);
    if (l->from != carol && state != SOTTO_MESSAGE_READ)
        fail_msg("\"%s\" is in state %u", l->text, state);
    if (l->others && !phone_row(l->from == alice ? tablet : alice, "bob", l->text, &row))
        fail_msg("\"%s\" is not on the other device of its sender", l->text);
}

static void check_order(struct phone *p)
{
    size_t last[2] = {0, 0};

    for (size_t i = 0; i < p->printed_count; i++) {
        size_t at = 0, sender;

        while (at < line_count && strcmp(lines[at].text, p->printed[i].text) != 0)
            at++;
        if (at == line_count)
            fail_msg("\"%s\" was never written", p->printed[i].text);
        sender = lines[at].from == tablet;
        if (at < last[sender])
            fail_msg("\"%s\" is out of order at %s", p->printed[i].text, p->name);
        last[sender] = at;
        if (p->printed[i].gap)
            fail_msg("\"%s\" claims a gap at %s", p->printed[i].text, p->name);
    }
}

static void check_all(void)
{
    for (size_t i = 0; i < line_count; i++)
        check_line(&lines[i]);
    check_order(alice);
    check_order(bob);
    for (size_t i = 0; i < w.phone_count; i++)
        if (phone_quarantined(w.phones[i]) > 0)
            fail_msg("%s has something that does not open", w.phones[i]->name);
    if (tablet != NULL)
        assert_int_equal(phone_printed(tablet, "to both"), 1);
    assert_int_equal(phone_contact(alice, "bob").state, SOTTO_CONTACT_ACCEPTED);
    assert_int_equal(phone_contact(bob, "alice").state, SOTTO_CONTACT_ACCEPTED);
}

/* Who was there is there again. */
static void last_words(void)
{
    relay_kill(&w);
    phone_crash(alice);
    phone_crash(bob);
    phone_online(bob);
    world_settle(&w);
    say(alice, "bob", "are you there?");
    say(bob, "alice", "I am");
    world_pass(&w, 60 * 1000);
}

void story_play(bool to_the_end)
{
    static void (*const parts[])(void) = {beginning, getting_to_know, away,   second_device,
                                          restarts,  looking,         leaving};
    size_t count = sizeof parts / sizeof parts[0];

    memset(&w, 0, sizeof w);
    line_count = 0;
    tablet = carol = NULL;
    world_make_on(&w, &disk);
    for (size_t i = 0; i < count && (i == 0 || to_the_end || !story_trouble); i++)
        parts[i]();
    last_words();
    check_all();
    world_free(&w);
}
