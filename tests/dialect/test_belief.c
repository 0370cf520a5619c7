/*
 * belief: whatever a client and its session manager say, in whatever order it arrives, no worker sends what its master takes
 * for forged, and nothing that cannot be asked for (worker/relay). Master and worker are the two halves of a dialect, with a
 * queue each way between them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "tests/dialect/tap.h"

#define ID "0a1b2c.0.17.4711"
#define NAME "foo-sockets"
#define OURS ID "@" NAME
#define HOST "foo.com"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define QUEUE 64
#define PROMISED 64

enum state {
	OPENING,
	LOGIN,
	SESSION,
	OVER,
};

struct game {
	const struct dialect *dialect;
	unsigned random;
	char last_id[64];		/* of what went up */
	/* the worker */
	enum state state;
	bool has_login;
	struct dialect_client login;	/* until it is bound */
	char *address, *memo;
	/* between them; "=" in front of an address is W2M_SESSION */
	char *down[QUEUE], *up[QUEUE];
	unsigned down_count, up_count;
	/* the master */
	char *known;
	char *promised[PROMISED];
	unsigned promised_count;
	bool confirmed, starts;
};

static unsigned
next(struct game *game)
{
	game->random ^= game->random << 13;
	game->random ^= game->random >> 17;
	game->random ^= game->random << 5;
	return game->random >> 3;
}

static void
put(char *queue[QUEUE], unsigned *count, const char *text, size_t length)
{
	if (*count < QUEUE)
		queue[(*count)++] = strndup(text, length);
}

static char *
take(char *queue[QUEUE], unsigned *count)
{
	char *first = queue[0];

	memmove(queue, queue + 1, --*count * sizeof *queue);
	return first;
}

/* ---- the master ---- */

static void
promise(struct game *game, struct range raw)
{
	if (game->promised_count == PROMISED)
		return;
	free(game->known);
	game->known = range_strdup_decoded(raw);
	game->promised[game->promised_count++] = strdup(game->known);
}

static void
from_link(struct game *game, const char *text)
{
	struct packet packet;

	game->dialect->link_read(&packet, text, strlen(text));
	if (packet.kind == PACKET_OWN || packet.kind == PACKET_LOST ||
	    (packet.kind == PACKET_SESSION && packet.asked && !game->starts))
		return;
	game->starts &= packet.kind != PACKET_SESSION;
	if (packet.kind == PACKET_SESSION || (packet.kind == PACKET_LOGIN && !game->confirmed))
		promise(game, packet.address);
	put(game->down, &game->down_count, text, strlen(text));
}

static void
confirm(struct game *game, const char *address)
{
	bool given = false;

	for (unsigned i = 0; i < game->promised_count; i++)
		given |= strcmp(game->promised[i], address) == 0;
	ck_assert_msg(given || game->promised_count == PROMISED, "%s was never given", address);
	free(game->known);
	game->known = strdup(address);
	game->confirmed = true;
}

/* Of an account that was given; another one may have been since. */
static bool
may_start(const struct game *game, struct range account)
{
	bool given = game->promised_count == PROMISED;

	for (unsigned i = 0; i < game->promised_count; i++)
		given |= range_decodes_to_bytes(account, game->promised[i], strcspn(game->promised[i], "/"));
	return given;
}

static void
from_worker(struct game *game)
{
	char *text;
	struct range to;

	if (game->up_count == 0)
		return;
	text = take(game->up, &game->up_count);
	if (text[0] == '=') {
		confirm(game, text + 1);
		free(text);
		return;
	}
	switch (game->dialect->link_verify(text, strlen(text), ID, NAME, game->confirmed ? game->known : NULL, &to)) {
	case VERDICT_FORGED:
		ck_abort_msg("%s: to %s: %s", game->dialect->name, game->confirmed ? game->known : "nobody", text);
		break;
	case VERDICT_STARTS:
		ck_assert_msg(may_start(game, to), "%s", text);
		game->starts = true;
		break;
	case VERDICT_PACKET:
	case VERDICT_OPENS:
	case VERDICT_NOTICE:
		break;
	}
	free(text);
}

