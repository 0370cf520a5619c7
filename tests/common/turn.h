/*
 * turn: let a loop turn from a test, one turn at a time or until something has come about, without ever sleeping; and
 * make what it waits for due at once, so that no test waits for a clock.
 */
#ifndef C2SD_TESTS_COMMON_TURN_H
#define C2SD_TESTS_COMMON_TURN_H

#include <stdbool.h>

#include "common/loop.h"

/* One turn that waits for nothing. */
void loop_turn(struct loop *loop);

/* Turns until `done` says so: false when it has not after twenty seconds, which is a failure of the test. */
bool loop_turn_until(struct loop *loop, bool (*done)(void *argument), void *argument) __attribute__((warn_unused_result));

/* Everything on that list is due in the next turn. */
void deadlines_are_due(struct deadline_list *list);

/* So is that timer, if it is set. */
void timer_is_due(struct loop *loop, struct timer *timer);

#endif
