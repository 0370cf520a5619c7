/*
 * relay: what becomes of everything that a dialect can ask for, in every state of a client and in every order, whether it
 * makes sense or not. The dialect here is a puppet: words in the text say what it asks for.
 *
 * Held against it: every packet is settled once, or consumed once, or stays the master's; nothing is said of a client behind
 * its end; nothing of it is left.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/worker/stage.h"
#include "worker/login.h"
#include "worker/relay.h"
#include "worker/unread.h"

#define ADDRESS "alice@foo.com/r"

/* A header that our own puppet answers with nothing of its own. */
#define OURS "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "

static const struct {
	const char *word;
	unsigned effect;
} effects[] = {
	{ "several", DIALECT_SEVERAL }, { "header", DIALECT_HEADER }, { "features", DIALECT_FEATURES },
	{ "refused", DIALECT_REFUSED }, { "logged-in", DIALECT_LOGGED_IN }, { "bound", DIALECT_BOUND },
	{ "restart", DIALECT_RESTART }, { "delivered", DIALECT_DELIVERED }, { "held", DIALECT_HELD },
	{ "memo", DIALECT_MEMO }, { "keep", DIALECT_KEEP }, { "unreadable", DIALECT_UNREADABLE }, { "end", DIALECT_END },
};

/* What the puppet answers to the next header. */
static const char *to_header;

/* What it last asked for, of each packet: they say their numbers. */
#define PACKETS_MAX 64
static unsigned asked_of[PACKETS_MAX];

/* ---- the puppet ---- */

static bool
has_word(const char *text, size_t length, const char *word)
{
	return memmem(text, length, word, strlen(word)) != NULL;
}

static unsigned
effects_of(const char *text, size_t length)
{
	unsigned asked = 0;

	for (size_t i = 0; i < COUNT(effects); i++)
		asked |= has_word(text, length, effects[i].word) ? effects[i].effect : 0;
	return asked;
}

/* In a struct made for the call it is lent. */
static void
renew(const struct dialect_client *client, char **string, const char *value)
{
	if (client->host == NULL && client->stage == 0)
		return;
	free(*string);
	*string = strdup(value);
}

/* What has come back and has to go up again: it is given back, whoever owns it then. */
static const void *returned;

static void
keep_returned(struct dialect_client *client)
{
	buffer_append_string(&client->held, "<message/>");
	ck_assert(!client->held.failed);
	returned = buffer_bytes(&client->held);
}

void __real_buffer_deinit(struct buffer *buffer);
void __wrap_buffer_deinit(struct buffer *buffer);

void
__wrap_buffer_deinit(struct buffer *buffer)
{
	if (returned != NULL && buffer_bytes(buffer) == returned)
		returned = NULL;
	__real_buffer_deinit(buffer);
}

/* No memory for what lives long. */
static bool texts_are_full;

char *__real_texts_add(struct texts *texts, const char *text, size_t length);
char *__wrap_texts_add(struct texts *texts, const char *text, size_t length);

char *
__wrap_texts_add(struct texts *texts, const char *text, size_t length)
{
	return texts_are_full ? NULL : __real_texts_add(texts, text, length);
}

static int
obey(struct dialect_client *client, const char *text, size_t length, struct dialect_answer *answer)
{
	answer->effects = effects_of(text, length);
	/* What was held is given again. */
	if ((answer->effects & DIALECT_HELD) != 0 && client->host == NULL && client->stage == 0 &&
	    !has_word(text, length, "anyway"))
		answer->effects ^= DIALECT_HELD | DIALECT_DELIVERED;
	if (has_word(text, length, " up"))
		buffer_append_string(answer->up, "<up/>");
	if ((answer->effects & DIALECT_SEVERAL) != 0)
		buffer_append_string(answer->up, "<up/><up/>");
	if (has_word(text, length, " down") || (answer->effects & DIALECT_DELIVERED) != 0)
		buffer_append_string(answer->down, "<down/>");
	if ((answer->effects & DIALECT_LOGGED_IN) != 0)
		renew(client, &client->address, ADDRESS);
	if ((answer->effects & DIALECT_MEMO) != 0)
		client->memo = strdup("memo");
	if ((answer->effects & DIALECT_REFUSED) != 0)
		answer->failure = "not-authorized";
	if ((answer->effects & DIALECT_KEEP) != 0)
		client->stage = 1;
	if (has_word(text, length, "returned"))
		keep_returned(client);
	texts_are_full = has_word(text, length, "full");
	if (has_word(text, length, "waits"))
		client->waits = true;
	if (has_word(text, length, "goes"))
		client->waits = false;
	if (has_word(text, length, "asked"))
		client->asked = true;
	if (has_word(text, length, "told")) {
		answer->told = true;
		answer->condition = CONDITION_POLICY_VIOLATION;
		buffer_append_string(answer->down, "<stream:error/>");
	}
	/* Without KEEP nothing that is set in it is taken over. */
	if (client->host == NULL && client->stage == 0)
		client->waits = client->asked = false;
	return has_word(text, length, "no-memory") ? -1 : 0;
}

