/* SPDX-License-Identifier: Apache-2.0 */
/* The phones of engine_rig.h: their processes, calls, and what they were told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine_rig_internal.h"

static const struct sotto_secret32 vault_key = {.b = "the key that opens these profile"};

/* --- processes --- */

static void phone_close(struct phone *p)
{
    sotto_engine_free(p->engine);
    p->engine = NULL;
    sotto_profile_close(p->profile);
    p->profile = NULL;
}

static void phone_move(struct phone *p, const char *from);

void phone_start(struct phone *p)
{
    char why[512] = "";

    assert_null(p->engine);
    while (p->engine == NULL) {
        enum sotto_err e =
            sotto_profile_open(p->path, &vault_key, true, p->w->vfs, &p->profile, why, sizeof why);

        if (e == SOTTO_OK)
            e = sotto_engine_new(&p->env.env, p->profile, &rig_engine_ops, p, &p->engine);
        if (rig_is_dead(p->w, p->path))
            phone_move(p, p->path);
        else if (p->w->disk != NULL && (e == SOTTO_ERR_FULL || e == SOTTO_ERR_NOMEM))
            phone_close(p); /* somebody makes room, and starts it again */
        else if (e != SOTTO_OK)
            fail_msg("%s does not start: %s %s", p->name, sotto_err_text(e), why);
    }
    p->retry_mono = 0;
    p->confirmed = p->printed_count; /* what was printed before is not confirmed by this process */
    p->receiver = 0;
    rig_phone_after(p);
}

struct phone *phone_make(struct world *w, const char *name)
{
    struct phone *p = calloc(1, sizeof *p);
    uint8_t seed[32] = {0};

    assert_non_null(p);
    assert_true(w->phone_count < PHONES_MAX);
    p->w = w;
    p->number = (unsigned)w->phone_count;
    p->reads = p->confirms = true;
    p->up = SOTTO_BUF(64 * 1024 * 1024);
    p->down = SOTTO_BUF(64 * 1024 * 1024);
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf((char *)seed, sizeof seed, "phone %u %s", p->number, p->name);
    sotto_env_fixed_init(&p->env, seed, w->env.now);
    p->env.mono = w->env.mono;
    rig_fresh_folder(w, name, p->path, sizeof p->path);
    w->phones[w->phone_count++] = p;
    phone_start(p);
    return p;
}

void rig_printed_clear(struct phone *p)
{
    for (size_t i = 0; i < p->printed_count; i++)
        free(p->printed[i].text);
    p->printed_count = p->confirmed = 0;
}

void rig_phone_free(struct phone *p)
{
    rig_link_close(p);
    phone_close(p);
    phone_forget(p);
    rig_printed_clear(p);
    free(p->told);
    free(p->printed);
    sotto_buf_free(&p->up);
    sotto_buf_free(&p->down);
    free(p);
}

void phone_drop(struct phone *p)
{
    assert_true(p->w->phones[p->w->phone_count - 1] == p);
    p->w->phone_count--;
    rig_link_close(p);
    rig_relay_turn(p->w);
    rig_phone_free(p);
}

void phone_stop(struct phone *p)
{
    sotto_engine_tick(p->engine);
    rig_phone_after(p);
    world_run(p->w);
    sotto_engine_goodbye(p->engine);
    rig_phone_after(p);
    world_run(p->w);
    rig_link_close(p);
    rig_relay_turn(p->w);
    phone_close(p);
}

/* Its files under a new process: what the old one does while it is taken down stays behind. */
static void phone_move(struct phone *p, const char *from)
{
    char fresh[160];

    rig_fresh_folder(p->w, p->name, fresh, sizeof fresh);
    rig_copy_database(p->w, from, fresh, "profile.db", from == p->path);
    rig_link_close(p);
    rig_relay_turn(p->w);
    phone_close(p);
    p->hang_up = p->dial_now = false;
    p->has_certificate = false; /* it is in the profile */
    rig_drop_folder(p->w, p->path);
    snprintf(p->path, sizeof p->path, "%s", fresh);
}

void phone_kill(struct phone *p)
{
    phone_move(p, p->path);
}

void phone_crash(struct phone *p)
{
    phone_kill(p);
    phone_start(p);
}

void phone_save(struct phone *p, const char *label)
{
    char to[256];

    rig_label_folder(p->w, p->name, label, to);
    (void)mkdir(to, 0700);
    rig_copy_database(p->w, p->path, to, "profile.db", false);
}

void phone_restore(struct phone *p, const char *label)
{
    char from[256];

    rig_label_folder(p->w, p->name, label, from);
    phone_move(p, from);
    phone_start(p);
}

void phone_cut(struct phone *p)
{
    if (!p->linked)
        return;
    rig_link_lost(p, SOTTO_ERR_CLOSED, "the connection broke", NULL);
    rig_relay_turn(p->w);
}

void phone_offline(struct phone *p)
{
    p->no_network = true;
    phone_cut(p);
}

void phone_online(struct phone *p)
{
    p->no_network = false;
    p->retry_mono = 0;
}

