/* options: the defaults, every error with its line, all errors of a file. */
#include <string.h>

#include "dialect/dialect.h"
#include "master/options.h"
#include "tests/common/report.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SMALLEST "<c2sd><listen/><host>foo.com</host>"

static struct options options;
static struct buffer complaints;

static int
load(const char *text)
{
	struct config_report report = { .fn = report_take, .argument = &complaints };
	char path[32];
	int result;

	buffer_clear(&complaints);
	file_write(path, text);
	result = options_load(&options, path, &report);
	unlink(path);
	return result;
}

static void
teardown(void)
{
	options_free(&options);
	options_free(&options);
	buffer_deinit(&complaints);
}

START_TEST(defaults)
{
	ck_assert_msg(load(SMALLEST "</c2sd>") == 0, "%s", report_text(&complaints));
	ck_assert_uint_eq(options.listener_count, 1);
	ck_assert_str_eq(options.listeners[0].address, "::");
	ck_assert_uint_eq(options.listeners[0].port, 5222);
	ck_assert_uint_eq(options.host_count, 1);
	ck_assert_str_eq(options.hosts[0].name, "foo.com");
	ck_assert_uint_eq(options.workers.count, 0);
	ck_assert_uint_eq(options.link.type, LINK_TYPE_EMBEDDED);
	ck_assert_str_eq(options_dialect(&options), "xmpp");
	ck_assert(!options.link.digest);
	ck_assert(!options.sessiond.registration);
	ck_assert_uint_eq(options.link.hold, 300);
	ck_assert_uint_eq(options.link.timeout, 10);
	ck_assert_uint_eq(options.limits.header_bytes, 4096);
	ck_assert_uint_eq(options.limits.stanza_bytes, 262144);
	ck_assert_uint_eq(options.limits.idle_seconds, 0);
	ck_assert_uint_eq(options.limits.keepalive_seconds, 300);
	ck_assert_uint_eq(options.limits.held_bytes, 268435456);
	ck_assert_uint_eq(options.limits.clients, 0);
	ck_assert_uint_eq(options.workers.retire, 3600);
	ck_assert_uint_eq(options.workers.memory_mib, 0);
	ck_assert_uint_eq(options.log.target, LOG_TARGET_AUTO);
	ck_assert_str_eq(options.log.file, C2SD_LOGDIR "/c2sd.log");
	ck_assert_str_eq(options.pid.file, C2SD_RUNDIR "/c2sd.pid");
}
END_TEST

START_TEST(many_of_each)
{
	struct buffer text = { 0 };

	buffer_append_string(&text, "<c2sd>");
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		buffer_append_format(&text, "<listen address='127.0.0.1' port='%u'/>", i + 1);
	for (unsigned i = 0; i < SETTINGS_HOSTS_MAX; i++)
		buffer_append_format(&text, "<host>h%u</host>", i);
	buffer_append_string(&text, "</c2sd>");
	ck_assert_msg(load(report_text(&text)) == 0, "%s", report_text(&complaints));
	ck_assert_uint_eq(options.listeners[LISTENERS_MAX - 1].port, LISTENERS_MAX);
	ck_assert_str_eq(options.hosts[SETTINGS_HOSTS_MAX - 1].name, "h63");
	options_free(&options);
	text.end -= strlen("</c2sd>");
	buffer_append_string(&text, "\n<listen/>\n<host>more</host></c2sd>");
	ck_assert_int_eq(load(report_text(&text)), 2);
	ck_assert_str_eq(report_text(&complaints), "2: listen: too many\n3: host: too many\n");
	buffer_deinit(&text);
}
END_TEST

#define ADDRESS_WRONG "2: link address: not HOST:PORT, [IPV6]:PORT or unix:PATH\n"