static int
puppet_header(struct dialect_client *client, const struct dialect_context *context,
    const struct dialect_header *header, struct dialect_answer *answer)
{
	(void)context;
	(void)header;
	return obey(client, to_header, strlen(to_header), answer);
}

static int
puppet_element(struct dialect_client *client, const struct dialect_context *context, const char *bytes, size_t length,
    size_t name_end, struct dialect_answer *answer)
{
	(void)context;
	(void)name_end;
	return obey(client, bytes, length, answer);
}

static int
puppet_packet(struct dialect_client *client, const struct dialect_context *context, const char *bytes, size_t length,
    struct dialect_answer *answer)
{
	unsigned number = (unsigned)strtoul(bytes, NULL, 10);
	int result = obey(client, bytes, length, answer);

	(void)context;
	ck_assert_uint_lt(number, PACKETS_MAX);
	asked_of[number] = answer->effects;
	return result;
}

static const struct dialect puppet = {
	.name = "puppet", .client_header = puppet_header, .client_element = puppet_element, .client_packet = puppet_packet,
};

/* ---- the account of one client's packets ---- */

enum fate {
	UNKNOWN,
	SETTLED,
	CONSUMED,
};

struct account {
	struct person *person;
	enum fate fates[PACKETS_MAX];
	unsigned looked;	/* frames that have been looked at */
	bool ended;
	bool session;
	struct client_end end;
};

static void
book_settled(struct account *account, uint64_t number)
{
	ck_assert_uint_le(number, account->person->number);
	for (uint64_t i = 1; i <= number; i++) {
		if (account->fates[i] != UNKNOWN)
			continue;
		ck_assert_msg((asked_of[i] & DIALECT_DELIVERED) != 0, "%u was never delivered", (unsigned)i);
		account->fates[i] = SETTLED;
	}
}

static void
book_frame(struct account *account, const struct got *got)
{
	struct frame frame = frame_of(got);
	uint64_t number;

	ck_assert_uint_eq(got->serial, account->person->serial);
	ck_assert_msg(!account->ended, "%s behind the end", contract_name(got->type));
	switch (got->type) {
	case W2M_SETTLED:
		ck_assert(message_get_number(&frame, &number));
		book_settled(account, number);
		break;
	case W2M_CONSUMED:
		ck_assert(message_get_number(&frame, &number));
		ck_assert_uint_le(number, account->person->number);
		ck_assert_int_eq(account->fates[number], UNKNOWN);
		account->fates[number] = CONSUMED;
		break;
	case W2M_ENDED:
		ck_assert(message_get_end(&frame, &account->end));
		account->ended = true;
		break;
	case W2M_SESSION:
		ck_assert_str_eq(text_of(&got->body), ADDRESS);
		account->session = true;
		break;
	default:
		ck_assert_msg(got->type == W2M_PACKET || got->type == W2M_LOGIN_FAILED, "%s", contract_name(got->type));
		break;
	}
}

/* All that is held belongs to somebody who waits for it. */
static void
book(struct account *account)
{
	turns();
	/* Only who has read everything acknowledges it at once. */
	if (account->person->fd >= 0)
		listen_to(account->person);
	acknowledge(account->person);
	for (; queue_taken < queue_count; queue_taken++)
		book_frame(account, &queue[queue_taken]);
	queue_forget();
}

static void
expect_fates(const struct account *account, const char *fates)
{
	char got[PACKETS_MAX + 1] = "";

	for (unsigned i = 1; i <= account->person->number; i++)
		got[i - 1] = "-sc"[account->fates[i]];
	ck_assert_str_eq(got, fates);
}

/* ---- what is played ---- */

static void
packet(struct account *account, const char *words)
{
	char text[256];

	snprintf(text, sizeof text, "%u %s", (unsigned)account->person->number + 1, words);
	tell_packet(account->person, text, 0);
}

