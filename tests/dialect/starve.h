/*
 * starve: the allocations of what is tested fail, one after the other. For programs that are linked with starve_arguments
 * (meson.build); those of libraries, which have functions of their own for it, do not fail.
 *
 *	for (unsigned nth = 0; starve_begin(nth); nth++) {
 *		... one run, in which nothing is asserted, because libcheck needs memory, too ...
 *		starve_end();
 *		... what has come of it, and everything is given back ...
 *	}
 *
 * The last run, which starve_missed() tells, is one in which nothing has failed.
 */
#ifndef C2SD_TESTS_DIALECT_STARVE_H
#define C2SD_TESTS_DIALECT_STARVE_H

#include <stdbool.h>

/* From now on the allocation number `nth` (the first is 0) fails, once. False, and nothing fails: the run before needed fewer. */
bool starve_begin(unsigned nth);

/* From now on none fails. */
void starve_end(void);

/* The allocation that was to fail did not come. */
bool starve_missed(void);

#endif
