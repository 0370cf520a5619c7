/*
 * Runs the cases of the files named as arguments: bytes in, expected lines out (see transcript.h). Every case is run in
 * one piece, cut in two everywhere, byte by byte, and byte by byte with the stream made anew at every quiet point, and
 * what came out is read by a second parser (oracle.h), and as every reader of the link reads it (tests/edge). A file:
 *
 *	# remark
 *	= name of the case
 *	limits element=1000 depth=4	for this case
 *	> bytes to send			lines are joined without anything between
 *	usual header			sends the usual one and expects it to be opened
 *	< line to expect
 *
 * Behind --down the bytes are a session manager's, and the lines those of tests/edge/down.h.
 *
 * In lines to send and to expect: \n \r \t \\ \xHH, and \{1000:text} is the text a thousand times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "tests/edge/down.h"
#include "tests/edge/edge.h"
#include "transcript.h"

#define USUAL_HEADER \
	"<?xml version='1.0'?><stream:stream to='foo.com' version='1.0' xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"

/* Longer inputs are not cut at every byte but at this many places. */
#define CUTS_MAX 1500

struct test_case {
	char name[200];
	struct stream_limits limits;
	struct buffer in;
	struct buffer expected;
};

/* The bytes are the session manager's, and go the other way (tests/edge/down.h). */
static bool down;

static unsigned count;
static unsigned failed;

static void
report(const struct test_case *test, bool good, const char *how, const struct buffer *got)
{
	printf("%s %u - %s%s%s\n", good ? "ok" : "not ok", ++count, test->name, good ? "" : ": ", good ? "" : how);
	if (good)
		return;
	failed++;
	fprintf(stderr, "%s (%s): expected\n%.*sbut got\n%.*s", test->name, how, (int)buffer_length(&test->expected),
	    (const char *)buffer_bytes(&test->expected), (int)buffer_length(got), (const char *)buffer_bytes(got));
}

static bool
run_cut(const struct test_case *test, const struct cutting *cutting, struct buffer *out)
{
	buffer_clear(out);
	if (down)
		down_write(out, buffer_bytes(&test->in), buffer_length(&test->in), cutting->first, cutting->step);
	else
		transcript_write(out, &test->limits, buffer_bytes(&test->in), buffer_length(&test->in), cutting, NULL);
	return buffer_length(out) == buffer_length(&test->expected) &&
	    memcmp(buffer_bytes(out), buffer_bytes(&test->expected), buffer_length(out)) == 0;
}

/* NULL, or the way of cutting that made a difference. */
static const char *
run_cuts(const struct test_case *test, struct buffer *out)
{
	size_t length = buffer_length(&test->in);
	size_t step = length / CUTS_MAX + 1;

	if (!run_cut(test, &cutting_whole, out))
		return "in one piece";
	for (size_t at = 1; at < length; at += step)
		if (!run_cut(test, &(struct cutting){ .first = at, .step = SIZE_MAX }, out) ||
		    !run_cut(test, &(struct cutting){ .first = at, .step = SIZE_MAX, .resume = true }, out))
			return "cut in two";
	if (!run_cut(test, &(struct cutting){ .first = 1, .step = 1 }, out))
		return "byte by byte";
	if (!run_cut(test, &(struct cutting){ .first = 1, .step = 1, .resume = true }, out))
		return "byte by byte, made anew when quiet";
	return NULL;
}

static const char *
run_down(const struct test_case *test)
{
	return down_check(buffer_bytes(&test->in), buffer_length(&test->in)) ? NULL : "a parser reads it differently";
}

static const char *
run_oracle(const struct test_case *test, struct buffer *out)
{
	struct oracle oracle;
	struct transcript_listener listener = { .element = oracle_compare, .argument = &oracle };
	bool good;

	buffer_clear(out);
	oracle_init(&oracle, buffer_bytes(&test->in), buffer_length(&test->in));
	transcript_write(out, &test->limits, buffer_bytes(&test->in), buffer_length(&test->in), &cutting_whole,
	    &listener);
	good = !oracle.failed;
	oracle_deinit(&oracle);
	return good ? NULL : "a second parser reads it differently";
}

