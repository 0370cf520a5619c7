/*
 * fates: whatever clients, workers and the session manager do in whatever order, each packet of the session manager's has
 * one fate, the test's own book says the same as the counters, and the balance holds after every step. Argument: `puppet`.
 */
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/dialect/tap.h"
#include "tests/master/stage.h"

#define WORKERS 3
#define CLIENTS 24
#define STEPS 1500
#define SEEDS 12

/* So little that room has to be made now and then. */
#define HELD_MAX 4000

struct player {
	struct entry *entry;	/* NULL: not here, or gone */
	char id[100];		/* also of the one that is gone */
	char address[32];	/* that its login's answer gave it; "": none */
	unsigned first;		/* packet with its number 1, in `book` */
};

/* Every packet that was sent to a client that was there. */
struct line {
	unsigned player;
	uint64_t number;
	uint64_t serial;	/* of the client */
	bool message;		/* neither a login's answer nor a 510 */
	enum fate fate;
};

static struct player players[CLIENTS];
static struct line *book;
static unsigned lines;
static uint64_t bounced_late;	/* for ids that were gone */

static unsigned
pick(unsigned count)
{
	return (unsigned)random() % count;
}

static struct player *
pick_player(bool present)
{
	for (unsigned i = 0; i < 8; i++) {
		struct player *player = &players[pick(CLIENTS)];

		if ((player->entry != NULL) == present)
			return player;
	}
	return NULL;
}

static void
write_down(const struct player *player, bool message)
{
	book[lines++] = (struct line){ (unsigned)(player - players), player->entry->numbers, player->entry->serial, message,
		FATE_HELD };
}

/* Like the master's, but by the book: those of this client with these numbers. */
static void
settle_in_book(const struct player *player, uint64_t from, uint64_t to, enum fate fate)
{
	for (unsigned i = 0; i < lines; i++) {
		if (book[i].serial == player->entry->serial && book[i].number >= from && book[i].number <= to &&
		    book[i].fate == FATE_HELD)
			book[i].fate = fate;
	}
}

/* ---- what may happen ---- */

static void
come(void)
{
	struct player *player = pick_player(false);

	if (player == NULL)
		return;
	player->entry = client_new(pick(WORKERS));
	player->address[0] = '\0';
	strlcpy(player->id, id_of(player->entry), sizeof player->id);
}

static void
log_in(void)
{
	struct player *player = pick_player(true);
	unsigned seen = pick(4);

	if (player == NULL || player->address[0] != '\0')
		return;
	snprintf(player->address, sizeof player->address, "user%u@foo.com/r", pick(6));
	manager_send("<iq type='result' id='a' sto='%s' sfrom='%s'/>", player->id, player->address);
	write_down(player, false);
	if (seen == 0)
		return;
	puppet_say_of(player->entry, W2M_SESSION, player->address, strlen(player->address));
	if (seen == 1)
		return;
	puppet_say_number(player->entry, W2M_CONSUMED, player->entry->numbers);
	settle_in_book(player, player->entry->numbers, player->entry->numbers, FATE_CONSUMED);
}

static void
be_sent(void)
{
	struct player *player = pick_player(true);

	if (player == NULL)
		return;
	manager_send("<message id='%u' sto='%s' sfrom='x@foo.com'>%.*s</message>", lines, player->id, (int)pick(60),
	    "............................................................");
	write_down(player, true);
}

static void
be_ended(void)
{
	struct player *player = pick_player(true);

	if (player == NULL || player->address[0] == '\0')
		return;
	manager_send("<message type='error' sto='%s' sfrom='%s'><error code='510'/></message>", player->id, player->address);
	write_down(player, false);
}

static void
be_sent_late(void)
{
	struct player *player = pick_player(false);

	if (player == NULL || player->id[0] == '\0')
		return;
	manager_send("<message id='late' sto='%s' sfrom='x@foo.com'/>", player->id);
	ck_assert_ptr_nonnull(strstr(manager_take(), " id='late'>"));
	bounced_late++;
	manager_send("<message type='error' sto='%s' sfrom='x@foo.com'><error code='510'/></message>", player->id);
	manager_send("<message sto='%s'/>", player->id);
	manager_send("<message sto='foo-sockets'/>");
	manager_send("<message/>");
}

static void
say_fate(void)
{
	struct player *player = pick_player(true);
	uint64_t number;

	if (player == NULL || player->entry->numbers == 0)
		return;
	number = 1 + pick((unsigned)player->entry->numbers);
	if (pick(3) == 0) {
		puppet_say_number(player->entry, W2M_CONSUMED, number);
		settle_in_book(player, number, number, FATE_CONSUMED);
	} else {
		puppet_say_number(player->entry, W2M_SETTLED, number);
		settle_in_book(player, 1, number, FATE_SETTLED);
	}
}

static void
speak(void)
{
	struct player *player = pick_player(true);
	char text[256];

	if (player == NULL)
		return;
	snprintf(text, sizeof text, "<iq id='up' sto='%s' sfrom='%s'/>",
	    player->entry->confirmed ? player->entry->address : "foo.com", player->id);
	puppet_say_of(player->entry, W2M_PACKET, text, strlen(text));
	stage_turns();
	strlcat(text, "\n", sizeof text);
	ck_assert_str_eq(manager_take(), text);
}

