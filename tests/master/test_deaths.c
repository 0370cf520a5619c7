/*
 * deaths: a worker dies behind every byte of what it says: what it said whole holds, of the rest nothing was said; the session
 * manager hears of each client's end once, and gets back what that client is not known to have. Argument: `puppet`.
 */
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/dialect/tap.h"
#include "tests/master/stage.h"

#define PACKETS 4
#define UP "<message to='b@foo.com' sto='alice@foo.com/r' sfrom='%s'><body>up</body></message>"

struct patient {
	struct entry *entry;
	char id[100];
	char address[32];
};

/* What the worker says, in this order. */
enum step { SETTLED_A, SENT_A, SETTLED_A_MORE, SETTLED_B, ENDED_A, SETTLED_B_ALL, STEPS };

static struct patient alice, bob, carol;
static size_t ends[STEPS];	/* of each, counted in bytes */

static void
patient_begin(struct patient *patient, uint32_t worker, const char *address)
{
	*patient = (struct patient){ .entry = client_login(worker, address) };
	strlcpy(patient->id, id_of(patient->entry), sizeof patient->id);
	strlcpy(patient->address, address, sizeof patient->address);
}

/* Its first number was that of its login. */
static void
patient_fill(const struct patient *patient)
{
	for (unsigned i = 0; i < PACKETS; i++)
		manager_send("<message id='%u' sto='%s' sfrom='x@foo.com'/>", i, patient->id);
}

/* Everything, as far as the breath goes; and where each frame would end. */
static void
say_all(void)
{
	struct client_end end = { .reason = END_LOST };
	struct buffer body = { 0 };
	const size_t number = FRAME_HEADER_SIZE + sizeof(uint64_t);
	char up[256];

	snprintf(up, sizeof up, UP, alice.id);
	message_put_end(&body, &end);
	puppet_say_number(alice.entry, W2M_SETTLED, 2);
	puppet_say_of(alice.entry, W2M_PACKET, up, strlen(up));
	puppet_say_number(alice.entry, W2M_SETTLED, 3);
	puppet_say_number(bob.entry, W2M_SETTLED, 2);
	puppet_say_of(alice.entry, W2M_ENDED, buffer_bytes(&body), buffer_length(&body));
	puppet_say_number(bob.entry, W2M_SETTLED, 1 + PACKETS);
	ends[SETTLED_A] = number;
	ends[SENT_A] = ends[SETTLED_A] + FRAME_HEADER_SIZE + strlen(up);
	ends[SETTLED_A_MORE] = ends[SENT_A] + number;
	ends[SETTLED_B] = ends[SETTLED_A_MORE] + number;
	ends[ENDED_A] = ends[SETTLED_B] + FRAME_HEADER_SIZE + buffer_length(&body);
	ends[SETTLED_B_ALL] = ends[ENDED_A] + number;
	buffer_deinit(&body);
}

static void
append_end(struct buffer *wanted, const struct patient *patient, unsigned settled)
{
	buffer_append_format(wanted, "<message sto='%s' sfrom='%s' type='error'><error code='510'>Disconnected</error></message>\n",
	    patient->address, patient->id);
	for (unsigned i = settled; i < PACKETS; i++)
		buffer_append_format(wanted, "<message sto='x@foo.com' sfrom='%s' type='error' id='%u'>"
		    "<error code='510'>Disconnected</error></message>\n", patient->id, i);
}

/* What the session manager reads when the worker has said so much and died. */
static void
assert_queue(size_t said)
{
	unsigned of_alice = said >= ends[SETTLED_A_MORE] ? 2 : said >= ends[SETTLED_A] ? 1 : 0;
	unsigned of_bob = said >= ends[SETTLED_B_ALL] ? PACKETS : said >= ends[SETTLED_B] ? 1 : 0;
	struct buffer wanted = { 0 };

	if (said >= ends[SENT_A])
		buffer_append_format(&wanted, UP "\n", alice.id);
	append_end(&wanted, &alice, of_alice);
	append_end(&wanted, &bob, of_bob);
	buffer_append(&wanted, "", 1);
	ck_assert(!wanted.failed);
	ck_assert_str_eq(manager_take(), (const char *)buffer_bytes(&wanted));
	buffer_deinit(&wanted);
}