struct phone *phone_join(struct world *w, const char *account)
{
    struct phone *p = phone_make(w, account);
    uint32_t request = phone_register(p, NULL, account);

    world_settle(w);
    assert_result(p, request, SOTTO_RESULT_OK);
    assert_true(phone_is_online(p));
    return p;
}

struct phone *phone_link(struct phone *first, const char *name)
{
    struct phone *p = phone_make(first->w, name);
    uint32_t login = phone_login(p, first->account, PASSPHRASE), approve;
    const struct sotto_event *e;

    world_run(first->w);
    e = phone_event(p, SOTTO_EVENT_LINK, login);
    assert_non_null(e);
    approve = phone_call(first, SOTTO_OP_APPROVE, sotto_event_link(e)->code, NULL);
    world_settle(first->w);
    assert_result(first, approve, SOTTO_RESULT_OK);
    assert_result(p, login, SOTTO_RESULT_OK);
    return p;
}

static uint64_t device_of_settings(struct phone *p)
{
    struct sotto_secret32 seed SOTTO_WIPED = {0};
    struct sotto_sign_pair pair;

    assert_int_equal(sotto_setting_read(p->profile, "device.sign", seed.b, sizeof seed.b),
                     SOTTO_OK);
    sotto_sign_from_seed(&seed, &pair);
    return sotto_device_id(pair.pub);
}

uint64_t phone_device(struct phone *p)
{
    return device_of_settings(p);
}

void phone_befriend(struct phone *a, struct phone *b)
{
    (void)phone_say(a, b->account, "hello", SOTTO_WAIT_STORED);
    (void)phone_say(b, a->account, "hello", SOTTO_WAIT_STORED);
    world_settle(a->w);
    assert_int_equal(phone_printed(a, "hello"), 1);
    assert_int_equal(phone_printed(b, "hello"), 1);
}

/* --- calls --- */

static struct sotto_bytes text_of(const char *s)
{
    return (struct sotto_bytes){(const uint8_t *)s, s != NULL ? strlen(s) : 0};
}

void phone_calls(struct phone *p, const struct sotto_call *call)
{
    assert_non_null(p->engine);
    sotto_engine_call(p->engine, call);
    rig_phone_after(p);
}

uint32_t phone_call(struct phone *p, enum sotto_op op, const char *a, const char *b)
{
    struct sotto_call call = {.op = op, .ref.request = ++p->requests};

    call.s[0] = text_of(a);
    call.s[1] = text_of(b);
    phone_calls(p, &call);
    return call.ref.request;
}

static uint32_t sign_up(struct phone *p, enum sotto_op op, const char *address, const char *account,
                        const char *passphrase)
{
    struct sotto_call call = {.op = op, .ref.request = ++p->requests};
    char pin[SOTTO_PIN_TEXT];

    sotto_pin_print(p->w->config.pins[0], pin);
    snprintf(p->account, sizeof p->account, "%s", account);
    call.s[0] = text_of(address != NULL ? address : WORLD_HOST ":12345");
    call.s[1] = text_of(address != NULL ? NULL : pin);
    call.s[2] = text_of(account);
    call.s[3] = text_of(passphrase);
    phone_calls(p, &call);
    return call.ref.request;
}

uint32_t phone_register(struct phone *p, const char *address, const char *account)
{
    return sign_up(p, SOTTO_OP_REGISTER, address, account, PASSPHRASE);
}

uint32_t phone_login(struct phone *p, const char *account, const char *passphrase)
{
    return sign_up(p, SOTTO_OP_LOGIN, NULL, account, passphrase);
}

uint32_t phone_say_again(struct phone *p, const struct said *m, const char *to, const char *text,
                         enum sotto_wait wait)
{
    struct sotto_call call = {.op = SOTTO_OP_SEND, .ref.request = ++p->requests};

    call.s[0] = text_of(to);
    call.s[1] = text_of(text);
    call.s[2] = (struct sotto_bytes){m->id, sizeof m->id};
    call.n[0] = wait;
    phone_calls(p, &call);
    return call.ref.request;
}

struct said phone_say(struct phone *p, const char *to, const char *text, enum sotto_wait wait)
{
    struct said m = {.request = 0};

    memset(m.id, 0x1d, sizeof m.id);
    sotto_put_u32(m.id, ++p->w->messages);
    sotto_hex_encode(m.id, sizeof m.id, m.hex);
    m.request = phone_say_again(p, &m, to, text, wait);
    return m;
}

/* --- what was told --- */

void phone_forget(struct phone *p)
{
    for (size_t i = 0; i < p->told_count; i++)
        sotto_event_free(p->told[i].event);
    p->told_count = 0;
}

const struct sotto_event *phone_event(const struct phone *p, enum sotto_event_type type,
                                      uint32_t request)
{
    for (size_t i = p->told_count; i-- > 0;)
        if (sotto_event_type(p->told[i].event) == type &&
            (request == 0 || sotto_event_request(p->told[i].event) == request))
            return p->told[i].event;
    return NULL;
}

