/*
 * Whatever the bytes and however they are cut: the same events, and each element means to expat what the client sent.
 * The first two bytes choose the limits, whether the usual header stands in front, and the cuts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char usual_header[] = "<stream:stream to='foo.com' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:header' xml:lang='en'>";

static const struct stream_limits limit_sets[] = {
	{ .header_bytes = 4096, .element_bytes = 65536, .depth = 64, .attributes = 64, .elements = 1000 },
	{ .header_bytes = 1000, .element_bytes = 200, .depth = 4, .attributes = 4, .elements = 8 },
};

static void
check_cut(const struct buffer *expected, const struct stream_limits *limits, const uint8_t *data, size_t size,
    struct cutting cutting)
{
	struct buffer out = { 0 };

	transcript_write(&out, limits, data, size, &cutting, NULL);
	if (buffer_length(&out) != buffer_length(expected) ||
	    memcmp(buffer_bytes(&out), buffer_bytes(expected), buffer_length(&out)) != 0) {
		fprintf(stderr, "cut (%zu, %zu, %d) makes it\n%.*s\nand not\n%.*s\n", cutting.first, cutting.step,
		    cutting.resume, (int)buffer_length(&out), (const char *)buffer_bytes(&out),
		    (int)buffer_length(expected), (const char *)buffer_bytes(expected));
		abort();
	}
	buffer_deinit(&out);
}

static void
check_input(const struct stream_limits *limits, const uint8_t *data, size_t size, size_t cut)
{
	struct oracle oracle;
	struct transcript_listener listener = { .element = oracle_compare, .argument = &oracle };
	struct buffer expected = { 0 };

	oracle_init(&oracle, data, size);
	transcript_write(&expected, limits, data, size, &cutting_whole, &listener);
	if (oracle.failed)
		abort();
	check_cut(&expected, limits, data, size, (struct cutting){ .first = 1, .step = 1, .resume = true });
	check_cut(&expected, limits, data, size, (struct cutting){ .first = cut, .step = SIZE_MAX });
	check_cut(&expected, limits, data, size,
	    (struct cutting){ .first = cut, .step = cut % 29 + 1, .resume = true });
	buffer_deinit(&expected);
	oracle_deinit(&oracle);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer input = { 0 };

	if (size < 2)
		return 0;
	if (data[0] & 2)
		buffer_append_string(&input, usual_header);
	buffer_append(&input, data + 2, size - 2);
	if (buffer_length(&input) > 0)
		check_input(&limit_sets[data[0] & 1], buffer_bytes(&input), buffer_length(&input),
		    (size_t)data[0] / 4 * 4 + data[1]);
	buffer_deinit(&input);
	return 0;
}
