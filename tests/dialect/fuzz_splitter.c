/*
 * The splitter with any stream: cut in any way it says the same, and what it calls an element can be read as one. The
 * first byte says how the stream is cut, the second how long an element may be.
 */
#include <string.h>

#include "common/buffer.h"
#include "dialect/splitter.h"
#include "tests/dialect/fuzz.h"

struct found {
	enum splitter_event_type type;
	size_t begin;
	size_t length;
};

static void
check_element(const char *bytes, size_t length)
{
	struct element element, complete;

	/* What splitter and element differ in is the first byte of a name. */
	must(element_read(&element, bytes, length));
	must(element_read_complete(&complete, bytes, length));
	must(element.whole.length == length && ranges_equal(element.content, complete.content));
}

/* The length of the next piece of the stream. */
static size_t
piece(uint32_t *seed, uint8_t most, size_t left)
{
	size_t length;

	if (most == 0)
		return left;
	*seed = *seed * 1664525 + 1013904223;
	length = 1 + (*seed >> 16) % most;
	return length < left ? length : left;
}

/* Feed everything; what is found goes to `events`. */
static void
feed(const uint8_t *data, size_t size, size_t element_max, uint8_t most, struct buffer *events)
{
	size_t consumed = 0, fed = 0;
	uint32_t seed = most;
	struct splitter splitter;
	struct splitter_event event;

	splitter_init(&splitter, element_max);
	while (fed < size) {
		fed += piece(&seed, most, size - fed);
		while (splitter_next(&splitter, data + consumed, fed - consumed, &event) != SPLITTER_MORE) {
			bool dead = event.type == SPLITTER_BROKEN || event.type == SPLITTER_TOO_LONG;
			struct found found = {
				.type = dead ? SPLITTER_BROKEN : event.type, .begin = dead ? 0 : consumed + event.skip,
				.length = event.length,
			};

			must(event.skip + event.length <= fed - consumed);
			must(event.length <= element_max);
			buffer_append(events, &found, sizeof(found));
			if (dead)
				return;
			if (event.type == SPLITTER_ELEMENT)
				check_element((const char *)data + found.begin, found.length);
			consumed += event.skip + event.length;
		}
		must(event.length == 0 && event.skip <= fed - consumed);
		/* Left to the caller: sometimes it does, sometimes not. */
		if ((seed & 0x10000) != 0)
			consumed += event.skip;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer whole = { 0 }, cut = { 0 };
	size_t element_max, length;

	if (size < 3)
		return 0;
	element_max = data[1] == 0 ? SIZE_MAX : data[1];
	feed(data + 2, size - 2, element_max, 0, &whole);
	feed(data + 2, size - 2, element_max, data[0], &cut);
	length = buffer_length(&whole);
	must(buffer_length(&cut) == length);
	must(length == 0 || memcmp(buffer_bytes(&whole), buffer_bytes(&cut), length) == 0);
	buffer_deinit(&whole);
	buffer_deinit(&cut);
	return 0;
}