static const struct {
	const char *text, *complaint;
} wrong[] = {
	{ "<!-- -->\n<c2sd><host>a</host></c2sd>", "2: no <listen/>: no client could connect\n" },
	{ "<!-- -->\n<c2sd><listen/></c2sd>", "2: no <host/>: no client could log in\n" },
	{ SMALLEST "\n<link type='connect'\n secret='s'/></c2sd>", "2: link: type connect needs an address\n" },
	{ SMALLEST "\n<link type='connect'\n address='h:1'/></c2sd>", "2: link: type connect needs a secret\n" },
	{ SMALLEST "\n<link\n dialect='latin'/></c2sd>", "3: link dialect: no dialect of that name\n" },
	{ SMALLEST "\n<link\n dialect='route'/></c2sd>",
	  "3: link dialect: the embedded session manager does not speak this one\n" },
	{ SMALLEST "\n<host/></c2sd>", "2: host: empty\n" },
	{ "<c2sd><listen/>\n<host>a@b</host></c2sd>", "2: host: has characters that no name of a host has\n" },
	{ "<c2sd><listen/>\n<host>a b</host></c2sd>", "2: host: has characters that no name of a host has\n" },
	{ SMALLEST "<link\nname='a/b'/></c2sd>", "2: link name: has characters that no name of a host has\n" },
	{ SMALLEST "\n<control socket='here'/></c2sd>", "2: control socket: not an absolute path\n" },
	{ SMALLEST "\n<pid file='c2sd.pid'/></c2sd>", "2: pid file: not an absolute path\n" },
	{ SMALLEST "\n<log file=''/></c2sd>", "2: log file: not an absolute path\n" },
	{ SMALLEST "\n<limits\nheld-bytes='4194304'/></c2sd>",
	    "3: limits held-bytes: for all clients; must be four times unsent-bytes, for one\n" },
	{ SMALLEST "\n<limits\nunsent-bytes='67108865'/></c2sd>",
	    "3: limits held-bytes: for all clients; must be four times unsent-bytes, for one\n" },
	{ SMALLEST "<link\npacket-bytes='65536'/></c2sd>",
	    "2: link packet-bytes: below 4194304: the embedded session manager's packets may be as long\n" },
	{ SMALLEST "<limits\nstanza-bytes='524289' rate-bytes='unlimited'/></c2sd>",
	    "2: limits stanza-bytes: above 524288, the most that the embedded session manager takes\n" },
	{ SMALLEST "<limits\nburst-bytes='262143'/></c2sd>",
	    "2: limits burst-bytes: below stanza-bytes, so that one stanza would be too much: 262144\n" },
	{ "<c2sd><listen/><host>h</host><link type='connect' address='h:1' secret='s'/>\n<limits stanza-bytes='524289'/></c2sd>",
	    "2: limits burst-bytes: below stanza-bytes, so that one stanza would be too much: 524289\n" },
	{ SMALLEST "\n<limits\nheader-bytes='5000' login-bytes='5001'\nlogin-total-bytes='10000'/></c2sd>",
	    "4: limits login-total-bytes: below header-bytes and login-bytes together: 10001\n" },
	{ SMALLEST "\n<listen address='localhost' port='1'/></c2sd>", "2: listen address: not a numeric address\n" },
	{ SMALLEST "\n<listen address='::g' port='1'/></c2sd>", "2: listen address: not a numeric address\n" },
	{ SMALLEST "\n<listen/></c2sd>", "2: listen: port 5222 is taken by the listener of line 1\n" },
	{ SMALLEST "\n<listen address='127.0.0.1'/></c2sd>", "2: listen: port 5222 is taken by the listener of line 1\n" },
	{ "<c2sd><host>h</host><listen\naddress='0:0::1'/>\n<listen port='05222' address='::1'/></c2sd>",
	    "3: listen: port 5222 is taken by the listener of line 2\n" },
	{ "<c2sd><host>h</host><listen address='127.0.0.1'/>\n<listen address='0.0.0.0'/></c2sd>",
	    "2: listen: port 5222 is taken by the listener of line 1\n" },
	{ "<c2sd><host>h</host><listen address='127.0.0.1'/>\n<listen address='::ffff:127.0.0.1'/></c2sd>",
	    "2: listen: port 5222 is taken by the listener of line 1\n" },
	{ SMALLEST "\n<host>Foo.COM</host></c2sd>", "2: host: stands in line 1 already\n" },
	{ SMALLEST "<link\n address='h' type='connect' secret='s'/></c2sd>", ADDRESS_WRONG },
	{ SMALLEST "<link\n address='h:0' type='connect' secret='s'/></c2sd>", ADDRESS_WRONG },
	{ SMALLEST "<link\n address='h:x' type='connect' secret='s'/></c2sd>", ADDRESS_WRONG },
	{ SMALLEST "<link\n address=':1' type='connect' secret='s'/></c2sd>", ADDRESS_WRONG },
	{ SMALLEST "<link\n address='[]:1' type='connect' secret='s'/></c2sd>", ADDRESS_WRONG },
	{ SMALLEST "<link\n address='::1:1' type='connect' secret='s'/></c2sd>", ADDRESS_WRONG },
	{ SMALLEST "<link\n address='unix:here' type='connect' secret='s'/></c2sd>", ADDRESS_WRONG },
	{ SMALLEST "\n<listen port='0'/></c2sd>", "2: listen port: not a number from 1 to 65535\n" },
	{ SMALLEST "\n<listen port='65536'/></c2sd>", "2: listen port: not a number from 1 to 65535\n" },
	{ SMALLEST "\n<workers count='0'/></c2sd>", "2: workers count: not a number from 1 to 256 or auto\n" },
	{ SMALLEST "\n<workers\n program='/nonexistent/w'/></c2sd>",
	    "3: workers program: cannot be executed: No such file or directory\n" },
	{ SMALLEST "\n<sessiond program='/nonexistent/s'/></c2sd>",
	    "2: sessiond program: cannot be executed: No such file or directory\n" },
	{ SMALLEST "\n<sessiond program='/dev/null'/></c2sd>",
	    "2: sessiond program: cannot be executed: Permission denied\n" },
	{ SMALLEST "\n<sessiond program='sessiond'/></c2sd>", "2: sessiond program: not an absolute path\n" },
	{ SMALLEST "\n<link type='both'/></c2sd>", "2: link type: none of embedded|connect\n" },
	{ SMALLEST "\n<log level='loud'/></c2sd>", "2: log level: none of error|warning|info|debug\n" },
	{ SMALLEST "\n<proxy address='192.0.2.1/24'/></c2sd>", "2: proxy address: the network has bits behind its length\n" },
	{ SMALLEST "\n<proxy\naddress='proxy.example'/></c2sd>", "3: proxy address: not an IP address, or a network like 192.0.2.0/24 or 2001:db8::/32\n" },
	{ SMALLEST "\n<proxy/></c2sd>", "2: proxy: attribute address is missing\n" },
	{ "<c2sd><host>h</host><listen port='1'/>\n<listen\nproxy='yes'/></c2sd>",
	    "3: listen proxy: needs a <proxy address=\"...\"/> that says which proxies are to be trusted\n" },
	{ SMALLEST "\n<deny address='192.0.2.1/24'/></c2sd>", "2: deny address: the network has bits behind its length\n" },
	{ SMALLEST "\n<allow/></c2sd>", "2: allow: attribute address is missing\n" },
	{ SMALLEST "\n<deny address='192.0.2.0/24'/>\n<deny address='::ffff:192.0.2.0/120'/></c2sd>",
	    "3: deny address: stands in line 2 already\n" },
	{ SMALLEST "\n<deny address='192.0.2.7'/>\n<allow address='192.0.2.7/32'/></c2sd>",
	    "2: deny address: stands in line 3 already\n" },
	{ SMALLEST "\n<limits address-connections='0'/></c2sd>",
	    "2: limits address-connections: not a number from 1 to 10000000 or unlimited\n" },
	{ SMALLEST "\n<limit/></c2sd>", "2: unknown element limit\n" },
	{ SMALLEST "\n<limits stanzabytes='1'/></c2sd>", "2: limits: unknown attribute stanzabytes\n" },
};

