/* The document of the frames, the argument, introduces every one of them and every breach. */
#include <stdio.h>
#include <string.h>

#include "ipc/contract.h"
#include "tests/dialect/tap.h"

static const char *document;

/* Does this line of the document introduce the name: as a heading, or in the first cell of a row of a table? */
static bool
introduces(const char *line, const char *name)
{
	const char *place = strstr(line, name), *cell_end;

	if (place == NULL || strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", place[strlen(name)]) != NULL)
		return false;
	if (line[0] == '#')
		return true;
	cell_end = line[0] == '|' ? strchr(line + 1, '|') : NULL;
	return cell_end != NULL && place < cell_end;
}

static bool
document_introduces(const char *name)
{
	FILE *file = fopen(document, "r");
	char line[4096];
	bool found = false;

	ck_assert_msg(file != NULL, "%s cannot be read", document);
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = introduces(line, name);
	fclose(file);
	return found;
}

START_TEST(document_knows_every_frame)
{
	const char *name = contract_name((uint16_t)_i);

	ck_assert_msg(document_introduces(name), "%s has no heading and no row for %s", document, name);
}
END_TEST

START_TEST(document_knows_every_breach)
{
	const char *name = contract_breach_name((enum contract_breach)_i);

	ck_assert_msg(document_introduces(name), "%s has no heading and no row for %s", document, name);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("document");
	TCase *tests = tcase_create("document");

	if (argc != 2)
		return EXIT_FAILURE;
	document = argv[1];
	tcase_add_loop_test(tests, document_knows_every_frame, M2W_HELLO, FRAME_TYPE_COUNT);
	tcase_add_loop_test(tests, document_knows_every_breach, BREACH_NONE + 1, BREACH_COUNT);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
