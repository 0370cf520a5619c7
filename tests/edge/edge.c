#include "edge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/ack.h"
#include "dialect/dialect.h"
#include "reader.h"
#include "tests/dialect/call.h"
#include "tree.h"

#define CLIENT "jabber:client"
#define STREAMS "http://etherx.jabber.org/streams"
#define LINK_NAME "foo-sockets"
#define CLIENT_ID "0a1b2c.0.17.4711"
#define STREAM_ID "5ca1ab1e"
#define HOST "foo.com"

/* With everything in it that has to be escaped. */
#define ADDRESS "romeo@foo.com/a 'b' \"c\" <d> & e"

#define SASL "urn:ietf:params:xml:ns:xmpp-sasl"

/* A dialect, before login or in session. */
struct way {
	const struct dialect *dialect;
	const char *namespace;	/* that the link's header gives to elements that say none */
	bool wrapped;		/* a stanza stands in <route/>, instead of having sto and sfrom */
	bool bridged;		/* SASL is c2sd's, and becomes a login */
	bool session;
};

static const struct way ways[] = {
	{ &dialect_sfrom, "jabber:sockets", false, true, true },
	{ &dialect_sfrom, "jabber:sockets", false, true, false },
	{ &dialect_xmpp, "jabber:component:accept", false, false, true },
	{ &dialect_xmpp, "jabber:component:accept", false, false, false },
	{ &dialect_route, "jabber:component:accept", true, true, true },
	{ &dialect_route, "jabber:component:accept", true, true, false },
};

/* What came out of the stream. */
struct sent {
	char *bytes;
	size_t length;
	size_t name_end;
};

struct edge {
	struct sent *elements;
	size_t count;
	bool quiet;		/* it ended between two elements, without an error */
	struct forest meant;	/* what libxml2 reads in the client's bytes */
	struct buffer link;	/* what is sent up, behind the link's header */
	struct buffer *packets;	/* likewise, one by one */
	size_t *origins;	/* which of the client's elements each was */
	size_t packet_count;
	const struct way *way;
	const char *problem;
};

static bool
edge_fail(struct edge *edge, const char *problem)
{
	if (edge->problem == NULL)
		edge->problem = problem;
	return false;
}

/* ---- what the worker does ---- */

static void
take_element(struct edge *edge, const struct stream_event *event)
{
	edge->elements = reallocarray(edge->elements, edge->count + 1, sizeof *edge->elements);
	if (edge->elements == NULL)
		abort();
	edge->elements[edge->count++] = (struct sent){
		.bytes = memcpy(malloc(event->length), event->bytes, event->length), .length = event->length,
		.name_end = event->name_end,
	};
}

static void
run_stream(struct edge *edge, const struct stream_limits *limits, const uint8_t *bytes, size_t length)
{
	struct stream *stream = stream_new(limits, NULL);
	struct stream_header header;
	struct stream_event event;
	enum stream_event_type type;

	if (stream == NULL || stream_feed(stream, bytes, length) < 0)
		abort();
	while ((type = stream_next(stream, &event)) != STREAM_NOTHING)
		if (type == STREAM_ELEMENT)
			take_element(edge, &event);
	edge->quiet = stream_is_quiet(stream);
	stream_take_header(stream, &header);
	stream_header_deinit(&header);
	stream_free(&stream);
}

static void
add_packet(struct edge *edge, const struct buffer *up, size_t origin)
{
	edge->packets = reallocarray(edge->packets, edge->packet_count + 1, sizeof *edge->packets);
	edge->origins = reallocarray(edge->origins, edge->packet_count + 1, sizeof *edge->origins);
	if (edge->packets == NULL || edge->origins == NULL)
		abort();
	edge->packets[edge->packet_count] = *up;
	edge->origins[edge->packet_count++] = origin;
	buffer_append(&edge->link, buffer_bytes(up), buffer_length(up));
	if (origin % 2 == 1)
		buffer_append_string(&edge->link, "\n");
}