/* What was kept for it has come back, in order, behind its end. */
static void
assert_end(const struct player *player, const struct entry *before, const char *queue)
{
	char text[200];
	const char *at;

	snprintf(text, sizeof text, "<message sto='%s' sfrom='%s' type='error'>", player->address, player->id);
	at = strstr(queue, text);
	ck_assert_msg((at != NULL) == (before->confirmed && !before->superseded && !before->ended_upstream), "%s", queue);
	at = at != NULL ? at : queue;
	for (unsigned i = 0; i < lines; i++) {
		if (book[i].serial != before->serial || book[i].fate != FATE_HELD)
			continue;
		book[i].fate = FATE_BOUNCED;
		if (!book[i].message)
			continue;
		snprintf(text, sizeof text, " sfrom='%s' type='error' id='%u'>", player->id, i);
		at = strstr(at, text);
		ck_assert_msg(at != NULL, "%s not behind the others in %s", text, queue);
	}
}

static void
go(void)
{
	struct player *player = pick_player(true);
	struct entry before;

	if (player == NULL)
		return;
	before = *player->entry;
	puppet_say_ended(player->entry);
	stage_turns();
	ck_assert_ptr_null(directory_at(&stage.directory, before.worker, before.slot, before.serial));
	assert_end(player, &before, manager_take());
	player->entry = NULL;
}

static void
die(uint32_t worker)
{
	struct entry before[CLIENTS];
	const char *queue;

	for (unsigned i = 0; i < CLIENTS; i++) {
		if (players[i].entry != NULL)
			before[i] = *players[i].entry;
	}
	puppet_die(worker);
	queue = manager_take();
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (players[i].entry == NULL || before[i].worker != worker)
			continue;
		assert_end(&players[i], &before[i], queue);
		players[i].entry = NULL;
	}
	puppet_replace(worker);
}

static void
happen(void)
{
	static void (*const events[])(void) = {
		come, come, log_in, log_in, be_sent, be_sent, be_sent, be_sent, be_sent, be_sent_late, be_ended, say_fate, say_fate,
		speak, go,
	};

	if (pick(150) == 0)
		die(pick(WORKERS));
	else
		events[pick(sizeof events / sizeof events[0])]();
	for (uint32_t worker = 0; worker < WORKERS; worker++)
		puppet_forget(worker);
	stage_turns();
	/* The book knows no time: on a slow machine the master would end somebody to make room, which is not its subject. */
	timer_clear(&stage.loop, &stage.relief);
}

/* ---- the test ---- */

static uint64_t
count_in_book(enum fate fate)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < lines; i++)
		count += book[i].message && book[i].fate == fate;
	return count;
}

START_TEST(nothing_vanishes)
{
	const uint64_t *of = stage.keeper.total.of;
	uint64_t others = 0;

	srandom((unsigned)_i + 1);
	for (unsigned step = 0; step < STEPS; step++) {
		happen();
		stage_assert_balance();
	}
	for (uint32_t worker = 0; worker < WORKERS; worker++)
		die(worker);
	stage_assert_balance();
	ck_assert_msg(strstr(stage_log(), "broke-contract") == NULL, "%s", stage_log());
	ck_assert_uint_eq(stage.directory.count, 0);
	ck_assert_uint_eq(stage.keeper.held_bytes, 0);
	ck_assert(!stage.link.unread);
	/* Messages have the fates that the book gives them; the book does not say what becomes of answers and 510s. */
	for (unsigned i = 0; i < lines; i++)
		others += !book[i].message;
	ck_assert_uint_eq(count_in_book(FATE_HELD), 0);
	ck_assert_uint_ge(of[FATE_SETTLED], count_in_book(FATE_SETTLED));
	ck_assert_uint_le(of[FATE_SETTLED], count_in_book(FATE_SETTLED) + others);
	ck_assert_uint_ge(of[FATE_BOUNCED], count_in_book(FATE_BOUNCED) + bounced_late);
	ck_assert_uint_le(of[FATE_BOUNCED], count_in_book(FATE_BOUNCED) + bounced_late + others);
	/* What this run was about has happened. */
	ck_assert_uint_gt(count_in_book(FATE_BOUNCED), 50);
	ck_assert_uint_gt(count_in_book(FATE_SETTLED), 50);
}
END_TEST

static void
setup(void)
{
	memset(players, 0, sizeof players);
	lines = 0;
	bounced_late = 0;
	book = calloc(STEPS, sizeof *book);
	ck_assert_ptr_nonnull(book);
	stage_open(WORKERS, HELD_MAX);
}

static void
teardown(void)
{
	stage_close();
	free(book);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("fates");
	TCase *tests = tcase_create("fates");

	if (argc != 2)
		return EXIT_FAILURE;
	stage_puppet = argv[1];
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, nothing_vanishes, 0, SEEDS);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
