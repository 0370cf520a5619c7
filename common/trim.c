#include "common/trim.h"

#include <malloc.h>

/* So many at a time leave nothing that is worth the walk; and how long after more than that it is looked. */
#define TRIM_ABOVE 16
#define TRIM_TIME 5000

static void
on_look(struct timer *timer)
{
	struct trim *trim = container_of(timer, struct trim, timer);

	if (trim->busy < trim->busiest / 4) {
		malloc_trim(0);
		trim->count++;
	}
	trim->busiest = 0;
	trim_note(trim, trim->busy);
}

void
trim_init(struct trim *trim, struct loop *loop)
{
	*trim = (struct trim){ .loop = loop };
}

void
trim_deinit(struct trim *trim)
{
	if (trim->loop != NULL)
		timer_clear(trim->loop, &trim->timer);
}

void
trim_note(struct trim *trim, size_t busy)
{
	trim->busy = busy;
	if (busy > trim->busiest)
		trim->busiest = busy;
	if (trim->busiest > TRIM_ABOVE && !timer_is_set(&trim->timer))
		timer_set(trim->loop, &trim->timer, TRIM_TIME, on_look);
}