/* The answer that c2sd gives itself, with what it repeats of the client's words, must be one element and XML. */
static void
check_answer(struct edge *edge, const struct buffer *down)
{
	struct buffer document = { 0 };
	struct forest forest;

	buffer_append_string(&document, "<stream:stream xmlns='" CLIENT "' xmlns:stream='" STREAMS "'>");
	buffer_append(&document, buffer_bytes(down), buffer_length(down));
	buffer_append_string(&document, "\n");
	reader_expat(&forest, READER_LUA, buffer_bytes(&document), buffer_length(&document), SIZE_MAX, NULL);
	if (forest.failed || forest.restricted || forest.count != 1 || forest.depth != 1)
		edge_fail(edge, "an answer of c2sd is not one element");
	forest_deinit(&forest);
	buffer_deinit(&document);
}

/* The session manager has taken the stream, where it is asked. */
static void
open_client(const struct edge *edge, struct dialect_client *client, const struct dialect_context *context)
{
	static const char open[] = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' sto='" CLIENT_ID "@" LINK_NAME
	    "' sfrom='" HOST "' from='" HOST "' id='" STREAM_ID "' version='1.0'/>";
	const struct dialect_header header = { .version_major = 1 };
	struct buffer up = { 0 }, down = { 0 }, features = { 0 };
	struct dialect_answer answer = { .up = &up, .down = &down, .features = &features };

	if (edge->way->dialect->client_header(client, context, &header, &answer) != 0)
		abort();
	if (client->asked)
		call_packet(edge->way->dialect, client, context, open, sizeof open - 1, &down);
	buffer_deinit(&up);
	buffer_deinit(&down);
	buffer_deinit(&features);
}

/* Of SASL that is c2sd's own a question is made, of which nothing but the name is the client's. */
static bool
is_made(const struct edge *edge, size_t index)
{
	const char *uri = edge->meant.trees[index]->uri;

	return edge->way->bridged && uri != NULL && strcmp(uri, SASL) == 0;
}

static void
check_made(struct edge *edge, const struct buffer *up)
{
	struct buffer document = { 0 };
	struct forest forest;

	edge->way->dialect->link_header(&document, LINK_NAME);
	buffer_append(&document, buffer_bytes(up), buffer_length(up));
	buffer_append_string(&document, "\n");
	reader_expat(&forest, READER_BAR, buffer_bytes(&document), buffer_length(&document), SIZE_MAX, NULL);
	if (forest.failed || forest.restricted || forest.stray || forest.count != 1 || forest.depth != 1)
		edge_fail(edge, "what is made of SASL is not one element");
	forest_deinit(&forest);
	buffer_deinit(&document);
}

/* The master believes it, as an ordinary packet, and nobody takes it for the link's own. */
static void
check_sent(struct edge *edge, const struct buffer *up)
{
	struct ack_element ack;
	struct range host;

	if (edge->way->dialect->link_verify(buffer_bytes(up), buffer_length(up), CLIENT_ID, LINK_NAME,
	    edge->way->session ? ADDRESS : NULL, &host) != VERDICT_PACKET)
		edge_fail(edge, "the master does not take what the worker sends, or takes it for more");
	ack_read(&ack, buffer_bytes(up), buffer_length(up));
	if (ack.kind != ACK_NONE)
		edge_fail(edge, "what a client sends counts as the link's acknowledgement");
}

static void
send_element(struct edge *edge, size_t index)
{
	struct dialect_context context = {
		.id = CLIENT_ID, .name = LINK_NAME, .stream_id = STREAM_ID, .digest = true, .registration = true, .plain = true,
	};
	struct dialect_client client = {
		.host = strdup(HOST), .address = edge->way->session ? strdup(ADDRESS) : NULL,
	};
	const struct sent *element = &edge->elements[index];
	struct buffer up = { 0 }, down = { 0 };
	int outcome;

	if (!edge->way->session)
		open_client(edge, &client, &context);
	outcome = call_element(edge->way->dialect, &client, &context, element->bytes, element->length, element->name_end, &up,
	    &down);
	if (outcome < 0 || outcome == CALL_WRONG)
		edge_fail(edge, "the dialect does not take what the stream has written");
	if (outcome == CALL_ANSWERED || outcome == CALL_REFUSED)
		check_answer(edge, &down);
	if (buffer_length(&up) > 0)
		check_sent(edge, &up);
	else if (edge->way->session && outcome == CALL_IGNORED)
		edge_fail(edge, "an element is lost");
	if (buffer_length(&up) > 0 && !is_made(edge, index)) {
		add_packet(edge, &up, index);
	} else {
		if (buffer_length(&up) > 0)
			check_made(edge, &up);
		buffer_deinit(&up);
	}
	buffer_deinit(&down);
	dialect_client_deinit(&client);
}

