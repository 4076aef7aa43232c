/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CLIENT_STATE_H
#define SOTTO_CLIENT_STATE_H

/* What the files of the engine share; nobody outside src/client includes it. */

#include "auth/opaque.h"
#include "client/engine.h"
#include "e2ee/envelope.h"
#include "e2ee/session.h"

#define DAY_MS               (24ull * 3600 * 1000)
#define SOTTO_LIFETIME_MS    (30 * DAY_MS) /* of a stored message; then it counts as expired */
#define SOTTO_SEEN_MS        (35 * DAY_MS)
#define SOTTO_SESSION_MS     (30 * DAY_MS) /* a fresh handshake at least so often */
#define SOTTO_SESSIONS_KEPT  8
#define SOTTO_RECEIVE_ONLY   (40 * DAY_MS)
#define SOTTO_SIGNED_MS      (7 * DAY_MS)
#define SOTTO_SEALING_MS     (30 * DAY_MS)
#define SOTTO_SEALING_KEPT   (75 * DAY_MS)
#define SOTTO_ONE_TIME_WANT  64
#define SOTTO_ONE_TIME_LOW   32
#define SOTTO_ONE_TIME_HOUR  256  /* made in an hour at most */
#define SOTTO_ONE_TIME_KEPT  4096 /* of those that were made last */
#define SOTTO_RETRIES        3
#define SOTTO_ANSWER_MS      20000  /* a relay that is silent for so long with an answer due */
#define SOTTO_STALL_MS       300000 /* one that says other things instead */
#define SOTTO_PING_MS        60000
#define SOTTO_RECEIPTS_MS    100
#define SOTTO_FULL_RETRY_MS  30000
#define SOTTO_KEYS_RETRY_MS  10000           /* a device without keys; doubled each time, up to */
#define SOTTO_KEYS_RETRY_MAX (600 * 1000)    /* this */
#define SOTTO_CLOCK_OFF_MS   (5 * 60 * 1000) /* from here on it is said */
#define SOTTO_DORMANT_MS     (30 * DAY_MS)   /* nothing came from a device for so long */
#define SOTTO_DORMANT_RETRY  (3600 * 1000)   /* when its full mailbox is tried again */
#define SOTTO_LEASES         16
#define SOTTO_EMPTY_ROUNDS   256 /* a mailbox full of rubbish has fewer */
#define SOTTO_INBOX_MAX                                                                            \
    (16 * 1024 * 1024)           /* waiting to be processed; a relay has 1 MiB under way */
#define SOTTO_ASKED_MAX      256 /* retry requests to one account in an hour */
#define SOTTO_ASKED_STRANGER 8
#define SOTTO_AGAIN_MS       60000 /* lost receipts of one account are given again so often */
#define SOTTO_AGAIN_COUNT    4096  /* of so many messages, when the relay was put back */

enum link_phase {
    LINK_DOWN,
    LINK_DIALLING,
    LINK_HELLO, /* TLS is up, the relay's hello has not come */
    LINK_OPEN,  /* hello was right, not signed in */
    LINK_SIGNING,
    LINK_ONLINE, /* signed in and begun */
};

/* A request on the wire. done(): a is NULL when the connection went before the answer came. */
struct pending;
typedef void pending_fn(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a);
struct pending {
    struct pending *next;
    uint32_t id;
    uint64_t sent_mono;
    pending_fn *done;
    pending_fn *then; /* lists: who is called once they were taken */
    struct job *job;  /* NULL once the job is gone */
    sotto_name name;
    uint64_t device;
    int64_t item;
};

/* A call that is not finished. step() is called when something it may wait for has changed. */
struct job {
    struct job *next;
    struct sotto_ref ref;
    enum sotto_op op;
    bool dead;   /* finished; freed when nobody is iterating */
    bool unsaid; /* and nobody was told: there was no memory for it */
    enum sotto_result result;
    bool needs_online; /* ends with the cause when the connection cannot be had */
    int phase;
    uint64_t deadline_mono; /* 0: none */
    sotto_name name;
    uint8_t id[SOTTO_CONTENT_ID];
    uint32_t n[2];
    char *text; /* of the call, wiped when freed */
    size_t text_len;
    struct sotto_opaque_client *opaque;
    struct sotto_engine_target target;
    struct sotto_invite invite;
    bool has_relay_id;
    int64_t last_row;  /* receive: handed out up to here */
    struct shown *out; /* receive: handed out, not confirmed */
};
struct shown {
    struct shown *next;
    bool confirmed; /* which could not be noted yet */
    uint8_t id[SOTTO_CONTENT_ID];
};

