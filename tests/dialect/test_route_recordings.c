/*
 * The recordings of jabberd 1.2, jabberd14 and jadc2s, played to the route dialect from both sides, as test_recordings.c does
 * with those of 2000: a recorded socket manager's clients and session manager say to us what they said to it; and what a
 * script has said to a recorded jabberd must be what we would have said, and what jabberd answered is understood.
 *
 * Compared as XML. The ids of clients and the notices of jadc2s (2.5) are made ours; where we do something else on purpose
 * stands in recordings-route/deviations.
 */
#include <err.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "dialect/notice.h"
#include "dialect/splitter.h"
#include "tests/dialect/recording.h"
#include "tests/dialect/xml.h"

#define CLIENTS 16
#define STREAM_ERRORS "urn:ietf:params:xml:ns:xmpp-streams"

struct player {
	char id[64];
	char name[64];
	char stream_id[64];
	char jid[128];			/* of its session, for the notices */
	struct dialect_client client;
	char *starts;			/* what we have sent to get a session */
	bool open;
	bool drops;			/* its connection, as soon as it has logged in */
};

/* What was said in answer to one line, by us or in the recording. */
struct said {
	struct buffer link, client;
};

static void
said_deinit(struct said *said)
{
	buffer_deinit(&said->link);
	buffer_deinit(&said->client);
}

static const char *
text_of(struct buffer *buffer)
{
	buffer_append(buffer, "", 1);
	buffer->end--;
	return (const char *)buffer_bytes(buffer);
}

static void
player_deinit(struct player *player)
{
	free(player->starts);
	dialect_client_deinit(&player->client);
	*player = (struct player){ 0 };
}

static void
notice(const struct player *player, bool login, struct buffer *link)
{
	const struct dialect_connection connection = { .ip = "127.0.0.1" };
	struct buffer told = { 0 };

	if (strcmp(player->name, "jadc2s") != 0)
		return;
	notice_put_login(&told, "connections@foo.com", player->id, player->name, player->jid, &connection);
	if (login)
		buffer_append(link, buffer_bytes(&told), buffer_length(&told));
	else
		notice_put_logout(link, buffer_bytes(&told), buffer_length(&told));
	buffer_deinit(&told);
}

static void
player_close(struct player *player, struct buffer *link)
{
	if (player->open && player->client.address != NULL) {
		dialect_route.link_end(link, player->id, player->name, player->client.address, false);
		notice(player, false, link);
	}
	player->open = false;
}

/* What the worker would do with the answer. */
static void
carry_out(struct player *player, bool packet, struct dialect_answer *answer, char *memo, struct said *said)
{
	unsigned effects = answer->effects;

	if (player->client.memo != memo)
		free(memo);
	if ((effects & DIALECT_LOGGED_IN) != 0)
		notice(player, true, &said->link);
	buffer_append(&said->link, buffer_bytes(answer->up), buffer_length(answer->up));
	if (strstr(text_of(answer->up), "type='session'") != NULL) {
		free(player->starts);
		player->starts = strdup(text_of(answer->up));
		snprintf(player->jid, sizeof(player->jid), "%s", player->client.jid != NULL ? player->client.jid : "");
	}
	if ((effects & DIALECT_END) != 0) {
		buffer_append_format(&said->client, "<error><%s xmlns='" STREAM_ERRORS "'/><text xmlns='" STREAM_ERRORS
		    "'>%s</text></error>", condition_name(answer->condition), answer->text);
		/* Of what its client does wrong a recorded program makes less: the conversation goes on. */
		player->open = !packet;
		if (packet)
			notice(player, false, &said->link);
	}
	if ((effects & DIALECT_LOGGED_IN) != 0 && player->drops)
		player_close(player, &said->link);
	if ((effects & DIALECT_UNREADABLE) != 0)
		buffer_append_string(&said->client, "<unreadable/>");
}

