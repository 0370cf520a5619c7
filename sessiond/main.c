/*
 * c2sd-sessiond: the process of the embedded session manager. Started by the master with the link on descriptor 3, and
 * a socketpair for its settings and its log on descriptor 4 (control.h), and memory that outlives it on descriptor 5
 * (journal_map.h). Ends with 0 when the link ends or on SIGTERM, and with EX_UNAVAILABLE when it has not come to read that
 * memory: whatever was wrong, it was not what is in there (master/embedded).
 */
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/privilege.h"
#include "sessiond/control.h"
#include "sessiond/journal_map.h"
#include "sessiond/sessiond.h"

/* The first one; others come over the control socket. */
#define LINK_FD 3
#define CONTROL_FD 4

/* Memory for what outlives the process; may not be there. */
#define JOURNAL_FD 5

/* What one turn takes from the link: many packets share one commit, and none waits long for it. */
#define READ_BYTES (64 * 1024)
#define TURN_READS 4

/* Above this nothing is read until the master has taken what is there. */
#define OUTPUT_HIGH (4 * 1024 * 1024)

/* A master that does not read any more cannot keep a process that was told to end. */
#define FLUSH_MILLISECONDS 5000

struct process {
	struct loop loop;
	struct watch watch;
	struct timer patience;
	struct control control;
	struct settings settings;
	struct sessiond sd;
	struct journal_map journal;
	bool ended;	/* nothing more comes from the link, or nothing more is wanted */
	bool lost;	/* the link is gone, or of no use, and another one may come */
	bool alone;	/* no other one will come */
	int status;
};

static struct process process;

static void
process_fail(const char *what, int error)
{
	log_error("sessiond failed what=\"%s\" error=\"%s\"", what, strerror(-error));
	process.status = EXIT_FAILURE;
	loop_stop(&process.loop);
}

/* False: the link is of no use any more. */
static bool
output_write(struct buffer *out)
{
	ssize_t length;

	while (buffer_length(out) > 0 && process.watch.fd >= 0) {
		length = write(process.watch.fd, buffer_bytes(out), buffer_length(out));
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return errno == EAGAIN;
		buffer_consume(out, (size_t)length);
	}
	buffer_release(out);
	return true;
}

static uint32_t
wanted_events(void)
{
	size_t waiting = buffer_length(sessiond_output(&process.sd));
	uint32_t events = 0;

	if (!process.ended && !process.lost && waiting < OUTPUT_HIGH)
		events |= EPOLLIN;
	if (waiting > 0)
		events |= EPOLLOUT;
	return events;
}

/* What is in the ledger waits for another link. */
static void
link_leave(void)
{
	int fd = process.watch.fd;

	process.lost = false;
	timer_clear(&process.loop, &process.patience);
	if (fd >= 0) {
		watch_remove(&process.loop, &process.watch);
		close(fd);
	}
	sessiond_lost(&process.sd);
	log_info("link awaited");
}

static void
on_patience(struct timer *timer)
{
	(void)timer;
	log_warning("link stalled bytes=%zu", buffer_length(sessiond_output(&process.sd)));
	if (process.lost && !process.ended)
		link_leave();
	else
		loop_stop(&process.loop);
}

/* May the process go on without this link? */
static bool
link_may_come(void)
{
	return !process.ended && !process.alone && sessiond_outlives_link(&process.sd);
}

/* Nothing more comes from it. */
static void
link_is_lost(void)
{
	if (link_may_come())
		process.lost = true;
	else
		process.ended = true;
}

/* Write as long as the link takes it: what was stored for later follows page by page. */
static void
process_flush(void)
{
	struct buffer *out = sessiond_output(&process.sd);
	int error = 0;

	/* Nobody is there who could read it; our complaint of the link is another thing. */
	if (process.lost && !process.ended && !sessiond_is_over(&process.sd)) {
		if (!sessiond_is_busy(&process.sd))
			link_leave();
		return;
	}
	while (error == 0 && buffer_length(out) > 0) {
		if (!output_write(out)) {
			link_is_lost();
			if (process.lost)
				link_leave();
			else
				loop_stop(&process.loop);
			return;
		}
		if (buffer_length(out) > 0)
			break;
		error = sessiond_drained(&process.sd);
	}
	if (error < 0)
		process_fail("turn failed", error);
	else if (process.ended && buffer_length(out) == 0 && !sessiond_is_busy(&process.sd))
		loop_stop(&process.loop);
	else if (process.lost && buffer_length(out) == 0 && !sessiond_is_busy(&process.sd))
		link_leave();
	else if ((process.ended || process.lost) && !timer_is_set(&process.patience))
		timer_set(&process.loop, &process.patience, FLUSH_MILLISECONDS, on_patience);
	if (!process.loop.stopped && process.watch.fd >= 0)
		watch_change(&process.loop, &process.watch, wanted_events());
}