/* An envelope that came and was not processed yet. */
struct incoming {
    struct incoming *next;
    uint64_t seq;
    bool looked_up; /* the sender's list was fetched for it once */
    size_t len;
    uint8_t envelope[];
};

/* Per account that we are sending to. */
struct outgoing {
    struct outgoing *next;
    sotto_name name;
    uint32_t in_flight;   /* submits, list and bundle requests without answer */
    bool resealed;        /* envelopes were made anew while a submit is under way */
    int64_t gone_checked; /* item that no device took: the list was fetched anew because of it */
    bool judged_again;    /* on this connection: is he still gone, still somebody else? */
    bool need_list;       /* somebody named a newer list: fetch it before the next send */
    bool list_shown;      /* on this connection: the relay was given our list of him */
    uint64_t retry_mono;  /* nothing before this; 0: at once */
    bool refused;         /* the relay could not store the last one that was handed in */
    bool missing;         /* it waits because the relay does not know the account at present */
    uint64_t full_mono;   /* held mailboxes are tried again then */
    size_t held_count;    /* devices whose mailbox is full */
    uint64_t held[SOTTO_DEVICES_MAX];
    size_t bad_count; /* devices that nothing can be encrypted for, and why; the others go on */
    struct bad_device {
        uint64_t device;
        enum keys_trouble {
            KEYS_WRONG,
            KEYS_OLD,  /* they have expired */
            KEYS_NONE, /* the relay has none */
        } why;
    } bad[SOTTO_DEVICES_MAX];
    uint64_t bad_mono;  /* they are tried again then, */
    uint64_t bad_pause; /* which is later each time */
    uint32_t stuck;     /* answers in a row that moved nothing */
    uint64_t typing_mono;
    uint64_t typed_ms;   /* when the newest notice or message of his was made */
    uint64_t asked_mono; /* retry requests: the hour that is counted, and how many */
    uint32_t asked;
    uint64_t lost_mono;     /* more is to be asked for then; 0: nothing */
    uint64_t receipts_mono; /* no receipts before this; 0: at once */
    uint64_t again_mono;    /* when receipts were given once more, last */
};

/* An item of the outbox in memory. */
struct work {
    bool found;
    struct sotto_item item;
    struct sotto_buf content;
    size_t count;
    struct work_parcel {
        uint64_t device;
        enum sotto_parcel_progress progress;
        struct sotto_buf envelope;
    } parcels[SOTTO_DEVICES_MAX * 2];
};

struct cached_list {
    bool used;
    uint64_t stamp;
    struct sotto_list list;
};
#define LIST_CACHE 8

/* A new list of our own account on its way to the relay. */
struct publish {
    bool again; /* signed on an earlier connection: it may be there, or not */
    struct sotto_list list;
    uint8_t bytes[SOTTO_LIST_MAX];
    size_t len;
};

struct sotto_engine {
    const struct sotto_env *env;
    struct sotto_profile *p;
    const struct sotto_engine_ops *ops;
    void *ctx;

    /* Who we are. */
    bool registered, revoked, deleted;
    bool end_heard; /* the relay said so to this process: no more attempts */
    bool holds_account_key;
    struct sotto_sign_pair account_key;
    struct sotto_account us;
    struct sotto_device_keys keys;
    uint64_t device;
    uint32_t generation;
    bool healed;                /* by this process: it was put back to an older copy */
    struct sotto_list own_list; /* count 0: none */

    /* Where. */
    char host[256];
    uint16_t port;
    bool has_relay;
    struct sotto_relay_identity relay; /* id, incarnation and pins as last committed */
    bool replaced;                     /* the last connection was taken by another of this device */
    bool security_stop;                /* pin outside the set: no more attempts until trusted */

