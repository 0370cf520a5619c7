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
		char *owner;
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
	{ "colour", CONFIG_STRING, 0, 0, NULL, "white", 0, WALL(colour), "" },
	{ "height", CONFIG_NUMBER, 2, 10, NULL, "3", 0, WALL(height), "" },
	{ "style", CONFIG_CHOICE, 0, 0, "brick|wood|clay", "wood", 0, WALL(style), "" },
	{ "garden", CONFIG_BOOLEAN, 0, 0, NULL, "yes", 0, WALL(garden), "" },
	{ "owner", CONFIG_STRING, 0, 0, NULL, NULL, 0, WALL(owner), "" },
};

static const struct config_option sign_options[] = {
	{ "", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED, 0, "" },
};

static const struct config_section sections[] = {
	{ "door", door_options, COUNT(door_options), offsetof(struct house, doors), sizeof(struct door), 2,
	    offsetof(struct house, door_count), "" },
	{ "walls", wall_options, COUNT(wall_options), offsetof(struct house, walls), 0, 1, 0, "" },
	{ "sign", sign_options, COUNT(sign_options), offsetof(struct house, sign), 0, 1, 0, "" },
};

static const struct config_table table = { "house", sections, COUNT(sections) };

static int
load(struct house *house, const char *text, struct buffer *complaints)
{
	struct config_report report = { .fn = report_take, .argument = complaints };
	char path[32];
	int result;

	*house = (struct house){ 0 };
	file_write(path, text);
	result = config_load(&table, path, house, &report);
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
	static const char *const texts[] = { "", "<house>\n<walls>\n</house>", "<house>\n<walls a='1' a='2'/></house>", "x" };
	static const int lines[] = { 1, 3, 2, 1 };
	struct buffer complaints = { 0 };
	struct house house;

	ck_assert_int_eq(load(&house, texts[_i], &complaints), 1);
	ck_assert_msg(atoi(report_text(&complaints)) == lines[_i], "%s", report_text(&complaints));
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

	ck_assert_int_eq(config_load(&table, "/nonexistent/c2sd.xml", &house, &report), 1);
	ck_assert_uint_gt(buffer_length(&complaints), 0);
	config_free(&table, &house);
	buffer_deinit(&complaints);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config");
	TCase *tests = tcase_create("config");

	tcase_add_test(tests, defaults);
	tcase_add_test(tests, values);
	tcase_add_loop_test(tests, what_is_wrong_is_said, 0, COUNT(wrong));
	tcase_add_test(tests, all_that_is_wrong_is_said);
	tcase_add_loop_test(tests, what_is_no_xml_is_said, 0, 4);
	tcase_add_test(tests, missing_file_is_said);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