/* One call of the worker half; `up` and `down` go to `said`. */
static unsigned
play(struct player *player, bool packet, const char *text, size_t length, struct said *said)
{
	const struct dialect_context context = {
		.id = player->id, .name = player->name, .stream_id = player->stream_id, .digest = true, .registration = true,
	};
	struct buffer up = { 0 }, features = { 0 };
	struct dialect_answer answer = { .up = &up, .down = &said->client, .features = &features };
	char *memo = player->client.memo;
	int result = packet ? dialect_route.client_packet(&player->client, &context, text, length, &answer) :
	    dialect_route.client_element(&player->client, &context, text, length, 1 + strcspn(text + 1, " />"), &answer);

	if (result < 0)
		errx(1, "%s: %d", text, result);
	carry_out(player, packet, &answer, memo, said);
	buffer_deinit(&up);
	buffer_deinit(&features);
	return answer.effects;
}

/* ---- as socket manager ---- */

static bool
is_header(const char *text)
{
	return strstr(text, "<stream:stream ") != NULL;
}

static void
player_open(struct player *player, const struct recording *recording, size_t at, const char *name)
{
	const struct line *line = &recording->lines[at];
	char *to = xml_header_attribute(line->text, "to"), *stream_id = NULL;

	/* jadc2s keeps its header until it has something to say. */
	for (at++; stream_id == NULL && at < recording->count; at++)
		if (recording->lines[at].speaker == CLIENT_TO && is_header(recording->lines[at].text))
			stream_id = xml_header_attribute(strstr(recording->lines[at].text, "<stream:stream "), "id");
	player_deinit(player);
	player->open = true;
	snprintf(player->id, sizeof(player->id), "c%u.1", line->client);
	snprintf(player->name, sizeof(player->name), "%s", name);
	snprintf(player->stream_id, sizeof(player->stream_id), "%s", stream_id != NULL ? stream_id : "");
	player->client.host = strdup(to);
	xmlFree(to);
	xmlFree(stream_id);
}

/* The script leaves a question about registration without an answer, for which we would wait. */
static bool
forget_question(struct player *player)
{
	bool forgotten = !player->client.asked_login && player->client.stage == 0;

	if (forgotten) {
		free(player->client.asked_id);
		player->client.asked_id = NULL;
		player->client.asked = player->client.waits = false;
	}
	return forgotten;
}

static void
play_client(struct player *player, const struct line *line, struct said *said)
{
	xmlDoc *doc = xml_parse(line->text, strlen(line->text));

	/* What is not XML is the end, and so is </stream:stream>: both are seen by worker/stream. */
	if (doc == NULL)
		player_close(player, &said->link);
	else if (!player->client.waits || forget_question(player))
		play(player, false, line->text, strlen(line->text), said);
	xmlFreeDoc(doc);
}

static void
play_link(struct player *player, const char *text, struct said *said)
{
	struct packet packet;

	dialect_route.link_read(&packet, text, strlen(text));
	if (player->open && range_equals(packet.id, player->id))
		play(player, true, text, strlen(text), said);
	else if (!packet.expendable && !packet.disconnect)
		dialect_route.link_bounce(&said->link, text, strlen(text));
}

/* Without the header, the quotes of the recording script, and what ends a stream; of errors without their language. */
static void
read_client_text(struct buffer *out, const char *text)
{
	static const char *const left_out[] = { "</stream:stream>", " xml:lang='en'", "stream:", "\\n", NULL };
	char *copy = strdup(text), *at = copy, *found;

	if (*at == '"' || *at == '\'') {
		at[strlen(at) - 1] = '\0';
		at++;
	}
	found = strstr(at, "<stream:stream ");
	if (found != NULL)
		at = strchr(found, '>') + 1;
	for (size_t i = 0; left_out[i] != NULL; i++)
		while ((found = strstr(at, left_out[i])) != NULL)
			memmove(found, found + strlen(left_out[i]), strlen(found + strlen(left_out[i])) + 1);
	if (*at != '[')
		buffer_append_string(out, at);
	free(copy);
}