    /* The connection. */
    enum link_phase phase;
    struct sotto_engine_tls tls;
    struct sotto_relay_identity hello;
    char relay_version[64];
    bool clock_known;     /* the relay told its time when it said hello last */
    int64_t clock_off_ms; /* ours ahead of it */
    enum sotto_err why;
    enum sotto_result why_result;
    char why_text[320];
    char why_pin[SOTTO_PIN_TEXT];
    struct sotto_buf out;
    uint32_t next_id;
    struct pending *pending;
    uint64_t heard_mono;
    uint32_t one_time_left;
    bool links_asked, links_again;
    bool uploading, signed_due, replace_keys, tokens_busy, relay_restored, entry_told;
    uint32_t relay_list_version;
    struct publish *publish;

    struct job *jobs;
    int iterating;
    struct incoming *in_first, **in_last;
    bool in_paused; /* the first one waits for a list */
    size_t in_size;
    uint64_t in_top;    /* committed on this connection, or known to the relay before it */
    bool draining;      /* asking whether ... */
    bool queue_drained; /* everything that the relay had at Begin was processed */
    int quiet_pings;
    uint32_t empty_rounds;      /* of pings, in which envelopes came and nothing new was said */
    uint64_t said, said_before; /* what others said that was new: now, and at the last ping */
    uint64_t delivered;         /* envelopes that came on this connection and before */
    struct outgoing *outgoing;
    uint32_t lane; /* of submits; a new one after each refusal */
    bool pumping;
    uint8_t (*changed)[SOTTO_CONTENT_ID]; /* messages to tell about after the commit */
    size_t changed_count, changed_room;
    uint64_t next_housekeeping_mono;
    uint64_t say_mono;      /* what could not be said, or noted, is tried again; 0: nothing */
    bool connection_unsaid; /* how the connection stands */
    uint64_t receipts_mono; /* when receipts go out that nothing took along; 0: none wait */
    struct cached_list lists[LIST_CACHE];
    uint64_t list_stamp;
};

/* --- engine.c --- */
/* false: no memory for it. What somebody waits for has to be said again then: sotto_say_later(). */
bool sotto_emit(struct sotto_engine *e, struct sotto_ref to, enum sotto_event_type type,
                const void *row);
