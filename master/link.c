#include "master/link.h"

#include <bsd/stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "master/link_parts.h"

/* Pauses before another try, in milliseconds; doubled from the first to the last, each with jitter of a half. */
#define RETRY_FIRST 250
#define RETRY_LAST 15000

/* A link that stayed up for less was no success: the pauses go on growing. */
#define UP_LONG 10000

/* What the session manager may have died of waits for so long, and the next time for four times that. */
#define SUSPECT_TIME 1000

/* For the session manager's end, after ours. */
#define CLOSE_TIME 2000

void
link_fail(struct link *link, const char *why)
{
	struct link_message message = { .why = why };

	link_fsm(link, LINK_EVENT_FAILED, &message);
}

void
link_closed(struct link *link, const char *why)
{
	link->closed = true;
	link_fail(link, why);
}

const char *
link_state_name(enum link_state state)
{
	static const char *const names[] = { "down", "connecting", "header", "handshake", "enabling", "up", "closed" };

	return names[state];
}

void
link_change_state(struct link *link, enum link_state state)
{
	log_debug("link changed from=%s to=%s", link_state_name(link->state), link_state_name(state));
	link->state = state;
}

static void
on_step_timeout(struct timer *timer)
{
	struct link *link = container_of(timer, struct link, step);

	if (link->state == LINK_CLOSED) {
		link->on_closed(link);
	} else if (link->state == LINK_ENABLING && !link_can_resume(link)) {
		link_not_enabled(link, "no answer in time");
	} else {
		link_not_answered(link);
		link_fail(link, "no answer in time");
	}
}

void
link_step_begins(struct link *link)
{
	timer_set(link->loop, &link->step, link->timeout, on_step_timeout);
}

static void
on_retry(struct timer *timer)
{
	link_fsm(container_of(timer, struct link, retry), LINK_EVENT_TRY, NULL);
}

static void
retry_later(struct link *link)
{
	unsigned doubled = link->failures < 8 ? link->failures : 8;
	uint32_t pause = RETRY_FIRST << doubled;

	if (pause > RETRY_LAST)
		pause = RETRY_LAST;
	link->failures++;
	timer_set(link->loop, &link->retry, pause / 2 + arc4random_uniform(pause), on_retry);
}

static void
link_disconnect(struct link *link)
{
	int fd = link->watch.fd;

	timer_clear(link->loop, &link->step);
	timer_clear(link->loop, &link->ask);
	link->outbox.held = false;
	if (fd >= 0)
		link_tcp_settle(link);
	watch_remove(link->loop, &link->watch);
	if (fd >= 0)
		close(fd);
	buffer_deinit(&link->in);
	buffer_deinit(&link->prelude);
	splitter_init(&link->splitter, link->splitter.element_max);
	outbox_cut(&link->outbox);
	ack_suspend(&link->ack);
	link->answer_due = false;
}

static void
link_failed(struct link *link, const char *why)
{
	bool was_up = link->state == LINK_UP;

	/* Who does not want to be asked may say so by closing. One that has answered before is known to want it. */
	if (link->state == LINK_ENABLING)
		link->unasked = link->spawn == NULL && !link_can_resume(link);
	if (was_up)
		log_warning("link lost reason=\"%s\"", why);
	else
		log_warning("link not-open reason=\"%s\"", why);
	link->last_failure = why;
	/* One that has worked, if not for long, is no reason to wait longer. */
	if (was_up && (link->achieved || loop_now(link->loop) - link->up_since > UP_LONG))
		link->failures = 0;
	link_disconnect(link);
	link_change_state(link, LINK_DOWN);
	retry_later(link);
	if (was_up) {
		link->died = link->closed;
		link->choked = true;
		link->on_flow(link, false);
		link->on_down(link);
		if (!link_can_resume(link))
			link_stream_lost(link, link->died);
	}
}

static void
on_suspect(struct timer *timer)
{
	struct link *link = container_of(timer, struct link, ask);

	link->outbox.held = false;
	link_flush_later(link);
}

/* One that dies without it, too, did not die of it. */
static void
suspect_hold(struct link *link)
{
	const struct outbox_packet *suspect = outbox_suspect(&link->outbox);

	if (suspect == NULL)
		return;
	log_warning("link packet-suspected bytes=%zu breaks=%u", suspect->length, suspect->breaks);
	link->outbox.held = true;
	timer_set(link->loop, &link->ask, SUSPECT_TIME << (2 * (suspect->breaks - 1)), on_suspect);
}

