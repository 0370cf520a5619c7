/* config: defaults, values, and every error of a file with its line. */
#include "common/config.h"
#include "tests/common/report.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct door {
	char *name;
	uint32_t width;
};

struct house {
	struct door doors[2];
	unsigned door_count;
	struct {
		char *colour;
		uint32_t height;
		uint32_t style;
		bool garden;
		char *owner, *map;
	} walls;
	struct {
		char *text;
	} sign;
};

#define WALL(field) (offsetof(struct house, walls.field) - offsetof(struct house, walls))

static const struct config_option door_options[] = {
	{ "name", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED, offsetof(struct door, name), "" },
	{ "width", CONFIG_NUMBER, 1, 4294967295u, "auto", "auto", 0, offsetof(struct door, width), "" },
};

static const struct config_option wall_options[] = {
	{ "colour", CONFIG_STRING, 0, 0, NULL, "white", CONFIG_RELOAD, WALL(colour), "" },
	{ "height", CONFIG_NUMBER, 2, 10, NULL, "3", 0, WALL(height), "" },
	{ "style", CONFIG_CHOICE, 0, 0, "brick|wood|clay", "wood", 0, WALL(style), "" },
	{ "garden", CONFIG_BOOLEAN, 0, 0, NULL, "yes", 0, WALL(garden), "" },
	{ "owner", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_RELOAD | CONFIG_SECRET, WALL(owner), "" },
	{ "map", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_PATH, WALL(map), "" },
};

static const struct config_option sign_options[] = {
	{ "", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED | CONFIG_DOMAIN, 0, "" },
};

static const struct config_section sections[] = {
	{ "door", door_options, COUNT(door_options), offsetof(struct house, doors), sizeof(struct door), 2,
	    offsetof(struct house, door_count), "" },
	{ "walls", wall_options, COUNT(wall_options), offsetof(struct house, walls), 0, 1, 0, "" },
	{ "sign", sign_options, COUNT(sign_options), offsetof(struct house, sign), 0, 1, 0, "" },
};

static const struct config_table table = { "house", sections, COUNT(sections) };

static struct config_lines lines;

static void
teardown(void)
{
	config_lines_free(&lines);
}

static int
load(struct house *house, const char *text, struct buffer *complaints)
{
	struct config_report report = { .fn = report_take, .argument = complaints };
	char path[32];
	int result;

	*house = (struct house){ 0 };
	file_write(path, text);
	result = config_load(&table, path, house, &report, &lines);
	unlink(path);
	return result;
}

START_TEST(defaults)
{
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, "<house/>", &complaints), 0);
	ck_assert_uint_eq(house.door_count, 0);
	ck_assert_str_eq(house.walls.colour, "white");
	ck_assert_uint_eq(house.walls.height, 3);
	ck_assert_uint_eq(house.walls.style, 1);
	ck_assert(house.walls.garden);
	ck_assert_ptr_null(house.walls.owner);
	ck_assert_uint_eq(buffer_length(&complaints), 0);
	config_free(&table, &house);
	ck_assert_ptr_null(house.walls.colour);
	config_free(&table, &house);
}
END_TEST

START_TEST(values)
{
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, "<house><!-- two --><door name='front' width='4294967295'/><door name='back'/>"
	    "<walls colour='a&amp;b' height='10' style='clay' garden='no' owner='x'/><sign>\n  hello\t</sign></house>",
	    &complaints), 0);
	ck_assert_uint_eq(house.door_count, 2);
	ck_assert_str_eq(house.doors[0].name, "front");
	ck_assert_uint_eq(house.doors[0].width, UINT32_MAX);
	ck_assert_str_eq(house.doors[1].name, "back");
	ck_assert_uint_eq(house.doors[1].width, 0);
	ck_assert_str_eq(house.walls.colour, "a&b");
	ck_assert_uint_eq(house.walls.height, 10);
	ck_assert_uint_eq(house.walls.style, 2);
	ck_assert(!house.walls.garden);
	ck_assert_str_eq(house.sign.text, "hello");
	config_free(&table, &house);
}
END_TEST

