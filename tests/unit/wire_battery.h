/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_WIRE_BATTERY_H
#define SOTTO_TESTS_WIRE_BATTERY_H

#include "wire_raw.h"
#include "wire_samples.h"

/* What every conversion has to stand, whatever it converts. The program must be linked with the
 * copy of src/wire that uses heap_hook.h. */
struct battery {
    const struct wire_codec *codec;
    const void *samples;
    size_t count, size; /* of the samples, of one of them */
};

/* Cases; their state is a struct battery. */
/* Every sample is read back as it was written. */
void battery_round_trip(void **state);
/* Every beginning of every sample is refused, or is a valid message by itself. */
void battery_truncations(void **state);
/* Seeded random changes: refused, or valid; memory stays in bounds, nothing is left behind. */
void battery_mutations(void **state);
/* Each allocation fails in turn: NOMEM, and nothing is left behind. */
void battery_out_of_memory(void **state);
/* Whatever a message held is gone from the heap when it is freed. */
void battery_wiping(void **state);
/* All of them, in a table of cases. */
#define BATTERY_CASES(b)                                                                           \
    cmocka_unit_test_prestate(battery_round_trip, b),                                              \
        cmocka_unit_test_prestate(battery_truncations, b),                                         \
        cmocka_unit_test_prestate(battery_mutations, b),                                           \
        cmocka_unit_test_prestate(battery_out_of_memory, b),                                       \
        cmocka_unit_test_prestate(battery_wiping, b)

/* Unknown fields, at the top and inside, change nothing. inner: field number of a submessage that
 * the sample has. */
void battery_unknown_fields(const struct battery *b, size_t sample, uint32_t inner);
/* Fills a message of the largest size with copies of the element and asserts that it is refused
 * before it takes more memory than allowed. path leads to the message that repeats it. */
void battery_amplification(const struct battery *b, const uint32_t *path, const uint8_t *element,
                           size_t len);

/*
 * One row for each field with a rule. The field is given every length around its limits, the names
 * and lines every sort of wrong text; what follows must be that the message is refused exactly when
 * the rule says so. Every sample of the type is tried.
 */
enum rule_kind {
    RULE_FIXED,     /* exactly max */
    RULE_OPTIONAL,  /* 0 or max */
    RULE_RANGE,     /* min to max */
    RULE_NAME,      /* an account name */
    RULE_LINE,      /* printable UTF-8 of at most max bytes */
    RULE_TEXT,      /* UTF-8 of at most max bytes */
    RULE_ENUM,      /* a number from min to max */
    RULE_ENUM_OPEN, /* a number from min on; unknown ones are taken for something else */
    RULE_COUNT,     /* may be repeated min to max times */
};
struct rule {
    size_t sample;
    uint32_t path[5];
    enum rule_kind kind;
    size_t min, max;
};
void battery_rules(const struct battery *b, const struct rule *rules, size_t count);

/* Body of a sample. */
void battery_body(const struct battery *b, size_t sample, struct sotto_buf *ret);

#endif
