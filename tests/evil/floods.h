/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_EVIL_FLOODS_H
#define SOTTO_TESTS_EVIL_FLOODS_H

#include "lies.h"

/* A notice is what is passed on and never stored: typing. The words of each: lies.c. */
twist_fn evil_notices_after, evil_notice_again, evil_notice_altered, evil_notice_delivered;
twist_fn evil_passed_on; /* a message, as a notice */
twist_fn evil_push_invented, evil_push_invented_notices;
twist_fn evil_push_rubbish, evil_push_rubbish_notices;
twist_fn evil_push_news;

#endif