static const struct {
	const char *text, *complaint;
} wrong[] = {
	{ "<house>\n<walls height='1'/></house>", "2: walls height: not a number from 2 to 10\n" },
	{ "<house>\n<walls height='11'/></house>", "2: walls height: not a number from 2 to 10\n" },
	{ "<house><walls height=''/></house>", "1: walls height: not a number from 2 to 10\n" },
	{ "<house><walls height=' 3'/></house>", "1: walls height: not a number from 2 to 10\n" },
	{ "<house><walls height='-3'/></house>", "1: walls height: not a number from 2 to 10\n" },
	{ "<house><walls height='3m'/></house>", "1: walls height: not a number from 2 to 10\n" },
	{ "<house><walls height='18446744073709551619'/></house>", "1: walls height: not a number from 2 to 10\n" },
	{ "<house><door name='a' width='4294967296'/></house>", "1: door width: not a number from 1 to 4294967295 or auto\n" },
	{ "<house><door name='a' width='0'/></house>", "1: door width: not a number from 1 to 4294967295 or auto\n" },
	{ "<house><walls garden='maybe'/></house>", "1: walls garden: neither yes nor no\n" },
	{ "<house><walls style='bric'/></house>", "1: walls style: none of brick|wood|clay\n" },
	{ "<house><walls style='brick|wood'/></house>", "1: walls style: none of brick|wood|clay\n" },
	{ "<house><walls colour=''/></house>", "1: walls colour: empty\n" },
	{ "<house>\n\n<roof/></house>", "3: unknown element roof\n" },
	{ "<house><walls color='red'/></house>", "1: walls: unknown attribute color\n" },
	{ "<house><walls>x</walls></house>", "1: walls: text where none belongs\n" },
	{ "<house><walls><door name='x'/></walls></house>", "1: walls: has elements in it\n" },
	{ "<house><walls/>\n<walls/></house>", "2: walls: stands twice\n" },
	{ "<house><door/></house>", "1: door: attribute name is missing\n" },
	{ "<house><door name='a'/><door name='b'/>\n<door name='c'/></house>", "2: door: too many\n" },
	{ "<house><sign> </sign></house>", "1: sign: empty\n" },
	{ "<house><walls colour='a&#10;b'/></house>", "1: walls colour: has control characters\n" },
	{ "<house><walls map='here'/></house>", "1: walls map: not an absolute path\n" },
	{ "<house><walls map=''/></house>", "1: walls map: not an absolute path\n" },
	{ "<house><sign>a@b</sign></house>", "1: sign: has characters that no name of a host has\n" },
	{ "<house><sign>a b</sign></house>", "1: sign: has characters that no name of a host has\n" },
	{ "<house\n size='1'/>", "2: house: unknown attribute size\n" },
	{ "<house>\n<walls/>bricks</house>", "2: house: text where none belongs\n" },
	{ "<house>&amp;</house>", "1: house: text where none belongs\n" },
	{ "<house><![CDATA[x]]></house>", "1: house: text where none belongs\n" },
	{ "<house xmlns:x='y'>\n<x:walls/></house>", "2: unknown element walls\n" },
	{ "<house xmlns:x='y'><walls\nheight='3'\nx:height='3'/></house>", "3: walls: unknown attribute height\n" },
	{ "<house><walls \n\tcolour='>\n'\n\theight\n= '11'/></house>", "4: walls height: not a number from 2 to 10\n" },
	{ "<garden/>", "1: the root element is garden, not house\n" },
};

START_TEST(what_is_wrong_is_said)
{
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, wrong[_i].text, &complaints), 1);
	ck_assert_str_eq(report_text(&complaints), wrong[_i].complaint);
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