/* ---- the worker ---- */

static void
note_id(struct game *game, const char *text)
{
	const char *id = strstr(text, " id='");

	if (id != NULL && strcspn(id + 5, "'") < sizeof game->last_id)
		snprintf(game->last_id, sizeof game->last_id, "%.*s", (int)strcspn(id + 5, "'"), id + 5);
}

static void
send_up(struct game *game, const struct buffer *up)
{
	const char *at = (const char *)buffer_bytes(up), *end = at + buffer_length(up);
	struct element element;

	while (at < end && element_read(&element, at, (size_t)(end - at))) {
		put(game->up, &game->up_count, element.whole.at, element.whole.length);
		if (game->up_count < QUEUE)
			note_id(game, game->up[game->up_count - 1]);
		at = range_end(element.whole);
	}
}

static void
renew(char **string, const char *value)
{
	char *copy = value == NULL ? NULL : strdup(value);

	free(*string);
	*string = copy;
}

static void
keep(struct game *game, const struct dialect_client *session)
{
	game->login = *session;
	game->login.address = strdup(game->address);
	game->login.memo = game->memo == NULL ? NULL : strdup(game->memo);
	game->has_login = true;
}

static void
carry_out(struct game *game, struct dialect_client *client, const struct dialect_answer *answer, bool packet)
{
	static const unsigned of_login = DIALECT_HEADER | DIALECT_FEATURES | DIALECT_REFUSED | DIALECT_LOGGED_IN |
	    DIALECT_BOUND | DIALECT_RESTART | DIALECT_HELD;
	static const unsigned of_stream = DIALECT_HEADER | DIALECT_FEATURES | DIALECT_BOUND | DIALECT_RESTART;
	static const unsigned of_packet = DIALECT_DELIVERED | DIALECT_HELD | DIALECT_UNREADABLE;
	unsigned effects = answer->effects;

	/* As in worker/relay. */
	ck_assert(game->has_login || (effects & of_login) == 0);
	ck_assert(game->state != OPENING || (effects & of_stream) == 0);
	ck_assert(game->state != SESSION || (effects & of_stream & ~(unsigned)DIALECT_BOUND) == 0);
	ck_assert((effects & (DIALECT_LOGGED_IN | DIALECT_BOUND)) == 0 || client->address != NULL);
	ck_assert(packet || (effects & of_packet) == 0);
	if ((effects & DIALECT_LOGGED_IN) != 0) {
		struct buffer news = { 0 };

		buffer_append_format(&news, "=%s", client->address);
		put(game->up, &game->up_count, (const char *)buffer_bytes(&news), buffer_length(&news));
		buffer_deinit(&news);
		renew(&game->address, client->address);
	}
	send_up(game, answer->up);
	if ((effects & DIALECT_MEMO) != 0)
		renew(&game->memo, client->memo);
	if ((effects & DIALECT_KEEP) != 0 && !game->has_login)
		keep(game, client);
	if ((effects & DIALECT_BOUND) != 0) {
		dialect_client_deinit(&game->login);
		game->login = (struct dialect_client){ 0 };
		game->has_login = false;
		game->state = SESSION;
	}
	if ((effects & DIALECT_RESTART) != 0)
		game->state = OPENING;
	if ((effects & DIALECT_END) != 0)
		game->state = OVER;
}

enum call {
	CALL_HEADER,
	CALL_ELEMENT,
	CALL_PACKET,
};

