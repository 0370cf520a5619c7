#include <inttypes.h>

#include "common/log.h"
#include "master/link_parts.h"

/* A stream whose resumption was left without an answer as often as this is given up: nobody may know it any more. */
#define UNANSWERED_MAX 3

/* There was a stream that can be resumed; on a connection that counts: this one can be. */
bool
link_can_resume(const struct link *link)
{
	return link->ack.id[0] != '\0';
}

/*
 * The session manager has answered before, and does not when it is asked to resume, or complains of that: it may be another
 * one by now, which would never let the link come up. (That the link breaks says nothing.)
 */
void
link_not_answered(struct link *link)
{
	if (link->state == LINK_ENABLING && link_can_resume(link) && ++link->unanswered >= UNANSWERED_MAX)
		link_stream_lost(link, true);
}

/* What was sent and not acknowledged is sent again, to a session manager that does not know the stream any more. */
void
link_stream_lost(struct link *link, bool died)
{
	if (link->outbox.waiting > 0)
		log_info("link not-resumed again=%" PRIu32, link->outbox.waiting);
	ack_forget(&link->ack);
	link_requeue(link, died);
	link->unanswered = 0;
	link->on_lost(link);
}

void
link_requeue(struct link *link, bool died)
{
	struct outbox_packet *packet;

	outbox_requeue(&link->outbox, link->blamed, died);
	link->blamed = false;
	while ((packet = outbox_take_given_up(&link->outbox)) != NULL) {
		log_error("link packet-given-up bytes=%zu breaks=%u", packet->length, packet->breaks);
		link->given_up++;
		link->on_given_up(link, packet->from, packet->bytes, packet->length);
		outbox_packet_free(packet);
	}
}

/* The session manager works without; what was asked for is not waited for any more. */
void
link_not_enabled(struct link *link, const char *why)
{
	log_warning("link not-acknowledged reason=\"%s\"", why);
	link_step_up(link);
}

void
link_step_enable(struct link *link)
{
	bool asks = link->acknowledge && !link->unasked;

	if (!asks && link_can_resume(link))
		link_stream_lost(link, true);
	link->resumed = false;
	if (!link->acknowledge) {
		link_step_up(link);
		return;
	}
	if (!asks) {
		link->unasked = false;
		link_not_enabled(link, "it ended the link when it was asked");
		return;
	}
	link_change_state(link, LINK_ENABLING);
	link_step_begins(link);
	if (link_can_resume(link))
		ack_write_resume(&link->prelude, &link->ack);
	else
		ack_write_enable(&link->prelude);
	buffer_append(&link->prelude, "\n", 1);
	link_flush_later(link);
}

/* What they say of our counters cannot be: there is nothing that could be resumed from there. */
static void
counts_broken(struct link *link, const char *why)
{
	bool resuming = link->state == LINK_ENABLING && link_can_resume(link);

	if (resuming)
		link_stream_lost(link, true);
	link->ack.id[0] = '\0';
	link_fail(link, why);
	/* That was no answer to the question. */
	if (resuming)
		link->unasked = false;
}

static void
stream_resumed(struct link *link, const struct ack_element *element)
{
	uint32_t fresh;

	if (element->id.at != NULL && !range_decodes_to(element->id, link->ack.id)) {
		counts_broken(link, "the session manager resumes another stream");
		return;
	}
	if (!ack_resume(&link->ack, element->h, &fresh)) {
		counts_broken(link, "the session manager acknowledges what was not sent");
		return;
	}
	outbox_acknowledged(&link->outbox, fresh);
	log_info("link resumed acknowledged=%" PRIu32 " again=%zu", fresh, link->outbox.unacknowledged);
	/* It may have died of what comes again: only of ours is known whether it did. */
	link_requeue(link, link->spawn != NULL ? link->anew : link->died);
	link->unanswered = 0;
	link->resumed = true;
	link->resumptions++;
	link_step_up(link);
}

static void
stream_refused(struct link *link, const struct ack_element *element)
{
	uint32_t fresh;

	if (!link_can_resume(link)) {
		link_not_enabled(link, "refused");
		return;
	}
	if (element->counted && ack_take(&link->ack, element->h, &fresh))
		outbox_acknowledged(&link->outbox, fresh);
	link_stream_lost(link, true);
	link_step_enable(link);
}

void
link_enabling_answer(struct link *link, const struct link_message *message)
{
	struct ack_element element;

	ack_read(&element, message->bytes, message->length);
	switch (element.kind) {
	case ACK_NONE:
		/* One that does not know what it was asked may go on as if nothing had been. */
		if (link_is_stream_error(message)) {
			link_not_answered(link);
			link_closed(link, "ended by the session manager");
		} else {
			link->on_packet(link, message->bytes, message->length);
		}
		break;
	case ACK_ENABLED:
		if (link_can_resume(link)) {
			counts_broken(link, "the session manager enables what was to be resumed");
			break;
		}
		ack_begin(&link->ack, element.resume ? element.id : (struct range){ 0 });
		link_step_up(link);
		break;
	case ACK_RESUMED:
		if (link_can_resume(link))
			stream_resumed(link, &element);
		else
			link_fail(link, "the session manager resumes what was not");
		break;
	case ACK_ENABLE:	/* sent back, as an error most likely */
	case ACK_FAILED:
		stream_refused(link, &element);
		break;
	case ACK_RESUME:
	case ACK_REQUEST:
	case ACK_ANSWER:
	case ACK_GARBLED:
		counts_broken(link, "the session manager acknowledges out of place");
		break;
	}
}

static void
acknowledged(struct link *link, uint32_t h)
{
	uint32_t fresh;

	link->ack.asked = false;
	if (!ack_take(&link->ack, h, &fresh)) {
		counts_broken(link, "the session manager acknowledges what was not sent");
		return;
	}
	outbox_acknowledged(&link->outbox, fresh);
	link->achieved |= fresh > 0;
	/* Else it is asked for behind the next packet; where none may be written before an answer, there is no next one. */
	if (!outbox_has_more(&link->outbox) && ack_should_ask(&link->ack) && link->state == LINK_UP) {
		ack_write_request(&link->prelude, &link->ack);
		buffer_append(&link->prelude, "\n", 1);
	}
	link_flush_later(link);
}

static void
counts_arrived(struct link *link, const struct ack_element *element)
{
	switch (element->kind) {
	case ACK_REQUEST:
		link->answer_due = true;
		link_flush_later(link);
		break;
	case ACK_ANSWER:
		acknowledged(link, element->h);
		break;
	case ACK_NONE:
	case ACK_ENABLE:
	case ACK_ENABLED:
	case ACK_RESUME:
	case ACK_RESUMED:
	case ACK_FAILED:
	case ACK_GARBLED:
		counts_broken(link, "the session manager acknowledges out of place");
		break;
	}
}

/* It is acknowledged when on_packet has taken it. */
void
link_packet_arrived(struct link *link, const struct link_message *message)
{
	struct ack_element element = { 0 };

	if (link->acknowledge || link->ack.on)
		ack_read(&element, message->bytes, message->length);
	if (element.kind != ACK_NONE && link->ack.on) {
		counts_arrived(link, &element);
		return;
	}
	if (element.kind == ACK_ENABLED) {
		link_fail(link, "the session manager enables acknowledgement too late");
		return;
	}
	link->achieved = true;
	if (link->ack.on)
		link->ack.received++;
	link->on_packet(link, message->bytes, message->length);
}