START_TEST(all_that_is_wrong_is_said)
{
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, "<house>\n<walls height='x' garden='?'/>\n<door width='y'/>\n<roof/>\n</house>",
	    &complaints), 5);
	ck_assert_str_eq(report_text(&complaints), "2: walls height: not a number from 2 to 10\n"
	    "2: walls garden: neither yes nor no\n3: door width: not a number from 1 to 4294967295 or auto\n"
	    "3: door: attribute name is missing\n4: unknown element roof\n");
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

START_TEST(what_is_no_xml_is_said)
{
	static const char *const texts[] = { "", "<house>\n<walls>\n</house>", "<house>\n<walls a='1' a='2'/></house>", "x",
	    "<house>\n<x:walls/></house>", "<house>\n\n<walls colour='&white;'/></house>", "<house/>\n<house/>",
	    "<!DOCTYPE house [<!ENTITY white 'w'>]>\n<house><walls colour='&white;'/></house>" };
	static const int numbers[] = { 1, 3, 2, 1, 2, 3, 2, 1 };
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, texts[_i], &complaints), 1);
	ck_assert_msg(atoi(report_text(&complaints)) == numbers[_i], "%s", report_text(&complaints));
	/* One line: the library's own message ends in a line feed. */
	ck_assert_ptr_eq(strchr(report_text(&complaints), '\n') + 1, strchr(report_text(&complaints), '\0'));
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

START_TEST(missing_file_is_said)
{
	struct buffer complaints = { 0 };
	struct config_report report = { .fn = report_take, .argument = &complaints };
	struct house house = { 0 };

	ck_assert_int_eq(config_load(&table, "/nonexistent/c2sd.xml", &house, &report, NULL), 1);
	ck_assert_str_eq(report_text(&complaints), "0: cannot be read: No such file or directory\n");
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

START_TEST(what_is_no_file_is_said)
{
	struct buffer complaints = { 0 };
	struct config_report report = { .fn = report_take, .argument = &complaints };
	struct house house = { 0 };

	ck_assert_int_eq(config_load(&table, "/dev", &house, &report, NULL), 1);
	ck_assert_int_eq(config_load(&table, "/dev/zero", &house, &report, NULL), 1);
	ck_assert_str_eq(report_text(&complaints), "0: cannot be read: Is a directory\n"
	    "0: cannot be read: Invalid argument\n");
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

START_TEST(long_strings_are_refused)
{
	struct buffer complaints = { 0 }, text = { 0 };
	struct house house;

	for (unsigned length = CONFIG_STRING_MAX; length <= CONFIG_STRING_MAX + 1; length++) {
		buffer_clear(&complaints);
		buffer_clear(&text);
		buffer_append_format(&text, "<house><walls colour='%0*d'/></house>", (int)length, 0);
		ck_assert_int_eq(load(&house, report_text(&text), &complaints), length > CONFIG_STRING_MAX);
		ck_assert_uint_eq(strlen(house.walls.colour), length > CONFIG_STRING_MAX ? strlen("white") : length);
		config_free(&table, &house);
	}
	ck_assert_str_eq(report_text(&complaints), "1: walls colour: too long\n");
	buffer_deinit(&text);
	buffer_deinit(&complaints);
}
END_TEST

START_TEST(lines_can_be_asked_for)
{
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, "<!-- two\nlines -->\n<house>\n<door name='a'/><door\n name='b'\n\n width='x'/>\n"
	    "<walls\n\theight='4' garden='no'\n\tstyle=\"clay\" />\n</house>", &complaints), 1);
	ck_assert_int_eq(config_line(&lines, &house.doors[0].name, NULL), 4);
	ck_assert_int_eq(config_line(&lines, &house.doors[1].name, NULL), 5);
	ck_assert_int_eq(config_line(&lines, &house.doors[1].width, NULL), 7);
	ck_assert(config_is_wrong(&lines, &house.doors[1].width));
	ck_assert(!config_is_wrong(&lines, &house.doors[1].name));
	ck_assert(!config_is_wrong(&lines, &house.doors[0].width));
	ck_assert_int_eq(config_line(&lines, &house.walls.height, &house.walls), 9);
	ck_assert_int_eq(config_line(&lines, &house.walls.garden, &house.walls), 9);
	ck_assert_int_eq(config_line(&lines, &house.walls.style, &house.walls), 10);
	ck_assert_int_eq(config_line(&lines, &house.walls.colour, &house.walls), 8);
	ck_assert_int_eq(config_line(&lines, &house.sign.text, &house.sign), 3);
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

/* What is wrong has its default, for whoever goes on looking. */
START_TEST(wrong_values_are_not_taken)
{
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, "<house><walls colour='' height='0' style='x' garden='x'/></house>", &complaints), 4);
	ck_assert_str_eq(house.walls.colour, "white");
	ck_assert_uint_eq(house.walls.height, 3);
	ck_assert_uint_eq(house.walls.style, 1);
	ck_assert(house.walls.garden);
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

