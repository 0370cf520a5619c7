/*
 * admission: who may connect, as a function of what came before and of the time, which is passed in; what is said of
 * refusals; and that neither many addresses nor many refusals cost more than they may.
 */
#include "master/admission.h"

#include <stdio.h>
#include <string.h>

#include "tests/dialect/tap.h"

#define MINUTE 60000u
#define HALF_LIFE ADMISSION_FAILURE_HALF_LIFE

static struct admission admission;
static uint64_t now;

static struct in6_addr
address_of(const char *text)
{
	struct prefix prefix;
	const char *why;

	ck_assert_msg(prefix_parse(&prefix, text, &why), "%s: %s", text, why);
	return prefix.address;
}

/* 10.x.y.z by number; 2001:db8:NUMBER::1 */
static struct in6_addr
four(unsigned number)
{
	return (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = (uint8_t)(number >> 16),
	    [14] = (uint8_t)(number >> 8), [15] = (uint8_t)number } };
}

static struct in6_addr
six(unsigned number)
{
	return (struct in6_addr){ .s6_addr = { 0x20, 1, 0xd, 0xb8, 0, (uint8_t)(number >> 16), (uint8_t)(number >> 8),
	    (uint8_t)number, [15] = 1 } };
}

static void
configure(const struct admission_limits *limits, const char *allow, const char *deny)
{
	struct prefix allowed = { 0 }, denied = { 0 };
	struct address_list lists;
	const char *why;

	ck_assert(allow == NULL || prefix_parse(&allowed, allow, &why));
	ck_assert(deny == NULL || prefix_parse(&denied, deny, &why));
	ck_assert_int_eq(address_list_init(&lists, &allowed, allow != NULL, &denied, deny != NULL), 0);
	admission_configure(&admission, limits, &lists);
	ck_assert_ptr_null(lists.rules);
}

static void
setup(void)
{
	now = 1000;
	ck_assert_int_eq(admission_init(&admission), 0);
}

static void
teardown(void)
{
	admission_deinit(&admission);
	admission_deinit(&admission);
}

static enum admission_verdict
arrive_at(struct in6_addr address)
{
	return admission_arrived(&admission, now, &address);
}

static enum admission_verdict
arrive(const char *address)
{
	return arrive_at(address_of(address));
}

static void
leave(const char *address)
{
	struct in6_addr in6 = address_of(address);

	admission_left(&admission, &in6);
}

static bool
refuse(const char *address, enum admission_verdict verdict)
{
	struct in6_addr in6 = address_of(address);

	return admission_refused(&admission, now, &in6, verdict);
}

static bool
login_fails(const char *address)
{
	struct in6_addr in6 = address_of(address);

	return admission_login_failed(&admission, now, &in6);
}

static void
login_succeeds(const char *address)
{
	struct in6_addr in6 = address_of(address);

	admission_login_succeeded(&admission, now, &in6);
}

static uint32_t
failures(const char *address)
{
	struct in6_addr in6 = address_of(address);

	return admission_failures(&admission, now, &in6);
}

/* Nothing of anybody is left. */
static void
assert_empty(void)
{
	ck_assert_uint_eq(admission.counts.count, 0);
	ck_assert_uint_eq(admission.count_slab.count, 0);
	ck_assert_uint_eq(admission.pasts.count, 0);
	ck_assert_uint_eq(admission.past_slab.count, 0);
}

START_TEST(without_limits_everybody_may_come)
{
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	ck_assert_uint_eq(admission.verdicts[ADMISSION_GRANTED], 1000);
	ck_assert_uint_eq(admission.pasts.count, 0);
	ck_assert_uint_eq(admission_due(&admission), UINT64_MAX);
	for (unsigned i = 0; i < 1000; i++)
		leave("192.0.2.1");
	assert_empty();
}
END_TEST

