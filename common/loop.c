#include "common/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Enough that a busy turn is one system call, small enough for the stack (models: take 256 to 512). */
#define LOOP_EVENTS 256

/* Longest sleep: no event needs it, but a lost wake-up would then heal itself. */
#define LOOP_SLEEP_MAX 60000

static void
clock_read(struct loop *loop)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	loop->now = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int
loop_init(struct loop *loop)
{
	*loop = (struct loop){ .signal_watch.fd = -1 };
	TAILQ_INIT(&loop->deadlines);
	TAILQ_INIT(&loop->timers);
	TAILQ_INIT(&loop->jobs);
	sigemptyset(&loop->signal_mask);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	clock_read(loop);
	return loop->epoll_fd < 0 ? -errno : 0;
}

void
loop_deinit(struct loop *loop)
{
	if (loop->signal_watch.fd >= 0) {
		int fd = loop->signal_watch.fd;

		watch_remove(loop, &loop->signal_watch);
		close(fd);
	}
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

void
loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

int
watch_add(struct loop *loop, struct watch *watch, int fd, uint32_t events,
    void (*fn)(struct watch *watch, uint32_t events))
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	watch->fd = fd;
	watch->events = events;
	watch->fn = fn;
	return 0;
}

void
watch_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (watch->fd < 0 || watch->events == events)
		return;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) == 0)
		watch->events = events;
}

