#include "down.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "dialect/splitter.h"
#include "dialect/wellformed.h"
#include "reader.h"
#include "tests/dialect/call.h"
#include "tree.h"

#define CLIENT "jabber:client"
#define MANAGER "jabberd:sockets"
#define COMPONENT "jabber:component:accept"
#define STREAMS "http://etherx.jabber.org/streams"
#define MANAGER_HEADER "<stream:stream xmlns='" MANAGER "' xmlns:stream='" STREAMS "' id='1'>"
#define COMPONENT_HEADER "<stream:stream xmlns='" COMPONENT "' xmlns:stream='" STREAMS "' id='1'>"
#define CLIENT_HEADER "<stream:stream xmlns='" CLIENT "' xmlns:stream='" STREAMS "' id='1'>"
#define LINK_NAME "foo-sockets"
#define CLIENT_ID "0a1b2c.0.17.4711"
#define ADDRESS "romeo@foo.com/r"
#define STAMPS " sto='" CLIENT_ID "@" LINK_NAME "' sfrom='a@b'"
#define WORKER_STAMPS " sto='" ADDRESS "' sfrom='" CLIENT_ID "@" LINK_NAME "'"

/* Where a packet stands in a route. */
#define ROUTE "<route to='" CLIENT_ID "@" LINK_NAME "' from='" ADDRESS "'>"
#define WORKER_ROUTE "<route to='" ADDRESS "' from='" CLIENT_ID "@" LINK_NAME "'>"

struct way {
	const struct dialect *dialect;
	const char *namespace, *header;	/* of the session manager's stream */
	bool wrapped;
};

static const struct way ways[] = {
	{ &dialect_sfrom, MANAGER, MANAGER_HEADER, false },
	{ &dialect_xmpp, COMPONENT, COMPONENT_HEADER, false },
	{ &dialect_route, COMPONENT, COMPONENT_HEADER, true },
};

/* What wellformed refuses although expat does not: see its header. */
static const char *const stricter[] = {
	"a namespace that is no URI", "a reference that is none", "elements nested too deeply", "too many attributes",
};

typedef void (*packet_fn)(void *argument, const char *bytes, size_t length, size_t end);

/* Cut into packets; the type of the event that ended it, or SPLITTER_MORE. `quiet_r`: nothing is left over. */
static enum splitter_event_type
cut(const char *header, const uint8_t *bytes, size_t length, size_t first, size_t step, bool *quiet_r, packet_fn fn,
    void *argument)
{
	struct buffer in = { 0 };
	struct splitter splitter;
	struct splitter_event event;
	enum splitter_event_type type = SPLITTER_MORE;
	size_t fed = 0, consumed = 0;
	size_t piece = first < length ? first : length;

	splitter_init(&splitter, SIZE_MAX);
	buffer_append_string(&in, header);
	for (;;) {
		buffer_append(&in, bytes + fed, piece);
		fed += piece;
		while ((type = splitter_next(&splitter, buffer_bytes(&in), buffer_length(&in), &event)) == SPLITTER_HEADER ||
		    type == SPLITTER_ELEMENT) {
			consumed += event.skip + event.length;
			if (type == SPLITTER_ELEMENT)
				fn(argument, (const char *)buffer_bytes(&in) + event.skip, event.length, consumed);
			buffer_consume(&in, event.skip + event.length);
		}
		consumed += event.skip;
		buffer_consume(&in, event.skip);
		if (type != SPLITTER_MORE || fed == length)
			break;
		piece = step < length - fed ? step : length - fed;
	}
	*quiet_r = buffer_length(&in) == 0;
	buffer_deinit(&in);
	return type;
}

static void
wrap(struct buffer *out, const char *bytes, size_t length, const char *route)
{
	buffer_append_string(out, route);
	buffer_append(out, bytes, length);
	buffer_append_string(out, "</route>");
}

/* Give a packet the stamps unless it has some. */
static void
stamp(struct buffer *out, const char *bytes, size_t length, const char *stamps)
{
	struct element element;
	struct range sto;
	size_t name_end = 0;

	if (element_read_complete(&element, bytes, length) && !element_attribute(&element, "sto", &sto))
		name_end = 1 + element.name.length;
	buffer_append(out, bytes, name_end);
	if (name_end > 0)
		buffer_append_string(out, stamps);
	buffer_append(out, bytes + name_end, length - name_end);
}

static int
deliver(const struct way *way, const struct buffer *packet, struct buffer *down)
{
	struct dialect_context context = { .id = CLIENT_ID, .name = LINK_NAME, .stream_id = "1" };
	struct dialect_client client = { .address = strdup(ADDRESS) };
	int outcome = call_packet(way->dialect, &client, &context, (const char *)buffer_bytes(packet),
	    buffer_length(packet), down);

	dialect_client_deinit(&client);
	return outcome;
}

/* ---- in words ---- */

