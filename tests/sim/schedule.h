/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_SIM_SCHEDULE_H
#define SOTTO_TESTS_SIM_SCHEDULE_H

#include "engine_rig.h"

/* One run: three accounts with two devices each (and sometimes a third), a random schedule of
 * messages and faults, and what has to be true at its end. */
#define SIM_ACCOUNTS 3
#define SIM_PHONES   (SIM_ACCOUNTS * 2)
#define SIM_MESSAGES 96
#define SIM_ACTIONS  120
#define SIM_NEVER    UINT32_MAX

/* Which faults a run may have; each seed has some of them. */
enum sim_fault {
    SIM_CUTS = 1 << 0,       /* connections, at any byte */
    SIM_KILLS = 1 << 1,      /* kill -9, of phones and of the relay */
    SIM_POWER = 1 << 2,      /* the power goes instead */
    SIM_STORE = 1 << 3,      /* either, in the middle of a store operation */
    SIM_FULL = 1 << 4,       /* a disk has no room for a while */
    SIM_OLD_COPY = 1 << 5,   /* a profile is put back */
    SIM_OLD_RELAY = 1 << 6,  /* the relay is restored from a backup */
    SIM_QUOTA = 1 << 7,      /* small mailboxes */
    SIM_DEVICES = 1 << 8,    /* devices are added and revoked */
    SIM_CLOCKS = 1 << 9,     /* clocks are wrong */
    SIM_REPEATS = 1 << 10,   /* requests come twice */
    SIM_LATE = 1 << 11,      /* frames stay on the way while time passes */
    SIM_STRANGERS = 1 << 12, /* nobody has talked yet: both sides start sessions at once */
    SIM_ALL = (1 << 13) - 1,
};
/* The names, for people: "cuts,kills". */
void sim_faults_print(unsigned faults, char ret[256]);
unsigned sim_faults_of(uint64_t seed);

struct sim_sent {
    struct said said;
    unsigned from, to; /* phone, account */
    char text[16];
    unsigned when; /* number of the action */
    bool stored;   /* its sender was told so */
    bool refused;  /* its sender was told that it was not even kept */
};

struct sim_run {
    struct world *w;
    uint64_t seed, dice;
    unsigned faults, now;
    struct sim_sent sent[SIM_MESSAGES];
    size_t count;
    /* Per phone: when the copy was made, and when it was put back; SIM_NEVER. */
    uint32_t saved[PHONES_MAX], restored[PHONES_MAX];
    /* The copy was made on the connection that was the last one when it was put back, and how often
     * the relay had been started when it was made. */
    uint8_t lease[PHONES_MAX][SOTTO_LEASE];
    bool same_lease[PHONES_MAX];
    unsigned boots[PHONES_MAX];
    uint32_t relay_saved, relay_restored;
    unsigned account[PHONES_MAX];
    uint64_t device[SIM_PHONES];
    /* What a phone was last told of a device's box: it has no room. And was so when it was put
     * back: with its newer profile went what it kept for that device. */
    bool no_room[PHONES_MAX][SIM_PHONES], lost_for[PHONES_MAX][SIM_PHONES];
    int64_t skew[PHONES_MAX], relay_skew;
    bool revoked[PHONES_MAX]; /* somebody asked for it */
    unsigned added;           /* the phone that was, or 0 */
    uint32_t login;
    bool asked; /* for its approval */
    struct {    /* requests that came twice: only one answer is passed on */
        uint32_t id;
        unsigned phone;
        bool answered;
    } twice[32];
    size_t twice_count;
    unsigned long frames;
};

/* The world before a run: everybody is online; w->phones[2 * i] and [2 * i + 1] belong together. */
void sim_base(struct world *w, const struct rig_disk *disk);
void sim_base_talk(struct world *w); /* and everybody has talked to everybody */
bool sim_run(struct sim_run *s, struct world *w, uint64_t seed, unsigned faults);

/* --- check.c --- */
bool sim_check(struct sim_run *s);
bool sim_wrong(const struct sim_run *s, const char *who, const char *text, const char *what);
/* What can be said at any time: no state claims more than what happened. */
bool sim_states_true(struct sim_run *s);
bool sim_is_settled(struct sim_run *s);

extern const struct rig_disk sim_rig_disk;
extern const char *const sim_names[SIM_ACCOUNTS];

#endif