static void
drop_packets(struct edge *edge)
{
	for (size_t i = 0; i < edge->packet_count; i++)
		buffer_deinit(&edge->packets[i]);
	edge->packet_count = 0;
	buffer_clear(&edge->link);
}

static void
run_dialect(struct edge *edge)
{
	drop_packets(edge);
	edge->way->dialect->link_header(&edge->link, LINK_NAME);
	for (size_t i = 0; i < edge->count; i++)
		send_element(edge, i);
	/* As the master does behind a batch: expat may wait for it. */
	buffer_append_string(&edge->link, "\n");
}

/* ---- what was meant ---- */

static bool
is_named(const struct tree *tree, const char *name)
{
	return tree->name != NULL && strcmp(tree->name, name) == 0;
}

static bool
is_stanza(const struct tree *tree)
{
	return tree->uri != NULL && strcmp(tree->uri, CLIENT) == 0 &&
	    (is_named(tree, "message") || is_named(tree, "presence") || is_named(tree, "iq"));
}

/* As the C library's atoi reads it, and what it makes of too many digits. */
static bool
is_510(const char *value)
{
	uint32_t number = 0;
	bool negative;

	value += strspn(value, " \t\n\v\f\r");
	negative = *value == '-';
	value += *value == '-' || *value == '+';
	while (*value >= '0' && *value <= '9')
		number = number * 10 + (uint32_t)(*value++ - '0');
	return (negative ? 0 - number : number) == 510;
}

static void
cut_510(struct tree *tree)
{
	for (size_t i = 0; i < tree->child_count; i++) {
		const char *code = is_named(tree->children[i], "error") ? tree_get(tree->children[i], "code") : NULL;

		if (code != NULL && is_510(code))
			tree_cut(tree->children[i], "code");
	}
}

/* Its only <query/>, of jabber:iq:auth or jabber:iq:register; NULL: it is no login. */
static struct tree *
query_of(const struct tree *tree)
{
	const char *type = tree_get(tree, "type");
	struct tree *query = NULL;

	if (!is_named(tree, "iq") || type == NULL || (strcmp(type, "set") != 0 && strcmp(type, "get") != 0))
		return NULL;
	for (size_t i = 0; i < tree->child_count; i++) {
		if (!is_named(tree->children[i], "query"))
			continue;
		if (query != NULL)
			return NULL;
		query = tree->children[i];
	}
	return query != NULL && query->uri != NULL && (strcmp(query->uri, "jabber:iq:auth") == 0 ||
	    strcmp(query->uri, "jabber:iq:register") == 0) ? query : NULL;
}

/* What a login is given that had none: the id, and the id of the stream that its digest was made with. */
static void
mean_login(struct edge *edge, struct tree *tree)
{
	const char *id = tree_get(tree, "id");
	struct tree *query = query_of(tree);
	bool auth = query != NULL && strcmp(query->uri, "jabber:iq:auth") == 0;

	if (query == NULL)
		return;
	for (size_t k = 0; edge->way->bridged && auth && k < query->child_count; k++) {
		if (is_named(query->children[k], "digest") && strcmp(tree_get(tree, "type"), "set") == 0)
			tree_set(query->children[k], "sid", STREAM_ID);
	}
	if (id == NULL || id[0] == '\0')
		tree_set(tree, "id", auth || edge->way->dialect != &dialect_sfrom ? "c2sd-login" : "c2sd-register");
}

