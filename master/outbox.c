#include "master/outbox.h"

#include <stdlib.h>
#include <string.h>

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
	STAILQ_INIT(&outbox->given_up);
}

/* There may be a password in it. */
void
outbox_packet_free(struct outbox_packet *packet)
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
		outbox_packet_free(packet);
	}
}

void
outbox_deinit(struct outbox *outbox)
{
	queue_free(&outbox->queue);
	queue_free(&outbox->sent);
	queue_free(&outbox->given_up);
	outbox_init(outbox);
}

bool
outbox_add(struct outbox *outbox, uint64_t from, const void *bytes, size_t length, bool counted)
{
	struct outbox_packet *packet = malloc(sizeof *packet + length);

	if (packet == NULL)
		return false;
	packet->length = length;
	packet->from = from;
	packet->breaks = 0;
	packet->counted = counted;
	memcpy(packet->bytes, bytes, length);
	STAILQ_INSERT_TAIL(&outbox->queue, packet, entry);
	outbox->queued += length;
	outbox->counters.in += counted;
	outbox->counters.waiting += counted;
	return true;
}

void
outbox_refuse(struct outbox *outbox)
{
	outbox->counters.in++;
	outbox->counters.lost++;
}

bool
outbox_balances(const struct outbox *outbox)
{
	const struct outbox_counters *counters = &outbox->counters;

	return counters->in == counters->acknowledged + counters->waiting + counters->lost;
}

/* How many packets may be written before one is acknowledged. */
static uint32_t
room(const struct outbox *outbox)
{
	if (outbox->held)
		return 0;
	if (outbox->window == 0)
		return UINT32_MAX;
	return outbox->window > outbox->waiting ? outbox->window - outbox->waiting : 0;
}

bool
outbox_has_more(const struct outbox *outbox)
{
	return !STAILQ_EMPTY(&outbox->queue) && room(outbox) > 0;
}

unsigned
outbox_gather(const struct outbox *outbox, struct iovec *vectors, unsigned most, size_t *bytes_r, bool *end_r)
{
	struct outbox_packet *packet = STAILQ_FIRST(&outbox->queue);
	size_t skip = outbox->head_written;
	uint32_t left = room(outbox);
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
head_written(struct outbox *outbox, struct ack *ack, uint64_t end)
{
	struct outbox_packet *packet = STAILQ_FIRST(&outbox->queue);

	STAILQ_REMOVE_HEAD(&outbox->queue, entry);
	outbox->queued -= packet->length;
	outbox->head_written = 0;
	if (!packet->counted) {
		outbox_packet_free(packet);
		return;
	}
	packet->end = end;
	STAILQ_INSERT_TAIL(&outbox->sent, packet, entry);
	outbox->unacknowledged += packet->length;
	outbox->waiting++;
	ack->sent += ack->on;
}

void
outbox_written(struct outbox *outbox, struct ack *ack, uint64_t offset, size_t length)
{
	struct outbox_packet *packet;

	while (length > 0 && (packet = STAILQ_FIRST(&outbox->queue)) != NULL) {
		size_t rest = packet->length - outbox->head_written;

		if (length < rest) {
			outbox->head_written += length;
			return;
		}
		length -= rest;
		offset += rest;
		head_written(outbox, ack, offset);
	}
}

static void
window_grow(struct outbox *outbox)
{
	if (outbox->window > 0)
		outbox->window = outbox->window < WINDOW_MAX ? outbox->window * 2 : 0;
}

/* (Who says something of none has shown nothing.) */
static void
sent_free(struct outbox *outbox, struct outbox_packet *first)
{
	STAILQ_REMOVE_HEAD(&outbox->sent, entry);
	outbox->unacknowledged -= first->length;
	outbox->waiting--;
	outbox->counters.waiting--;
	outbox->counters.acknowledged++;
	outbox_packet_free(first);
	if (STAILQ_EMPTY(&outbox->sent))
		window_grow(outbox);
}

void
outbox_acknowledged(struct outbox *outbox, uint32_t count)
{
	struct outbox_packet *packet;

	for (; count > 0 && (packet = STAILQ_FIRST(&outbox->sent)) != NULL; count--)
		sent_free(outbox, packet);
}

void
outbox_arrived(struct outbox *outbox, uint64_t offset)
{
	struct outbox_packet *packet;

	while ((packet = STAILQ_FIRST(&outbox->sent)) != NULL && packet->end <= offset)
		sent_free(outbox, packet);
}

/* The link was lost, maybe because of the first. */
static void
head_blame(struct outbox *outbox)
{
	struct outbox_packet *head = STAILQ_FIRST(&outbox->queue);

	if (head == NULL || ++head->breaks < BREAKS_MAX)
		return;
	STAILQ_REMOVE_HEAD(&outbox->queue, entry);
	outbox->queued -= head->length;
	STAILQ_INSERT_TAIL(&outbox->given_up, head, entry);
	outbox->counters.waiting -= head->counted;
	outbox->counters.lost += head->counted;
}

/* (Connections that fail before anything is written change nothing of that.) */
void
outbox_cut(struct outbox *outbox)
{
	outbox->touched = outbox->touched || outbox->head_written > 0;
	outbox->head_written = 0;
}

const struct outbox_packet *
outbox_suspect(const struct outbox *outbox)
{
	const struct outbox_packet *head = STAILQ_FIRST(&outbox->queue);

	return head != NULL && head->breaks > 0 ? head : NULL;
}

void
outbox_requeue(struct outbox *outbox, bool blamed, bool died)
{
	struct outbox_packet *first = STAILQ_FIRST(&outbox->sent);
	bool one = first == NULL ? outbox->touched : STAILQ_NEXT(first, entry) == NULL && !outbox->touched;
	bool any = first != NULL || outbox->touched;

	STAILQ_CONCAT(&outbox->sent, &outbox->queue);
	STAILQ_CONCAT(&outbox->queue, &outbox->sent);
	outbox->queued += outbox->unacknowledged;
	outbox->counters.again += outbox->waiting;
	outbox->unacknowledged = 0;
	outbox->waiting = 0;
	outbox->touched = false;
	if ((blamed && any) || (died && one))
		head_blame(outbox);
	if (died)
		outbox->window = any || outbox_suspect(outbox) != NULL ? 1 : 0;
}

struct outbox_packet *
outbox_take_given_up(struct outbox *outbox)
{
	struct outbox_packet *packet = STAILQ_FIRST(&outbox->given_up);

	if (packet != NULL)
		STAILQ_REMOVE_HEAD(&outbox->given_up, entry);
	return packet;
}
