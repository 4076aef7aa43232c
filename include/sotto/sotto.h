/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_SOTTO_H
#define SOTTO_SOTTO_H

/*
 * libsotto: one profile of one person, ready to talk.
 *
 * Rules. A client belongs to one thread. It never blocks, except in sotto_client_open() and where
 * a passphrase is stretched (about 0.2 s). It has one file descriptor: when that is readable, call
 * sotto_client_dispatch(), then take events with sotto_client_next_event() until there is none.
 * A call that does something returns a request number (never 0); what it finds comes as events
 * that carry this number, the last of them SOTTO_EVENT_DONE. Request number 0 means: by itself.
 * Strings are UTF-8 and NUL-terminated; pointers inside an event live as long as the event;
 * arguments are copied. Nothing is printed by the library.
 *
 * Only one process at a time runs the engine of a profile. A client opened while another one runs
 * it is attached to that one and behaves the same; when that process ends, one of the attached
 * takes over.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SOTTO_API __attribute__((visibility("default")))
#else
#define SOTTO_API
#endif

/* What came of a request; also the exit codes of the command line. These never change. */
enum sotto_result {
    SOTTO_RESULT_OK = 0,
    SOTTO_RESULT_FAILED = 1,      /* anything else; the text says what */
    SOTTO_RESULT_USAGE = 2,       /* the arguments make no sense; nothing was done */
    SOTTO_RESULT_UNREACHABLE = 3, /* no connection to the relay; what was written is kept */
    SOTTO_RESULT_PROFILE = 4,     /* no profile, wrong passphrase, locked, not signed in, revoked */
    SOTTO_RESULT_UNKNOWN = 5,     /* no such account on the relay */
    SOTTO_RESULT_FULL = 6,        /* the recipient's mailbox is full */
    SOTTO_RESULT_SECURITY = 7,    /* relay key outside the pins, new account key, forked list */
};

struct sotto_client;
struct sotto_event;

struct sotto_options {
    const char *profile;    /* directory */
    const char *passphrase; /* NULL: none given; enough to attach to a running engine */
    bool create;            /* make the profile when there is none (register, login) */
};
/*
 * PROFILE: no profile (and not create), wrong passphrase, passphrase needed, damaged, locked by a
 * process that does not answer; why (room bytes) gets a sentence that names the way out. USAGE: the
 * passphrase for a new profile is too short. Connects to the relay by itself as soon as dispatch is
 * called.
 */
SOTTO_API enum sotto_result sotto_client_open(const struct sotto_options *options,
                                              struct sotto_client **ret, char *why, size_t room);
/* Says goodbye to the relay; everything is committed. NULL is fine. */
SOTTO_API void sotto_client_close(struct sotto_client *c);
/* Closes and deletes a profile that holds no account (sign-up or login did not succeed). */
SOTTO_API void sotto_client_discard(struct sotto_client *c);
SOTTO_API int sotto_client_fd(const struct sotto_client *c);
SOTTO_API void sotto_client_dispatch(struct sotto_client *c);
/* NULL when there is none. Free each with sotto_event_free(). */
SOTTO_API struct sotto_event *sotto_client_next_event(struct sotto_client *c);
SOTTO_API void sotto_event_free(struct sotto_event *e);
/* True when a passphrase was needed and checked, i.e. this process runs the engine. */
SOTTO_API bool sotto_client_is_engine(const struct sotto_client *c);
/* Does DIR hold a profile? Opens nothing. */
SOTTO_API bool sotto_profile_exists(const char *dir);
/* Does some process run the engine of this profile (so that no passphrase is needed)? */
SOTTO_API bool sotto_profile_running(const char *dir);
SOTTO_API const char *sotto_version(void);

enum sotto_event_type {
    SOTTO_EVENT_DONE = 1,   /* a request ended */
    SOTTO_EVENT_CONNECTION, /* the connection to the relay changed */
    SOTTO_EVENT_MESSAGE,    /* a message: of a request, or one that wants to be shown */
    SOTTO_EVENT_STATE,      /* an outgoing message changed its state */
    SOTTO_EVENT_TYPING,
    SOTTO_EVENT_CONTACT,
    SOTTO_EVENT_DEVICE,
    SOTTO_EVENT_STATUS,
    SOTTO_EVENT_SAFETY, /* answer to sotto_safety_of() */
    SOTTO_EVENT_NOTICE, /* a sentence that the person has to read */
    SOTTO_EVENT_LINK,   /* a device waits for approval, or (login) the code to be shown */
};
SOTTO_API enum sotto_event_type sotto_event_type(const struct sotto_event *e);
SOTTO_API uint32_t sotto_event_request(const struct sotto_event *e);

/* DONE: what came of it and a sentence ("" when there is nothing to say). For sotto_send(), id is
 * the message's; "" when it was refused, so that none is kept. */
