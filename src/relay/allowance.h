/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_ALLOWANCE_H
#define SOTTO_RELAY_ALLOWANCE_H

#include "relay/limits.h"

/*
 * How much may still be asked for: of a connection until it has signed in, of an account, over all
 * of its connections and devices, from then on. Otherwise whoever opens many would have many times
 * the rate. One thread.
 */
struct allowance {
    struct bucket work, bytes; /* bytes.rate 0: as many as it likes */
    int64_t account;           /* 0: of one connection */
    uint32_t users;            /* connections */
    struct allowance *next;    /* same slot */
};

/* Those of accounts. One that nobody uses is forgotten once it is full again, as a new one would be
 * the same. All zeros is an empty one. */
struct allowances {
    struct allowance **slots;
    size_t room, count; /* room: 0 or a power of two */
};
/* Of a connection; NULL: no memory. */
struct allowance *sotto_allowance_new(uint32_t work_rate, uint32_t byte_rate, uint64_t mono);
/* Other rates from now on; debts stay, unless there is no limit any more. */
void sotto_allowance_rates(struct allowance *a, uint32_t work_rate, uint32_t byte_rate,
                           uint64_t mono);
/* Milliseconds until nothing of it is in debt; 0: now. */
uint64_t sotto_allowance_debt_ms(struct allowance *a, uint64_t mono);
/* A connection has signed in: its own is given, and that of the account, with these rates from now
 * on, returned. What the connection had used up by then counts. */
struct allowance *sotto_allowances_join(struct allowances *all, struct allowance *own,
                                        int64_t account, uint32_t work_rate, uint32_t byte_rate,
                                        uint64_t mono);
/* A connection is over. NULL is fine. */
void sotto_allowances_leave(struct allowances *all, struct allowance *a, uint64_t mono);
/* Forgets those that are full and of no use; from time to time. */
void sotto_allowances_sweep(struct allowances *all, uint64_t mono);
/* After the last connection has left. */
void sotto_allowances_free(struct allowances *all);

#endif
