#include "sessiond/ledger.h"

#include <bsd/stdlib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "dialect/splitter.h"

void
ledger_init(struct ledger *ledger)
{
	*ledger = (struct ledger){ 0 };
	STAILQ_INIT(&ledger->kept);
}

static void
entries_drop(struct ledger *ledger, uint32_t count)
{
	struct ledger_entry *entry;

	for (; count > 0 && (entry = STAILQ_FIRST(&ledger->kept)) != NULL; count--) {
		STAILQ_REMOVE_HEAD(&ledger->kept, entry);
		ledger->kept_bytes -= entry->length;
		ledger->dropped++;
		free(entry);
	}
}

void
ledger_deinit(struct ledger *ledger)
{
	entries_drop(ledger, UINT32_MAX);
}

/* ---- what comes ---- */

static const char *
acknowledged(struct ledger *ledger, uint32_t h)
{
	uint32_t fresh;

	ledger->ack.asked = false;
	if (!ack_take(&ledger->ack, h, &fresh))
		return "Acknowledges what was not sent";
	entries_drop(ledger, fresh);
	ledger->fresh = true;
	return NULL;
}

static void
resume(struct ledger *ledger, const struct ack_element *element)
{
	uint32_t fresh;

	if (ledger->ack.id[0] == '\0' || !range_decodes_to(element->id, ledger->ack.id) ||
	    !ack_take(&ledger->ack, element->h, &fresh)) {
		ledger->answer = LEDGER_FAILED;
		return;
	}
	entries_drop(ledger, fresh);
	ledger->answer = LEDGER_RESUMED;
}

/* On a link that does not count yet. */
static const char *
take_before(struct ledger *ledger, const struct ack_element *element, bool allowed)
{
	if (element->kind != ACK_ENABLE && element->kind != ACK_RESUME)
		return "Acknowledges before it has asked for that";
	if (ledger->answer == LEDGER_ENABLED || ledger->answer == LEDGER_RESUMED)
		return "Asks for acknowledgement twice";
	if (!allowed)
		ledger->answer = LEDGER_REFUSED;
	else if (element->kind == ACK_RESUME)
		resume(ledger, element);
	else
		ledger->answer = LEDGER_ENABLED;
	/* From here on what comes is counted. */
	if (ledger->answer == LEDGER_ENABLED) {
		ledger->ack.received = 0;
		ledger->resumable = element->resume;
	}
	return NULL;
}

static const char *
take_own(struct ledger *ledger, const struct ack_element *element, bool allowed)
{
	if (!ledger->ack.on)
		return take_before(ledger, element, allowed);
	if (element->kind == ACK_ANSWER)
		return acknowledged(ledger, element->h);
	if (element->kind != ACK_REQUEST)
		return "Acknowledges out of place";
	ledger->count_due = true;
	return NULL;
}

bool
ledger_take(struct ledger *ledger, const void *bytes, size_t length, bool allowed, const char **breach_r)
{
	struct ack_element element;

	*breach_r = NULL;
	ack_read(&element, bytes, length);
	if (element.kind == ACK_NONE) {
		if (ledger->ack.on || ledger->answer == LEDGER_ENABLED || ledger->answer == LEDGER_RESUMED)
			ledger->ack.received++;
		return false;
	}
	*breach_r = element.kind == ACK_GARBLED ? "Acknowledges without a number" : take_own(ledger, &element, allowed);
	return true;
}

/* ---- what goes ---- */

static void
keep(struct ledger *ledger, const void *bytes, size_t length)
{
	struct ledger_entry *entry = malloc(sizeof *entry + length);

	if (entry == NULL) {
		ledger->failed = true;
		return;
	}
	entry->length = length;
	memcpy(entry->bytes, bytes, length);
	STAILQ_INSERT_TAIL(&ledger->kept, entry, entry);
	ledger->kept_bytes += length;
	ledger->ack.sent++;
}

/* The link's complaint of the link is no packet, and ends it. */
static bool
is_counted(const char *bytes, size_t length)
{
	static const char error[] = "<stream:error";
	struct element element;
	struct range sto;

	if (length < sizeof error || memcmp(bytes, error, sizeof error - 1) != 0)
		return true;
	return element_read_complete(&element, bytes, length) && element_attribute(&element, "sto", &sto);
}