struct sotto_done {
    enum sotto_result result;
    const char *text;
    const char *id; /* 32 hex digits, or "" */
};
enum sotto_link_state {
    SOTTO_OFFLINE,
    SOTTO_CONNECTING,
    SOTTO_ONLINE, /* signed in */
};
struct sotto_connection {
    enum sotto_link_state state;
    enum sotto_result result; /* OFFLINE: UNREACHABLE, PROFILE (revoked) or SECURITY (pin) */
    const char *text;         /* why, in a sentence; "" when online */
    const char *pin;          /* SECURITY: what the relay showed, "sha256:..."; else "" */
    uint32_t retry_ms;        /* OFFLINE: next try in about so long; 0: none */
};
enum sotto_message_state {
    SOTTO_MESSAGE_RECEIVED = 1, /* incoming */
    SOTTO_MESSAGE_QUEUED,       /* kept here, not on the relay yet */
    SOTTO_MESSAGE_STORED,       /* the relay has it, durably */
    SOTTO_MESSAGE_DELIVERED,    /* a device of the recipient has it */
    SOTTO_MESSAGE_READ,
    SOTTO_MESSAGE_FAILED, /* the reason says why */
};
struct sotto_message {
    const char *id;     /* 32 hex digits */
    const char *peer;   /* the other account */
    const char *from;   /* account that wrote it */
    const char *device; /* that it came from, 16 hex digits */
    const char *kind;   /* "text", or "unknown" for what needs a newer Sotto */
    const char *text;   /* "" where there is none; may not contain NUL */
    size_t text_len;
    uint64_t sent_at_ms, received_at_ms; /* received: stored here; 0 for outgoing */
    bool outgoing;
    bool is_request; /* from somebody who has not been accepted */
    bool gap;        /* one or more messages before it (of the same device) are missing */
    enum sotto_message_state state;
    const char *reason; /* FAILED */
};
struct sotto_typing_row {
    const char *from;
    bool active;
};
enum sotto_contact_is {
    SOTTO_IS_CONTACT = 1, /* accepted */
    SOTTO_IS_REQUEST,     /* wants to talk */
    SOTTO_IS_BLOCKED,
};
struct sotto_contact {
    const char *name;
    enum sotto_contact_is state;
    bool verified;
    bool new_identity; /* account key changed: sending stops until it is accepted */
    bool accepted_us;  /* gave us a delivery token */
    uint32_t unread, devices;
    uint64_t last_ms; /* of the last message, 0: none */
};
struct sotto_device_row {
    const char *id;    /* 16 hex digits */
    const char *state; /* "this", "listed", "pending" */
    const char *code;  /* pending: what both screens show */
    bool holds_account_key;
    uint32_t generation;
    uint64_t since_ms;
};
struct sotto_status_row {
    const char *name, *relay, *relay_id, *pin; /* "" before sign-up */
    const char *device;
    enum sotto_link_state connection;
    const char *why; /* not online: in a sentence */
    const char *tls_version, *cipher, *group;
    const char *relay_version;
    uint32_t queued, undelivered; /* messages kept here; stored, without receipt */
    uint32_t one_time_keys;       /* left on the relay */
    uint32_t list_version, devices, contacts;
    bool holds_account_key;
    bool clock_known;     /* the relay has told its time on the last connection */
    int64_t clock_off_ms; /* how far our clock was ahead of it; below 0: behind */
};
struct sotto_safety {
    const char *number; /* twelve groups of five digits, single spaces */
    bool verified, new_identity;
};
struct sotto_link {
    const char *code;   /* "ABCD-EFGH" */
    const char *device; /* 16 hex digits */
    bool ours;          /* login: show it and wait; else: a device asks */
};
/* Each: NULL when the event is of another type. */
SOTTO_API const struct sotto_done *sotto_event_done(const struct sotto_event *e);
SOTTO_API const struct sotto_connection *sotto_event_connection(const struct sotto_event *e);
SOTTO_API const struct sotto_message *sotto_event_message(const struct sotto_event *e);
/* STATE events carry the whole message as well. */
SOTTO_API const struct sotto_typing_row *sotto_event_typing(const struct sotto_event *e);
SOTTO_API const struct sotto_contact *sotto_event_contact(const struct sotto_event *e);
SOTTO_API const struct sotto_device_row *sotto_event_device(const struct sotto_event *e);
SOTTO_API const struct sotto_status_row *sotto_event_status(const struct sotto_event *e);
SOTTO_API const struct sotto_safety *sotto_event_safety(const struct sotto_event *e);
SOTTO_API const char *sotto_event_notice(const struct sotto_event *e);
SOTTO_API const struct sotto_link *sotto_event_link(const struct sotto_event *e);