static void
mean_stamps(struct edge *edge, struct tree *tree)
{
	tree_set(tree, "sto", edge->way->session ? ADDRESS : HOST);
	tree_set(tree, "sfrom", CLIENT_ID "@" LINK_NAME);
}

/* Make of what the client said what must arrive: once for the stream, then for each way through the dialect. */
static void
mean_stream(struct edge *edge)
{
	const char *lang = edge->meant.lang;

	if (lang != NULL && (lang[0] == '\0' || strlen(lang) > 63))
		lang = NULL;
	for (size_t i = 0; i < edge->meant.count; i++) {
		struct tree *tree = edge->meant.trees[i];

		if (lang == NULL || !is_stanza(tree) || tree_lang(tree) != NULL)
			continue;
		tree_set(tree, "lang", lang);
		tree->attributes[tree->attribute_count - 1].uri = strdup(TREE_XML);
		tree->attributes[tree->attribute_count - 1].prefix = strdup("xml");
	}
}

static void
mean_dialect(struct edge *edge)
{
	for (size_t i = 0; i < edge->packet_count; i++) {
		struct tree *tree = edge->meant.trees[edge->origins[i]];

		if (!edge->way->session)
			mean_login(edge, tree);
		if (edge->way->wrapped) {
			tree_cut(tree, "sto");
			tree_cut(tree, "sfrom");
			continue;
		}
		cut_510(tree);
		mean_stamps(edge, tree);
	}
}

/* ---- what is read ---- */

static void
say_packet(const struct edge *edge, size_t index, const char *how)
{
	fprintf(stderr, "# %s, of: %.*s\n", how, (int)buffer_length(&edge->packets[index]),
	    (const char *)buffer_bytes(&edge->packets[index]));
}

/* Nothing of the link's own may come from a client, whatever it is called or stands in. */
static bool
is_forbidden(const struct tree *tree)
{
	static const char *const names[] = { "route", "handshake", "stream:stream", "stream:error", "stream:features" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(tree->name, names[i]) == 0)
			return true;
	return tree->uri != NULL && (strncmp(tree->uri, "urn:x-c2sd:", 11) == 0 || strcmp(tree->uri, STREAMS) == 0 ||
	    strcmp(tree->uri, "urn:ietf:params:xml:ns:xmpp-framing") == 0);
}

/* The stanza in a <route/> that says what ours say, and holds nothing else; NULL: it is none. */
static const struct tree *
unwrap(const struct edge *edge, const struct tree *route)
{
	const char *to = tree_get(route, "to"), *from = tree_get(route, "from"), *type = tree_get(route, "type");

	if (!is_named(route, "route") || (route->uri != NULL && strcmp(route->uri, edge->way->namespace) != 0) || to == NULL ||
	    from == NULL || strcmp(from, CLIENT_ID "@" LINK_NAME) != 0 || route->child_count != 1)
		return NULL;
	if (edge->way->session ? type != NULL || strcmp(to, ADDRESS) != 0 : type == NULL || strcmp(type, "auth") != 0)
		return NULL;
	return route->attribute_count == 2u + (type != NULL) ? route->children[0] : NULL;
}

static bool
compare(struct edge *edge, const struct tree *whole, size_t index, bool raw)
{
	const struct tree *read = edge->way->wrapped ? unwrap(edge, whole) : whole;
	const struct tree *meant = edge->meant.trees[edge->origins[index]];
	struct buffer a = { 0 }, b = { 0 };
	bool same;

	if (read == NULL || read->name == NULL || is_forbidden(read)) {
		say_packet(edge, index, "what no client may send");
		return edge_fail(edge, "the link's own elements come from a client");
	}
	if (raw)
		tree_write_raw(&a, meant, CLIENT);
	else
		tree_write(&a, meant, NULL, NULL);
	tree_write(&b, read, raw ? NULL : edge->way->namespace, CLIENT);
	same = buffers_are_equal(&a, &b);
	if (!same) {
		say_packet(edge, index, "read differently");
		fprintf(stderr, "# the client: %.*s\n#   the link: %.*s\n", (int)buffer_length(&a),
		    (const char *)buffer_bytes(&a), (int)buffer_length(&b), (const char *)buffer_bytes(&b));
		edge_fail(edge, "a reader of the link understands something else");
	}
	buffer_deinit(&a);
	buffer_deinit(&b);
	return same;
}