#define FULL "<house>\n  <door name=\"front\" width=\"4294967295\"/>\n  <door name=\"back &amp; &quot;&lt;&gt;&apos;\" " \
    "width=\"auto\"/>\n  <walls colour=\"red\" height=\"10\" style=\"clay\" garden=\"no\" owner=\"%s\" map=\"/map\"/>\n" \
    "  <sign>hello</sign>\n</house>\n"

static void
print(struct buffer *text_r, const struct house *house, bool secrets)
{
	*text_r = (struct buffer){ 0 };
	ck_assert_int_eq(secrets ? config_print_secrets(&table, house, text_r) : config_print(&table, house, text_r), 0);
}

START_TEST(printed_is_what_was_read)
{
	struct buffer complaints = { 0 }, text;
	struct house house;
	char expected[512];

	snprintf(expected, sizeof expected, FULL, "me");
	ck_assert_int_eq(load(&house, expected, &complaints), 0);
	print(&text, &house, true);
	ck_assert_str_eq(report_text(&text), expected);
	buffer_deinit(&text);
	snprintf(expected, sizeof expected, FULL, "***");
	print(&text, &house, false);
	ck_assert_str_eq(report_text(&text), expected);
	buffer_deinit(&text);
	config_free(&table, &house);
}
END_TEST

START_TEST(defaults_are_printed)
{
	struct buffer complaints = { 0 }, text;
	struct house house;

	ck_assert_int_eq(load(&house, "<house/>", &complaints), 0);
	print(&text, &house, false);
	ck_assert_str_eq(report_text(&text), "<house>\n  <walls colour=\"white\" height=\"3\" style=\"wood\" garden=\"yes\"/>\n"
	    "</house>\n");
	buffer_deinit(&text);
	config_free(&table, &house);
}
END_TEST

START_TEST(long_lines_are_printed_on_several)
{
	struct buffer complaints = { 0 }, text = { 0 };
	struct house house;

	buffer_append_format(&text, "<house><walls colour='%090d'/></house>", 1);
	ck_assert_int_eq(load(&house, report_text(&text), &complaints), 0);
	buffer_deinit(&text);
	print(&text, &house, false);
	ck_assert_ptr_nonnull(strstr(report_text(&text), "1\"\n    height=\"3\" style="));
	buffer_deinit(&text);
	config_free(&table, &house);
}
END_TEST

static const struct {
	const char *one, *other;
	const char *what;	/* NULL: they do not differ */
} different[] = {
	{ "<house/>", "<house><walls height='3' colour='white'/></house>", NULL },
	{ "<house><walls height='4'/></house>", "<house/>", "height" },
	{ "<house><walls garden='no'/></house>", "<house/>", "garden" },
	{ "<house><walls style='clay'/></house>", "<house/>", "style" },
	{ "<house><walls colour='red'/></house>", "<house/>", "colour" },
	{ "<house><walls owner='x'/></house>", "<house/>", "owner" },
	{ "<house><door name='a'/></house>", "<house/>", "name" },
	{ "<house><door name='a'/><door name='b'/></house>", "<house><door name='b'/><door name='a'/></house>", "name" },
	{ "<house><door name='a' width='1'/></house>", "<house><door name='a'/></house>", "width" },
};