START_TEST(lists)
{
	configure(&(struct admission_limits){ 0 }, NULL, "192.0.2.0/24");
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_DENIED);
	ck_assert_int_eq(arrive("192.0.3.1"), ADMISSION_GRANTED);
	ck_assert_uint_eq(admission.counts.count, 2);
	configure(&(struct admission_limits){ 0 }, "192.0.2.0/24", NULL);
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	ck_assert_int_eq(arrive("192.0.3.1"), ADMISSION_DENIED);
	/* Who is connected stays counted. */
	leave("192.0.3.1");
	leave("192.0.2.1");
	assert_empty();
}
END_TEST

START_TEST(connections_of_an_address)
{
	static const struct {
		const char *mine, *neighbour, *stranger;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.2", "192.0.3.1" },
		{ "::ffff:192.0.2.1", "192.0.2.255", "192.0.1.255" },
		{ "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::1" },
	};
	static const struct admission_limits limits = { .address_connections = 2, .network_connections = 3 };

	configure(&limits, NULL, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(arrive(cases[i].mine), ADMISSION_GRANTED);
		ck_assert_int_eq(arrive(cases[i].mine), ADMISSION_GRANTED);
		ck_assert_int_eq(arrive(cases[i].mine), ADMISSION_ADDRESS);
		ck_assert_int_eq(arrive(cases[i].neighbour), ADMISSION_GRANTED);
		ck_assert_int_eq(arrive(cases[i].neighbour), ADMISSION_NETWORK);
		ck_assert_int_eq(arrive(cases[i].stranger), ADMISSION_GRANTED);
		leave(cases[i].mine);
		ck_assert_int_eq(arrive(cases[i].neighbour), ADMISSION_GRANTED);
		ck_assert_int_eq(arrive(cases[i].mine), ADMISSION_NETWORK);
		leave(cases[i].neighbour);
		leave(cases[i].neighbour);
		leave(cases[i].mine);
		leave(cases[i].stranger);
		assert_empty();
	}
}
END_TEST

/* What was refused is not counted, so that somebody who tries and tries does not keep himself out. */
START_TEST(new_ones_a_second)
{
	static const struct admission_limits limits = { .address_rate = { .burst = 3, .per_second = 2 } };

	configure(&limits, NULL, NULL);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_RATE);
	ck_assert_int_eq(arrive("192.0.2.2"), ADMISSION_GRANTED);
	now += 500;
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_RATE);
	now += 3600000;
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_RATE);
}
END_TEST

/* Whoever has an address of IPv6 has 2^64 of them. */
START_TEST(a_network_of_ipv6_is_one_source)
{
	static const struct admission_limits limits = {
		.address_rate = { .burst = 2, .per_second = 1 }, .login_failures = 2,
	};

	configure(&limits, NULL, NULL);
	ck_assert_int_eq(arrive("2001:db8::1"), ADMISSION_GRANTED);
	ck_assert_int_eq(arrive("2001:db8::2"), ADMISSION_GRANTED);
	ck_assert_int_eq(arrive("2001:db8::3"), ADMISSION_RATE);
	ck_assert_int_eq(arrive("2001:db8:0:1::3"), ADMISSION_GRANTED);
	ck_assert(!login_fails("2001:db8:0:2::1"));
	ck_assert(login_fails("2001:db8:0:2::2"));
	ck_assert_int_eq(arrive("2001:db8:0:2::3"), ADMISSION_FAILURES);
	ck_assert_int_eq(arrive("2001:db8:0:3::3"), ADMISSION_GRANTED);
	/* Of IPv4 everybody is one. */
	ck_assert(!login_fails("192.0.2.1"));
	ck_assert(!login_fails("192.0.2.2"));
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
}
END_TEST

START_TEST(new_ones_in_all)
{
	static const struct admission_limits limits = { .rate = { .burst = 10, .per_second = 100 } };
	static const struct admission_limits slow = { .rate = { .burst = 1, .per_second = 1 } };

	for (unsigned i = 0; i < 1000; i++)
		admission_passed(&admission, now);
	ck_assert_uint_eq(admission_pause(&admission, now), 0);
	configure(&limits, NULL, NULL);
	now += 1000;
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_uint_eq(admission_pause(&admission, now), 0);
		admission_passed(&admission, now);
	}
	ck_assert_uint_eq(admission_pause(&admission, now), 20);
	/* Who is accepted all the same is not held against those who come later. */
	admission_passed(&admission, now);
	ck_assert_uint_eq(admission_pause(&admission, now + 20), 0);
	configure(&slow, NULL, NULL);
	now += 100000;
	admission_passed(&admission, now);
	ck_assert_uint_eq(admission_pause(&admission, now), 1001);
	ck_assert_uint_eq(admission_pause(&admission, now + 1001), 0);
}
END_TEST

