/*
 * bench-crowd: clients that log in, to stay or to leave again (crowd.h).
 *
 *	bench-crowd [--tls starttls|direct] [--task stay|leave|handshake|hold] [--resume] ADDRESS PORT SOURCE HOST FIRST COUNT
 *	    RESOURCES
 *
 * They connect from the address SOURCE (a loopback address of its own for each of these programs: one has no more than
 * 28,000 ports). When the last one is ready `ready` and the number of resumed TLS sessions are printed. With `stay` and
 * `hold` the program then waits for the end of its input; one that is lost before that is said and is status 1.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/crowd.h"

static void
usage(void)
{
	fprintf(stderr, "usage: bench-crowd [--tls starttls|direct] [--task stay|leave|handshake|hold] [--resume] ADDRESS PORT "
	    "SOURCE HOST FIRST COUNT RESOURCES\n");
	exit(2);
}

static struct sockaddr_in
address_of(const char *text, unsigned long port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
		usage();
	return address;
}

/* The place of `word` in `words`. */
static unsigned
word_find(const char *word, const char *const words[], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(word, words[i]) == 0)
			return i;
	}
	usage();
	return 0;
}

static void
options_read(struct crowd *crowd, int argc, char **argv)
{
	static const char *const tls[] = { "none", "starttls", "direct" };
	static const char *const tasks[] = { "stay", "leave", "handshake", "hold" };
	static const struct option options[] = {
		{ "tls", required_argument, NULL, 't' }, { "task", required_argument, NULL, 'k' },
		{ "resume", no_argument, NULL, 'r' }, { 0 },
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 't')
			crowd->tls = (enum crowd_tls)word_find(optarg, tls, 3);
		else if (option == 'k')
			crowd->task = (enum crowd_task)word_find(optarg, tasks, 4);
		else if (option == 'r')
			crowd->resume = true;
		else
			usage();
	}
}

static void
on_all_ready(const struct crowd *crowd)
{
	printf("ready %" PRIu32 "\n", crowd->resumed);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct crowd crowd = { 0 };

	options_read(&crowd, argc, argv);
	argv += optind;
	if (argc - optind != 7)
		usage();
	crowd.service = address_of(argv[0], strtoul(argv[1], NULL, 10));
	crowd.source = address_of(argv[2], 0);
	crowd.host = argv[3];
	crowd.first = (uint32_t)strtoul(argv[4], NULL, 10);
	crowd.count = (uint32_t)strtoul(argv[5], NULL, 10);
	crowd.resources = (uint32_t)strtoul(argv[6], NULL, 10);
	if (crowd.count == 0 || crowd.resources == 0)
		usage();
	crowd_start(&crowd);
	crowd_run(&crowd, on_all_ready);
	return 0;
}