void sotto_say_later(struct sotto_engine *e);
void sotto_notice(struct sotto_engine *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Queues a request; NULL: no memory (the connection is hung up). Its answer goes to done. */
struct pending *sotto_ask(struct sotto_engine *e, struct sotto_request *r, pending_fn *done,
                          struct job *job);
/* Without an answer (Ack, Goodbye). */
void sotto_tell(struct sotto_engine *e, struct sotto_request *r);
/* The store failed, or the relay broke the protocol: hang up with this cause. */
void sotto_engine_trouble(struct sotto_engine *e, enum sotto_err why, const char *text);
/* What the relay's error means for a person. */
enum sotto_result sotto_relay_result(enum sotto_relay_error code);

/* --- link.c: the connection's life --- */
/* Signs in when the connection is open and there is an account. */
void sotto_sign_in(struct sotto_engine *e);
/* Finds out whether the mailbox is empty, once per connection. */
void sotto_ask_drained(struct sotto_engine *e);
void sotto_connection_row(const struct sotto_engine *e, uint32_t retry_ms,
                          struct sotto_connection *ret);
void sotto_connection_tell(struct sotto_engine *e, uint32_t retry_ms);
/* The first frame of a connection. */
void sotto_link_hello(struct sotto_engine *e, const struct sotto_answer *a);
void sotto_link_closing(struct sotto_engine *e, const struct sotto_answer *a);
/* When the silence has lasted too long, and what is done then. */
uint64_t sotto_link_deadline(const struct sotto_engine *e);
void sotto_link_tick(struct sotto_engine *e, uint64_t now);

/* --- job.c --- */
struct job *sotto_job_new(struct sotto_engine *e, const struct sotto_call *call);
/* The sign-up or login that is under way, which names its own relay; there is one at most. NULL. */
struct job *sotto_job_signing(const struct sotto_engine *e);
void sotto_job_done(struct sotto_engine *e, struct job *j, enum sotto_result result,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The job ends because the profile does not let itself be read; or be written, or because what is
 * written begins with random numbers and there are none. */
void sotto_job_cannot_read(struct sotto_engine *e, struct job *j, enum sotto_err err);
void sotto_job_cannot_write(struct sotto_engine *e, struct job *j, enum sotto_err err);
/* "Could not reach the relay" with the cause, or the sign-in's failure; ends the job. */
void sotto_job_offline(struct sotto_engine *e, struct job *j);
/* The relay is there: those that had to wait for it. */
void sotto_jobs_online(struct sotto_engine *e);
void sotto_jobs_sweep(struct sotto_engine *e);
/* Says what could not be said when they ended. */
void sotto_jobs_say(struct sotto_engine *e);
void sotto_jobs_free(struct sotto_engine *e);

/* --- signup.c --- */
void sotto_account_register(struct sotto_engine *e, struct job *j);
void sotto_account_login(struct sotto_engine *e, struct job *j);
/* Called when the connection is open (hello was right) and a job wants to sign up or in. */
void sotto_account_open(struct sotto_engine *e);
/* A list of the account that we asked to be added to. */
void sotto_signup_listed(struct sotto_engine *e, const struct sotto_list *list,
                         struct sotto_bytes data);

/* --- account.c: own list and keys --- */
enum sotto_err sotto_account_load(struct sotto_engine *e);
enum sotto_err sotto_identity_read(struct sotto_engine *e);
enum sotto_err sotto_identity_write(struct sotto_engine *e);
enum sotto_err sotto_entry_make(struct sotto_engine *e, uint8_t ret[SOTTO_ENTRY_BYTES]);
/* Made, its private half stored. */
enum sotto_err sotto_signed_prekey_make(struct sotto_engine *e, struct sotto_prekey *ret);
/* After Begin: republish what the relay lacks, refill keys, rotate. */
void sotto_account_online(struct sotto_engine *e);
void sotto_account_keys_low(struct sotto_engine *e, uint32_t left);
void sotto_account_list_changed(struct sotto_engine *e, struct sotto_bytes list);
void sotto_account_tick(struct sotto_engine *e);
/* Signs list (its version, prev_hash and time are set here) and sends it; the job (may be NULL)
 * ends with the relay's answer. added: a device that is new in it, or 0. CONFLICT: another one is
 * on its way, from us or from the relay. */
enum sotto_err sotto_account_publish(struct sotto_engine *e, struct sotto_list *list,
                                     uint64_t added, struct job *j);
/* A linked device of ours has a newer entry. */
void sotto_account_entry_update(struct sotto_engine *e, struct sotto_bytes entry);
enum sotto_err sotto_account_adopt_list(struct sotto_engine *e, const struct sotto_list *list,
                                        struct sotto_bytes data);

/* --- heal.c --- */
#define SOTTO_LIST_LEAP "list.leap" /* setting: the next list of ours leaps ahead */
#define SOTTO_HEAL_DUE  "heal.due"  /* setting: the next sign-in heals */
/* At sign-in. acked: the last number of which the relay knows that it was acknowledged. */
enum sotto_err sotto_heal(struct sotto_engine *e, uint64_t acked);
/* Does a newer list of ours, which the relay had, show that we are an older copy? ours: it is the
 * one that we signed last. */
bool sotto_heal_shown(const struct sotto_engine *e, const struct sotto_list *list, bool ours);
/* A device of an account shows this generation; known: of the list that we have of it. Part of the
 * caller's transaction. */
enum sotto_err sotto_heal_theirs(struct sotto_engine *e, const char *name, uint64_t device,
                                 uint32_t known, uint32_t now);
/* Of the next list that we sign. */
uint32_t sotto_heal_list_version(struct sotto_engine *e);

/* --- devices.c --- */
void sotto_devices_list(struct sotto_engine *e, struct job *j);
void sotto_devices_approve(struct sotto_engine *e, struct job *j);
void sotto_devices_revoke(struct sotto_engine *e, struct job *j);
void sotto_devices_delete_account(struct sotto_engine *e, struct job *j);
void sotto_devices_link_pending(struct sotto_engine *e);
/* A device was added: it gets to know our contacts. Part of the caller's transaction. */
enum sotto_err sotto_devices_welcome(struct sotto_engine *e, uint64_t device);

/* --- lists.c --- */
/* The trusted list of an account (ours included). NOT_FOUND. Lives until the next such call. */
enum sotto_err sotto_list_of(struct sotto_engine *e, const char *name,
                             const struct sotto_list **ret);
/* The one that waits for the person after a change of identity. */
enum sotto_err sotto_list_pending_of(struct sotto_engine *e, const char *name,
                                     struct sotto_list *ret);
/* What it means for each device of the known one. Part of the caller's transaction. */
enum sotto_err sotto_list_replaces(struct sotto_engine *e, const struct sotto_list *known,
                                   const struct sotto_list *next);
void sotto_list_forget_cached(struct sotto_engine *e, const char *name);
/* Takes lists that the relay gave, oldest first. OK, FORK, NEW_IDENTITY (both noted and told),
 * MALFORMED/BAD_SIGNATURE (ignored), or a store error. */
enum sotto_err sotto_lists_take(struct sotto_engine *e, const char *name,
                                const struct sotto_bytes *lists, size_t count);
/* Asks the relay; done gets the answer after it was taken (Lists of one name). */
void sotto_lists_fetch(struct sotto_engine *e, const char *name, pending_fn *done, struct job *j);
/* Gives the relay the list that we have of an account, as it has an older one. false: nothing was
 * asked. */
bool sotto_list_show(struct sotto_engine *e, const char *name, pending_fn *done);
/* The person accepts what c is held up by: its new identity becomes the known one, whose sessions
 * begin anew; or, after a fork, its devices are taken anew from the relay. */
enum sotto_err sotto_list_accept(struct sotto_engine *e, struct sotto_contact_record *c);

/* --- contacts.c --- */
/* Row of a contact, zeroed with the name when there is none. */
enum sotto_err sotto_contact_load(struct sotto_engine *e, const char *name,
                                  struct sotto_contact_record *ret);
void sotto_contacts_list(struct sotto_engine *e, struct job *j);
void sotto_contacts_accept(struct sotto_engine *e, struct job *j);
void sotto_contacts_block(struct sotto_engine *e, struct job *j);
void sotto_contacts_unblock(struct sotto_engine *e, struct job *j);
void sotto_contacts_safety(struct sotto_engine *e, struct job *j);
void sotto_contacts_confirm(struct sotto_engine *e, struct job *j);
void sotto_contacts_accept_identity(struct sotto_engine *e, struct job *j);
/* Makes somebody a contact: state, token for him, queue for the relay. The row is put. */
enum sotto_err sotto_contact_make_accepted(struct sotto_engine *e, struct sotto_contact_record *c);
/* Tells our other devices how the contact stands; only_device 0: all of them. */
enum sotto_err sotto_contact_sync(struct sotto_engine *e, const struct sotto_contact_record *c,
                                  uint64_t only_device);
enum sotto_err sotto_contact_synced(struct sotto_engine *e, const struct sotto_content *content);

/* --- token.c --- */
/* The relay is to know this token of ours, or to forget it. Part of the caller's transaction. */
enum sotto_err sotto_token_queue(struct sotto_engine *e, bool add,
                                 const uint8_t token[SOTTO_TOKEN]);
void sotto_tokens_flush(struct sotto_engine *e);
/* All that the relay has to know goes to it again. */
enum sotto_err sotto_tokens_requeue_all(struct sotto_engine *e);

/* --- outbox.c --- */
void sotto_outbox_send(struct sotto_engine *e, struct job *j);
void sotto_outbox_resend(struct sotto_engine *e, struct job *j);
void sotto_outbox_typing(struct sotto_engine *e, const char *name, bool active);
/* Queues a content for an account (device 0: all its devices), filling id, time, conversation and
 * members; part of the caller's transaction. */
enum sotto_err sotto_outbox_queue(struct sotto_engine *e, const char *to, uint64_t device,
                                  const char *peer, struct sotto_content *c, bool keep);
/* A receipt or a retry request came. */
enum sotto_err sotto_outbox_receipt(struct sotto_engine *e, const char *from, uint64_t device,
                                    const struct sotto_content *c);
enum sotto_err sotto_outbox_retry(struct sotto_engine *e, const char *from, uint64_t device,
                                  const uint8_t session_id[SOTTO_SESSION_ID],
                                  const uint8_t envelope_id[SOTTO_ENVELOPE_ID]);
/* Notes a message that the running transaction changes; after the commit, flush tells: STATE event,
 * and the jobs that wait for it. */
enum sotto_err sotto_changed_note(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID]);
void sotto_changed_flush(struct sotto_engine *e);
/* Has it reached the relay (or more)? */
bool sotto_outbox_is_stored(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID]);
/* The message has failed; its items are dropped. Part of the caller's transaction. */
enum sotto_err sotto_outbox_fail(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID],
                                 const char *reason);
