/*
 * bench-settlement PACKETS [BATCH]: what it costs a worker to know what has arrived, for valgrind, which counts
 * instructions: a whole worker on the stage of its tests, and a client on TCP that gets a message of 230 bytes at a time,
 * or BATCH of them in one write, and reads it. Every one is settled in the end.
 *
 *	valgrind --tool=callgrind --callgrind-out-file=out bench-settlement 2000
 *	callgrind_annotate --inclusive=yes out | grep -E 'relay_packet|output_|unsettled_|transport_'
 *
 * The difference of two runs with different numbers, divided by that of the numbers, is the cost of a packet in all;
 * output_on_settle and unsettled_add are what of it knowing costs.
 */
#include <err.h>
#include <stdlib.h>

#include "tests/worker/stage.h"

#define BODY "><body>Art thou not Romeo, and a Montague? Neither, fair saint, if either thee dislike.</body>" \
	"<active xmlns='http://jabber.org/protocol/chatstates'/></message>"

static unsigned long packets, batch = 1;

START_TEST(all_are_settled)
{
	struct person person;

	/* Due when the stage says so, and believed then. */
	settings.limits.settle_time = 1;
	tell_settings();
	log_in(&person, 0, true);
	for (unsigned long i = 1; i <= packets; i++) {
		answer(&person, "<message to='alice@foo.com' from='juliet@foo.com/balcony' type='chat' id='7f3a'", "alice@foo.com", BODY, 0);
		if (i % batch != 0 && i < packets)
			continue;
		turns();
		listen_to(&person);
		buffer_clear(&person.heard);
		acknowledge(&person);
		queue_forget();
	}
	while (client_of(&person)->output != NULL) {
		acknowledge(&person);
		queue_forget();
	}
	leave(&person);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("settlement");
	TCase *test = tcase_create("settlement");
	SRunner *runner;
	int failed;

	if (argc < 2)
		errx(EXIT_FAILURE, "usage: bench-settlement PACKETS [BATCH]");
	packets = strtoul(argv[1], NULL, 10);
	batch = argc > 2 ? strtoul(argv[2], NULL, 10) : batch;
	tcase_add_checked_fixture(test, setup, teardown);
	tcase_add_test(test, all_are_settled);
	tcase_set_timeout(test, 0);
	suite_add_tcase(suite, test);
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_MINIMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
