#include "tests/common/turn.h"

#include <stdlib.h>

/* How often `done` is asked while nothing happens, and how often at most. */
#define ASK_INTERVAL 5
#define ASK_LIMIT 4000

struct stopper {
	struct job job;
	struct timer timer;
	struct loop *loop;
};

static void
on_job(struct job *job)
{
	loop_stop(container_of(job, struct stopper, job)->loop);
}

static void
on_timer(struct timer *timer)
{
	loop_stop(container_of(timer, struct stopper, timer)->loop);
}

static void
turn(struct loop *loop)
{
	loop->stopped = false;
	if (loop_run(loop) < 0)
		abort();
	loop->stopped = false;
}

void
loop_turn(struct loop *loop)
{
	struct stopper stopper = { .loop = loop };

	job_queue(loop, &stopper.job, on_job);
	turn(loop);
}

bool
loop_turn_until(struct loop *loop, bool (*done)(void *argument), void *argument)
{
	struct stopper stopper = { .loop = loop };

	for (unsigned i = 0; i < ASK_LIMIT && !done(argument); i++) {
		loop_turn(loop);
		if (done(argument))
			break;
		timer_set(loop, &stopper.timer, ASK_INTERVAL, on_timer);
		turn(loop);
		timer_clear(loop, &stopper.timer);
	}
	return done(argument);
}

void
deadlines_are_due(struct deadline_list *list)
{
	struct deadline *deadline;

	TAILQ_FOREACH(deadline, &list->queue, entry)
		deadline->at = 1;
}

void
timer_is_due(struct loop *loop, struct timer *timer)
{
	if (timer_is_set(timer))
		timer_set(loop, timer, 0, timer->fn);
}