void sotto_outbox_expire(struct sotto_engine *e);

/* --- pump.c --- */
/* Sends whatever can go; call after anything that may have changed that. */
void sotto_outbox_pump(struct sotto_engine *e);
void sotto_outbox_offline(struct sotto_engine *e);
void sotto_outbox_tick(struct sotto_engine *e);
uint64_t sotto_outbox_deadline(const struct sotto_engine *e);
void sotto_outbox_unstall(struct sotto_engine *e, const char *name);
/* The send calls whose message has not reached this account's mailboxes end with the same words. */
void sotto_outbox_tell(struct sotto_engine *e, const char *name, enum sotto_result result,
                       const char *text);
/* The relay does not know the account, or knows that it was deleted. */
void sotto_outbox_unknown(struct sotto_engine *e, struct outgoing *o, bool deleted);
/* Made when there is none; NULL: no memory. */
struct outgoing *sotto_outgoing(struct sotto_engine *e, const char *name);
/* Nothing goes to this account for so long. */
void sotto_outgoing_later(struct sotto_engine *e, struct outgoing *o, uint64_t ms);
/* Something came from a device: it is awake, and we have a session with it. Part of the caller's
 * transaction. */
enum sotto_err sotto_outgoing_heard(struct sotto_engine *e, const char *name, uint64_t device);
/* A device of which nothing was heard for 30 days is waited for by nobody. */
bool sotto_device_dormant(struct sotto_engine *e, const char *name, uint64_t device);
/* Does the device wait because its mailbox is full? */
bool sotto_outgoing_waits_for_room(const struct outgoing *o, uint64_t device);
/* sotto_outbox_pump() for one account. */
void sotto_outgoing_pump(struct sotto_engine *e, struct outgoing *o);
/* Hangs up, unless OK. */
void sotto_store_trouble(struct sotto_engine *e, enum sotto_err err);