static void
read_answer(const struct recording *recording, size_t at, struct said *said)
{
	for (at++; at < recording->count; at++) {
		const struct line *line = &recording->lines[at];

		if (line->speaker != CLIENT_TO && line->speaker != LINK_FROM)
			break;
		if (line->speaker == CLIENT_TO)
			read_client_text(&said->client, line->text);
		else if (line->text[0] != '[')
			buffer_append_string(&said->link, line->text);
	}
}

static void
compare(const struct recording *recording, const struct line *line, struct said *ours, struct said *recorded)
{
	bool same = xml_equal(text_of(&ours->link), text_of(&recorded->link)) &&
	    xml_equal(text_of(&ours->client), text_of(&recorded->client));
	char *text = NULL;

	if (!same && asprintf(&text, "'%s': ours '%s' '%s', recorded '%s' '%s'", line->text, text_of(&ours->link),
	    text_of(&ours->client), text_of(&recorded->link), text_of(&recorded->client)) < 0)
		err(1, NULL);
	deviation_report(recording, line, text);
	free(text);
}

/* Give our ids to what the recorded program called otherwise. */
static void
name_clients(struct recording *recording, const char *old, const char *name)
{
	unsigned current = 0;
	char address[64];

	for (size_t i = 0; i < recording->count; i++) {
		if (recording->lines[i].speaker == CLIENT_FROM)
			current = recording->lines[i].client;
		snprintf(address, sizeof(address), "c%u.1@%s", current, name);
		line_replace(&recording->lines[i], old, address);
	}
}

static void
replay_socket_manager(const char *folder, const char *file, const char *old, const char *name)
{
	struct player player = { 0 };
	struct recording recording;
	bool drops = false;

	recording_load(&recording, folder, file);
	name_clients(&recording, old, name);
	for (size_t i = 0; i < recording.count; i++) {
		const struct line *line = &recording.lines[i];
		struct said ours = { 0 }, recorded = { 0 };

		if (line->speaker == REMARK)
			drops = strstr(line->text, "drops TCP") != NULL;
		if (line->speaker == CLIENT_FROM && is_header(line->text)) {
			player_open(&player, &recording, i, name);
			player.drops = drops;
		} else if ((line->speaker == CLIENT_FROM && player.open) ||
		    (line->speaker == LINK_TO && strstr(line->text, "handshake") == NULL && !is_header(line->text))) {
			if (line->speaker == CLIENT_FROM)
				play_client(&player, line, &ours);
			else
				play_link(&player, line->text, &ours);
			read_answer(&recording, i, &recorded);
			/* How a client is told that its stream was no XML is not the dialect's matter. */
			if (line->speaker == CLIENT_FROM && !player.open)
				buffer_clear(&recorded.client);
			compare(&recording, line, &ours, &recorded);
		}
		said_deinit(&ours);
		said_deinit(&recorded);
	}
	player_deinit(&player);
	recording_free(&recording);
}

/* ---- as session manager ---- */

static void
name_sockets(struct recording *recording)
{
	static const char *const tokens[] = { "A1", "B1", "C1", "D1", "E1" };
	char old[64], ours[64];

	for (size_t i = 0; i < recording->count; i++)
		for (unsigned socket = 12; socket <= 17; socket++)
			for (size_t token = 0; token < sizeof(tokens) / sizeof(tokens[0]); token++) {
				snprintf(old, sizeof(old), "%u@c2s.localhost/%s", socket, tokens[token]);
				snprintf(ours, sizeof(ours), "%u.%s@c2s.localhost", socket, tokens[token]);
				line_replace(&recording->lines[i], old, ours);
			}
}

static struct player *
find_player(struct player *players, const char *address)
{
	char id[64], name[64];
	size_t i;

	if (address == NULL || sscanf(address, "%63[^@]@%63s", id, name) != 2)
		return NULL;
	for (i = 0; i < CLIENTS && players[i].id[0] != '\0'; i++)
		if (strcmp(players[i].id, id) == 0)
			return &players[i];
	if (i == CLIENTS)
		errx(1, "more than %u clients", CLIENTS);
	players[i] = (struct player){ .stream_id = "ABCD", .client.host = strdup("localhost"), .open = true };
	strcpy(players[i].id, id);
	strcpy(players[i].name, name);
	return &players[i];
}