START_TEST(what_is_wrong_is_said)
{
	ck_assert_int_eq(load(wrong[_i].text), 1);
	ck_assert_str_eq(report_text(&complaints), wrong[_i].complaint);
}
END_TEST

START_TEST(all_that_is_wrong_is_said)
{
	ck_assert_int_eq(load("<c2sd>\n<listen port='x' backlog='y'/>\n<host></host>\n<link type='z'/>\n<typo/>\n</c2sd>"), 5);
	ck_assert_str_eq(report_text(&complaints), "2: listen port: not a number from 1 to 65535\n"
	    "2: listen backlog: not a number from 1 to 65535\n3: host: empty\n4: link type: none of embedded|connect\n"
	    "5: unknown element typo\n");
}
END_TEST

/* What no option says alone is looked at, whatever else is wrong; but nothing is said twice. */
START_TEST(checks_run_beside_other_errors)
{
	ck_assert_int_eq(load("<c2sd>\n<typo/>\n<listen address='here'/>\n<listen port='x'/><listen/>\n<host>a</host>\n"
	    "<host>A</host>\n<limits held-bytes='y'\n unsent-bytes='268435456'/>\n<link type='?'/>\n"
	    "<link/>\n</c2sd>"), 7);
	ck_assert_str_eq(report_text(&complaints), "2: unknown element typo\n"
	    "4: listen port: not a number from 1 to 65535\n7: limits held-bytes: not a number from 1048576 to 4294967295\n"
	    "9: link type: none of embedded|connect\n10: link: stands twice\n3: listen address: not a numeric address\n"
	    "6: host: stands in line 5 already\n");
}
END_TEST