START_TEST(failed_logins_decay)
{
	static const struct {
		uint64_t after;
		uint32_t left;
	} cases[] = {
		{ 0, 8 }, { HALF_LIFE - 1, 8 }, { HALF_LIFE, 4 }, { 2 * HALF_LIFE - 1, 4 }, { 2 * HALF_LIFE, 2 },
		{ 3 * HALF_LIFE, 1 }, { 4 * HALF_LIFE, 0 }, { 40ul * HALF_LIFE, 0 }, { 70ul * HALF_LIFE, 0 },
		{ 1ul << 50, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (unsigned j = 0; j < 8; j++)
			ck_assert(!login_fails("192.0.2.1"));
		now += cases[i].after;
		ck_assert_uint_eq(failures("192.0.2.1"), cases[i].left);
		ck_assert_uint_eq(failures("192.0.2.2"), 0);
		teardown();
		setup();
	}
}
END_TEST

START_TEST(refused_for_failed_logins_and_for_how_long)
{
	static const struct admission_limits limits = { .login_failures = 10 };

	configure(&limits, NULL, NULL);
	for (unsigned i = 0; i < 9; i++)
		ck_assert(!login_fails("192.0.2.1"));
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	ck_assert(login_fails("192.0.2.1"));
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_FAILURES);
	ck_assert_int_eq(arrive("192.0.2.2"), ADMISSION_GRANTED);
	/* However many there were: the next half of them is below the limit. */
	for (unsigned i = 0; i < 100000; i++)
		ck_assert(login_fails("192.0.2.1"));
	ck_assert_uint_eq(failures("192.0.2.1"), 19);
	now += HALF_LIFE - 1;
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_FAILURES);
	now += 1;
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	/* The limit may be taken away. */
	login_fails("192.0.2.1");
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_FAILURES);
	configure(&(struct admission_limits){ 0 }, NULL, NULL);
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	/* Or come back, or become smaller: who has failed more often than it allows waits no longer than others. */
	for (unsigned i = 0; i < 1000; i++)
		ck_assert(!login_fails("192.0.2.1"));
	configure(&limits, NULL, NULL);
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_FAILURES);
	now += HALF_LIFE;
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
}
END_TEST

/* One who has an account and guesses at another gains a factor of two, and no more. */
START_TEST(success_forgives_half_once)
{
	login_succeeds("192.0.2.1");
	assert_empty();
	for (unsigned i = 0; i < 8; i++)
		login_fails("192.0.2.1");
	login_succeeds("192.0.2.2");
	ck_assert_uint_eq(failures("192.0.2.1"), 8);
	login_succeeds("192.0.2.1");
	ck_assert_uint_eq(failures("192.0.2.1"), 4);
	login_succeeds("192.0.2.1");
	login_fails("192.0.2.1");
	login_succeeds("192.0.2.1");
	ck_assert_uint_eq(failures("192.0.2.1"), 5);
	now += HALF_LIFE;
	ck_assert_uint_eq(failures("192.0.2.1"), 2);
	login_succeeds("192.0.2.1");
	ck_assert_uint_eq(failures("192.0.2.1"), 1);
	login_succeeds("192.0.2.1");
	ck_assert_uint_eq(failures("192.0.2.1"), 1);
}
END_TEST

/* Everything that is to be said by now, a line each. */
static const char *
notices(void)
{
	static char text[4096];
	struct admission_notice notice;
	size_t length = 0;

	text[0] = '\0';
	while (admission_next(&admission, now, &notice)) {
		struct prefix prefix = { notice.address, PREFIX_LENGTH_MAX };
		char address[PREFIX_TEXT_SIZE];

		length += (size_t)snprintf(text + length, sizeof text - length, "%s %s %u in %u\n",
		    prefix_format(&prefix, address), admission_verdict_name(notice.verdict), (unsigned)notice.times,
		    (unsigned)notice.seconds);
		ck_assert_uint_lt(length, sizeof text);
	}
	return text;
}