static void
call(struct game *game, enum call what, const char *text)
{
	static const struct dialect_context context = { .id = ID, .name = NAME, .stream_id = "5ca1ab1e", .digest = true,
	    .registration = true, .plain = true };
	static const struct dialect_header header = { .version_major = 1 };
	struct dialect_client session = { .address = game->address, .memo = game->memo };
	struct dialect_client *client = game->has_login ? &game->login : &session;
	struct buffer up = { 0 }, down = { 0 }, features = { 0 };
	struct dialect_answer answer = { .up = &up, .down = &down, .features = &features };
	char *memo = client->memo;
	int result = 0;

	if (what == CALL_HEADER)
		result = game->dialect->client_header(client, &context, &header, &answer);
	else if (what == CALL_ELEMENT)
		result = game->dialect->client_element(client, &context, text, strlen(text), strcspn(text, " />"), &answer);
	else
		result = game->dialect->client_packet(client, &context, text, strlen(text), &answer);
	if (client->memo != memo) {
		if (client == &session)
			memo = client->memo;
	} else {
		memo = NULL;
	}
	if (result < 0)
		game->state = OVER;
	else
		carry_out(game, client, &answer, what == CALL_PACKET);
	free(memo);
	buffer_deinit(&up);
	buffer_deinit(&down);
	buffer_deinit(&features);
}

/* ---- what is said ---- */

#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"

static const char *const said[] = {
	"<iq type='set' id='a1'><query xmlns='jabber:iq:auth'><username>alice</username><password>pw</password>"
	    "<resource>r</resource></query></iq>",
	"<iq type='get' id='a2'><query xmlns='jabber:iq:auth'><username>alice</username></query></iq>",
	"<iq type='set' id='a3'><query xmlns='jabber:iq:register'><username>alice</username><password>pw</password></query></iq>",
	"<auth " SASL " mechanism='PLAIN'>AGFsaWNlAHB3</auth>", "<auth " SASL " mechanism='PLAIN'/>",
	"<response " SASL ">AGFsaWNlAHB3</response>", "<abort " SASL "/>", "<auth " SASL " mechanism='SCRAM-SHA-1'>biws</auth>",
	"<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
	"<iq type='set' id='b2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>s</resource></bind></iq>",
	"<iq type='set' id='s1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
	"<message to='b@foo.com'><body>hi</body></message>", "<presence/>",
	"<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>",
	"<r xmlns='urn:xmpp:sm:3'/>",
};

/* %S: whose it is; %I: the id of what went up last. */
static const char *const stamped[] = {
	"<iq type='result' id='%I' sto='" OURS "' sfrom='%S'/>", "<iq type='result' id='%I' sto='" OURS "' sfrom='%S'/>",
	"<iq type='error' id='%I' sto='" OURS "' sfrom='%S'><error code='401'/></iq>",
	"<iq type='result' id='zzz' sto='" OURS "' sfrom='%S'/>", "<message sto='" OURS "' sfrom='%S'><body/></message>",
	"<message sto='" OURS "' sfrom='%S' type='error'><error code='510'/></message>",
	"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' sto='" OURS "' sfrom='%S' from='" HOST "' id='1' version='1.0'/>",
	"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' sto='" OURS "' sfrom='%S' from='" HOST "' id='1' version='1.0'/>",
	"<stream:features sto='" OURS "' sfrom='%S'><x xmlns='urn:x'/></stream:features>",
	"<success " SASL " sto='" OURS "' sfrom='%S'/>", "<failure " SASL " sto='" OURS "' sfrom='%S'><not-authorized/></failure>",
	"<challenge " SASL " sto='" OURS "' sfrom='%S'>eA==</challenge>",
	"<success xmlns='urn:xmpp:sasl:2' sto='" OURS "' sfrom='%S'/>",
};

