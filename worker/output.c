#include "worker/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/trace.h"
#include "worker/transport.h"
#include "worker/worker.h"

struct buffer *
output_get(struct client *client)
{
	struct output *output = client->output;

	if (output != NULL)
		return &output->bytes;
	output = calloc(1, sizeof *output);
	if (output == NULL)
		return NULL;
	output->client = client;
	client->output = output;
	client->worker->outputs++;
	worker_lent(client->worker);
	return &output->bytes;
}

void
output_drop(struct client *client)
{
	struct output *output = client->output;

	if (output == NULL)
		return;
	deadline_clear(&client->worker->stall, &output->stall);
	deadline_clear(&client->worker->settle, &output->settle);
	buffer_deinit(&output->bytes);
	buffer_deinit(&output->marks);
	unsettled_deinit(&output->unsettled);
	free(output);
	client->output = NULL;
	client->worker->outputs--;
	worker_lent(client->worker);
}

void
output_tidy(struct client *client)
{
	struct output *output = client->output;

	if (output == NULL || output_length(output) > 0)
		return;
	if (unsettled_is_empty(&output->unsettled))
		output_drop(client);
	else
		buffer_release(&output->bytes);
}

void
output_discard(struct client *client)
{
	struct output *output = client->output;

	if (output == NULL)
		return;
	buffer_deinit(&output->bytes);
	buffer_deinit(&output->marks);
	output->blocked = false;
	output_tidy(client);
}

void
output_queued(struct client *client)
{
	trace_down(client);
	client_flush_later(client);
}

size_t
output_length(const struct output *output)
{
	return output == NULL ? 0 : buffer_length(&output->bytes);
}

uint64_t
output_total(const struct output *output)
{
	return output->written + buffer_length(&output->bytes);
}

bool
output_is_blocked(const struct output *output)
{
	return output != NULL && output->blocked;
}

void
output_mark(struct output *output, uint64_t number)
{
	struct unsettled_mark mark = { number, output_total(output) };

	buffer_append(&output->marks, &mark, sizeof mark);
}

/* ---- what has arrived ---- */

static uint64_t
output_given(const struct client *client)
{
	return client->shut ? client->output->given : transport_sent(client);
}

static uint64_t
output_acknowledged(const struct client *client)
{
	uint64_t given = output_given(client), waiting = transport_unacknowledged(client);

	return waiting < given ? given - waiting : 0;
}