/* An error of the script's: an end, or a packet that has come back. */
static void
make_error(struct player *player, const char *to, xmlNode *child, struct buffer *up)
{
	char *text, *packet = NULL;

	if (child == NULL) {
		dialect_route.link_end(up, player->id, player->name, to, false);
		return;
	}
	text = xml_write(child);
	if (asprintf(&packet, "<route from='%s' to='%s@%s'>%s</route>", to, player->id, player->name, text) < 0)
		err(1, NULL);
	dialect_route.link_bounce(up, packet, strlen(packet));
	free(packet);
	free(text);
}

/* What we have sent when the login had succeeded; with the answer in it only where the script has put it there, too. */
static void
make_start(const struct player *player, bool empty, struct buffer *up)
{
	const char *starts = player->starts != NULL ? player->starts : "";

	buffer_append(up, starts, empty ? strcspn(starts, ">") : strlen(starts));
	if (empty && *starts != '\0')
		buffer_append_string(up, "/>");
}

/* What the script has sent: would we? */
static void
play_recorded_packet(struct player *players, const struct recording *recording, const struct line *line)
{
	xmlDoc *doc = xml_parse(line->text, strlen(line->text));
	xmlNode *node = xmlFirstElementChild(xmlDocGetRootElement(doc)), *child = xmlFirstElementChild(node);
	char *to = xml_attribute(node, "to"), *from = xml_attribute(node, "from"), *text = NULL, *difference = NULL;
	struct player *player = find_player(players, from);
	struct said ours = { 0 };

	/* Without a client it is not of this protocol (2.3). */
	if (player == NULL) {
		xmlFree(to);
		xmlFree(from);
		xmlFreeDoc(doc);
		return;
	}
	if (xml_attribute_is(node, "type", "error")) {
		make_error(player, to, child, &ours.link);
		player->open &= player->client.address == NULL || strcmp(to, player->client.address) != 0;
	} else if (xml_attribute_is(node, "type", "session")) {
		make_start(player, child == NULL, &ours.link);
	} else if (child != NULL && player->open) {
		text = xml_write(child);
		play(player, false, text, strlen(text), &ours);
	}
	if (!xml_equal(text_of(&ours.link), line->text) && asprintf(&difference, "recorded '%s', ours '%s' '%s'", line->text,
	    text_of(&ours.link), text_of(&ours.client)) < 0)
		err(1, NULL);
	deviation_report(recording, line, difference);
	free(difference);
	free(text);
	said_deinit(&ours);
	xmlFree(to);
	xmlFree(from);
	xmlFreeDoc(doc);
}

/* What kind is it? As libxml2 reads it. */
static enum packet_kind
expected_kind(xmlNode *node)
{
	xmlNode *child = xmlFirstElementChild(node);
	char *from = xml_attribute(node, "from");
	bool resource = strchr(from, '/') != NULL;
	enum packet_kind kind = PACKET_DATA;

	if (xml_attribute_is(node, "type", "session"))
		kind = PACKET_SESSION;
	else if (xml_attribute_is(node, "type", "auth") && resource && xml_attribute_is(child, "type", "result"))
		kind = PACKET_LOGIN;
	else if (xml_attribute_is(node, "type", "error") && !xml_attribute_is(node, "error",
	    "Unable to deliver, destination unknown"))
		kind = PACKET_DISCONNECT;
	xmlFree(from);
	return kind;
}