static void
compare_forest(struct edge *edge, const struct forest *read, bool raw)
{
	if (read->failed)
		edge_fail(edge, "a reader of the link breaks off");
	else if (read->depth != 1)
		edge_fail(edge, "a reader of the link is not between two elements, or behind the end");
	else if (read->restricted)
		edge_fail(edge, "a reader of the link sees restricted XML");
	else if (read->count != edge->packet_count)
		edge_fail(edge, "a reader of the link sees more or fewer elements");
	for (size_t i = 0; i < edge->packet_count && edge->problem == NULL; i++)
		compare(edge, read->trees[i], i, raw);
}

static void
check_expat(struct edge *edge, enum reader_manner manner, size_t piece)
{
	struct forest forest;

	reader_expat(&forest, manner, buffer_bytes(&edge->link), buffer_length(&edge->link), piece, NULL);
	compare_forest(edge, &forest, manner == READER_RAW);
	forest_deinit(&forest);
}

static void
check_sessiond(struct edge *edge)
{
	struct forest forest = { 0 };

	/* It speaks no such dialect. */
	if (edge->way->wrapped)
		return;
	forest_open(&forest, NULL, "link");
	for (size_t i = 0; i < edge->packet_count && edge->problem == NULL; i++)
		if (!reader_sessiond(&forest, buffer_bytes(&edge->packets[i]), buffer_length(&edge->packets[i]))) {
			say_packet(edge, i, "the embedded session manager does not read it");
			edge_fail(edge, "the embedded session manager does not read a packet");
		}
	compare_forest(edge, &forest, false);
	forest_deinit(&forest);
}

static void
check_way(struct edge *edge)
{
	run_dialect(edge);
	if (edge->problem != NULL)
		return;
	mean_dialect(edge);
	check_expat(edge, READER_LUA, SIZE_MAX);
	check_expat(edge, READER_ERLANG, 1);
	check_expat(edge, READER_BAR, 7);
	check_expat(edge, READER_RAW, 3);
	check_sessiond(edge);
}

/* libxml2 by itself goes on where the stream has stopped, and does not say what was complete. */
static void
check_count(struct edge *edge)
{
	if (edge->meant.count < edge->count)
		edge_fail(edge, "the stream has found elements that libxml2 does not");
	else if (edge->quiet && edge->meant.count != edge->count)
		edge_fail(edge, "the stream has lost elements that libxml2 finds");
}

static void
edge_deinit(struct edge *edge)
{
	drop_packets(edge);
	for (size_t i = 0; i < edge->count; i++)
		free(edge->elements[i].bytes);
	free(edge->elements);
	free(edge->packets);
	free(edge->origins);
	buffer_deinit(&edge->link);
	forest_deinit(&edge->meant);
}

/* The client's bytes as libxml2 by itself understands them. */
static void
read_meant(struct edge *edge, const uint8_t *bytes, size_t length)
{
	size_t space = 0;

	forest_deinit(&edge->meant);
	/* The stream takes white space before an XML declaration, XML does not. */
	while (space < length && bytes[space] != '\0' && strchr(" \t\r\n", bytes[space]) != NULL)
		space++;
	if (space < length)
		reader_libxml(&edge->meant, bytes + space, length - space);
}

bool
edge_check(const struct stream_limits *limits, const uint8_t *bytes, size_t length)
{
	struct edge edge = { 0 };

	run_stream(&edge, limits, bytes, length);
	for (size_t i = 0; i < sizeof ways / sizeof ways[0] && edge.problem == NULL; i++) {
		edge.way = &ways[i];
		read_meant(&edge, bytes, length);
		check_count(&edge);
		if (edge.problem == NULL) {
			mean_stream(&edge);
			check_way(&edge);
		}
	}
	if (edge.problem != NULL)
		fprintf(stderr, "# %s: %s\n", edge.way->dialect->name, edge.problem);
	edge_deinit(&edge);
	return edge.problem == NULL;
}