START_TEST(refusals_are_said_once_a_minute)
{
	ck_assert(refuse("192.0.2.1", ADMISSION_RATE));
	for (unsigned i = 0; i < 20; i++)
		ck_assert(!refuse("192.0.2.1", ADMISSION_RATE));
	ck_assert(!refuse("192.0.2.1", ADMISSION_ADDRESS));
	ck_assert(refuse("192.0.2.2", ADMISSION_DENIED));
	ck_assert_str_eq(notices(), "");
	ck_assert_uint_eq(admission_due(&admission), now + MINUTE);
	now += MINUTE - 1;
	ck_assert_str_eq(notices(), "");
	now += 1;
	ck_assert_str_eq(notices(), "192.0.2.1 address 21 in 60\n");
	ck_assert_str_eq(notices(), "");
	/* As long as it goes on. */
	now += MINUTE / 2;
	ck_assert(!refuse("192.0.2.1", ADMISSION_RATE));
	ck_assert(refuse("192.0.2.2", ADMISSION_DENIED));
	now += MINUTE / 2;
	ck_assert_str_eq(notices(), "192.0.2.1 rate 1 in 60\n");
	now += MINUTE;
	ck_assert_str_eq(notices(), "");
	ck_assert(refuse("192.0.2.1", ADMISSION_RATE));
	ck_assert_uint_eq(admission.verdicts[ADMISSION_RATE], 23);
	ck_assert_uint_eq(admission.verdicts[ADMISSION_ADDRESS], 1);
	ck_assert_uint_eq(admission.verdicts[ADMISSION_DENIED], 2);
}
END_TEST

START_TEST(a_network_of_ipv6_has_one_line)
{
	ck_assert(refuse("2001:db8::1", ADMISSION_RATE));
	ck_assert(!refuse("2001:db8::2", ADMISSION_RATE));
	ck_assert(refuse("2001:db8:0:1::2", ADMISSION_RATE));
	now += MINUTE;
	ck_assert_str_eq(notices(), "2001:db8::2 rate 1 in 60\n");
}
END_TEST

/* However many addresses: the lines are bounded, what is not said is counted, and nobody is forgotten in the sum. */
START_TEST(lines_of_many_addresses)
{
	struct admission_notice notice;
	uint64_t said = 0, told = 0;

	for (unsigned i = 0; i < 3 * ADMISSION_PASTS_MAX; i++) {
		struct in6_addr address = i % 2 == 0 ? four(i) : six(i);

		said += admission_refused(&admission, now, &address, ADMISSION_DENIED);
	}
	ck_assert_uint_eq(said, ADMISSION_LINES_BURST);
	ck_assert_uint_le(admission.pasts.count, ADMISSION_PASTS_MAX);
	told = said;
	for (unsigned minute = 0; minute < 5; minute++) {
		now += MINUTE;
		said = 0;
		while (admission_next(&admission, now, &notice)) {
			told += notice.times;
			said++;
		}
		ck_assert_uint_le(said, ADMISSION_LINES_BURST + 1);
	}
	ck_assert_uint_eq(told, admission.verdicts[ADMISSION_DENIED]);
	assert_empty();
}
END_TEST

/* Who comes once leaves nothing behind, neither in the tables nor in the queues. */
START_TEST(nothing_stays)
{
	static const struct admission_limits limits = {
		.address_rate = { .burst = 100, .per_second = 1 }, .login_failures = 3,
	};
	struct admission_notice notice;

	configure(&limits, NULL, NULL);
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	leave("192.0.2.1");
	ck_assert_uint_eq(admission.counts.count, 0);
	ck_assert_uint_eq(admission.pasts.count, 1);
	/* As long as the burst takes to come back. */
	ck_assert_uint_eq(admission_due(&admission), now + 100001);
	for (unsigned i = 0; i < 5; i++)
		login_fails("192.0.2.2");
	now = admission_due(&admission);
	ck_assert(!admission_next(&admission, now, &notice));
	ck_assert_uint_eq(admission.pasts.count, 1);
	/* 5, 2, 1, 0, and then it is quiet for a while. */
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(admission.past_slab.count, 1);
		now = admission_due(&admission);
		ck_assert(!admission_next(&admission, now, &notice));
	}
	assert_empty();
	ck_assert_uint_eq(admission_due(&admission), UINT64_MAX);
}
END_TEST

