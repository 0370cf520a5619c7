/*
 * bench-packets DIALECT CALL TIMES: what a packet costs in a dialect, for valgrind, which counts instructions:
 *
 *	valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measured bench-packets sfrom element 1000
 *
 * The packet is a message of a chat, of some 230 bytes without what the link adds; the client is in session.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"

#define ID "0123456789abc.3.17.4711"
#define NAME "foo-sockets"
#define ADDRESS "romeo@foo.com/orchard"
#define REST " type='chat' id='7f3a'><body>Art thou not Romeo, and a Montague? Neither, fair saint, if either thee " \
	"dislike.</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
#define TO " to='juliet@foo.com/balcony'"
#define FROM " from='juliet@foo.com/balcony'"

struct sample {
	const char *said, *up, *down;
};

static const struct sample stamped = {
	.said = "<message" TO REST,
	.up = "<message sto='" ADDRESS "' sfrom='" ID "@" NAME "'" TO REST,
	.down = "<message sto='" ID "@" NAME "' sfrom='romeo@foo.com' to='" ADDRESS "'" FROM REST,
};

static const struct sample routed = {
	.said = "<message" TO REST,
	.up = "<route to='" ADDRESS "' from='" ID "@" NAME "'><message" TO REST "</route>",
	.down = "<route to='" ID "@" NAME "' from='" ADDRESS "'><message to='" ADDRESS "'" FROM REST "</route>",
};

static const struct dialect *dialect;
static const struct sample *sample;
static const char *call;
static struct dialect_client client = { .address = (char *)(uintptr_t)ADDRESS };
static const struct dialect_context context = { .id = ID, .name = NAME, .stream_id = "1" };

/* False: there is no such call, or it did not do what it is measured for. */
static bool
once(struct buffer *up, struct buffer *down)
{
	struct dialect_answer answer = { .up = up, .down = down };
	struct packet packet;
	struct range to;

	if (strcmp(call, "element") == 0)
		return dialect->client_element(&client, &context, sample->said, strlen(sample->said), strlen("<message"), &answer) == 0 &&
		    buffer_length(up) > 0;
	if (strcmp(call, "packet") == 0)
		return dialect->client_packet(&client, &context, sample->down, strlen(sample->down), &answer) == 0 &&
		    buffer_length(down) > 0;
	if (strcmp(call, "read") == 0) {
		dialect->link_read(&packet, sample->down, strlen(sample->down));
		return packet.kind == PACKET_DATA;
	}
	return strcmp(call, "verify") == 0 &&
	    dialect->link_verify(sample->up, strlen(sample->up), ID, NAME, ADDRESS, &to) == VERDICT_PACKET;
}

static bool __attribute__((noinline))
measured(unsigned times, struct buffer *up, struct buffer *down)
{
	bool done = true;

	for (unsigned i = 0; i < times && done; i++) {
		buffer_clear(up);
		buffer_clear(down);
		done = once(up, down);
	}
	return done;
}

int
main(int argc, char **argv)
{
	struct buffer up = { 0 }, down = { 0 };
	bool done;

	if (argc != 4)
		errx(2, "usage: bench-packets DIALECT element|packet|read|verify TIMES");
	dialect = dialect_find(argv[1]);
	if (dialect == NULL)
		errx(2, "no dialect %s", argv[1]);
	sample = strcmp(argv[1], "route") == 0 ? &routed : &stamped;
	call = argv[2];
	done = measured((unsigned)strtoul(argv[3], NULL, 10), &up, &down);
	if (!done)
		errx(1, "%s %s failed", argv[1], argv[2]);
	buffer_deinit(&up);
	buffer_deinit(&down);
	return 0;
}
