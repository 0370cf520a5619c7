#include "oracle.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* expat joins namespace and name with it; no URI that the stream lets through has one. */
#define SEPARATOR '|'
#define LANG "http://www.w3.org/XML/1998/namespace|lang"

/* Trees are written with control characters between the parts, which no XML has. */
struct reading {
	struct oracle *oracle;
	const char *lang;
	char *lang_copy;
	unsigned depth;
	bool original;	/* what the client sent, and not what we wrote */
};

static struct buffer *
reading_tree(struct reading *reading)
{
	return &reading->oracle->trees[reading->oracle->count - 1];
}

static bool
begin_tree(struct oracle *oracle)
{
	struct buffer *trees = reallocarray(oracle->trees, oracle->count + 1, sizeof(*trees));

	if (trees == NULL)
		return false;
	oracle->trees = trees;
	trees[oracle->count++] = (struct buffer){ 0 };
	return true;
}

static bool
is_stanza(const char *name)
{
	return strcmp(name, "jabber:client|message") == 0 || strcmp(name, "jabber:client|presence") == 0 ||
	    strcmp(name, "jabber:client|iq") == 0;
}

static int
compare_names(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;

	return strcmp(*left, *right);
}

static void
write_attributes(struct buffer *tree, const XML_Char **attributes, bool strip, const char *lang)
{
	size_t count = 0;
	const char **pairs;

	while (attributes[2 * count] != NULL)
		count++;
	pairs = calloc(count + 1, 2 * sizeof(*pairs));
	if (pairs == NULL)
		abort();
	memcpy(pairs, attributes, count * 2 * sizeof(*pairs));
	for (size_t i = 0; i < count; i++)
		if (strcmp(pairs[2 * i], LANG) == 0)
			lang = NULL;
	if (lang != NULL) {
		pairs[2 * count] = LANG;
		pairs[2 * count + 1] = lang;
		count++;
	}
	qsort(pairs, count, 2 * sizeof(*pairs), compare_names);
	for (size_t i = 0; i < count; i++)
		if (!strip || (strcmp(pairs[2 * i], "sto") != 0 && strcmp(pairs[2 * i], "sfrom") != 0))
			buffer_append_format(tree, "\1%s\2%s", pairs[2 * i], pairs[2 * i + 1]);
	free(pairs);
}

static void XMLCALL
on_start(void *argument, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *reading = argument;
	bool top = reading->depth == 1 && reading->original;

	if (reading->depth++ == 0) {
		for (int i = 0; attributes[i] != NULL; i += 2)
			if (strcmp(attributes[i], LANG) == 0 && attributes[i + 1][0] != '\0' &&
			    strlen(attributes[i + 1]) <= 63)
				reading->lang = reading->lang_copy = strdup(attributes[i + 1]);
		return;
	}
	if (reading->depth == 2 && !begin_tree(reading->oracle))
		abort();
	buffer_append_format(reading_tree(reading), "\3%s", name);
	write_attributes(reading_tree(reading), attributes, top, top && is_stanza(name) ? reading->lang : NULL);
	buffer_append_string(reading_tree(reading), "\4");
}

static void XMLCALL
on_end(void *argument, const XML_Char *name)
{
	struct reading *reading = argument;

	(void)name;
	if (--reading->depth > 0)
		buffer_append_string(reading_tree(reading), "\5");
}

static void XMLCALL
on_text(void *argument, const XML_Char *text, int length)
{
	struct reading *reading = argument;

	if (reading->depth > 1)
		buffer_append(reading_tree(reading), text, (size_t)length);
}

static void
reading_start(XML_Parser parser, struct reading *reading)
{
	XML_SetUserData(parser, reading);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
}

void
oracle_init(struct oracle *oracle, const uint8_t *input, size_t length)
{
	struct reading reading = { .oracle = oracle, .original = true };
	XML_Parser parser = XML_ParserCreateNS(NULL, SEPARATOR);

	*oracle = (struct oracle){ 0 };
	if (parser == NULL)
		abort();
	reading_start(parser, &reading);
	/* The stream takes white space before the declaration, XML does not. */
	while (length > 0 && memchr(" \t\r\n", *input, 4) != NULL) {
		input++;
		length--;
	}
	/* Whether and where it ends in an error does not matter: an element it did not read will be missed. */
	XML_Parse(parser, (const char *)input, (int)length, 0);
	XML_ParserFree(parser);
	free(reading.lang_copy);
}

static bool
read_written(struct oracle *one, const char *bytes, size_t length)
{
	static const char before[] = "<wrapped xmlns='jabber:client'>";
	static const char behind[] = "</wrapped>";
	struct reading reading = { .oracle = one };
	XML_Parser parser = XML_ParserCreateNS(NULL, SEPARATOR);
	bool good;

	if (parser == NULL)
		abort();
	reading_start(parser, &reading);
	good = XML_Parse(parser, before, sizeof(before) - 1, 0) == XML_STATUS_OK &&
	    XML_Parse(parser, bytes, (int)length, 0) == XML_STATUS_OK &&
	    XML_Parse(parser, behind, sizeof(behind) - 1, 1) == XML_STATUS_OK;
	XML_ParserFree(parser);
	return good && one->count == 1;
}

static bool
trees_equal(const struct buffer *a, const struct buffer *b)
{
	return buffer_length(a) == buffer_length(b) &&
	    memcmp(buffer_bytes(a), buffer_bytes(b), buffer_length(a)) == 0;
}

void
oracle_compare(void *argument, const char *bytes, size_t length)
{
	struct oracle *oracle = argument;
	struct oracle one = { 0 };

	if (!read_written(&one, bytes, length)) {
		fprintf(stderr, "# expat does not read what was written: %.*s\n", (int)length, bytes);
		oracle->failed = true;
	} else if (oracle->next >= oracle->count || !trees_equal(&oracle->trees[oracle->next], &one.trees[0])) {
		fprintf(stderr, "# expat reads something else in the input than in: %.*s\n", (int)length, bytes);
		oracle->failed = true;
	}
	oracle->next++;
	oracle_deinit(&one);
}

void
oracle_deinit(struct oracle *oracle)
{
	for (size_t i = 0; i < oracle->count; i++)
		buffer_deinit(&oracle->trees[i]);
	free(oracle->trees);
	oracle->trees = NULL;
	oracle->count = 0;
}