static const char *const fine[] = {
	"<listen address='127.0.0.1'/><listen address='127.0.0.2'/><listen address='::1'/>",
	"<listen address='0.0.0.0'/><listen address='::1'/>",
	"<listen/><listen port='5223'/>",
	"<listen/><link type='connect' secret='s' address='h.example:1'/>",
	"<listen/><link type='connect' secret='s' address='[::1]:65535'/>",
	"<listen/><link type='connect' secret='s' address='unix:/run/x'/>",
	"<listen proxy='yes'/><proxy address='192.0.2.1'/><proxy address='192.0.2.0/24'/><proxy address='2001:db8::/32'/>",
	"<listen proxy='no'/><proxy address='127.0.0.1'/>",
};

START_TEST(what_is_fine_is_taken)
{
	char text[256];

	snprintf(text, sizeof text, "<c2sd><host>a</host><host>b</host>%s</c2sd>", fine[_i]);
	ck_assert_msg(load(text) == 0, "%s", report_text(&complaints));
}
END_TEST

/* Only what cannot change while clients are there waits for a restart. */
START_TEST(restart_is_for_few)
{
	static const char *const few[] = { "user name", "user group", "link name", "link type", "link dialect", "link notify",
	    "sessiond database", "control socket", "pid file" };
	size_t found = 0;
	char name[64];

	for (size_t i = 0; i < options_table.section_count; i++) {
		const struct config_section *section = &options_table.sections[i];

		for (size_t k = 0; k < section->option_count; k++) {
			if ((section->options[k].flags & CONFIG_RELOAD) != 0)
				continue;
			snprintf(name, sizeof name, "%s %s", section->element, section->options[k].name);
			ck_assert_uint_lt(found, COUNT(few));
			ck_assert_str_eq(name, few[found]);
			/* config_inherit knows nothing of those that may come again. */
			ck_assert_uint_eq(section->max, 1);
			found++;
		}
	}
	ck_assert_uint_eq(found, COUNT(few));
}
END_TEST

static int
reload(const char *text, const struct options *running, struct options *next, struct buffer *kept_text)
{
	struct config_report report = { .fn = report_take, .argument = &complaints };
	struct config_report kept = { .fn = report_take, .argument = kept_text };
	struct config_lines lines = { 0 };
	char path[32];
	int result;

	buffer_clear(&complaints);
	buffer_clear(kept_text);
	file_write(path, text);
	result = options_reload(next, running, path, &report, &kept, &lines);
	config_lines_free(&lines);
	unlink(path);
	return result;
}

