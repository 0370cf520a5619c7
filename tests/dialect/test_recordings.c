/*
 * The recordings of the real programs, played to the sfrom dialect from both sides.
 *
 * "as-socket-manager": a socket manager of 2000 was recorded between clients and a script that played the session
 * manager. What the clients and the script said is said to us, and what we answer must be what was recorded.
 *
 * "sto-sfrom-...": a session manager of 2000 was recorded, and a script played the socket manager. What the script
 * sent must be what we would have sent for the same client, and what jabberd answered must be understood: every
 * element is read, and given to its client.
 *
 * Compared as XML. Names that each program invents (the id of a client, the id of a login) are first made the same.
 * Where we do something else on purpose stands in `deviations`.
 */
#include <err.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "dialect/splitter.h"
#include "tests/dialect/call.h"
#include "tests/dialect/recording.h"
#include "tests/dialect/xml.h"

#define CLIENTS 32

/* One client and what the rest of c2sd would hold for it. */
struct player {
	char id[64];
	char name[64];
	char stream_id[64];
	struct dialect_client client;
	bool open;
};

/* What was said in answer to one line, by us or in the recording. */
struct answer {
	struct buffer link;
	struct buffer client;
	bool closed;		/* the client's connection */
};

static void
answer_deinit(struct answer *answer)
{
	buffer_deinit(&answer->link);
	buffer_deinit(&answer->client);
}

static const char *
text_of(struct buffer *buffer)
{
	buffer_append(buffer, "", 1);
	buffer->end--;
	return (const char *)buffer_bytes(buffer);
}

static struct dialect_context
context_of(const struct player *player)
{
	return (struct dialect_context){
		.id = player->id, .name = player->name, .stream_id = player->stream_id, .digest = true,
		.registration = true,
	};
}

static int
player_send(struct player *player, const char *text, struct buffer *up, struct buffer *down)
{
	struct dialect_context context = context_of(player);

	return call_element(&dialect_sfrom, &player->client, &context, text, strlen(text), strcspn(text, " />"), up,
	    down);
}

/* ---- as socket manager ---- */

/* Give our ids to what the recorded program called otherwise. */
static void
name_clients(struct recording *recording)
{
	unsigned current = 0;
	char address[64];

	for (size_t i = 0; i < recording->count; i++) {
		struct line *line = &recording->lines[i];

		if (line->client > 0)
			current = line->client;
		snprintf(address, sizeof(address), "c%u.1@foo-sockets", current);
		line_replace(line, "8@foo-sockets/741905C0", address);
		line_replace(line, "pthsock_client_auth_ID", "c2sd-login");
	}
}

static bool
is_header(const char *text)
{
	return strstr(text, "<stream:stream ") != NULL;
}

static void
player_close(struct player *player, struct answer *answer)
{
	if (player->open && player->client.address != NULL)
		dialect_sfrom.link_end(&answer->link, player->id, player->name, player->client.address, false);
	player->open = false;
	answer->closed = true;
}

/* The recording does not hold what the stream itself would have held: the id that the client was told comes next. */
static void
player_open(struct player *player, const struct line *line)
{
	char *to = xml_header_attribute(line->text, "to"), *stream_id = xml_header_attribute(line[1].text, "id");

	dialect_client_deinit(&player->client);
	*player = (struct player){ .name = "foo-sockets", .open = true };
	snprintf(player->id, sizeof(player->id), "c%u.1", line->client);
	snprintf(player->stream_id, sizeof(player->stream_id), "%s", stream_id);
	player->client.host = to == NULL ? NULL : strdup(to);
	xmlFree(to);
	xmlFree(stream_id);
}

static void
play_client(struct player *player, const struct line *line, struct answer *answer)
{
	xmlDoc *doc = xml_parse(line->text, strlen(line->text));
	int outcome;

	/* What is not XML is the end, and so is </stream:stream>: both are seen by worker/stream. */
	if (doc == NULL) {
		player_close(player, answer);
		return;
	}
	xmlFreeDoc(doc);
	outcome = player_send(player, line->text, &answer->link, &answer->client);
	if (outcome != CALL_SENT && outcome != CALL_ANSWERED)
		player_close(player, answer);
}

static void
play_link(struct player *player, const struct line *line, struct answer *answer)
{
	struct dialect_context context = context_of(player);
	const char *text = line->text;
	struct packet packet;
	int outcome;

	dialect_sfrom.link_read(&packet, text, strlen(text));
	if (packet.kind == PACKET_OWN || packet.kind == PACKET_LOST)
		return;
	if (!player->open || !range_equals(packet.id, player->id)) {
		if (!packet.disconnect)
			dialect_sfrom.link_bounce(&answer->link, text, strlen(text));
		return;
	}
	outcome = call_packet(&dialect_sfrom, &player->client, &context, text, strlen(text), &answer->client);
	if (outcome == CALL_ENDED) {
		player->open = false;
		answer->closed = true;
	}
}