static void
die_behind(size_t said)
{
	patient_begin(&alice, 0, "alice@foo.com/r");
	patient_begin(&bob, 0, "bob@foo.com/r");
	patient_fill(&alice);
	patient_fill(&bob);
	stage_turns();
	puppet_forget(0);
	puppet_breath = said;
	say_all();
	puppet_breath = SIZE_MAX;
	puppet_die(0);
}

START_TEST(dies_behind_every_byte)
{
	die_behind(SIZE_MAX);
	assert_queue(SIZE_MAX);
	for (size_t said = 0; said <= ends[STEPS - 1]; said++) {
		puppet_replace(0);
		die_behind(said);
		assert_queue(said);
		stage_assert_balance();
		ck_assert_uint_eq(stage.directory.count, 0);
		ck_assert_uint_eq(stage.keeper.held_bytes, 0);
	}
	ck_assert_msg(strstr(stage_log(), "broke-contract") == NULL, "%s", stage_log());
}
END_TEST

/* The others notice nothing, and are sent what is theirs. */
START_TEST(others_live)
{
	patient_begin(&carol, 1, "carol@foo.com/r");
	patient_fill(&carol);
	for (unsigned i = 0; i < 3; i++) {
		die_behind(0);
		manager_take();
		puppet_replace(0);
	}
	ck_assert_ptr_eq(directory_at(&stage.directory, 1, carol.entry->slot, carol.entry->serial), carol.entry);
	puppet_say_number(carol.entry, W2M_SETTLED, 1 + PACKETS);
	stage_turns();
	ck_assert_uint_eq(carol.entry->held, 0);
	ck_assert_str_eq(manager_take(), "");
}
END_TEST

/* The session manager ends a session, or gives its address to somebody else, whose worker lives. */
START_TEST(two_exceptions)
{
	patient_begin(&alice, 0, "alice@foo.com/r");
	patient_begin(&bob, 0, "bob@foo.com/r");
	patient_fill(&alice);
	patient_fill(&bob);
	manager_send("<message type='error' sto='%s' sfrom='alice@foo.com/r'><error code='510'>Disconnected</error></message>", alice.id);
	patient_begin(&carol, 1, "bob@foo.com/r");
	puppet_die(0);
	for (unsigned i = 0; i < 2; i++) {
		const char *id = i == 0 ? alice.id : bob.id;
		struct buffer wanted = { 0 };

		for (unsigned k = 0; k < PACKETS; k++)
			buffer_append_format(&wanted, "<message sto='x@foo.com' sfrom='%s' type='error' id='%u'>"
			    "<error code='510'>Disconnected</error></message>\n", id, k);
		buffer_append(&wanted, "", 1);
		ck_assert_ptr_nonnull(strstr(manager_queue(), (const char *)buffer_bytes(&wanted)));
		buffer_deinit(&wanted);
	}
	ck_assert_ptr_null(strstr(manager_queue(), "sto='alice@foo.com/r'"));
	ck_assert_ptr_null(strstr(manager_queue(), "sto='bob@foo.com/r'"));
	ck_assert(!carol.entry->superseded && !carol.entry->closing);
	stage_assert_balance();
}
END_TEST

static void
setup(void)
{
	stage_open(2, 1000000);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("deaths");
	TCase *tests = tcase_create("deaths");

	if (argc != 2)
		return EXIT_FAILURE;
	stage_puppet = argv[1];
	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, stage_close);
	tcase_add_test(tests, dies_behind_every_byte);
	tcase_add_test(tests, others_live);
	tcase_add_test(tests, two_exceptions);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
