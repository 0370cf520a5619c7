/*
 * Every character there is, in text, in a value, in a name and at a name's beginning, as itself and as a reference: expat,
 * dialect/wellformed and worker/stream must say the same of it.
 */
#include <check.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/wellformed.h"
#include "worker/stream.h"

#define HEADER "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

/* Beyond the basic plane all are alike: one in so many is looked at. */
#define STEP 0x3fb

#define ELEMENT_SIZE 200

static const struct stream_limits limits = {
	.header_bytes = 1000, .element_bytes = 1000, .depth = 8, .attributes = 8, .elements = 8,
};

static struct stream *stream;

static void
encode(unsigned character, char bytes_r[static 5])
{
	unsigned length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;

	memset(bytes_r, 0, 5);
	if (length == 1) {
		bytes_r[0] = (char)character;
		return;
	}
	for (unsigned i = length; i > 1; i--) {
		bytes_r[i - 1] = (char)(0x80 | (character & 0x3f));
		character >>= 6;
	}
	bytes_r[0] = (char)((0xf00U >> length & 0xff) | character);
}

static bool
expat_takes(const char *element)
{
	XML_Parser parser = XML_ParserCreateNS(NULL, '\n');
	bool takes = XML_Parse(parser, element, (int)strlen(element), 1) == XML_STATUS_OK;

	XML_ParserFree(parser);
	return takes;
}

/* The stream goes on with the next element until one ends it. */
static bool
stream_takes(const char *element)
{
	struct stream_event event;
	bool takes;

	if (stream == NULL) {
		stream = stream_new(&limits, NULL);
		ck_assert_ptr_nonnull(stream);
		ck_assert_int_eq(stream_feed(stream, HEADER, strlen(HEADER)), 0);
		ck_assert_int_eq(stream_next(stream, &event), STREAM_OPENED);
	}
	if (stream_feed(stream, element, strlen(element)) != 0)	/* an assertion writes to a pipe, each time */
		ck_abort_msg("no memory");
	takes = stream_next(stream, &event) == STREAM_ELEMENT;
	if (!takes)
		stream_free(&stream);
	return takes;
}

/* `what` in each place where the pattern has a tilde. */
static void
fill(char *element_r, const char *pattern, const char *what)
{
	for (; *pattern != '\0'; pattern++) {
		const char *from = *pattern == '~' ? what : pattern;
		size_t length = *pattern == '~' ? strlen(what) : 1;

		memcpy(element_r, from, length);
		element_r += length;
	}
	*element_r = '\0';
}

static void
compare(unsigned character, const char *pattern, const char *what)
{
	char element[ELEMENT_SIZE];
	bool expat, fault, ours;

	fill(element, pattern, what);
	expat = expat_takes(element);
	fault = wellformed_fault(element, strlen(element)) != NULL;
	ours = stream_takes(element);
	if (expat == fault || expat != ours)
		ck_abort_msg("U+%04X in %s: expat %d, wellformed %d, stream %d", character, pattern, expat, !fault, ours);
}

static void
compare_all(unsigned character)
{
	char itself[5], reference[20];

	if (character >= 0x80) {
		encode(character, itself);
		compare(character, "<message><~/></message>", itself);
		compare(character, "<message><a~/></message>", itself);
		compare(character, "<message>~</message>", itself);
		compare(character, "<message a='~'/>", itself);
	}
	snprintf(reference, sizeof reference, "&#x%x;", character);
	compare(character, "<message>~</message>", reference);
}

START_TEST(every_character_of_the_basic_plane)
{
	for (unsigned character = 0; character < 0x10000; character++)
		compare_all(character);
	stream_free(&stream);
}
END_TEST

START_TEST(characters_beyond_and_what_is_none)
{
	for (unsigned character = 0x10000; character < 0x120000; character += STEP)
		compare_all(character);
	stream_free(&stream);
}
END_TEST

/* All of ASCII, in all the places where a tag could take it for something else. */
START_TEST(every_byte_in_every_place)
{
	static const char *const patterns[] = {
		"<message><~/></message>", "<message><a~/></message>", "<message><a ~='1'/></message>",
		"<message><a b~='1'/></message>", "<message><a b='~'/></message>", "<message><a b=\"~\"/></message>",
		"<message>~</message>", "<message><![CDATA[~]]></message>", "<message><a>b</a~></message>",
		"<message><a~</message>", "<message>&~;</message>", "<message>&#~;</message>",
		"<message><a b~'1'/></message>", "<message><a b=~1~/></message>", "<message><~a/></message>",
	};

	for (unsigned byte = 1; byte < 0x100; byte++) {
		char what[2] = { (char)byte, '\0' };

		for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
			char element[ELEMENT_SIZE];
			bool expat;

			fill(element, patterns[i], what);
			expat = expat_takes(element);
			/* Comments and the like are well-formed, and restricted. */
			if (strstr(element, "<!") == NULL && strstr(element, "<?") == NULL)
				ck_assert_msg(expat == (wellformed_fault(element, strlen(element)) == NULL),
				    "%02X in %s: expat %d", byte, patterns[i], expat);
		}
	}
}
END_TEST

/* Every beginning of an element is none, and no byte behind it is looked at. */
START_TEST(no_beginning_is_an_element)
{
	static const char element[] = "<a b='&lt;' xmlns:c=\"urn:c\" c:d='\xc3\xa4'><c:e/>]]&gt;<![CDATA[<]]> f</a>";
	size_t length = sizeof element - 1;

	ck_assert_ptr_null(wellformed_fault(element, length));
	for (size_t i = 0; i < length; i++) {
		char *exact = malloc(i + 1);

		ck_assert_ptr_nonnull(exact);
		memcpy(exact, element, i);
		exact[i] = '>';
		ck_assert_msg(i == length - 1 || wellformed_fault(exact, i) != NULL, "%zu bytes", i);
		/* With a > behind it that was not there. */
		ck_assert_msg(i == length - 1 || wellformed_fault(exact, i + 1) != NULL, "%zu bytes and >", i);
		free(exact);
	}
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("characters");
	Suite *suite = suite_create("characters");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, every_character_of_the_basic_plane);
	tcase_add_test(tcase, characters_beyond_and_what_is_none);
	tcase_add_test(tcase, every_byte_in_every_place);
	tcase_add_test(tcase, no_beginning_is_an_element);
	suite_add_tcase(suite, tcase);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