/* Collect what was recorded behind the line, up to what was said next. */
static void
read_answer(const struct recording *recording, size_t at, struct answer *answer)
{
	for (at++; at < recording->count; at++) {
		const struct line *line = &recording->lines[at];

		if (line->speaker != CLIENT_TO && line->speaker != LINK_FROM)
			break;
		if (strcmp(line->text, "[EOF]") == 0)
			answer->closed = true;
		else if (line->text[0] != '[' && strcmp(line->text, "</stream:stream>") != 0)
			buffer_append_string(line->speaker == LINK_FROM ? &answer->link : &answer->client, line->text);
	}
}

static void
compare_answers(const struct recording *recording, const struct line *line, struct answer *ours,
    struct answer *recorded)
{
	const char *difference = NULL;
	char *text = NULL;

	if (!xml_equal(text_of(&ours->link), text_of(&recorded->link)))
		difference = "on the link";
	else if (!xml_equal(text_of(&ours->client), text_of(&recorded->client)))
		difference = "to the client";
	else if (ours->closed != recorded->closed)
		difference = "in closing the client";
	if (difference != NULL && asprintf(&text, "%s: ours '%s' '%s' %d, recorded '%s' '%s' %d", difference,
	    text_of(&ours->link), text_of(&ours->client), ours->closed, text_of(&recorded->link),
	    text_of(&recorded->client), recorded->closed) < 0)
		err(1, NULL);
	deviation_report(recording, line, text);
	free(text);
}

static void
replay_socket_manager(const char *folder, const char *name)
{
	struct player player = { 0 };
	struct recording recording;

	recording_load(&recording, folder, name);
	name_clients(&recording);
	for (size_t i = 0; i < recording.count; i++) {
		const struct line *line = &recording.lines[i];
		struct answer ours = { 0 }, recorded = { 0 };

		if (line->speaker == CLIENT_FROM && is_header(line->text)) {
			player_open(&player, line);
			continue;
		}
		if (line->speaker == CLIENT_FROM)
			play_client(&player, line, &ours);
		else if (line->speaker == LINK_TO && strstr(line->text, "sto=") != NULL)
			play_link(&player, line, &ours);
		else if (line->speaker == REMARK && strstr(line->text, "drops the TCP connection") != NULL)
			player_close(&player, &ours);
		else
			continue;
		read_answer(&recording, i, &recorded);
		/* Who has dropped his connection sees nothing of what is done to it. */
		if (line->speaker == REMARK)
			recorded.closed = true;
		compare_answers(&recording, line, &ours, &recorded);
		answer_deinit(&ours);
		answer_deinit(&recorded);
	}
	dialect_client_deinit(&player.client);
	recording_free(&recording);
}

/* ---- as session manager ---- */

/* The recorded sockets are called 12@foo-sockets/A1; an id of ours has no resource. */
static void
name_socket(struct line *line, unsigned socket, const char *token, const char *name)
{
	char old[64], new_name[64];

	snprintf(old, sizeof(old), "%u@%s/%s", socket, name, token);
	snprintf(new_name, sizeof(new_name), "%u.%s@%s", socket, token, name);
	line_replace(line, old, new_name);
}

static void
name_sockets(struct recording *recording)
{
	static const char *const tokens[] = { "A1", "B1", "C1", "D1", "E1", "F1", "Z1" };

	for (size_t i = 0; i < recording->count; i++)
		for (unsigned socket = 12; socket <= 17; socket++)
			for (size_t token = 0; token < sizeof(tokens) / sizeof(tokens[0]); token++) {
				name_socket(&recording->lines[i], socket, tokens[token], "foo-sockets");
				name_socket(&recording->lines[i], socket, tokens[token], "bar-sockets");
			}
}

static struct player *
find_player(struct player *players, const char *address)
{
	char id[64], name[64];
	size_t i;

	if (sscanf(address, "%63[^@]@%63s", id, name) != 2)
		return NULL;
	for (i = 0; i < CLIENTS && players[i].id[0] != '\0'; i++)
		if (strcmp(players[i].id, id) == 0 && strcmp(players[i].name, name) == 0)
			return &players[i];
	if (i == CLIENTS)
		errx(1, "more than %u clients", CLIENTS);
	players[i] = (struct player){ .stream_id = "ABCD", .client.host = strdup("localhost"), .open = true };
	strcpy(players[i].id, id);
	strcpy(players[i].name, name);
	return &players[i];
}

static void
take_attribute(xmlNode *node, const char *name)
{
	xmlUnsetProp(node, (const xmlChar *)name);
}

