#include "tests/sessiond/agreement.h"

#include <stdio.h>
#include <string.h>

#include "sessiond/node.h"

void
agreement_check(void *argument, const char *bytes, size_t length)
{
	struct agreement *agreement = argument;
	struct arena arena = { 0 };
	struct buffer again = { 0 };
	struct node *node;
	int result = node_parse(&arena, bytes, length, &node);
	const char *text;

	agreement->count++;
	if (result == NODE_READ)
		node_write(&again, node, NULL, NULL);
	text = (const char *)buffer_bytes(&again);
	if (result != NODE_READ || buffer_length(&again) != length || memcmp(text, bytes, length) != 0) {
		fprintf(stderr, "# result %d: the worker wrote %.*s, the session manager %.*s\n", result, (int)length,
		    bytes, (int)buffer_length(&again), text == NULL ? "" : text);
		agreement->failed = true;
	}
	buffer_deinit(&again);
	arena_deinit(&arena);
}
