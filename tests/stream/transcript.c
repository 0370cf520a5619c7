#include "transcript.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cutting cutting_whole = { .first = SIZE_MAX, .step = 1 };

struct run {
	struct buffer *out;
	const struct stream_limits *limits;
	const struct transcript_listener *listener;
	struct stream *stream;
	struct stream_header header;
	bool resume;
	bool opened;
	bool ended;
};

static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "the stream broke its contract: %s\n", what);
	abort();
}

static void
write_field(struct buffer *out, const char *name, const char *value)
{
	if (value != NULL)
		buffer_append_format(out, " %s=%s", name, value);
}

static void
write_opened(struct run *run)
{
	must(!run->opened, "opened once");
	run->opened = true;
	stream_take_header(run->stream, &run->header);
	buffer_append_string(run->out, "opened");
	write_field(run->out, "to", run->header.to);
	write_field(run->out, "from", run->header.from);
	write_field(run->out, "lang", run->header.lang);
	buffer_append_format(run->out, " version=%u.%u", run->header.version_major, run->header.version_minor);
	write_field(run->out, "declarations", run->header.declarations);
	buffer_append_string(run->out, "\n");
}

static void
write_element(struct run *run, const struct stream_event *event)
{
	must(run->opened, "elements come behind the header");
	must(event->length >= 4 && event->bytes[0] == '<' && event->bytes[event->length - 1] == '>', "an element");
	must(event->name_end < event->length && strchr(" />", event->bytes[event->name_end]) != NULL, "name_end");
	must(memchr(event->bytes, ':', event->name_end) == NULL, "no prefix");
	must(event->received >= 4 && event->received <= run->limits->element_bytes, "received is limited");
	must(event->length <= (size_t)run->limits->element_bytes + STREAM_WRITTEN_EXTRA, "written is limited");
	buffer_append_string(run->out, "element ");
	buffer_append(run->out, event->bytes, event->length);
	buffer_append_string(run->out, "\n");
	if (run->listener != NULL)
		run->listener->element(run->listener->argument, event->bytes, event->length);
}

static void
write_event(struct run *run, const struct stream_event *event)
{
	must(!run->ended, "nothing follows the end");
	switch (event->type) {
	case STREAM_OPENED:
		write_opened(run);
		break;
	case STREAM_ELEMENT:
		write_element(run, event);
		break;
	case STREAM_CLOSED:
		run->ended = true;
		buffer_append_string(run->out, "closed\n");
		break;
	case STREAM_FAILED:
		run->ended = true;
		must(event->condition != CONDITION_NONE && event->text != NULL, "a failure says why");
		buffer_append_format(run->out, "failed %s: %s\n", condition_name(event->condition), event->text);
		break;
	case STREAM_NOTHING:
	default:
		must(false, "a known event");
	}
}

static void
feed(struct run *run, const uint8_t *bytes, size_t length)
{
	struct stream_event event;

	must(stream_feed(run->stream, bytes, length) == 0, "there is memory");
	while (stream_next(run->stream, &event) != STREAM_NOTHING)
		write_event(run, &event);
	must(!run->ended || !stream_is_quiet(run->stream), "the end is not quiet");
	if (!run->resume || !stream_is_quiet(run->stream))
		return;
	stream_free(&run->stream);
	run->stream = stream_new(run->limits, &run->header);
	must(run->stream != NULL, "there is memory");
	must(stream_is_quiet(run->stream), "a stream that goes on begins quietly");
}

void
transcript_write(struct buffer *out, const struct stream_limits *limits, const uint8_t *bytes, size_t length,
    const struct cutting *cutting, const struct transcript_listener *listener)
{
	struct run run = { .out = out, .limits = limits, .listener = listener, .resume = cutting->resume };
	size_t piece = cutting->first < length ? cutting->first : length;

	run.stream = stream_new(limits, NULL);
	must(run.stream != NULL, "there is memory");
	feed(&run, bytes, piece);
	for (size_t at = piece; at < length; at += piece) {
		piece = cutting->step < length - at ? cutting->step : length - at;
		feed(&run, bytes + at, piece);
	}
	if (!run.ended)
		buffer_append_string(out, stream_is_quiet(run.stream) ? "quiet\n" : "waiting\n");
	stream_free(&run.stream);
	stream_header_deinit(&run.header);
}