/* What had been bounced when this 510 was made: the founding document says how to get it back. */
static void
undo_bounce(xmlNode *node, xmlNode *error)
{
	char *type = xml_attribute(error, "type");
	char *sto = xml_attribute(node, "sto"), *sfrom = xml_attribute(node, "sfrom");

	take_attribute(node, "type");
	if (type != NULL)
		xmlSetProp(node, (const xmlChar *)"type", (const xmlChar *)type);
	xmlSetProp(node, (const xmlChar *)"sto", (const xmlChar *)sfrom);
	xmlSetProp(node, (const xmlChar *)"sfrom", (const xmlChar *)sto);
	xmlUnlinkNode(error);
	xmlFreeNode(error);
	xmlFree(type);
	xmlFree(sto);
	xmlFree(sfrom);
}

/* A 510 that jabberd was sent: ours would have been the same. */
static void
make_510(struct player *player, xmlNode *node, xmlNode *error, struct buffer *up)
{
	bool alone = xmlNextElementSibling(xmlFirstElementChild(node)) == NULL;
	bool bare = alone && !xmlHasProp(node, (const xmlChar *)"id");
	char *sto = xml_attribute(node, "sto"), *original;

	if (bare) {
		dialect_sfrom.link_end(up, player->id, player->name, sto, false);
	} else {
		undo_bounce(node, error);
		original = xml_write(node);
		dialect_sfrom.link_bounce(up, original, strlen(original));
		free(original);
	}
	xmlFree(sto);
}

/* What the client had sent when this was stamped. */
static void
make_element(struct player *player, xmlNode *node, struct buffer *up, struct buffer *down)
{
	char *text;

	take_attribute(node, "sto");
	take_attribute(node, "sfrom");
	text = xml_write(node);
	player_send(player, text, up, down);
	free(text);
}

static void
play_recorded_packet(struct player *players, const struct recording *recording, const struct line *line)
{
	xmlDoc *doc = xml_parse(line->text, strlen(line->text));
	xmlNode *node = xmlFirstElementChild(xmlDocGetRootElement(doc)), *error = xml_find_510(node);
	char *sfrom = xml_attribute(node, "sfrom"), *difference = NULL;
	struct player *player = find_player(players, sfrom);
	struct buffer up = { 0 }, down = { 0 };

	if (error != NULL)
		make_510(player, node, error, &up);
	else
		make_element(player, node, &up, &down);
	if (!xml_equal(text_of(&up), line->text) && asprintf(&difference, "recorded '%s', ours up '%s' down '%s'",
	    line->text, text_of(&up), text_of(&down)) < 0)
		err(1, NULL);
	deviation_report(recording, line, difference);
	free(difference);
	buffer_deinit(&up);
	buffer_deinit(&down);
	xmlFree(sfrom);
	xmlFreeDoc(doc);
}

static bool
range_is(struct range range, const char *expected)
{
	return expected == NULL ? range.at == NULL : range_decodes_to(range, expected);
}

static enum packet_kind
expected_kind(xmlNode *node, const char *sfrom)
{
	if (xml_find_510(node) != NULL && xml_attribute_is(node, "type", "error"))
		return PACKET_DISCONNECT;
	if (xmlStrEqual(node->name, (const xmlChar *)"iq") && xml_attribute_is(node, "type", "result") &&
	    strchr(sfrom, '@') != NULL)
		return PACKET_LOGIN;
	return PACKET_DATA;
}

/* Read by link_read as libxml2 reads it. NULL, or what is wrong. */
static const char *
check_read(xmlNode *node, const struct packet *packet, const struct player *player)
{
	char *sfrom = xml_attribute(node, "sfrom"), *from = xml_attribute(node, "from");
	const char *wrong = NULL;

	if (packet->kind != expected_kind(node, sfrom))
		wrong = "kind";
	else if (!range_is(packet->id, player->id) || !range_is(packet->name, player->name))
		wrong = "id or name";
	else if (!range_is(packet->address, sfrom) || !range_is(packet->from, from))
		wrong = "address or from";
	else if (packet->disconnect != (xml_find_510(node) != NULL))
		wrong = "disconnect";
	xmlFree(sfrom);
	xmlFree(from);
	return wrong;
}

/* What client_packet must say, from what the client is and what libxml2 sees. */
static int
expected_outcome(xmlNode *node, const struct player *player)
{
	const struct dialect_client *client = &player->client;
	const char *address = client->address != NULL ? client->address : client->host;
	bool answer = client->asked_id != NULL && client->asked_login && xml_attribute_is(node, "id", client->asked_id);

	if (xml_find_510(node) != NULL && xml_attribute_is(node, "sfrom", address) &&
	    !xmlHasProp(node, (const xmlChar *)"from"))
		return CALL_ENDED;
	if (answer && xml_attribute_is(node, "type", "result"))
		return CALL_LOGGED_IN;
	if (answer && xml_attribute_is(node, "type", "error"))
		return CALL_REFUSED;
	return CALL_DELIVERED;
}