/* It has said nothing for longer than any time that is waited for. */
static void
be_silent(struct person *person)
{
	client_of(person)->last_read = 0;
	deadlines_are_due(&worker.silence);
}

/*
 * One step: "> TEXT" the client says, "< WORDS" the session manager, "stop", "go", "lost", "kick", "retire", "pause": the time
 * of a pause is over, "late": that of the login is, "silent": that of a silence is, "leave", "reset".
 */
static void
play(struct account *account, const char *step)
{
	struct person *person = account->person;

	if (step[0] == '>' && person->fd >= 0)
		(void)!send(person->fd, step + 2, strlen(step + 2), MSG_NOSIGNAL);
	else if (step[0] == '<')
		packet(account, step + 2);
	else if (strcmp(step, "stop") == 0)
		tell(M2W_STOP);
	else if (strcmp(step, "go") == 0)
		tell(M2W_GO);
	else if (strcmp(step, "lost") == 0)
		tell(M2W_LOST);
	else if (strcmp(step, "kick") == 0)
		tell_reason(person, M2W_CLOSE, END_KICKED);
	else if (strcmp(step, "retire") == 0)
		tell_reason(NULL, M2W_CLOSE_ALL, END_RETIRED);
	else if (strcmp(step, "late") == 0)
		deadlines_are_due(&worker.login);
	else if (strcmp(step, "silent") == 0)
		be_silent(person);
	else if (strcmp(step, "pause") == 0)
		deadlines_are_due(&worker.login_tick);
	else if (strcmp(step, "leave") == 0)
		leave(person);
	book(account);
}