static void
check_differences(const struct config_section *section, const struct house *one, const struct house *other,
    const char *what)
{
	for (size_t i = 0; i < section->option_count; i++) {
		const struct config_option *option = &section->options[i];
		bool expected = what != NULL && strcmp(option->name, what) == 0;

		/* Another number of doors differs in everything. */
		if (strcmp(section->element, "door") == 0 && one->door_count != other->door_count)
			expected = true;
		ck_assert_msg(config_option_differs(section, option, one, other) == expected, "%s %s", section->element,
		    option->name);
	}
}

START_TEST(differences_are_found)
{
	struct buffer complaints = { 0 };
	struct house one, other;

	ck_assert_int_eq(load(&one, different[_i].one, &complaints), 0);
	ck_assert_int_eq(load(&other, different[_i].other, &complaints), 0);
	for (size_t i = 0; i < COUNT(sections); i++) {
		check_differences(&sections[i], &one, &other, different[_i].what);
		check_differences(&sections[i], &other, &one, different[_i].what);
	}
	config_free(&table, &one);
	config_free(&table, &other);
}
END_TEST

START_TEST(what_only_a_restart_changes_stays)
{
	struct buffer complaints = { 0 };
	struct config_report report = { .fn = report_take, .argument = &complaints };
	struct house running, next;

	ck_assert_int_eq(load(&running, "<house><walls garden='no' owner='me'/><sign>a</sign></house>", &complaints), 0);
	ck_assert_int_eq(load(&next, "<house>\n<walls colour='red' owner='you'\n height='4'\n map='/m'/><door name='a'/>\n"
	    "<sign>b</sign></house>", &complaints), 0);
	ck_assert_int_eq(config_inherit(&table, &next, &running, "file", &lines, &report), 4);
	ck_assert_str_eq(report_text(&complaints), "3: walls height: changed only by a restart\n"
	    "2: walls garden: changed only by a restart\n4: walls map: changed only by a restart\n"
	    "5: sign: changed only by a restart\n");
	ck_assert_str_eq(next.walls.colour, "red");
	ck_assert_str_eq(next.walls.owner, "you");
	ck_assert_uint_eq(next.door_count, 1);
	ck_assert_uint_eq(next.walls.height, 3);
	ck_assert(!next.walls.garden);
	ck_assert_ptr_null(next.walls.map);
	ck_assert_str_eq(next.sign.text, "a");
	ck_assert_ptr_ne(next.sign.text, running.sign.text);
	config_free(&table, &next);
	config_free(&table, &running);
	buffer_deinit(&complaints);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config");
	TCase *tests = tcase_create("config");

	tcase_add_checked_fixture(tests, NULL, teardown);
	tcase_add_test(tests, defaults);
	tcase_add_test(tests, values);
	tcase_add_loop_test(tests, what_is_wrong_is_said, 0, COUNT(wrong));
	tcase_add_test(tests, all_that_is_wrong_is_said);
	tcase_add_loop_test(tests, what_is_no_xml_is_said, 0, 8);
	tcase_add_test(tests, missing_file_is_said);
	tcase_add_test(tests, what_is_no_file_is_said);
	tcase_add_test(tests, long_strings_are_refused);
	tcase_add_test(tests, lines_can_be_asked_for);
	tcase_add_test(tests, wrong_values_are_not_taken);
	tcase_add_test(tests, printed_is_what_was_read);
	tcase_add_test(tests, defaults_are_printed);
	tcase_add_test(tests, long_lines_are_printed_on_several);
	tcase_add_loop_test(tests, differences_are_found, 0, COUNT(different));
	tcase_add_test(tests, what_only_a_restart_changes_stays);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