/* --- work.c --- */
/* For sotto_item_*(); ctx: a struct work, zeroed. */
enum sotto_err sotto_work_take(void *ctx, const struct sotto_item *item);
void sotto_work_free(struct work *w);
/* Its parcels, as they are now. */
enum sotto_err sotto_work_load(struct sotto_engine *e, struct work *w);
enum sotto_err sotto_work_drop_unlisted(struct sotto_engine *e, struct work *w,
                                        const struct sotto_list *list);
/* Is there a listed device, not dormant, that the item was not encrypted for yet? Its keys could
 * not be had. */
bool sotto_work_lacks(struct sotto_engine *e, struct work *w);
/* NULL: none for this device. */
struct work_parcel *sotto_work_parcel(struct work *w, uint64_t device);
/* Looks at all parcels: is the item at an end, and is the message on the relay? Part of the
 * caller's transaction. */
enum sotto_err sotto_work_settle(struct sotto_engine *e, struct outgoing *o, struct work *w);

/* --- submit.c --- */
/* Sends the parcels that may go; one request, in as many frames as it takes. false: none may. */
bool sotto_submit(struct sotto_engine *e, struct outgoing *o, struct work *w,
                  const struct sotto_list *list);
/* Tells the senders that a mailbox is full; the first one: unless the item reached a device. */
void sotto_submit_full(struct sotto_engine *e, struct outgoing *o, const struct work *w);
void sotto_submit_tell_full(struct sotto_engine *e, const struct outgoing *o);