const struct sotto_done *phone_done(const struct phone *p, uint32_t request)
{
    const struct sotto_event *e = phone_event(p, SOTTO_EVENT_DONE, request);

    return e != NULL ? sotto_event_done(e) : NULL;
}

int phone_result(const struct phone *p, uint32_t request)
{
    const struct sotto_done *done = phone_done(p, request);

    return done != NULL ? (int)done->result : -1;
}

void check_result(const struct phone *p, uint32_t request, int want, const char *file, int line)
{
    const struct sotto_done *done = phone_done(p, request);

    if (phone_result(p, request) == want)
        return;
    print_error("%s: request %u: %d, %s; wanted %d\n", p->name, request, phone_result(p, request),
                done != NULL ? done->text : "no answer", want);
    _fail(file, line);
}

size_t phone_count(const struct phone *p, enum sotto_event_type type, uint32_t request)
{
    size_t n = 0;

    for (size_t i = 0; i < p->told_count; i++)
        n += sotto_event_type(p->told[i].event) == type &&
             (request == 0 || sotto_event_request(p->told[i].event) == request);
    return n;
}

size_t phone_notices(const struct phone *p, const char *words)
{
    size_t n = 0;

    for (size_t i = 0; i < p->told_count; i++)
        n += sotto_event_type(p->told[i].event) == SOTTO_EVENT_NOTICE &&
             strstr(sotto_event_notice(p->told[i].event), words) != NULL;
    return n;
}

size_t phone_printed(const struct phone *p, const char *text)
{
    size_t n = 0;

    for (size_t i = 0; i < p->printed_count; i++)
        n += text == NULL || strcmp(p->printed[i].text, text) == 0;
    return n;
}

static enum sotto_err state_of(void *ctx, const struct sotto_message_record *m)
{
    *(uint32_t *)ctx = m->state;
    return SOTTO_OK;
}

uint32_t phone_state(struct phone *p, const struct said *m)
{
    uint32_t state = 0;
    enum sotto_err err = sotto_message_get(p->profile, m->id, state_of, &state);

    assert_true(err == SOTTO_OK || err == SOTTO_ERR_NOT_FOUND);
    return state;
}

struct find_row {
    const char *text;
    struct row *row;
    bool found;
};

static enum sotto_err match_row(void *ctx, const struct sotto_message_record *m)
{
    struct find_row *f = ctx;

    if (f->text != NULL &&
        (m->text.n != strlen(f->text) || memcmp(m->text.p, f->text, m->text.n) != 0))
        return SOTTO_OK;
    f->found = true;
    *f->row = (struct row){
        .state = m->state,
        .kind = m->kind,
        .outgoing = m->outgoing,
        .shown = m->shown,
        .request = m->request,
        .gap = m->gap,
    };
    snprintf(f->row->from, sizeof f->row->from, "%s", m->from);
    snprintf(f->row->reason, sizeof f->row->reason, "%s", m->reason);
    return SOTTO_OK;
}

bool phone_row(struct phone *p, const char *peer, const char *text, struct row *ret)
{
    struct find_row f = {.text = text, .row = ret};

    assert_int_equal(sotto_message_history(p->profile, peer, 0, match_row, &f), SOTTO_OK);
    return f.found;
}

struct sotto_contact_record phone_contact(struct phone *p, const char *name)
{
    struct sotto_contact_record c = {.state = 0};
    enum sotto_err err = sotto_contact_get(p->profile, name, &c);

    assert_true(err == SOTTO_OK || err == SOTTO_ERR_NOT_FOUND);
    return c;
}

uint32_t phone_quarantined(struct phone *p)
{
    uint32_t n;

    assert_int_equal(sotto_quarantine_count(p->profile, &n), SOTTO_OK);
    return n;
}

bool phone_is_online(const struct phone *p)
{
    return p->engine != NULL && sotto_engine_online(p->engine);
}

/* --- for carry functions --- */

enum sotto_request_type request_type(const struct sotto_buf *body)
{
    struct sotto_request *r = NULL;
    enum sotto_request_type type;

    assert_int_equal(sotto_request_decode(body->p, body->n, &r), SOTTO_OK);
    type = r->type;
    sotto_request_free(r);
    return type;
}

enum sotto_answer_type answer_type(const struct sotto_buf *body)
{
    struct sotto_answer *a = NULL;
    enum sotto_answer_type type;

    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    type = a->type;
    sotto_answer_free(a);
    return type;
}

void put_answer(struct sotto_buf *body, const struct sotto_answer *a,
                const struct sotto_sign_pair *relay_key)
{
    SOTTO_AUTO_BUF frame = SOTTO_BUF(SOTTO_FRAME_MAX + SOTTO_FRAME_HEADER);

    assert_int_equal(sotto_answer_encode(a, relay_key, &frame), SOTTO_OK);
    body->n = 0;
    assert_int_equal(
        sotto_buf_add(body, frame.p + SOTTO_FRAME_HEADER, frame.n - SOTTO_FRAME_HEADER), SOTTO_OK);
}