void
watch_remove(struct loop *loop, struct watch *watch)
{
	if (watch->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
	watch->events = 0;
}

void
deadline_list_init(struct loop *loop, struct deadline_list *list, uint64_t duration,
    void (*fn)(struct deadline *deadline))
{
	TAILQ_INIT(&list->queue);
	list->duration = duration;
	list->fn = fn;
	TAILQ_INSERT_TAIL(&loop->deadlines, list, entry);
}

void
deadline_list_deinit(struct loop *loop, struct deadline_list *list)
{
	struct deadline *deadline;

	while ((deadline = TAILQ_FIRST(&list->queue)) != NULL)
		deadline_clear(list, deadline);
	TAILQ_REMOVE(&loop->deadlines, list, entry);
}

void
deadline_list_change(struct deadline_list *list, uint64_t duration)
{
	struct deadline *deadline;

	/* All are moved by as much, so their order stays. 0 would mean that it is not set. */
	TAILQ_FOREACH(deadline, &list->queue, entry) {
		uint64_t set = deadline->at > list->duration ? deadline->at - list->duration : 0;

		deadline->at = set + duration > 0 ? set + duration : 1;
	}
	list->duration = duration;
}

void
deadline_set(struct loop *loop, struct deadline_list *list, struct deadline *deadline)
{
	deadline_clear(list, deadline);
	deadline->at = loop->now + list->duration;
	TAILQ_INSERT_TAIL(&list->queue, deadline, entry);
}

void
deadline_clear(struct deadline_list *list, struct deadline *deadline)
{
	if (deadline->at == 0)
		return;
	TAILQ_REMOVE(&list->queue, deadline, entry);
	deadline->at = 0;
}

void
timer_set(struct loop *loop, struct timer *timer, uint64_t delay, void (*fn)(struct timer *timer))
{
	struct timer *other;

	timer_clear(loop, timer);
	timer->at = loop->now + delay;
	timer->fn = fn;
	TAILQ_FOREACH(other, &loop->timers, entry) {
		if (other->at > timer->at) {
			TAILQ_INSERT_BEFORE(other, timer, entry);
			return;
		}
	}
	TAILQ_INSERT_TAIL(&loop->timers, timer, entry);
}

void
timer_clear(struct loop *loop, struct timer *timer)
{
	if (timer->at == 0)
		return;
	TAILQ_REMOVE(&loop->timers, timer, entry);
	timer->at = 0;
}

void
job_queue(struct loop *loop, struct job *job, void (*fn)(struct job *job))
{
	if (job->queued)
		return;
	job->fn = fn;
	job->queued = true;
	TAILQ_INSERT_TAIL(&loop->jobs, job, entry);
}

void
job_cancel(struct loop *loop, struct job *job)
{
	if (!job->queued)
		return;
	TAILQ_REMOVE(&loop->jobs, job, entry);
	job->queued = false;
}

static void
signal_tell(struct loop *loop, int number)
{
	for (unsigned i = 0; i < loop->signal_count; i++) {
		if (loop->signals[i].number == number)
			loop->signals[i].fn(number, loop->signals[i].argument);
	}
}

static void
on_signal(struct watch *watch, uint32_t events)
{
	struct loop *loop = container_of(watch, struct loop, signal_watch);
	/* Each that we catch may be pending once. One that comes again meanwhile waits: nobody is to keep us here with it. */
	struct signalfd_siginfo infos[LOOP_SIGNALS];
	ssize_t length = read(watch->fd, infos, sizeof infos);

	(void)events;
	for (size_t i = 0; length > 0 && i < (size_t)length / sizeof infos[0]; i++)
		signal_tell(loop, (int)infos[i].ssi_signo);
}

int
loop_catch(struct loop *loop, int number, void (*fn)(int number, void *argument), void *argument)
{
	int fd;

	if (loop->signal_count == LOOP_SIGNALS)
		return -ENOSPC;
	sigaddset(&loop->signal_mask, number);
	if (sigprocmask(SIG_BLOCK, &loop->signal_mask, NULL) < 0)
		return -errno;
	fd = signalfd(loop->signal_watch.fd, &loop->signal_mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	loop->signals[loop->signal_count++] = (struct loop_signal){ number, fn, argument };
	return loop->signal_watch.fd >= 0 ? 0 : watch_add(loop, &loop->signal_watch, fd, EPOLLIN, on_signal);
}

static uint64_t
next_due(const struct loop *loop)
{
	const struct deadline_list *list;
	const struct timer *timer = TAILQ_FIRST(&loop->timers);
	uint64_t due = loop->now + LOOP_SLEEP_MAX;

	if (timer != NULL && timer->at < due)
		due = timer->at;
	TAILQ_FOREACH(list, &loop->deadlines, entry) {
		const struct deadline *first = TAILQ_FIRST(&list->queue);

		if (first != NULL && first->at < due)
			due = first->at;
	}
	return due;
}

static int
sleep_time(const struct loop *loop)
{
	uint64_t due;

	if (!TAILQ_EMPTY(&loop->jobs))
		return 0;
	due = next_due(loop);
	return due <= loop->now ? 0 : (int)(due - loop->now);
}

static void
run_timers(struct loop *loop)
{
	struct timer *timer;

	while ((timer = TAILQ_FIRST(&loop->timers)) != NULL && timer->at <= loop->now) {
		timer_clear(loop, timer);
		timer->fn(timer);
	}
}

static void
run_deadlines(struct loop *loop)
{
	struct deadline_list *list;
	struct deadline *first;

	TAILQ_FOREACH(list, &loop->deadlines, entry) {
		while ((first = TAILQ_FIRST(&list->queue)) != NULL && first->at <= loop->now) {
			deadline_clear(list, first);
			list->fn(first);
		}
	}
}

static void
run_jobs(struct loop *loop)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&loop->jobs)) != NULL) {
		job_cancel(loop, job);
		job->fn(job);
	}
}

int
loop_run(struct loop *loop)
{
	struct epoll_event events[LOOP_EVENTS];

	while (!loop->stopped) {
		int count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, sleep_time(loop));

		if (count < 0 && errno != EINTR)
			return -errno;
		clock_read(loop);
		for (int i = 0; i < count; i++) {
			struct watch *watch = events[i].data.ptr;

			/* Removed by an earlier event of this turn: see the rule at the head of loop.h. */
			if (watch->fd >= 0)
				watch->fn(watch, events[i].events);
		}
		run_timers(loop);
		run_deadlines(loop);
		run_jobs(loop);
	}
	return 0;
}