/*
 * Sign-up. address: an invite link, or HOST:PORT with pin ("sha256:...", NULL: by CA or ask). DONE:
 * OK; FAILED (name taken, invite used up, closed: the text says which; another name may follow on
 * the same profile); UNREACHABLE; SECURITY with HOST:PORT and no pin: the CONNECTION event before
 * it carries the pin to be shown and passed on; PROFILE: this profile has an account already.
 */
SOTTO_API uint32_t sotto_register(struct sotto_client *c, const char *address, const char *pin,
                                  const char *name, const char *passphrase);
/* Adds this device to an account. A LINK event (ours) gives the code to show; DONE comes when it
 * was approved (OK), after ten minutes (FAILED), or with PROFILE for a wrong passphrase. */
SOTTO_API uint32_t sotto_login(struct sotto_client *c, const char *address, const char *pin,
                               const char *name, const char *passphrase);
/* DEVICE events, then DONE. */
SOTTO_API uint32_t sotto_devices(struct sotto_client *c);
/* USAGE: no pending device shows this code; PROFILE: this device does not hold the account key. */
SOTTO_API uint32_t sotto_device_approve(struct sotto_client *c, const char *code);
SOTTO_API uint32_t sotto_device_revoke(struct sotto_client *c, const char *device_id);
/* Deletes the account on the relay; the name is not given out again. The profile stays readable. */
SOTTO_API uint32_t sotto_account_delete(struct sotto_client *c);

/* What the message has to reach before DONE. */
enum sotto_wait {
    SOTTO_WAIT_QUEUED,    /* kept here */
    SOTTO_WAIT_STORED,    /* on the relay, for every listed device of the recipient */
    SOTTO_WAIT_DELIVERED, /* on a device of the recipient */
};
/*
 * text: len bytes of UTF-8, at most 32 KiB, kept byte for byte. DONE with the id: OK when the
 * state is reached; UNREACHABLE: kept and sent as soon as there is a connection; UNKNOWN: no such
 * account, the message is not kept; FULL: kept and tried again; SECURITY: kept, the text names the
 * way out; FAILED: waited timeout_ms in vain, the text has the state; USAGE. timeout_ms 0: 30 s.
 */
SOTTO_API uint32_t sotto_send(struct sotto_client *c, const char *name, const char *text,
                              size_t len, enum sotto_wait wait, uint32_t timeout_ms);
/*
 * From now on messages that have not been shown come as MESSAGE events of this request, oldest
 * first per sender; name NULL: of everybody. Each goes to one receiver only. Confirm with
 * sotto_shown() once the person can see it; what is not confirmed comes again (next start). After
 * all that is known at present, and the relay's queue, was handed out once, DONE comes; further
 * messages keep coming until sotto_receive_stop().
 */
SOTTO_API uint32_t sotto_receive(struct sotto_client *c, const char *name);
SOTTO_API void sotto_receive_stop(struct sotto_client *c, uint32_t request);
SOTTO_API void sotto_shown(struct sotto_client *c, const char *id);
/* MESSAGE events, oldest first, then DONE. limit 0: all. UNKNOWN: never talked with. */
SOTTO_API uint32_t sotto_history(struct sotto_client *c, const char *name, uint32_t limit);
SOTTO_API uint32_t sotto_delete(struct sotto_client *c, const char *id); /* here only */
/* Sends a failed (expired) message again. */
SOTTO_API uint32_t sotto_resend(struct sotto_client *c, const char *id);
SOTTO_API void sotto_typing(struct sotto_client *c, const char *name, bool active);

SOTTO_API uint32_t sotto_contacts(struct sotto_client *c); /* CONTACT events, DONE */
SOTTO_API uint32_t sotto_accept(struct sotto_client *c, const char *name);
SOTTO_API uint32_t sotto_block(struct sotto_client *c, const char *name);
SOTTO_API uint32_t sotto_unblock(struct sotto_client *c, const char *name);
/* SAFETY event, DONE. Fetches the contact's list when it is not known. */
SOTTO_API uint32_t sotto_safety_of(struct sotto_client *c, const char *name);
/* digits: the number as the other side reads it (spaces are ignored). FAILED: it differs. */
SOTTO_API uint32_t sotto_verify_confirm(struct sotto_client *c, const char *name,
                                        const char *digits);
/* Takes the new identity of a contact; what waited is sent. */
SOTTO_API uint32_t sotto_verify_accept(struct sotto_client *c, const char *name);
/* "sha256:...": the relay's new key is to be trusted; or an invite link of the same relay id. */
SOTTO_API uint32_t sotto_trust_relay(struct sotto_client *c, const char *pin_or_invite);
/* STATUS event, DONE (OK also when offline). Waits for a connection attempt to end, if one runs. */
SOTTO_API uint32_t sotto_status(struct sotto_client *c);

#ifdef __cplusplus
}
#endif
#endif