static void
finish_case(struct test_case *test)
{
	struct buffer out = { 0 };
	const char *how;

	if (test->name[0] != '\0') {
		how = run_cuts(test, &out);
		if (how == NULL && down)
			how = run_down(test);
		else if (how == NULL)
			how = run_oracle(test, &out);
		if (how == NULL && !down && !edge_check(&test->limits, buffer_bytes(&test->in), buffer_length(&test->in)))
			how = "a reader of the link understands something else";
		report(test, how == NULL, how, &out);
	}
	buffer_deinit(&out);
	buffer_deinit(&test->in);
	buffer_deinit(&test->expected);
	*test = (struct test_case){
		.limits = {
			.header_bytes = 4096, .element_bytes = 65536, .depth = 64, .attributes = 64, .elements = 1000,
		},
	};
}

static void decode(struct buffer *out, const char *text, size_t length);

/* \{N:text}; returns how long it was. */
static size_t
decode_repeat(struct buffer *out, const char *text, size_t length)
{
	const char *close = memchr(text, '}', length);
	const char *colon = memchr(text, ':', length);

	if (close == NULL || colon == NULL || colon > close) {
		fprintf(stderr, "\\{ without N:text}\n");
		exit(1);
	}
	for (unsigned long n = strtoul(text + 2, NULL, 10); n > 0; n--)
		decode(out, colon + 1, (size_t)(close - colon) - 1);
	return (size_t)(close - text) + 1;
}

static size_t
decode_escape(struct buffer *out, const char *text, size_t length)
{
	static const char letters[] = "nrt\\";
	static const char bytes[] = "\n\r\t\\";
	const char *letter = length > 1 ? strchr(letters, text[1]) : NULL;
	unsigned byte;
	uint8_t c;

	if (length > 1 && text[1] == '{')
		return decode_repeat(out, text, length);
	if (letter != NULL) {
		buffer_append(out, bytes + (letter - letters), 1);
		return 2;
	}
	if (length < 4 || sscanf(text, "\\x%2x", &byte) != 1) {
		fprintf(stderr, "unknown escape: %.*s\n", (int)length, text);
		exit(1);
	}
	c = (uint8_t)byte;
	buffer_append(out, &c, 1);
	return 4;
}

static void
decode(struct buffer *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length;) {
		if (text[i] == '\\') {
			i += decode_escape(out, text + i, length - i);
		} else {
			buffer_append(out, text + i, 1);
			i++;
		}
	}
}

static void
read_limits(struct stream_limits *limits, char *line)
{
	for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
		const char *value = strchr(word, '=');
		uint32_t number = value == NULL ? 0 : (uint32_t)strtoul(value + 1, NULL, 10);

		if (strncmp(word, "header=", 7) == 0)
			limits->header_bytes = number;
		else if (strncmp(word, "element=", 8) == 0)
			limits->element_bytes = number;
		else if (strncmp(word, "depth=", 6) == 0)
			limits->depth = number;
		else if (strncmp(word, "attributes=", 11) == 0)
			limits->attributes = number;
		else if (strncmp(word, "elements=", 9) == 0)
			limits->elements = number;
	}
}

static void
read_line(struct test_case *test, char *line, const char *path)
{
	if (strncmp(line, "= ", 2) == 0) {
		finish_case(test);
		snprintf(test->name, sizeof(test->name), "%s", line + 2);
	} else if (strncmp(line, "> ", 2) == 0) {
		decode(&test->in, line + 2, strlen(line) - 2);
	} else if (strncmp(line, "< ", 2) == 0) {
		decode(&test->expected, line + 2, strlen(line) - 2);
		buffer_append(&test->expected, "\n", 1);
	} else if (strncmp(line, "limits ", 7) == 0) {
		read_limits(&test->limits, line + 7);
	} else if (strcmp(line, "usual header") == 0) {
		buffer_append_string(&test->in, USUAL_HEADER);
		buffer_append_string(&test->expected, "opened to=foo.com version=1.0\n");
	} else if (line[0] != '#' && line[0] != '\0') {
		fprintf(stderr, "%s: what is this: %s\n", path, line);
		exit(1);
	}
}

static void
run_file(const char *path)
{
	struct test_case test = { 0 };
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;

	if (file == NULL) {
		perror(path);
		exit(1);
	}
	finish_case(&test);
	while ((length = getline(&line, &size, file)) >= 0) {
		if (length > 0 && line[length - 1] == '\n')
			line[length - 1] = '\0';
		read_line(&test, line, path);
	}
	finish_case(&test);
	free(line);
	fclose(file);
}

int
main(int argc, char **argv)
{
	down = argc > 1 && strcmp(argv[1], "--down") == 0;
	for (int i = down ? 2 : 1; i < argc; i++)
		run_file(argv[i]);
	printf("1..%u\n", count);
	return failed > 0 || count == 0;
}