static void
write_packet(void *argument, const char *bytes, size_t length, size_t end)
{
	struct buffer packet = { 0 }, down = { 0 }, *out = argument;
	const char *fault;

	(void)end;
	stamp(&packet, bytes, length, STAMPS);
	fault = wellformed_fault(buffer_bytes(&packet), buffer_length(&packet));
	switch (deliver(&ways[0], &packet, &down)) {
	case CALL_DELIVERED:
		buffer_append_string(out, "element ");
		buffer_append(out, buffer_bytes(&down), buffer_length(&down));
		buffer_append_string(out, "\n");
		break;
	case CALL_ENDED:
		buffer_append_string(out, "ended\n");
		break;
	case CALL_UNREADABLE:
		buffer_append_format(out, "refused %s\n", fault == NULL ? "no address" : fault);
		break;
	default:
		abort();
	}
	buffer_deinit(&packet);
	buffer_deinit(&down);
}

void
down_write(struct buffer *out, const uint8_t *bytes, size_t length, size_t first, size_t step)
{
	bool quiet;
	enum splitter_event_type type = cut(MANAGER_HEADER, bytes, length, first, step, &quiet, write_packet, out);

	if (type == SPLITTER_MORE)
		buffer_append_string(out, quiet ? "quiet\n" : "waiting\n");
	else
		buffer_append_string(out, type == SPLITTER_END ? "end\n" : "broken\n");
}

/* ---- compared ---- */

struct down {
	const struct way *way;
	const struct forest *link;	/* what expat reads of all that the session manager sends */
	const size_t *ends;
	size_t count;			/* packets so far */
	const char *problem;
};

static bool
down_fail(struct down *down, const char *problem, const struct buffer *about)
{
	if (down->problem == NULL) {
		down->problem = problem;
		fprintf(stderr, "# %s: %s: %.*s\n", down->way->dialect->name, problem,
		    (int)buffer_length(about), (const char *)buffer_bytes(about));
	}
	return false;
}

/* Read one packet behind a header. False: it is refused, or is not one whole element. */
static bool
read_one(struct forest *forest_r, const char *header, enum reader_manner manner, const struct buffer *packet)
{
	struct buffer document = { 0 };

	buffer_append_string(&document, header);
	buffer_append(&document, buffer_bytes(packet), buffer_length(packet));
	buffer_append_string(&document, "\n");
	reader_expat(forest_r, manner, buffer_bytes(&document), buffer_length(&document), SIZE_MAX, NULL);
	buffer_deinit(&document);
	return !forest_r->failed && !forest_r->restricted && !forest_r->stray && forest_r->count == 1 &&
	    forest_r->depth == 1;
}

static bool
is_readable(const char *header, enum reader_manner manner, const struct buffer *packet)
{
	struct forest forest;
	bool good = read_one(&forest, header, manner, packet);

	forest_deinit(&forest);
	return good;
}

/* The first tree, or what is wrapped in it. */
static void
write_first(struct buffer *out, const struct forest *forest, const char *from, bool wrapped)
{
	struct tree *tree = forest->count == 1 ? forest->trees[0] : NULL;

	if (tree != NULL && wrapped)
		tree = tree->child_count == 1 ? tree->children[0] : NULL;
	if (tree == NULL)
		return;
	tree_cut(tree, "sto");
	tree_cut(tree, "sfrom");
	tree_write(out, tree, from, CLIENT);
}

static void
write_libxml(struct buffer *out, const struct buffer *packet)
{
	struct buffer document = { 0 };
	struct forest forest;

	buffer_append_string(&document, CLIENT_HEADER);
	buffer_append(&document, buffer_bytes(packet), buffer_length(packet));
	buffer_append_string(&document, "</stream:stream>");
	reader_libxml(&forest, buffer_bytes(&document), buffer_length(&document));
	write_first(out, &forest, NULL, false);
	forest_deinit(&forest);
	buffer_deinit(&document);
}

static void
check_delivered(struct down *down, const struct buffer *packet, const struct buffer *delivered)
{
	struct buffer link = { 0 }, client = { 0 }, other = { 0 };
	struct forest forest;

	if (!read_one(&forest, down->way->header, READER_LUA, packet))
		down_fail(down, "delivered, and expat refuses it on the link", packet);
	write_first(&link, &forest, down->way->namespace, down->way->wrapped);
	forest_deinit(&forest);
	if (!read_one(&forest, CLIENT_HEADER, READER_ERLANG, delivered))
		down_fail(down, "a client with expat refuses it", delivered);
	write_first(&client, &forest, down->way->namespace, false);
	forest_deinit(&forest);
	if (!is_readable(CLIENT_HEADER, READER_BAR, delivered) || !is_readable(CLIENT_HEADER, READER_RAW, delivered))
		down_fail(down, "a client with another expat refuses it", delivered);
	if (!buffers_are_equal(&link, &client))
		down_fail(down, "a client with expat reads something else", delivered);
	write_libxml(&other, delivered);
	buffer_clear(&client);
	read_one(&forest, CLIENT_HEADER, READER_LUA, delivered);
	write_first(&client, &forest, NULL, false);
	forest_deinit(&forest);
	if (!buffers_are_equal(&client, &other))
		down_fail(down, "a client with libxml2 reads something else", delivered);
	buffer_deinit(&link);
	buffer_deinit(&client);
	buffer_deinit(&other);
}