/* What stands behind the last of them, and is not the end of the stream. */
static size_t
keep_all(struct ledger *ledger, const char *bytes, size_t length)
{
	struct splitter splitter = { .element_max = SIZE_MAX, .depth = 1 };
	enum splitter_event_type type = SPLITTER_ELEMENT;
	struct splitter_event event;

	while (length > 0 && type == SPLITTER_ELEMENT) {
		type = splitter_next(&splitter, bytes, length, &event);
		if (type != SPLITTER_ELEMENT && type != SPLITTER_END)
			break;
		if (type == SPLITTER_ELEMENT && is_counted(bytes + event.skip, event.length))
			keep(ledger, bytes + event.skip, event.length);
		bytes += event.skip + event.length;
		length -= event.skip + event.length;
	}
	return length;
}

/* How many these are. */
static uint32_t
send_again(const struct ledger *ledger, struct buffer *out)
{
	const struct ledger_entry *entry;
	uint32_t count = 0;

	STAILQ_FOREACH(entry, &ledger->kept, entry) {
		buffer_append(out, entry->bytes, entry->length);
		count++;
	}
	return count;
}

static struct range
name_new(char name[static 33])
{
	unsigned char random[16];

	arc4random_buf(random, sizeof random);
	for (unsigned i = 0; i < sizeof random; i++)
		snprintf(name + 2 * i, 3, "%02x", random[i]);
	return (struct range){ name, 32 };
}

static void
stream_begin(struct ledger *ledger, struct buffer *out)
{
	uint32_t received = ledger->ack.received;
	char name[33];

	ack_begin(&ledger->ack, ledger->resumable ? name_new(name) : (struct range){ 0 });
	ledger->ack.received = received;
	ledger->streams++;
	ack_write_enabled(out, &ledger->ack);
	ledger->ack.sent = send_again(ledger, out);
	log_info("link counted again=%" PRIu32, ledger->ack.sent);
}

static void
answer(struct ledger *ledger, struct buffer *out)
{
	switch (ledger->answer) {
	case LEDGER_NO_ANSWER:
		break;
	case LEDGER_ENABLED:
		stream_begin(ledger, out);
		break;
	case LEDGER_RESUMED:
		ledger->ack.on = ledger->fresh = true;
		ack_write_resumed(out, &ledger->ack);
		log_info("link continued again=%" PRIu32, send_again(ledger, out));
		break;
	case LEDGER_FAILED:
		ack_write_failed(out, "item-not-found");
		break;
	case LEDGER_REFUSED:
		ack_write_failed(out, "feature-not-implemented");
		break;
	}
	ledger->answer = LEDGER_NO_ANSWER;
}

bool
ledger_release(struct ledger *ledger, const void *bytes, size_t length, size_t unwritten, struct buffer *out)
{
	if (ledger->ack.on && length > 0)
		keep_all(ledger, bytes, length);
	answer(ledger, out);
	if (ledger->count_due && ledger->ack.on)
		ack_write_answer(out, &ledger->ack);
	ledger->count_due = false;
	if (ack_should_ask(&ledger->ack))
		ack_write_request(out, &ledger->ack);
	/* Of what they have not been given nothing is known. */
	if (ledger->kept_bytes <= LEDGER_MAX + unwritten + buffer_length(out))
		return true;
	entries_drop(ledger, UINT32_MAX);
	ledger_forget(ledger);
	return false;
}

bool
ledger_restore(struct ledger *ledger, const void *bytes, size_t length)
{
	return keep_all(ledger, bytes, length) == 0;
}

bool
ledger_restore_dropped(struct ledger *ledger, uint64_t dropped)
{
	uint64_t fresh = dropped - ledger->dropped;

	if (ledger->dropped == 0 && STAILQ_EMPTY(&ledger->kept)) {
		ledger->dropped = dropped;
		return true;
	}
	if (fresh > UINT32_MAX)
		return false;
	entries_drop(ledger, (uint32_t)fresh);
	return ledger->dropped == dropped;
}

bool
ledger_is_through(const struct ledger *ledger, uint32_t stream, uint32_t number)
{
	return stream == ledger->streams && (int32_t)(ledger->ack.acknowledged - number) >= 0;
}

bool
ledger_is_used(const struct ledger *ledger)
{
	return ledger->ack.on || ledger->ack.id[0] != '\0';
}

void
ledger_suspend(struct ledger *ledger)
{
	ack_suspend(&ledger->ack);
	ledger->answer = LEDGER_NO_ANSWER;
	ledger->count_due = false;
}

void
ledger_forget(struct ledger *ledger)
{
	ack_forget(&ledger->ack);
	ledger->answer = LEDGER_NO_ANSWER;
}