/* 0: nothing more, but it is taking something. */
static void
send_settled(struct client *client, uint64_t number)
{
	struct buffer body = { 0 };

	message_put_number(&body, number);
	channel_send(&client->worker->channel, W2M_SETTLED, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

/* The master must not take one that reads slowly for one that does not read (router.c: on_relief). */
static void
say_progress(struct client *client, uint64_t number, uint64_t acknowledged)
{
	struct output *output = client->output;

	if (number != 0 || (output_length(output) > 0 && acknowledged != output->looked))
		send_settled(client, number);
	output->looked = acknowledged;
}

/* Look, and come again while anything is left. */
static void
output_settle(struct client *client)
{
	struct worker *worker = client->worker;
	struct output *output = client->output;
	uint64_t acknowledged = output_acknowledged(client);

	say_progress(client, unsettled_look(&output->unsettled, acknowledged, loop_now(&worker->loop),
	    worker->settings.limits.settle_time), acknowledged);
	if (unsettled_is_empty(&output->unsettled) && output_length(output) == 0)
		deadline_clear(&worker->settle, &output->settle);
	else
		deadline_set(&worker->loop, &worker->settle, &output->settle);
}

/* A worker that was kept from running may look before it has heard of a reset that came in time. */
static bool
is_late(const struct client *client)
{
	uint64_t seen_at = client->output->unsettled.seen_at, delay = client->worker->settings.limits.settle_time;

	return delay > 0 && seen_at != 0 && loop_now(&client->worker->loop) - seen_at > delay + delay / 2;
}

void
output_on_settle(struct deadline *deadline)
{
	struct client *client = container_of(deadline, struct output, settle)->client;

	if (is_late(client) && !transport_stands(client)) {
		client_lose(client, END_LOST);
		return;
	}
	output_settle(client);
	output_tidy(client);
	if (client->output == NULL)
		client_fsm(client, CLIENT_SETTLED, NULL);
}

void
output_shut(struct client *client, uint64_t given)
{
	if (client->output != NULL)
		client->output->given = given;
}

void
output_finish(struct client *client)
{
	uint64_t number;

	if (client->output == NULL)
		return;
	number = unsettled_finish(&client->output->unsettled, output_acknowledged(client));
	if (number != 0)
		send_settled(client, number);
	output_tidy(client);
}

bool
output_is_owed(const struct client *client)
{
	const struct output *output = client->output;

	return output != NULL && (!unsettled_is_empty(&output->unsettled) || buffer_length(&output->marks) > 0);
}

/* ---- writing ---- */

/* Bytes written (0: none are taken now), or a negative errno. */
static ssize_t
write_bytes(struct client *client)
{
	struct output *output = client->output;
	ssize_t length;

	if (output->bytes.failed || output->marks.failed || output->unsettled.marks.failed)
		return -ENOMEM;
	if (buffer_length(&output->bytes) == 0)
		return 0;
	length = transport_write(client, buffer_bytes(&output->bytes), buffer_length(&output->bytes));
	if (length < 0)
		return length == -EAGAIN ? 0 : length;
	buffer_consume(&output->bytes, (size_t)length);
	output->written += (uint64_t)length;
	client->bytes_out += (uint64_t)length;
	client->worker->counters.bytes_out += (uint64_t)length;
	return length;
}

/* Where in TCP's stream what was written until then has ended: of TLS only the end of the record is known. */
static uint64_t
end_of(const struct client *client, uint64_t end)
{
	return transport_sent(client) - (client->tls == NULL ? client->output->written - end : 0);
}

static void
note_written(struct client *client)
{
	struct output *output = client->output;
	struct unsettled_mark mark;

	while (buffer_length(&output->marks) >= sizeof mark) {
		memcpy(&mark, buffer_bytes(&output->marks), sizeof mark);
		if (mark.end > output->written)
			break;
		unsettled_add(&output->unsettled, mark.number, end_of(client, mark.end));
		buffer_consume(&output->marks, sizeof mark);
	}
	buffer_release(&output->marks);
}

/* As much as is taken now, piece by piece: of each the end is known. As write_bytes; what fails behind a piece fails again. */
static ssize_t
write_pieces(struct client *client)
{
	ssize_t length, total = 0;

	while ((length = write_bytes(client)) > 0) {
		note_written(client);
		total += length;
	}
	return total > 0 ? total : length;
}

/* False: without memory. */
static bool
settle_begins(struct client *client)
{
	struct output *output = client->output;

	if (unsettled_is_empty(&output->unsettled) && !output->blocked)
		return !output->unsettled.marks.failed;
	if (client->worker->settings.limits.settle_time == 0)
		output_settle(client);
	else if (!deadline_is_set(&output->settle))
		deadline_set(&client->worker->loop, &client->worker->settle, &output->settle);
	return !output->unsettled.marks.failed;
}

static void
stall_begins(struct client *client)
{
	client->output->taken = output_acknowledged(client);
	deadline_set(&client->worker->loop, &client->worker->stall, &client->output->stall);
}

static bool
is_above_soft_bound(const struct client *client)
{
	const struct client_limits *limits = &client->worker->settings.limits;
	uint32_t most = limits->unsent_soft_bytes < limits->unsent_bytes ? limits->unsent_soft_bytes : limits->unsent_bytes;

	return output_length(client->output) > most;
}

int
output_flush(struct client *client)
{
	struct output *output = client->output;
	ssize_t length;

	if (output == NULL)
		return 0;
	length = write_pieces(client);
	if (length < 0)
		return (int)length;
	output->blocked = output_length(output) > 0;
	if (!settle_begins(client))
		return -ENOMEM;
	if (!is_above_soft_bound(client))
		deadline_clear(&client->worker->stall, &output->stall);
	else if (length > 0 || !deadline_is_set(&output->stall))
		stall_begins(client);
	output_tidy(client);
	return 0;
}

/* What the socket takes comes in lumps: a slow client may have acknowledged some of what it took before. */
void
output_on_stall(struct deadline *deadline)
{
	struct client *client = container_of(deadline, struct output, stall)->client;

	if (output_acknowledged(client) != client->output->taken) {
		stall_begins(client);
		return;
	}
	if (client->state < CLIENT_CLOSING)
		client->limit = LIMIT_STALL_SECONDS;
	client_lose(client, END_TOO_SLOW);
}
