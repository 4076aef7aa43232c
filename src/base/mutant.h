/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_BASE_MUTANT_H
#define SOTTO_BASE_MUTANT_H

/*
 * Planted bugs: each breaks one promise, and the simulation has to find it (tests/sim). They exist
 * in a test program only, which compiles src/store, src/relay and src/client once more with
 * SOTTO_MUTANT; in all else SOTTO_PLANTED() is 0 and the compiler drops what stands behind it
 * (tests/lint/test_mutants.py looks).
 */
enum sotto_mutant_name {
    MUTANT_NONE,
    MUTANT_NO_SYNC,        /* store: a commit is not synced */
    MUTANT_EPOCH_AGAIN,    /* relay: sequence numbers start again after a restart */
    MUTANT_ANSWER_FIRST,   /* relay: answers leave before the disk has it */
    MUTANT_SYNC_COVERS,    /* relay: a sync counts for what was committed while it went on */
    MUTANT_LIVE_LOST,      /* relay: what is live is lost when the device goes away */
    MUTANT_SPILL_ANSWERED, /* relay: "stored" although the spill was undone */
    MUTANT_LANE_ORDER,     /* relay: a lane is delivered before the one that came before it */
    MUTANT_ROW_EARLY,      /* relay: a row of mail goes while one of its envelopes is wanted */
    MUTANT_ACK_LOST,       /* client: acknowledges though its commit failed */
    MUTANT_SEEN_FORGOTTEN, /* client: envelopes that came before are not remembered */
    MUTANT_STEP_LOST,      /* client: the ratchet's step is not stored with the envelope */
    MUTANT_SENT_EARLY,     /* client: a refused envelope counts as stored */
    MUTANT_COUNT,
};

#ifdef SOTTO_MUTANT
extern int sotto_mutant; /* the one that is switched on */
#define SOTTO_PLANTED(name) (sotto_mutant == (name))
#else
#define SOTTO_PLANTED(name) 0
#endif

#endif
