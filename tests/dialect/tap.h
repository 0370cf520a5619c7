/* tap: run one suite of libcheck and say the outcome in TAP on standard output. */
#ifndef C2SD_TESTS_DIALECT_TAP_H
#define C2SD_TESTS_DIALECT_TAP_H

#include <check.h>
#include <stdlib.h>

static inline int
tap_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