static void
begin(struct account *account, struct person *person)
{
	int on = 1;

	worker.dialect = &puppet;
	texts_are_full = false;
	to_header = "header features";
	memset(asked_of, 0, sizeof asked_of);
	*account = (struct account){ .person = person };
	connect_client(person, 0);
	/* What it says comes when it is said. */
	ck_assert_int_eq(setsockopt(person->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

/* All is over, and nothing is left. */
static void
finish(struct account *account)
{
	leave(account->person);
	book(account);
	deadlines_are_due(&worker.drain);
	book(account);
	if (!account->ended)	/* half of a goodbye was written to nobody */
		tell_reason(account->person, M2W_CLOSE, END_TOO_SLOW);
	book(account);
	ck_assert(account->ended);
	ck_assert_uint_eq(worker.count, 0);
	ck_assert_uint_eq(worker.intakes, 0);
	ck_assert_uint_eq(worker.outputs, 0);
	ck_assert(TAILQ_EMPTY(&worker.paused));
	ck_assert_ptr_null(returned);
}

/* ---- row by row ---- */

#define ELEMENT(words) "<message id='" words "'/>"

#define H "> " MODERN
#define E(words) "> " ELEMENT(words)

static const struct row {
	const char *name;
	const char *steps[12];
	const char *fates;	/* of each packet: settled, consumed, or - the master's */
	const char *end;	/* reason; NULL: it is there until it leaves */
	bool session;
} rows[] = {
	{ "one login", { H, E("up waits"), "< logged-in bound goes down", "< delivered" }, "cs", NULL, true },
	{ "held, in order", { H, "< logged-in", "< held", "< held", E("bound"), "< delivered" }, "csss", NULL, true },
	{ "held, and its client leaves", { H, "< logged-in", "< held", "< held" }, "c--", NULL, true },
	{ "held, and the link is lost", { H, "< logged-in asked", "< held", "lost" }, "c-", NULL, true },
	{ "held, and the end", { H, "< logged-in", "< held", "< end" }, "c-c", "disconnected", true },
	{ "held, and too late", { H, "< logged-in", "< held", "late" }, "c-", "login-timeout", true },
	{ "held in session", { H, "< logged-in bound", "< held anyway" }, "c-", "broken", true },
	{ "delivered before what is held", { H, "< logged-in", "< held", "< delivered" }, "c-c", NULL, true },
	{ "bound twice", { H, "< logged-in bound", E("bound") }, "c", "broken", true },
	{ "bound without a session", { H, "< bound" }, "-", "broken", false },
	{ "a session twice", { H, "< logged-in", "< logged-in", E("bound"), "< delivered" }, "ccs", NULL, true },
	{ "a session in session", { H, "< logged-in bound", "< logged-in" }, "c-", "broken", true },
	{ "begun anew", { H, "< restart down", H, "< logged-in bound", "< delivered" }, "ccs", NULL, true },
	{ "begun anew, with a session", { H, "< logged-in restart", H, "< held", E("bound") }, "cs", NULL, true },
	{ "begun anew twice", { H, "< restart", "< restart" }, "c-", "broken", false },
	{ "begun anew in session", { H, "< logged-in bound", "< restart" }, "c-", "broken", true },
	{ "begun anew, held at once", { H, "< logged-in restart", "< held", H, "< held", E("bound") }, "css", NULL, true },
	{ "begun anew, and bound at once", { H, "< logged-in restart", "< bound" }, "c-", "broken", true },
	{ "begun anew, and a header at once", { H, "< logged-in restart", "< header" }, "c-", "broken", true },
	{ "begun anew, and the end", { H, "< logged-in restart", "< end told down" }, "cc", "disconnected", true },
	{ "begun anew, and gone", { H, "< restart", "> </stream:stream>" }, "c", "stream-error", false },
	{ "begun anew for another host", { H, "< restart", "> <stream:stream xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' to='bar.com' version='1.0'>" }, "c", "stream-error", false },
	{ "in half an element", { H, "> <message><body>a", "< restart", "> b</body>" }, "c", "stream-error", false },
	{ "in half a tag", { H, "> <message id", "< restart", "> ='1'/>" }, "c", "stream-error", false },
	{ "in CDATA", { H, "> <message><![CDATA[a", "< restart", "> ]]>" }, "c", "stream-error", false },
	{ "the next stream is there already", { H, E("waits"), H ELEMENT("up"), "< restart goes", "< delivered" }, "cs", NULL,
	    false },
	{ "so is its end", { H, E("waits"), H "</stream:stream>", "< restart goes" }, "c", "closed", false },
	{ "white space and a declaration behind it", { H, E("waits"), "> \n\t<?xml version='1.0'?>" MODERN, "< restart goes",
	    E("up") }, "c", NULL, false },
	{ "a goodbye while it waits", { H, E("waits"), "> </stream:stream>", "< goes" }, "c", "closed", false },
	{ "ended while it waits", { H, E("waits"), "kick" }, "", "kicked", false },
	{ "retired while it waits", { H, E("waits"), "retire" }, "", "retired", false },
	{ "too late while it waits", { H, E("waits"), "late" }, "", "login-timeout", false },
	{ "stopped while it waits", { H, E("waits"), "stop", "> <message/>", "< goes", "go", "< delivered" }, "cs", NULL, false },
	{ "stopped, too late", { H, E("waits"), "stop", "late", "go", "< goes delivered" }, "s", NULL, false },
	{ "lost while it waits", { H, E("waits asked"), "stop", "lost" }, "", "link-lost", false },
	{ "refused while it waits", { H, E("waits"), "< refused goes", "> <message/>", "pause", "< delivered" }, "cs", NULL,
	    false },
	{ "refused and begun anew", { H, E("waits"), "< refused restart goes", H }, "c", NULL, false },
	{ "refused in session", { H, "< logged-in bound", "< refused" }, "c-", "broken", true },
	{ "kept in session", { H, "< logged-in bound", "< keep waits", E("up"), "< bound memo goes" }, "ccc", NULL, true },
	{ "kept, and never answered", { H, "< logged-in bound", "< keep waits", "silent" }, "cc", "login-timeout", true },
	{ "kept, and the link is away", { H, "< logged-in bound", "< keep waits", "stop", "silent", "go", "< bound goes" }, "ccc",
	    NULL, true },
	{ "kept without a memo", { H, "< logged-in bound", "< keep", "< logged-in bound", "< delivered" }, "cccs", NULL, true },
	{ "kept twice", { H, "< logged-in bound memo", "< keep", "< keep", "< bound", "< delivered" }, "ccccs", NULL, true },
	{ "kept, and begun anew", { H, "< logged-in bound", "< keep", "< restart" }, "cc-", "broken", true },
	{ "kept, held, and delivered", { H, "< logged-in bound", "< keep", "< held", "< delivered" }, "cc-c", NULL, true },
	{ "delivered with what was held", { H, "< held", "< logged-in bound delivered", "< delivered" }, "scs", NULL, true },
	{ "kept and held", { H, "< logged-in bound", "< keep", "< held", "< bound" }, "ccsc", NULL, true },
	{ "kept, asked, and lost", { H, "< logged-in bound", "< keep asked", "lost" }, "cc", NULL, true },
	{ "kept, and the end", { H, "< logged-in bound", "< keep", "< end told down" }, "ccc", "disconnected", true },
	{ "kept, with what came back", { H, "< logged-in bound", "< keep memo returned" }, "cc", NULL, true },
	{ "kept, and nobody can remember", { H, "< logged-in bound", "< keep memo returned full" }, "c-", "broken", true },
	{ "kept, and nobody could send", { H, "< logged-in bound", "< keep memo returned no-memory" }, "c-", "broken", true },
	{ "logged in, and nobody can remember", { H, "< logged-in up full" }, "-", "broken", false },
	{ "told in session", { H, "< logged-in bound", "< end told down" }, "cc", "disconnected", true },
	{ "delivered and told", { H, "< logged-in bound", "< delivered end told" }, "cs", "disconnected", true },
	{ "told before a header", { H, "< end told" }, "c", "disconnected", false },
	{ "a header in session", { H, "< logged-in bound", "< header" }, "c-", "broken", true },
	{ "of an element what only a packet can be", { H, E("delivered") }, "", "broken", false },
	{ "no memory", { H, "< logged-in no-memory" }, "-", "broken", false },
	{ "unreadable", { H, "< unreadable", "< logged-in bound", "< unreadable" }, "ccc", NULL, true },
	{ "several", { H, "< several", E("several") }, "c", NULL, false },
};

START_TEST(row_by_row)
{
	const struct row *row = &rows[_i];
	struct account account;
	struct person person;

	begin(&account, &person);
	for (size_t i = 0; i < COUNT(row->steps) && row->steps[i] != NULL; i++)
		play(&account, row->steps[i]);
	expect_fates(&account, row->fates);
	ck_assert_msg(account.session == row->session, "%s", row->name);
	finish(&account);
	ck_assert_msg(strcmp(end_reason_name(account.end.reason), row->end == NULL ? "lost" : row->end) == 0, "%s: %s", row->name,
	    end_reason_name(account.end.reason));
	expect_fates(&account, row->fates);
}
END_TEST

/* ---- in any order ---- */

/* xorshift: the same each time. */
static unsigned
next(unsigned *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void
random_words(char words[256], unsigned *state)
{
	static const char *const others[] = { " up", " down", "waits", "goes", "asked", "told", "anyway", "no-memory" };
	size_t length = 0;

	words[0] = '\0';
	for (unsigned count = next(state) % 4; count > 0; count--) {
		unsigned which = next(state) % (COUNT(effects) + COUNT(others));
		const char *word = which < COUNT(effects) ? effects[which].word : others[which - COUNT(effects)];

		/* What ends at once teaches little. */
		if (which != COUNT(effects) - 1 || next(state) % 4 == 0)
			length += (size_t)snprintf(words + length, 256 - length, " %s", word);
	}
}

/* Rather what makes sense, so that more than the first step is seen. */
static void
random_step(char step[512], unsigned *state)
{
	static const char *const sensible[] = {
		"< logged-in", "< logged-in bound", "< held", "< delivered", "< restart goes", "< keep", "< bound goes", H,
		E("up waits"), E("bound"), E("up"), "> ", "> <message", "> '/>", "stop", "go", "lost", "pause", "late", "kick",
		"retire", "> </stream:stream>", "< end told",
	};
	/* Each of the first so often for one of the last. */
	unsigned which = next(state) % 40;
	char words[256];

	random_words(words, state);
	if (which < COUNT(sensible))
		snprintf(step, 512, "%s", sensible[which < 16 || next(state) % 6 == 0 ? which : which % 14]);
	else if (which < 34)
		snprintf(step, 512, "< %s", words);
	else
		snprintf(step, 512, "> <message id='%s'/>", words);
}

#define GAMES 60
#define STEPS 24

START_TEST(in_any_order)
{
	unsigned state = (unsigned)_i * 2654435761u + 1;

	for (unsigned game = 0; game < GAMES; game++) {
		struct account account;
		struct person person;
		char step[512];

		begin(&account, &person);
		play(&account, H);
		for (unsigned i = 0; i < STEPS && !account.ended; i++) {
			random_step(step, &state);
			play(&account, step);
		}
		play(&account, "go");
		finish(&account);
		buffer_clear(&lines);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("relay");
	TCase *tests = tcase_create("relay");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, row_by_row, 0, COUNT(rows));
	tcase_add_loop_test(tests, in_any_order, 0, 20);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
