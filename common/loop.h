/*
 * loop: one epoll, and what a daemon hangs on it: watches (descriptors), deadlines (many, in a few durations), timers
 * (few, of any length), jobs (at the end of this turn) and signals.
 *
 * Every object is embedded in its owner and never allocated here; the callback finds its owner with container_of.
 * Nothing is freed by the loop. An owner that goes away in the middle of a turn removes its watch, timers and jobs,
 * and may free itself only in a job (events already fetched for a removed watch are skipped, but the loop must still be
 * able to look at the watch until the turn ends). Level-triggered, unless an owner wants EPOLLET.
 */
#ifndef C2SD_COMMON_LOOP_H
#define C2SD_COMMON_LOOP_H

#include <bsd/sys/queue.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* A descriptor that is waited for. `events` is 0 while nothing is wanted; errors and hang-ups then come all the same. */
struct watch {
	void (*fn)(struct watch *watch, uint32_t events);
	int fd;			/* -1: not in the loop */
	uint32_t events;	/* EPOLLIN, EPOLLOUT, ... (epoll_ctl(2)) */
};

/* One of very many: all on a list wait equally long, so the list is in order of expiry by itself and costs O(1). */
struct deadline {
	TAILQ_ENTRY(deadline) entry;
	uint64_t at;		/* loop_now() when it is due; 0: not set */
};

TAILQ_HEAD(deadline_queue, deadline);

struct deadline_list {
	TAILQ_ENTRY(deadline_list) entry;
	struct deadline_queue queue;
	uint64_t duration;	/* milliseconds; deadline_list_change */
	void (*fn)(struct deadline *deadline);
};

/* One of few, each as long as it likes. */
struct timer {
	TAILQ_ENTRY(timer) entry;
	uint64_t at;		/* 0: not set */
	void (*fn)(struct timer *timer);
};

/* Something to do once, when all events of this turn were handled. */
struct job {
	TAILQ_ENTRY(job) entry;
	void (*fn)(struct job *job);
	bool queued;
};

#define LOOP_SIGNALS 8

struct loop_signal {
	int number;
	void (*fn)(int number, void *argument);
	void *argument;
};

struct loop {
	int epoll_fd;
	uint64_t now;		/* milliseconds, CLOCK_MONOTONIC, read once a turn */
	bool stopped;
	TAILQ_HEAD(, deadline_list) deadlines;
	TAILQ_HEAD(, timer) timers;
	TAILQ_HEAD(, job) jobs;
	struct watch signal_watch;
	sigset_t signal_mask;
	struct loop_signal signals[LOOP_SIGNALS];
	unsigned signal_count;
};

/* 0 or a negative errno. Close-on-exec. */
int loop_init(struct loop *loop) __attribute__((warn_unused_result));
void loop_deinit(struct loop *loop);

/* Turn until loop_stop is called. 0, or a negative errno when epoll itself fails. */
int loop_run(struct loop *loop) __attribute__((warn_unused_result));
void loop_stop(struct loop *loop);

/* Milliseconds of a clock that never jumps; the same during a whole turn. */
static inline uint64_t
loop_now(const struct loop *loop)
{
	return loop->now;
}

/* Add a descriptor. It stays the caller's, who closes it after watch_remove. 0 or a negative errno. */
int watch_add(struct loop *loop, struct watch *watch, int fd, uint32_t events,
    void (*fn)(struct watch *watch, uint32_t events)) __attribute__((warn_unused_result));

/* Want other events. No system call when nothing changes. */
void watch_change(struct loop *loop, struct watch *watch, uint32_t events);
void watch_remove(struct loop *loop, struct watch *watch);

void deadline_list_init(struct loop *loop, struct deadline_list *list, uint64_t duration,
    void (*fn)(struct deadline *deadline));
void deadline_list_deinit(struct loop *loop, struct deadline_list *list);

/*
 * Another duration, for those that wait already, too: each is due when it would be had it been set with that. Those that
 * are too late by it are due in this turn or the next.
 */
void deadline_list_change(struct deadline_list *list, uint64_t duration);

/* Set, or set anew: due `list->duration` from now. */
void deadline_set(struct loop *loop, struct deadline_list *list, struct deadline *deadline);
void deadline_clear(struct deadline_list *list, struct deadline *deadline);

static inline bool
deadline_is_set(const struct deadline *deadline)
{
	return deadline->at != 0;
}

/* Set, or set anew: `fn` is called once, `delay` milliseconds from now, outside any watch's callback. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t delay, void (*fn)(struct timer *timer));
void timer_clear(struct loop *loop, struct timer *timer);

static inline bool
timer_is_set(const struct timer *timer)
{
	return timer->at != 0;
}

/* Queue once for the end of this turn; already queued: nothing happens. Jobs may queue further jobs. */
void job_queue(struct loop *loop, struct job *job, void (*fn)(struct job *job));
void job_cancel(struct loop *loop, struct job *job);

/* Take a signal through the loop from now on (signalfd; it is blocked for handlers). 0 or a negative errno. */
int loop_catch(struct loop *loop, int number, void (*fn)(int number, void *argument), void *argument)
    __attribute__((warn_unused_result));

#endif