/* One element of jabberd's: understood, and what is in it reaches the client. NULL, or what is wrong. */
static const char *
check_element(struct player *players, const char *text, size_t length)
{
	xmlDoc *doc = xml_parse(text, length);
	xmlNode *node = xmlFirstElementChild(xmlDocGetRootElement(doc)), *child = xmlFirstElementChild(node);
	char *to = xml_attribute(node, "to"), *from = xml_attribute(node, "from");
	char *inner = child == NULL ? NULL : xml_write(child);
	struct player *player = find_player(players, to);
	struct said said = { 0 };
	struct packet packet;
	const char *wrong = NULL;
	unsigned effects = 0;

	dialect_route.link_read(&packet, text, length);
	if (player != NULL && player->open)
		effects = play(player, true, text, length, &said);
	if (player == NULL)
		wrong = NULL;
	else if (!player->open)
		wrong = (effects & DIALECT_END) != 0 ? NULL : "for no client";
	else if (packet.kind != expected_kind(node) || !range_equals(packet.id, player->id) ||
	    !range_decodes_to(packet.address, from))
		wrong = "kind, id or address";
	else if (packet.kind == PACKET_SESSION && ((effects & DIALECT_LOGGED_IN) == 0 || strcmp(player->client.address, from) != 0))
		wrong = "no session";
	else if (packet.kind == PACKET_DATA && (effects & DIALECT_UNREADABLE) != 0)
		wrong = "not delivered";
	else if (packet.kind == PACKET_DATA && packet.disconnect == false && !xml_equal(text_of(&said.client), inner))
		wrong = "delivered otherwise";
	free(inner);
	said_deinit(&said);
	xmlFree(to);
	xmlFree(from);
	xmlFreeDoc(doc);
	return wrong;
}

static void
play_recorded_stream(struct player *players, struct splitter *splitter, const struct recording *recording,
    const struct line *line)
{
	const char *at = line->text, *wrong = NULL;
	struct splitter_event event;

	while (wrong == NULL && splitter_next(splitter, at, strlen(at), &event) != SPLITTER_MORE) {
		if (event.type == SPLITTER_ELEMENT && strstr(at, "<handshake/>") != at && strstr(at, "<stream:error>") != at)
			wrong = check_element(players, at + event.skip, event.length);
		else if (event.type == SPLITTER_BROKEN || event.type == SPLITTER_TOO_LONG)
			wrong = "not split";
		at += event.skip + event.length;
	}
	deviation_report(recording, line, wrong);
}

static void
replay_session_manager(const char *folder, const char *name)
{
	struct player players[CLIENTS] = { 0 };
	struct splitter splitter;
	struct recording recording;

	recording_load(&recording, folder, name);
	name_sockets(&recording);
	splitter_init(&splitter, 65536);
	for (size_t i = 0; i < recording.count; i++) {
		const struct line *line = &recording.lines[i];

		if (line->speaker == LINK_TO && is_header(line->text)) {
			struct buffer header = { 0 };

			dialect_route.link_header(&header, "c2s.localhost");
			deviation_report(&recording, line, strcmp(text_of(&header), line->text) == 0 ? NULL : "another header");
			buffer_deinit(&header);
		} else if (line->speaker == LINK_TO && strstr(line->text, "<route") == line->text) {
			play_recorded_packet(players, &recording, line);
		} else if (line->speaker == LINK_FROM && line->text[0] != '[' && strncmp(line->text, "<stream:error>", 14) != 0) {
			if (is_header(line->text))
				splitter_init(&splitter, 65536);
			play_recorded_stream(players, &splitter, &recording, line);
		}
	}
	for (size_t i = 0; i < CLIENTS; i++)
		player_deinit(&players[i]);
	recording_free(&recording);
}

int
main(int argc, char **argv)
{
	bool good;

	if (argc != 2)
		errx(1, "usage: test_route_recordings FOLDER");
	deviations_load(argv[1]);
	replay_socket_manager(argv[1], "jabberd14-head-pthsock_client-as-socket-manager.txt", "12@c2s/0x55b2acc68900", "c2s");
	replay_socket_manager(argv[1], "jadc2s-714f22d9-route.txt", "7@jadc2s", "jadc2s");
	replay_session_manager(argv[1], "jabberd-1.2-route.txt");
	replay_session_manager(argv[1], "jabberd14-head-route.txt");
	good = deviations_finish();
	deviations_free();
	xmlCleanupParser();
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
