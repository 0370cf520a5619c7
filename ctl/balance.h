/*
 * balance: the laws of the counters of packets (doc/reliability.md), held against what an answer of c2sd shows of them. It does
 * not believe c2sd's own word.
 *
 * What is found is remembered until it is said: the last figures of each of whom they are. All static.
 */
#ifndef C2SD_CTL_BALANCE_H
#define C2SD_CTL_BALANCE_H

#include <jansson.h>
#include <stdbool.h>

/* Do these counters, the member of that name of such an object, balance? */
bool balance_holds(const char *member, const json_t *counters);

/* An object of `status` or `workers`; one without counters says nothing. False: its counters do not balance. */
bool balance_check(const json_t *object);

/* Say on standard error what was found. False: something was. */
bool balance_finish(void);

#endif