static const char *const routed[] = {
	"<route type='auth' to='" OURS "' from='%S'><iq type='result' id='%I'/></route>",
	"<route type='auth' to='" OURS "' from='%S'><iq type='result' id='%I'><query xmlns='jabber:iq:auth'><username/><password/>"
	    "<digest/><resource/></query></iq></route>",
	"<route type='auth' to='" OURS "' from='%S'><iq type='error' id='%I'><error code='401'/></iq></route>",
	"<route type='session' to='" OURS "' from='%S'/>", "<route type='session' to='" OURS "' from='%S'/>",
	"<route type='session' to='" OURS "' from='%S'><iq type='result' id='%I'/></route>",
	"<route to='" OURS "' from='%S'><message><body/></message></route>",
	"<route to='" OURS "' from='%S'><iq type='result' id='%I'/></route>",
	"<route type='error' error='Invalid Session' to='" OURS "' from='%S'/>",
	"<route type='error' error='Invalid Session' to='" OURS "' from='%S'><message to='b@foo.com'/></route>",
	"<route type='error' error='Internal Timeout' to='" OURS "' from='%S'/>",
	"<route type='error' error='Disconnected' to='" OURS "' from='%S'/>",
};

static void
say_down(struct game *game)
{
	static const char *const addresses[] = { HOST, "alice@foo.com", "alice@foo.com/r", "alice@foo.com/s", "alice@foo.com/1F",
	    "bob@foo.com/r" };
	bool route = game->dialect == &dialect_route;
	const char *at = route ? routed[next(game) % COUNT(routed)] : stamped[next(game) % COUNT(stamped)];
	const char *address = addresses[next(game) % COUNT(addresses)];
	struct buffer text = { 0 };

	/* What fits, mostly. */
	if (next(game) % 3 > 0)
		address = game->known != NULL ? game->known : "alice@foo.com/r";
	for (; *at != '\0'; at++) {
		if (at[0] == '%' && at[1] == 'S')
			buffer_append_string(&text, address);
		else if (at[0] == '%')
			buffer_append_string(&text, game->last_id);
		else
			buffer_append(&text, at, 1);
		at += at[0] == '%';
	}
	buffer_append(&text, "", 1);
	from_link(game, (const char *)buffer_bytes(&text));
	buffer_deinit(&text);
}

static void
say_up(struct game *game)
{
	if (game->has_login && game->login.waits)
		return;
	if (game->state == OPENING) {
		game->state = LOGIN;
		call(game, CALL_HEADER, NULL);
		return;
	}
	call(game, CALL_ELEMENT, said[next(game) % 3 == 0 && game->state != SESSION ? 0 : next(game) % COUNT(said)]);
}

static void
step(struct game *game)
{
	char *text;

	switch (next(game) % 5) {
	case 0:
		say_down(game);
		break;
	case 1:
		say_up(game);
		break;
	case 2:
	case 3:
		if (game->down_count == 0)
			break;
		text = take(game->down, &game->down_count);
		call(game, CALL_PACKET, text);
		free(text);
		break;
	default:
		from_worker(game);
		break;
	}
}

static void
game_deinit(struct game *game)
{
	while (game->down_count > 0)
		free(take(game->down, &game->down_count));
	while (game->up_count > 0)
		from_worker(game);
	for (unsigned i = 0; i < game->promised_count; i++)
		free(game->promised[i]);
	if (game->has_login)
		dialect_client_deinit(&game->login);
	free(game->known);
	free(game->address);
	free(game->memo);
}

static const struct dialect *const dialects[] = { &dialect_sfrom, &dialect_xmpp, &dialect_route };

#define GAMES 4000
#define STEPS 60

START_TEST(no_order_makes_a_forgery)
{
	unsigned sessions = 0, random = 2463534242u;

	for (unsigned i = 0; i < GAMES; i++) {
		struct game game = { .dialect = dialects[_i], .random = random, .state = OPENING, .has_login = true,
		    .login = { .host = strdup(HOST) } };

		for (unsigned k = 0; k < STEPS && game.state != OVER; k++)
			step(&game);
		sessions += game.address != NULL;
		random = next(&game) | 1;
		game_deinit(&game);
	}
	/* Enough of them come that far. */
	ck_assert_uint_gt(sessions, GAMES / 100);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("belief");
	TCase *tests = tcase_create("belief");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, no_order_makes_a_forgery, 0, COUNT(dialects));
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
