/*
 * c2sd-worker: executed by the master, with the socketpair on descriptor 3 and nothing else; of no use by hand.
 */
#include <bsd/unistd.h>
#include <errno.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/log.h"
#include "common/privilege.h"
#include "worker/sandbox.h"
#include "worker/tls.h"
#include "worker/worker.h"

/* From here on what clients send can do no more than the worker itself has to do (doc/design.md, "Privilege"). */
static int
enclose(struct worker *worker)
{
	int result;

	if (!sandbox_is_built()) {
		log_info("sandbox missing reason=\"built without a system-call filter\"");
		return 0;
	}
	result = sandbox_enter(WORKER_CHANNEL_FD);
	if (result < 0) {
		log_error("sandbox refused error=\"%s\"", strerror(-result));
		channel_flush(&worker->channel);
	}
	return result;
}

int
main(int argc, char **argv, char **environment)
{
	static struct worker worker;
	int result;

	setproctitle_init(argc, argv, environment);
	if (argc != 2) {
		fprintf(stderr, "usage: c2sd-worker NUMBER (by c2sd only)\n");
		return 2;
	}
	setproctitle("-c2sd: worker %s", argv[1]);
	log_init("worker", LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	/* The master decides when a worker ends: a terminal's ^C and its hang-up go to the whole group. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Where descriptor 2 is a file it may not grow (RLIMIT_FSIZE): the last words are lost, not what we died of. */
	signal(SIGXFSZ, SIG_IGN);
	if (privilege_renounce() < 0 || privilege_seal() < 0) {
		log_error("worker still-privileged error=\"%s\"", strerror(errno));
		return 1;
	}
	stream_prepare_process();
	xmlInitParser();
	if (tls_init() < 0) {
		log_error("worker %s ended error=\"OpenSSL does not start\"", argv[1]);
		return 1;
	}
	result = worker_init(&worker, WORKER_CHANNEL_FD);
	if (result == 0)
		result = enclose(&worker);
	if (result == 0)
		result = worker_run(&worker);
	worker_deinit(&worker);
	xmlCleanupParser();
	if (result < 0)
		log_error("worker %s ended error=\"%s\"", argv[1], strerror(-result));
	return result < 0 ? 1 : 0;
}
