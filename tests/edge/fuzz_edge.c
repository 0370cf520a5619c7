/*
 * Whatever a client sends: every reader of the link understands what libxml2 by itself reads in it (edge.h). The first
 * byte chooses the limits and whether the usual header stands in front.
 */
#include <stdlib.h>

#include "common/buffer.h"
#include "edge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char usual_header[] = "<stream:stream to='foo.com' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:header' xml:lang='en'>";

static const struct stream_limits limit_sets[] = {
	{ .header_bytes = 4096, .element_bytes = 65536, .depth = 64, .attributes = 64, .elements = 1000 },
	{ .header_bytes = 1000, .element_bytes = 300, .depth = 4, .attributes = 6, .elements = 8 },
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer input = { 0 };

	if (size < 2)
		return 0;
	if (data[0] & 2)
		buffer_append_string(&input, usual_header);
	buffer_append(&input, data + 1, size - 1);
	if (!edge_check(&limit_sets[data[0] & 1], buffer_bytes(&input), buffer_length(&input)))
		abort();
	buffer_deinit(&input);
	return 0;
}