static void
turn_once(void)
{
	int error = sessiond_turn(&process.sd);

	if (error < 0) {
		process_fail("turn failed", error);
		return;
	}
	if (sessiond_is_over(&process.sd) && process.sd.link.refused) {
		link_is_lost();
		if (process.ended)
			process.status = EXIT_FAILURE;
	} else if (sessiond_is_over(&process.sd)) {
		process.ended = true;
	}
	process_flush();
}

static void
process_turn(void)
{
	int error = 0;

	turn_once();
	while (!process.loop.stopped && error == 0 && sessiond_is_busy(&process.sd)) {
		error = sessiond_input(&process.sd, NULL, 0);
		if (error < 0)
			process_fail("input failed", error);
		else
			turn_once();
	}
}

static void
process_read(void)
{
	static unsigned char bytes[READ_BYTES];
	int error = 0;

	for (unsigned reads = 0; reads < TURN_READS && !process.ended && !process.lost && error == 0; reads++) {
		ssize_t length;

		if (sessiond_is_busy(&process.sd))
			break;
		length = read(process.watch.fd, bytes, sizeof bytes);
		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (length <= 0) {
			log_info("link ended");
			link_is_lost();
		} else {
			error = sessiond_input(&process.sd, bytes, (size_t)length);
		}
	}
	if (error < 0)
		process_fail("input failed", error);
}

static void
on_link(struct watch *watch, uint32_t events)
{
	/* A hang-up shows when what was sent before it has been read. */
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && (watch->events & EPOLLIN) != 0)
		process_read();
	else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		link_is_lost();
	if (!process.loop.stopped)
		process_turn();
}

static void
link_fail(int error)
{
	log_error("link unusable error=\"%s\"", strerror(-error));
	process.status = EXIT_FAILURE;
	loop_stop(&process.loop);
}

/* The master has given up the one before, whatever may still be in it: what we have not counted comes again. */
static void
on_new_link(struct control *control, int fd)
{
	int flags = fcntl(fd, F_GETFL), error;

	(void)control;
	if (process.ended || process.loop.stopped) {
		close(fd);
		return;
	}
	if (process.watch.fd >= 0)
		link_leave();
	error = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
	if (error == 0)
		error = watch_add(&process.loop, &process.watch, fd, EPOLLIN, on_link);
	if (error == 0)
		return;
	close(fd);
	link_fail(error);
}

/* The master is gone: so is the link, or will be. */
static void
on_control_over(struct control *control)
{
	(void)control;
	process.alone = true;
	if (process.watch.fd < 0)
		loop_stop(&process.loop);
}

static void
on_terminate(int number, void *argument)
{
	(void)number;
	(void)argument;
	process.ended = true;
	process_turn();
}

static int
process_start(void)
{
	int flags = fcntl(LINK_FD, F_GETFL);
	int error;

	if (flags < 0 || fcntl(LINK_FD, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	/* The master decides when we end: a terminal's ^C and its hang-up go to the whole group. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	error = loop_init(&process.loop);
	if (error == 0)
		error = loop_catch(&process.loop, SIGTERM, on_terminate, NULL);
	if (error == 0)
		error = watch_add(&process.loop, &process.watch, LINK_FD, EPOLLIN, on_link);
	process.control.on_link = on_new_link;
	process.control.on_over = on_control_over;
	if (error == 0)
		error = control_start(&process.control, &process.loop, &process.settings);
	return error;
}

/* What the one before has left; without any memory for that nothing is left, and that is said. */
static int
process_recover(void)
{
	int error = journal_map_init(&process.journal, JOURNAL_FD);

	if (error == 0)
		return recovery_start(&process.sd, &process.settings, &process.journal.area);
	close(JOURNAL_FD);
	if (process.settings.acknowledge)
		log_warning("journal none error=\"%s\"", strerror(-error));
	return 0;
}

int
main(int argc, char **argv, char **environment)
{
	int error;

	setproctitle_init(argc, argv, environment);
	setproctitle("-c2sd: sessiond");
	log_init("sessiond", LOG_LEVEL_INFO);
	privilege_close_from(JOURNAL_FD + 1);
	umask(S_IRWXG | S_IRWXO);
	if (privilege_renounce() < 0 || privilege_seal() < 0) {
		log_error("sessiond still-privileged error=\"%s\"", strerror(errno));
		return EX_UNAVAILABLE;
	}
	control_init(&process.control, CONTROL_FD);
	error = control_wait(&process.control, &process.settings);
	log_set_level(process.settings.log_level);
	if (error == 0)
		error = sessiond_init(&process.sd, &process.settings);
	process.status = error < 0 ? EX_UNAVAILABLE : EXIT_SUCCESS;
	if (error == 0) {
		error = process_recover();
		if (error == 0)
			error = process_start();
		if (error == 0)
			error = loop_run(&process.loop);
		if (error < 0)
			process_fail("process cannot run", error);
		sessiond_deinit(&process.sd);
		journal_map_deinit(&process.journal);
	}
	control_deinit(&process.control);
	if (process.loop.epoll_fd > 0)
		loop_deinit(&process.loop);
	settings_deinit(&process.settings);
	return process.status;
}
