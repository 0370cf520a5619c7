#include "worker/trace.h"

#include "worker/mask.h"
#include "worker/worker.h"

static void
show(struct client *client, bool down, const char *bytes, size_t length)
{
	struct worker *worker = client->worker;
	struct trace_message trace = { .down = down, .length = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length };
	struct buffer body = { 0 }, text = { 0 };

	if (channel_is_full(&worker->channel)) {
		worker->traces_lost++;
		return;
	}
	trace.cut = mask_append(&text, bytes, length, TRACE_TEXT_MAX);
	trace.lost = worker->traces_lost;
	message_put_trace(&body, &trace);
	if (text.failed || body.failed) {
		worker->traces_lost++;
	} else {
		worker->traces_lost = 0;
		channel_send_parts(&worker->channel, W2M_TRACE, 0, client->slot, client->serial, &body, buffer_bytes(&text),
		    buffer_length(&text));
	}
	buffer_deinit(&text);
	buffer_deinit(&body);
}

void
trace_switch(struct client *client, bool on)
{
	client->traced = on;
	if (client->output != NULL)
		client->output->shown = output_total(client->output);
}

void
trace_up(struct client *client, const char *bytes, size_t length)
{
	if (client->traced)
		show(client, false, bytes, length);
}

void
trace_down(struct client *client)
{
	struct output *output = client->output;
	size_t fresh;

	if (!client->traced || output->bytes.failed)
		return;
	fresh = (size_t)(output_total(output) - output->shown);
	output->shown += fresh;
	if (fresh > 0)
		show(client, true, (const char *)output->bytes.data + output->bytes.end - fresh, fresh);
}