void
link_step_up(struct link *link)
{
	timer_clear(link->loop, &link->step);
	link_change_state(link, LINK_UP);
	link->last_failure = NULL;
	link->up_since = loop_now(link->loop);
	link->backlog = link_backlog(link);
	link->achieved = false;
	log_info("link up name=%s dialect=%s acknowledged=%s", link->name, link->dialect->name, link->ack.on ? "yes" : "no");
	link->choked = link->backlog > link->high;
	link->on_flow(link, !link->choked);
	link->on_up(link);
	suspect_hold(link);
	link_flush_later(link);
}

static void
link_say_goodbye(struct link *link)
{
	static const char end[] = "</stream:stream>";
	bool said = link->state == LINK_UP && outbox_add(&link->outbox, 0, end, strlen(end), false);

	timer_clear(link->loop, &link->retry);
	link_change_state(link, LINK_CLOSED);
	if (!said) {
		link_disconnect(link);
		link->on_closed(link);
		return;
	}
	/* Nobody waits for anything any more. */
	link->outbox.window = 0;
	link->outbox.held = false;
	link_flush_later(link);
	timer_set(link->loop, &link->step, CLOSE_TIME, on_step_timeout);
}

/* What is queued stays queued, and nobody will take it. */
static void
link_lost_for_good(struct link *link)
{
	if (link->watch.fd < 0)
		return;
	link_disconnect(link);
	link->on_closed(link);
}

static void
fsm_connecting(struct link *link, enum link_event event, const struct link_message *message)
{
	switch (event) {
	case LINK_EVENT_CONNECTED:
		link_step_header(link);
		break;
	case LINK_EVENT_HEADER:
		if (link->state == LINK_HEADER)
			link_step_handshake(link, message);
		break;
	case LINK_EVENT_ELEMENT:
		if (link->state == LINK_HANDSHAKE)
			link_handshake_answer(link, message);
		else if (link->state == LINK_ENABLING)
			link_enabling_answer(link, message);
		break;
	case LINK_EVENT_FAILED:
		link_failed(link, message->why);
		break;
	case LINK_EVENT_CLOSE:
		link_say_goodbye(link);
		break;
	case LINK_EVENT_TRY:
		break;
	}
}

static void
fsm_up(struct link *link, enum link_event event, const struct link_message *message)
{
	switch (event) {
	case LINK_EVENT_ELEMENT:
		if (link_is_stream_error(message)) {
			link->blamed = link->ack.on;
			link_closed(link, "ended by the session manager");
		} else {
			link_packet_arrived(link, message);
		}
		break;
	case LINK_EVENT_FAILED:
		link_failed(link, message->why);
		break;
	case LINK_EVENT_CLOSE:
		link_say_goodbye(link);
		break;
	case LINK_EVENT_TRY:
	case LINK_EVENT_CONNECTED:
	case LINK_EVENT_HEADER:
		break;
	}
}

void
link_fsm(struct link *link, enum link_event event, const struct link_message *message)
{
	switch (link->state) {
	case LINK_DOWN:
		if (event == LINK_EVENT_TRY)
			link_step_connect(link);
		else if (event == LINK_EVENT_CLOSE)
			link_say_goodbye(link);
		break;
	case LINK_CONNECTING:
	case LINK_HEADER:
	case LINK_HANDSHAKE:
	case LINK_ENABLING:
		fsm_connecting(link, event, message);
		break;
	case LINK_UP:
		fsm_up(link, event, message);
		break;
	case LINK_CLOSED:
		if (event == LINK_EVENT_ELEMENT)
			link_packet_arrived(link, message);
		else if (event == LINK_EVENT_FAILED)
			link_lost_for_good(link);
		break;
	}
}

void
link_start(struct link *link)
{
	link_fsm(link, LINK_EVENT_TRY, NULL);
}

void
link_close(struct link *link)
{
	link_fsm(link, LINK_EVENT_CLOSE, NULL);
}

void
link_forgive(struct link *link)
{
	link->failures = 0;
	if (link->state == LINK_DOWN && timer_is_set(&link->retry))
		retry_later(link);
}

void
link_changed(struct link *link, size_t element_max)
{
	link->splitter.element_max = element_max;
	link->last_failure = NULL;
	if (link->state != LINK_DOWN || !timer_is_set(&link->retry))
		return;
	link->failures = 0;
	timer_set(link->loop, &link->retry, 0, on_retry);
}

void
link_init(struct link *link, struct loop *loop, size_t element_max)
{
	link->loop = loop;
	link->watch.fd = -1;
	link->state = LINK_DOWN;
	link->choked = true;
	splitter_init(&link->splitter, element_max);
	outbox_init(&link->outbox);
}

void
link_deinit(struct link *link)
{
	if (link->loop == NULL)
		return;
	link_disconnect(link);
	timer_clear(link->loop, &link->retry);
	job_cancel(link->loop, &link->flush);
	outbox_deinit(&link->outbox);
	link->loop = NULL;
}
