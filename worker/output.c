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
	buffer_deinit(&output->bytes);
	buffer_deinit(&output->marks);
	free(output);
	client->output = NULL;
	client->worker->outputs--;
	worker_lent(client->worker);
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
output_is_stalled(const struct output *output)
{
	return output != NULL && deadline_is_set(&output->stall);
}

void
output_mark(struct output *output, uint64_t number)
{
	struct output_mark mark = { number, output_total(output) };

	buffer_append(&output->marks, &mark, sizeof mark);
}

/* Bytes written (0: none are taken now), or a negative errno. */
static ssize_t
write_bytes(struct client *client)
{
	struct output *output = client->output;
	ssize_t length;

	if (output->bytes.failed || output->marks.failed)
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

/* The number of the last packet that has left since the last call; 0: none. */
static uint64_t
settled_number(struct output *output)
{
	struct output_mark mark;
	uint64_t number = 0;

	while (buffer_length(&output->marks) >= sizeof mark) {
		memcpy(&mark, buffer_bytes(&output->marks), sizeof mark);
		if (mark.end > output->written)
			break;
		number = mark.number;
		buffer_consume(&output->marks, sizeof mark);
	}
	return number;
}

static void
say_settled(struct client *client)
{
	uint64_t number = settled_number(client->output);
	struct buffer body = { 0 };

	if (number == 0)
		return;
	message_put_number(&body, number);
	channel_send(&client->worker->channel, W2M_SETTLED, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

int
output_flush(struct client *client)
{
	struct worker *worker = client->worker;
	ssize_t length;

	if (client->output == NULL)
		return 0;
	length = write_bytes(client);
	if (length < 0)
		return (int)length;
	say_settled(client);
	if (output_length(client->output) == 0)
		output_drop(client);
	else if (length > 0 || !output_is_stalled(client->output))
		deadline_set(&worker->loop, &worker->stall, &client->output->stall);
	return 0;
}

void
output_on_stall(struct deadline *deadline)
{
	struct client *client = container_of(deadline, struct output, stall)->client;

	if (client->state < CLIENT_CLOSING)
		client->limit = LIMIT_STALL_SECONDS;
	client_lose(client, END_TOO_SLOW);
}
