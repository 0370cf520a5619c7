/* ack with any bytes for an element: nothing outside them is named; and its numbers with any history: no count goes wrong. */
#include <string.h>

#include "dialect/ack.h"
#include "tests/dialect/fuzz.h"

static void
check_name(const struct ack_element *element)
{
	struct ack ack, again;
	struct ack_element written;
	struct buffer out = { 0 };

	ack_begin(&ack, element->id);
	ack.received = element->h;
	must(strlen(ack.id) <= ACK_ID_MAX);
	ack_write_resume(&out, &ack);
	ack_read(&written, buffer_bytes(&out), buffer_length(&out));
	must(written.kind == ACK_RESUME && written.h == element->h);
	ack_begin(&again, written.id);
	must(strcmp(ack.id, again.id) == 0);
	buffer_deinit(&out);
}

/* What the other end may say against what it was sent, 64 bits wide. */
static void
check_counts(const uint8_t *data, size_t size)
{
	uint64_t sent = 0xfffffff0, acknowledged = 0xfffffff0;
	struct ack ack = { .on = true, .sent = (uint32_t)sent, .acknowledged = (uint32_t)sent };

	for (size_t i = 0; i + 1 < size; i += 2) {
		uint64_t h = acknowledged + data[i + 1];
		uint32_t fresh = 0;
		bool good;

		sent += data[i] & 0x7f;
		ack.sent += data[i] & 0x7f;
		good = (data[i] & 0x80) != 0 ? ack_resume(&ack, (uint32_t)h, &fresh) : ack_take(&ack, (uint32_t)h, &fresh);
		must(good == (h <= sent));
		if (!good)
			continue;
		must(fresh == data[i + 1]);
		acknowledged = h;
		if ((data[i] & 0x80) != 0)
			sent = h;
		must(ack_waiting(&ack) == sent - acknowledged);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct range all = { (const char *)data, size };
	struct ack_element element;

	ack_read(&element, data, size);
	must_lie_within(element.id, all);
	must(element.kind != ACK_NONE || (element.id.at == NULL && !element.counted));
	must(element.counted || (element.kind != ACK_ANSWER && element.kind != ACK_RESUME && element.kind != ACK_RESUMED));
	check_name(&element);
	check_counts(data, size);
	return 0;
}