/* --- seal.c --- */
/* The session to send on, or NOT_FOUND: a bundle is needed. Free with sotto_session_free(). */
enum sotto_err sotto_seal_session(struct sotto_engine *e, const char *name, uint64_t device,
                                  struct sotto_session **ret);
/* Of the sessions with this device these only receive from now on, and no others. Part of the
 * caller's transaction. */
enum sotto_err sotto_seal_rest(struct sotto_engine *e, const char *name, uint64_t device,
                               uint8_t (*ids)[SOTTO_SESSION_ID], size_t count);
/* Opens a session from a bundle (not stored yet), with its one-time key where that may be used. */
enum sotto_err sotto_seal_initiate(struct sotto_engine *e, const struct sotto_list *list,
                                   const struct sotto_device *device, const struct sotto_answer *a,
                                   bool one_time, struct sotto_session **ret);
/* The content of an item as it is sent now: naming both lists. */
enum sotto_err sotto_seal_content(struct sotto_engine *e, const struct sotto_list *list,
                                  struct sotto_bytes content, struct sotto_buf *ret);
/* Encrypts content on the session, stores the session and the parcel. */
enum sotto_err sotto_seal_parcel(struct sotto_engine *e, const struct sotto_list *list,
                                 const struct sotto_device *device, struct sotto_session *s,
                                 int64_t item, const struct sotto_buf *content, uint32_t retries);
void sotto_self_device(const struct sotto_engine *e, struct sotto_device *ret);
enum sotto_err sotto_session_save(struct sotto_engine *e, const char *name, uint64_t device,
                                  const struct sotto_session *s);

/* --- inbox.c --- */
void sotto_inbox_deliver(struct sotto_engine *e, const struct sotto_answer *a);
void sotto_inbox_ephemeral(struct sotto_engine *e, struct sotto_bytes envelope);
void sotto_inbox_run(struct sotto_engine *e);
void sotto_inbox_clear(struct sotto_engine *e);

/* --- receipt.c --- */
/* Sends those that are due. */
void sotto_receipts_flush(struct sotto_engine *e);
/* The relay was put back: those that it had may be lost, of all contacts. Part of the caller's
 * transaction. */
enum sotto_err sotto_receipts_again(struct sotto_engine *e);
/* A contact asks for an envelope of which nothing is known here any more: it was a receipt, as all
 * that is kept until it was delivered is known. Part of the caller's transaction. */
enum sotto_err sotto_receipt_lost(struct sotto_engine *e, const char *name);

/* --- lost.c --- */
/* The device is asked to send again what was in that envelope: now, or when the account may be
 * asked for more. known: our own account, or a contact. Part of the caller's transaction. */
enum sotto_err sotto_lost_note(struct sotto_engine *e, const char *name, bool known,
                               uint64_t device, const uint8_t envelope_id[SOTTO_ENVELOPE_ID]);
/* What an earlier process did not get to. */
enum sotto_err sotto_lost_load(struct sotto_engine *e);
void sotto_lost_accepted(struct sotto_engine *e, const char *name);
uint64_t sotto_lost_deadline(const struct sotto_engine *e);
void sotto_lost_tick(struct sotto_engine *e);

/* --- view.c: rows for people --- */
void sotto_message_row(const struct sotto_engine *e, const struct sotto_message_record *m,
                       struct sotto_message *ret, char ret_id[33], char ret_device[17]);
void sotto_view_history(struct sotto_engine *e, struct job *j);
void sotto_view_delete(struct sotto_engine *e, struct job *j);
void sotto_view_status(struct sotto_engine *e, struct job *j);
void sotto_receive_start(struct sotto_engine *e, struct job *j);
/* Those who receive look at everything again that nobody confirmed. */
void sotto_receive_rewind(struct sotto_engine *e);
void sotto_receive_stop_job(struct sotto_engine *e, uint32_t origin, uint32_t request);
/* Hands out what is new to those who receive. */
void sotto_receive_feed(struct sotto_engine *e);
void sotto_receive_shown(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID]);
/* Those that could not be noted. */
void sotto_receive_note_shown(struct sotto_engine *e);
enum sotto_err sotto_id_parse(const char *text, size_t len, uint8_t ret[SOTTO_CONTENT_ID]);

#endif