static const char *
check_delivery(xmlNode *node, const char *text, size_t length, struct player *player)
{
	int expected = expected_outcome(node, player);
	struct dialect_context context = context_of(player);
	struct buffer down = { 0 };
	const char *wrong = NULL;
	char *stripped;

	if (call_packet(&dialect_sfrom, &player->client, &context, text, length, &down) != expected)
		wrong = "outcome";
	if (expected == CALL_LOGGED_IN && !xml_attribute_is(node, "sfrom", player->client.address))
		wrong = "address of the session";
	take_attribute(node, "sto");
	take_attribute(node, "sfrom");
	stripped = xml_write(node);
	if (!xml_equal(text_of(&down), expected == CALL_ENDED ? "" : stripped))
		wrong = "what the client sees";
	if (expected == CALL_ENDED) {
		dialect_client_deinit(&player->client);
		player->client.host = strdup("localhost");
	}
	free(stripped);
	buffer_deinit(&down);
	return wrong;
}

/* One element of jabberd. NULL, or what is wrong. */
static const char *
check_element(struct player *players, const char *text, size_t length)
{
	xmlDoc *doc = xml_parse(text, length);
	xmlNode *node = xmlFirstElementChild(xmlDocGetRootElement(doc));
	char *sto = xml_attribute(node, "sto");
	struct player *player;
	struct packet packet;
	const char *wrong;

	dialect_sfrom.link_read(&packet, text, length);
	if (sto == NULL) {
		wrong = packet.kind == PACKET_LOST ? NULL : "kind";
	} else {
		player = find_player(players, sto);
		wrong = check_read(node, &packet, player);
		if (wrong == NULL)
			wrong = check_delivery(node, text, length, player);
	}
	xmlFree(sto);
	xmlFreeDoc(doc);
	return wrong;
}

/* A line of jabberd's stream, through the splitter. */
static void
play_recorded_stream(struct player *players, struct splitter *splitter, const struct recording *recording,
    const struct line *line)
{
	const char *at = line->text, *wrong = NULL;
	struct splitter_event event;

	while (wrong == NULL && splitter_next(splitter, at, strlen(at), &event) != SPLITTER_MORE) {
		if (event.type == SPLITTER_ELEMENT)
			wrong = check_element(players, at + event.skip, event.length);
		else if (event.type != SPLITTER_HEADER && event.type != SPLITTER_END)
			wrong = "not split";
		at += event.skip + event.length;
	}
	if (wrong == NULL && event.skip != strlen(at))
		wrong = "not complete";
	deviation_report(recording, line, wrong);
}

static void
play_header(const struct recording *recording, const struct line *line)
{
	struct buffer header = { 0 };

	dialect_sfrom.link_header(&header, "foo-sockets");
	deviation_report(recording, line, strcmp(text_of(&header), line->text) == 0 ? NULL : "another header");
	buffer_deinit(&header);
}

static void
replay_session_manager(const char *folder, const char *name)
{
	struct player players[CLIENTS] = { 0 };
	struct splitter splitter;
	struct recording recording;

	splitter_init(&splitter, 65536);
	recording_load(&recording, folder, name);
	name_sockets(&recording);
	for (size_t i = 0; i < recording.count; i++) {
		const struct line *line = &recording.lines[i];

		if (line->speaker == LINK_TO && strstr(line->text, "sfrom=") != NULL)
			play_recorded_packet(players, &recording, line);
		else if (line->speaker == LINK_TO && (is_header(line->text) || strcmp(line->text, "<root>") == 0))
			play_header(&recording, line);
		if (line->speaker != LINK_FROM || line->text[0] == '[')
			continue;
		/* Several links were recorded into one file, and a script saw the end before what was said last. */
		if (is_header(line->text))
			splitter_init(&splitter, 65536);
		play_recorded_stream(players, &splitter, &recording, line);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		dialect_client_deinit(&players[i].client);
	recording_free(&recording);
}

int
main(int argc, char **argv)
{
	bool good;

	if (argc != 2)
		errx(1, "usage: test_recordings FOLDER");
	deviations_load(argv[1]);
	replay_socket_manager(argv[1], "pre-pthsock_client-as-socket-manager.txt");
	replay_session_manager(argv[1], "pre-sto-sfrom-main.txt");
	replay_session_manager(argv[1], "pre-sto-sfrom-bounces.txt");
	good = deviations_finish();
	deviations_free();
	xmlCleanupParser();
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