/* No packet is refused that everybody would have read. */
static void
check_refused(struct down *down, const struct buffer *packet)
{
	const char *fault = wellformed_fault(buffer_bytes(packet), buffer_length(packet));

	if (fault == NULL)
		return;
	for (size_t i = 0; i < sizeof stricter / sizeof stricter[0]; i++)
		if (strcmp(fault, stricter[i]) == 0)
			return;
	if (is_readable(CLIENT_HEADER, READER_LUA, packet))
		down_fail(down, fault, packet);
}

static void
check_bounce(struct down *down, const struct buffer *packet)
{
	struct buffer bounce = { 0 }, header = { 0 };

	down->way->dialect->link_header(&header, LINK_NAME);
	buffer_append(&header, "", 1);
	down->way->dialect->link_bounce(&bounce, buffer_bytes(packet), buffer_length(packet));
	if (buffer_length(&bounce) > 0 && !is_readable((const char *)buffer_bytes(&header), READER_LUA, &bounce))
		down_fail(down, "the session manager refuses what comes back", &bounce);
	buffer_deinit(&bounce);
	buffer_deinit(&header);
}

/* The same bytes from a worker that was broken into. */
static void
check_verify(struct down *down, const char *bytes, size_t length)
{
	struct buffer packet = { 0 }, header = { 0 };
	struct range host;

	down->way->dialect->link_header(&header, LINK_NAME);
	buffer_append(&header, "", 1);
	if (down->way->wrapped)
		wrap(&packet, bytes, length, WORKER_ROUTE);
	else
		stamp(&packet, bytes, length, WORKER_STAMPS);
	if (down->way->dialect->link_verify(buffer_bytes(&packet), buffer_length(&packet), CLIENT_ID, LINK_NAME, ADDRESS,
	    &host) == VERDICT_PACKET &&
	    (!is_readable((const char *)buffer_bytes(&header), READER_BAR, &packet) ||
	    !is_readable((const char *)buffer_bytes(&header), READER_RAW, &packet)))
		down_fail(down, "the master believes a worker what expat refuses", &packet);
	buffer_deinit(&packet);
	buffer_deinit(&header);
}

static void
check_packet(void *argument, const char *bytes, size_t length, size_t end)
{
	struct buffer packet = { 0 }, delivered = { 0 };
	struct down *down = argument;
	int outcome;

	if (down->way->wrapped)
		wrap(&packet, bytes, length, ROUTE);
	else
		stamp(&packet, bytes, length, STAMPS);
	if (down->count < forest_complete(down->link) && down->ends[down->count] != end)
		down_fail(down, "cut where expat does not", &packet);
	down->count++;
	outcome = deliver(down->way, &packet, &delivered);
	if (outcome == CALL_DELIVERED)
		check_delivered(down, &packet, &delivered);
	else if (outcome == CALL_UNREADABLE)
		check_refused(down, &packet);
	check_bounce(down, &packet);
	check_verify(down, bytes, length);
	buffer_deinit(&packet);
	buffer_deinit(&delivered);
}

static bool
check_way(const struct way *way, const uint8_t *bytes, size_t length)
{
	struct buffer document = { 0 };
	struct forest link;
	size_t *ends;
	struct down down = { .way = way, .link = &link };
	enum splitter_event_type type;
	bool quiet;

	buffer_append_string(&document, way->header);
	buffer_append(&document, bytes, length);
	/* expat says that a character is none when all its bytes are there, and so of <![CDATA[. */
	buffer_append_string(&document, "\n\n\n\n\n\n\n\n");
	reader_expat(&link, READER_LUA, buffer_bytes(&document), buffer_length(&document), SIZE_MAX, &ends);
	down.ends = ends;
	type = cut(way->header, bytes, length, SIZE_MAX, 1, &quiet, check_packet, &down);
	if (!link.failed && !link.stray && !link.doctype && type == SPLITTER_BROKEN)
		down_fail(&down, "broken, and expat reads on", &document);
	if (!link.failed && !link.stray && !link.doctype && down.count != forest_complete(&link))
		down_fail(&down, "expat sees more or fewer packets", &document);
	if (down.count < forest_complete(&link) && !link.stray && !link.doctype)
		down_fail(&down, "expat has read packets that were not cut", &document);
	free(ends);
	forest_deinit(&link);
	buffer_deinit(&document);
	return down.problem == NULL;
}

bool
down_check(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		if (!check_way(&ways[i], bytes, length))
			return false;
	}
	return true;
}
