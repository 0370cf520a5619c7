/*
 * Any bytes from a client: what the worker makes of them is read by the session manager, and alike (agreement.h). The
 * usual header stands in front.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tests/sessiond/agreement.h"
#include "tests/stream/transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_limits limits = {
		.header_bytes = 4096, .element_bytes = 65536, .depth = 64, .attributes = 64, .elements = 1000,
	};
	struct agreement agreement = { 0 };
	struct transcript_listener listener = { .element = agreement_check, .argument = &agreement };
	struct buffer input = { 0 }, out = { 0 };

	buffer_append_string(&input, "<stream:stream to='foo.com' version='1.0' xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:header' xml:lang='en'>");
	buffer_append(&input, data, size);
	transcript_write(&out, &limits, buffer_bytes(&input), buffer_length(&input), &cutting_whole, &listener);
	if (agreement.failed)
		abort();
	buffer_deinit(&input);
	buffer_deinit(&out);
	return 0;
}
