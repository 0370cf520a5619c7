#include "edge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The namespace that the header of the dialect sfrom gives to elements that say none. */
#define LINK_NAMESPACE "jabber:sockets"

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
	bool session;
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

static void
send_element(struct edge *edge, size_t index)
{
	struct dialect_context context = {
		.id = CLIENT_ID, .name = LINK_NAME, .stream_id = STREAM_ID, .digest = true, .registration = true,
	};
	struct dialect_client client = {
		.host = strdup(HOST), .address = edge->session ? strdup(ADDRESS) : NULL,
	};
	const struct sent *element = &edge->elements[index];
	struct range host;
	struct buffer up = { 0 }, down = { 0 };
	int outcome = call_element(&dialect_sfrom, &client, &context, element->bytes, element->length,
	    element->name_end, &up, &down);

	if (outcome < 0 || (edge->session && outcome != CALL_SENT))
		edge_fail(edge, "the dialect does not take what the stream has written");
	if (outcome == CALL_ANSWERED)
		check_answer(edge, &down);
	if (outcome == CALL_SENT && !dialect_sfrom.link_verify(buffer_bytes(&up), buffer_length(&up), CLIENT_ID,
	    LINK_NAME, edge->session ? ADDRESS : NULL, &host))
		edge_fail(edge, "the master does not take what the worker sends");
	if (outcome == CALL_SENT)
		add_packet(edge, &up, index);
	else
		buffer_deinit(&up);
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
run_dialect(struct edge *edge, bool session)
{
	drop_packets(edge);
	edge->session = session;
	dialect_sfrom.link_header(&edge->link, LINK_NAME);
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

/* What a login is given that had none: the id, and the id of the stream that its digest was made with. */
static void
mean_login(struct tree *tree)
{
	const char *id = tree_get(tree, "id");
	bool login = false;

	for (size_t i = 0; i < tree->child_count; i++) {
		struct tree *query = tree->children[i];

		if (!is_named(query, "query") || query->uri == NULL || strcmp(query->uri, "jabber:iq:auth") != 0)
			continue;
		login = true;
		for (size_t k = 0; k < query->child_count; k++)
			if (is_named(query->children[k], "digest"))
				tree_set(query->children[k], "sid", STREAM_ID);
	}
	if (id == NULL || id[0] == '\0')
		tree_set(tree, "id", login ? "c2sd-login" : "c2sd-register");
}

static void
mean_stamps(struct edge *edge, struct tree *tree)
{
	tree_set(tree, "sto", edge->session ? ADDRESS : HOST);
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

		cut_510(tree);
		if (!edge->session)
			mean_login(tree);
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

static bool
compare(struct edge *edge, const struct tree *read, size_t index, bool raw)
{
	const struct tree *meant = edge->meant.trees[edge->origins[index]];
	struct buffer a = { 0 }, b = { 0 };
	bool same;

	if (is_forbidden(read)) {
		say_packet(edge, index, "what no client may send");
		return edge_fail(edge, "the link's own elements come from a client");
	}
	if (raw)
		tree_write_raw(&a, meant, CLIENT);
	else
		tree_write(&a, meant, NULL, NULL);
	tree_write(&b, read, raw ? NULL : LINK_NAMESPACE, CLIENT);
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
check_way(struct edge *edge, bool session)
{
	run_dialect(edge, session);
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

bool
edge_check(const struct stream_limits *limits, const uint8_t *bytes, size_t length)
{
	struct edge edge = { 0 };
	size_t space = 0;

	run_stream(&edge, limits, bytes, length);
	/* The stream takes white space before an XML declaration, XML does not. */
	while (space < length && bytes[space] != '\0' && strchr(" \t\r\n", bytes[space]) != NULL)
		space++;
	if (space < length)
		reader_libxml(&edge.meant, bytes + space, length - space);
	check_count(&edge);
	if (edge.problem == NULL) {
		mean_stream(&edge);
		check_way(&edge, true);
	}
	/* In this order: what a login is given stays in what was meant. */
	if (edge.problem == NULL)
		check_way(&edge, false);
	if (edge.problem != NULL)
		fprintf(stderr, "# %s\n", edge.problem);
	edge_deinit(&edge);
	return edge.problem == NULL;
}
