#include "master/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "dialect/ack.h"

/* A packet in which the link broke as often as this is what breaks it. */
#define BREAKS_MAX 3

/* From here on what was sent again goes on without an end. */
#define WINDOW_MAX 1024

void
outbox_init(struct outbox *outbox)
{
	*outbox = (struct outbox){ 0 };
	STAILQ_INIT(&outbox->queue);
	STAILQ_INIT(&outbox->sent);
}

/* There may be a password in it. */
static void
packet_free(struct outbox_packet *packet)
{
	explicit_bzero(packet->bytes, packet->length);
	free(packet);
}

static void
queue_free(struct outbox_queue *queue)
{
	struct outbox_packet *packet;

	while ((packet = STAILQ_FIRST(queue)) != NULL) {
		STAILQ_REMOVE_HEAD(queue, entry);
		packet_free(packet);
	}
}

void
outbox_deinit(struct outbox *outbox)
{
	queue_free(&outbox->queue);
	queue_free(&outbox->sent);
	outbox_init(outbox);
}

bool
outbox_add(struct outbox *outbox, const void *bytes, size_t length, bool counted)
{
	struct outbox_packet *packet = malloc(sizeof *packet + length);

	if (packet == NULL)
		return false;
	packet->length = length;
	packet->breaks = 0;
	packet->counted = counted;
	memcpy(packet->bytes, bytes, length);
	STAILQ_INSERT_TAIL(&outbox->queue, packet, entry);
	outbox->queued += length;
	return true;
}

/* How many packets may be written before one is acknowledged. */
static uint32_t
room(const struct outbox *outbox, const struct ack *ack)
{
	if (outbox->window == 0 || !ack->on)
		return UINT32_MAX;
	return outbox->window > ack_waiting(ack) ? outbox->window - ack_waiting(ack) : 0;
}

bool
outbox_has_more(const struct outbox *outbox, const struct ack *ack)
{
	return !STAILQ_EMPTY(&outbox->queue) && room(outbox, ack) > 0;
}

unsigned
outbox_gather(const struct outbox *outbox, const struct ack *ack, struct iovec *vectors, unsigned most, size_t *bytes_r,
    bool *end_r)
{
	struct outbox_packet *packet = STAILQ_FIRST(&outbox->queue);
	size_t skip = outbox->head_written;
	uint32_t left = room(outbox, ack);
	unsigned count = 0;

	*bytes_r = 0;
	for (; packet != NULL && count < most && left > 0; packet = STAILQ_NEXT(packet, entry)) {
		vectors[count++] = (struct iovec){ packet->bytes + skip, packet->length - skip };
		*bytes_r += packet->length - skip;
		skip = 0;
		left--;
	}
	*end_r = packet == NULL || left == 0;
	return count;
}

static void
head_written(struct outbox *outbox, struct ack *ack)
{
	struct outbox_packet *packet = STAILQ_FIRST(&outbox->queue);

	STAILQ_REMOVE_HEAD(&outbox->queue, entry);
	outbox->queued -= packet->length;
	outbox->head_written = 0;
	if (!ack->on || !packet->counted) {
		packet_free(packet);
		return;
	}
	STAILQ_INSERT_TAIL(&outbox->sent, packet, entry);
	outbox->unacknowledged += packet->length;
	ack->sent++;
}

void
outbox_written(struct outbox *outbox, struct ack *ack, size_t length)
{
	struct outbox_packet *packet;

	while (length > 0 && (packet = STAILQ_FIRST(&outbox->queue)) != NULL) {
		size_t rest = packet->length - outbox->head_written;

		if (length < rest) {
			outbox->head_written += length;
			return;
		}
		length -= rest;
		head_written(outbox, ack);
	}
}

void
outbox_acknowledged(struct outbox *outbox, uint32_t count)
{
	struct outbox_packet *packet;

	for (; count > 0 && (packet = STAILQ_FIRST(&outbox->sent)) != NULL; count--) {
		STAILQ_REMOVE_HEAD(&outbox->sent, entry);
		outbox->unacknowledged -= packet->length;
		packet_free(packet);
	}
	if (outbox->window > 0 && STAILQ_EMPTY(&outbox->sent))
		outbox->window = outbox->window < WINDOW_MAX ? outbox->window * 2 : 0;
}

/* The link was lost, maybe because of the first. */
static void
head_blame(struct outbox *outbox)
{
	struct outbox_packet *head = STAILQ_FIRST(&outbox->queue);

	if (head == NULL || ++head->breaks < BREAKS_MAX)
		return;
	log_error("link packet-given-up bytes=%zu breaks=%u", head->length, head->breaks);
	STAILQ_REMOVE_HEAD(&outbox->queue, entry);
	outbox->queued -= head->length;
	packet_free(head);
}

void
outbox_cut(struct outbox *outbox, bool counts)
{
	bool touched = outbox->head_written > 0;

	outbox->head_written = 0;
	/* Connections that fail before anything is written change nothing of that. */
	if (counts)
		outbox->touched = outbox->touched || touched;
	else if (touched)
		head_blame(outbox);
}

void
outbox_requeue(struct outbox *outbox, bool blamed, bool lost)
{
	struct outbox_packet *first = STAILQ_FIRST(&outbox->sent);
	bool one = first == NULL ? outbox->touched : STAILQ_NEXT(first, entry) == NULL && !outbox->touched;
	bool any = first != NULL || outbox->touched;

	STAILQ_CONCAT(&outbox->sent, &outbox->queue);
	STAILQ_CONCAT(&outbox->queue, &outbox->sent);
	outbox->queued += outbox->unacknowledged;
	outbox->unacknowledged = 0;
	outbox->touched = false;
	if ((blamed && any) || (lost && one))
		head_blame(outbox);
	if (lost)
		outbox->window = any ? 1 : 0;
}