/* Without a timer, too: each event looks at two. */
START_TEST(events_forget_what_is_over)
{
	static const struct admission_limits limits = { .address_rate = { .burst = 1, .per_second = 1 } };

	configure(&limits, NULL, NULL);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(arrive_at(four(i)), ADMISSION_GRANTED);
	now += MINUTE;
	for (unsigned i = 1000; i < 2000; i++)
		ck_assert_int_eq(arrive_at(four(i)), ADMISSION_GRANTED);
	ck_assert_uint_eq(admission.pasts.count, 1000);
}
END_TEST

/* Millions of addresses make it forget how fast they came, and not who has failed. */
START_TEST(what_overflows)
{
	static const struct admission_limits limits = {
		.address_rate = { .burst = 1, .per_second = 1 }, .login_failures = 2,
	};

	configure(&limits, NULL, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		struct in6_addr address = six(i);

		admission_login_failed(&admission, now, &address);
		ck_assert(admission_login_failed(&admission, now, &address));
	}
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_RATE);
	for (unsigned i = 0; i < 4 * ADMISSION_PASTS_MAX; i++) {
		ck_assert_int_eq(arrive_at(four(i)), ADMISSION_GRANTED);
		ck_assert_uint_le(admission.pasts.count, ADMISSION_PASTS_MAX);
	}
	ck_assert_int_eq(arrive("192.0.2.1"), ADMISSION_GRANTED);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(arrive_at(six(i)), ADMISSION_FAILURES);
	/* Only those who fail themselves push out who has failed. */
	for (unsigned i = 0; i < ADMISSION_PASTS_MAX; i++) {
		struct in6_addr address = four(i);

		admission_login_failed(&admission, now, &address);
	}
	ck_assert_uint_eq(admission.pasts.count, ADMISSION_PASTS_MAX);
	ck_assert_int_eq(arrive_at(six(1)), ADMISSION_GRANTED);
}
END_TEST

START_TEST(many_connections)
{
	static const struct admission_limits limits = { .address_connections = 1 };

	configure(&limits, NULL, NULL);
	for (unsigned i = 0; i < 50000; i++) {
		ck_assert_int_eq(arrive_at(four(i)), ADMISSION_GRANTED);
		ck_assert_int_eq(arrive_at(six(i)), ADMISSION_GRANTED);
	}
	for (unsigned i = 0; i < 50000; i++) {
		struct in6_addr address = four(i), other = six(i);

		ck_assert_int_eq(arrive_at(address), ADMISSION_ADDRESS);
		admission_left(&admission, &address);
		admission_left(&admission, &other);
	}
	assert_empty();
}
END_TEST

START_TEST(verdicts_have_names)
{
	for (int i = 0; i < ADMISSION_VERDICT_COUNT; i++)
		ck_assert_str_ne(admission_verdict_name((enum admission_verdict)i), "?");
	ck_assert_str_eq(admission_verdict_name(ADMISSION_VERDICT_COUNT), "?");
}
END_TEST

int
main(void)
{
	const TTest *const all[] = {
		without_limits_everybody_may_come, lists, connections_of_an_address, new_ones_a_second,
		a_network_of_ipv6_is_one_source, new_ones_in_all, failed_logins_decay,
		refused_for_failed_logins_and_for_how_long, success_forgives_half_once, refusals_are_said_once_a_minute,
		a_network_of_ipv6_has_one_line, lines_of_many_addresses, nothing_stays, events_forget_what_is_over,
		what_overflows, many_connections, verdicts_have_names,
	};
	Suite *suite = suite_create("admission");
	TCase *tests = tcase_create("admission");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		tcase_add_test(tests, all[i]);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