/* What `auto` means, and what was said instead. */
START_TEST(dialect_is_that_of_the_session_manager)
{
	static const struct {
		const char *link, *dialect;
	} cases[] = {
		{ "", "xmpp" }, { "<link dialect='sfrom'/>", "sfrom" }, { "<link dialect='xmpp'/>", "xmpp" },
		{ "<link type='connect' address='h:1' secret='s'/>", "sfrom" },
		{ "<link type='connect' address='h:1' secret='s' dialect='xmpp'/>", "xmpp" },
		{ "<link type='connect' address='h:1' secret='s' dialect='route'/>", "route" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[512];

		snprintf(text, sizeof text, SMALLEST "%s</c2sd>", cases[i].link);
		ck_assert_msg(load(text) == 0, "%s", report_text(&complaints));
		ck_assert_str_eq(options_dialect(&options), cases[i].dialect);
		options_free(&options);
	}
}
END_TEST

START_TEST(reload_keeps_what_a_restart_changes)
{
	struct options next;
	struct buffer kept = { 0 };

	ck_assert_int_eq(load(SMALLEST "</c2sd>"), 0);
	ck_assert_int_eq(reload(SMALLEST "<host>b</host>\n<link name='x' hold='5'\n dialect='auto'/>\n<pid file='/p'/></c2sd>",
	    &options, &next, &kept), 0);
	ck_assert_str_eq(report_text(&kept), "2: link name: changed only by a restart\n"
	    "4: pid file: changed only by a restart\n");
	ck_assert_str_eq(next.link.name, "c2s.localhost");
	ck_assert_str_eq(next.pid.file, C2SD_RUNDIR "/c2sd.pid");
	ck_assert_uint_eq(next.link.hold, 5);
	ck_assert_uint_eq(next.host_count, 2);
	options_free(&next);
	/* As type connect these limits would be fine; what runs, and goes on running, is the embedded one. */
	ck_assert_int_eq(reload(SMALLEST "\n<link type='connect' address='h:1' secret='s' packet-bytes='1024'/></c2sd>",
	    &options, &next, &kept), 1);
	ck_assert_str_eq(report_text(&kept), "2: link type: changed only by a restart\n");
	ck_assert_str_eq(report_text(&complaints),
	    "2: link packet-bytes: below 4194304: the embedded session manager's packets may be as long\n");
	options_free(&next);
	/* A file that cannot be read says nothing about what would change. */
	ck_assert_int_eq(reload("<c2sd", &options, &next, &kept), 1);
	ck_assert_uint_eq(buffer_length(&kept), 0);
	options_free(&next);
	buffer_deinit(&kept);
}
END_TEST

/* What is printed is a file that says the same. */
START_TEST(printed_configuration_is_read_again)
{
	struct buffer first = { 0 }, second = { 0 };

	ck_assert_int_eq(load(SMALLEST "<host>b</host><user group='g'/><link type='connect' address='h:1' secret='&amp;'/>"
	    "<workers program='/bin/sh'/><limits idle-seconds='1'/></c2sd>"), 0);
	ck_assert_int_eq(config_print(&options_table, &options, &first), 0);
	ck_assert_ptr_nonnull(strstr(report_text(&first), "secret=\"***\""));
	buffer_clear(&first);
	ck_assert_int_eq(config_print_secrets(&options_table, &options, &first), 0);
	options_free(&options);
	ck_assert_msg(load(report_text(&first)) == 0, "%s", report_text(&complaints));
	ck_assert_str_eq(options.link.secret, "&");
	ck_assert_int_eq(config_print_secrets(&options_table, &options, &second), 0);
	ck_assert_str_eq(report_text(&first), report_text(&second));
	buffer_deinit(&first);
	buffer_deinit(&second);
}
END_TEST

/* The table itself: what it allows can be held, and every default is allowed. */
static void
check_option(const struct config_section *section, const struct config_option *option)
{
	bool seconds = strstr(option->name, "-seconds") != NULL;

	ck_assert_msg(option->help != NULL && option->help[0] != '\0', "%s %s", section->element, option->name);
	if (option->type != CONFIG_NUMBER)
		return;
	ck_assert_uint_le(option->min, option->max);
	/* Workers are told milliseconds, in 32 bits (message.h). */
	if (seconds)
		ck_assert_msg(option->max <= UINT32_MAX / 1000, "%s %s", section->element, option->name);
}

START_TEST(table_makes_sense)
{
	for (size_t i = 0; i < options_table.section_count; i++) {
		for (size_t k = 0; k < options_table.sections[i].option_count; k++)
			check_option(&options_table.sections[i], &options_table.sections[i].options[k]);
	}
}
END_TEST

/* Both ends of the range of every number are taken, and what lies beside them is not. */
static void
check_bound(const struct config_section *section, const struct config_option *option, uint64_t value, bool allowed)
{
	char text[256];
	const char *embedded = strcmp(option->name, "stanza-bytes") == 0 ? "<link type='connect' address='h:1' secret='s'/>" : "";
	/* What no option may be alone is tested by itself. */
	static const struct {
		const char *name, *with;
	} pairs[] = {
		{ "unsent-bytes", "held-bytes='4294967295' " }, { "held-bytes", "unsent-bytes='65536' " },
		{ "header-bytes", "login-total-bytes='16777216' " }, { "login-bytes", "login-total-bytes='16777216' " },
		{ "login-total-bytes", "header-bytes='256' login-bytes='256' " }, { "stanza-bytes", "rate-bytes='unlimited' " },
		{ "burst-bytes", "stanza-bytes='65536' " },
	};
	const char *with = "";

	for (size_t i = 0; i < COUNT(pairs); i++) {
		if (strcmp(option->name, pairs[i].name) == 0)
			with = pairs[i].with;
	}
	snprintf(text, sizeof text, "<c2sd>%s<host>h</host>%s<%s %s%s='%llu'/></c2sd>",
	    strcmp(section->element, "listen") == 0 ? "" : "<listen/>", embedded, section->element, with, option->name,
	    (unsigned long long)value);
	ck_assert_msg((load(text) == 0) == allowed, "%s: %s", text, report_text(&complaints));
	options_free(&options);
}

START_TEST(ranges_are_kept)
{
	for (size_t i = 0; i < options_table.section_count; i++) {
		const struct config_section *section = &options_table.sections[i];

		for (size_t k = 0; k < section->option_count; k++) {
			const struct config_option *option = &section->options[k];

			if (option->type != CONFIG_NUMBER || strcmp(section->element, "link") == 0)
				continue;
			check_bound(section, option, option->min, true);
			check_bound(section, option, option->max, true);
			check_bound(section, option, (uint64_t)option->max + 1, false);
			if (option->min > 0)
				check_bound(section, option, option->min - 1, false);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("options");
	TCase *tests = tcase_create("options");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, NULL, teardown);
	tcase_add_test(tests, defaults);
	tcase_add_test(tests, many_of_each);
	tcase_add_loop_test(tests, what_is_wrong_is_said, 0, COUNT(wrong));
	tcase_add_test(tests, all_that_is_wrong_is_said);
	tcase_add_test(tests, checks_run_beside_other_errors);
	tcase_add_loop_test(tests, what_is_fine_is_taken, 0, COUNT(fine));
	tcase_add_test(tests, restart_is_for_few);
	tcase_add_test(tests, dialect_is_that_of_the_session_manager);
	tcase_add_test(tests, reload_keeps_what_a_restart_changes);
	tcase_add_test(tests, printed_configuration_is_read_again);
	tcase_add_test(tests, table_makes_sense);
	tcase_add_test(tests, ranges_are_kept);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
