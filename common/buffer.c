#include "common/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first allocation: most packets fit in it. */
#define BUFFER_SIZE_FIRST 512

static void
buffer_compact(struct buffer *buffer)
{
	if (buffer->start == 0)
		return;
	memmove(buffer->data, buffer->data + buffer->start, buffer_length(buffer));
	if (buffer->secret)
		explicit_bzero(buffer->data + buffer_length(buffer), buffer->start);
	buffer->end -= buffer->start;
	buffer->start = 0;
}

/* realloc would leave a copy behind where it moves. */
static uint8_t *
secret_realloc(const struct buffer *buffer, size_t size)
{
	uint8_t *data = malloc(size);

	if (data == NULL || buffer->data == NULL)
		return data;
	memcpy(data, buffer->data, buffer->end);
	explicit_bzero(buffer->data, buffer->size);
	free(buffer->data);
	return data;
}

static bool
buffer_grow(struct buffer *buffer, size_t needed)
{
	size_t size = buffer->size > 0 ? buffer->size : BUFFER_SIZE_FIRST;
	uint8_t *data;

	while (size < needed) {
		if (size > SIZE_MAX / 2)
			return false;
		size *= 2;
	}
	data = buffer->secret ? secret_realloc(buffer, size) : realloc(buffer->data, size);
	if (data == NULL)
		return false;
	buffer->data = data;
	buffer->size = size;
	return true;
}

uint8_t *
buffer_reserve(struct buffer *buffer, size_t more)
{
	if (buffer->failed)
		return NULL;
	if (buffer->size - buffer->end >= more && buffer->data != NULL)
		return buffer->data + buffer->end;
	if (more > SIZE_MAX - buffer->end) {
		buffer->failed = true;
		return NULL;
	}
	/* Moving is cheaper than growing only while little is left to move. */
	if (buffer->data != NULL && buffer->start >= buffer->size / 2)
		buffer_compact(buffer);
	if ((buffer->data == NULL || buffer->size - buffer->end < more) && !buffer_grow(buffer, buffer->end + more)) {
		buffer->failed = true;
		return NULL;
	}
	return buffer->data + buffer->end;
}

void
buffer_commit(struct buffer *buffer, size_t length)
{
	buffer->end += length;
}

void
buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
	uint8_t *place;

	if (length == 0)
		return;
	place = buffer_reserve(buffer, length);
	if (place == NULL)
		return;
	memcpy(place, bytes, length);
	buffer->end += length;
}

void
buffer_append_string(struct buffer *buffer, const char *string)
{
	buffer_append(buffer, string, strlen(string));
}

void
buffer_append_format(struct buffer *buffer, const char *format, ...)
{
	va_list arguments;
	uint8_t *place;
	int length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0) {
		buffer->failed = true;
		return;
	}
	place = buffer_reserve(buffer, (size_t)length + 1);
	if (place == NULL)
		return;
	va_start(arguments, format);
	vsnprintf((char *)place, (size_t)length + 1, format, arguments);
	va_end(arguments);
	buffer->end += (size_t)length;
}

static const char *
entity_of(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '\'':
		return "&apos;";
	case '"':
		return "&quot;";
	default:
		return NULL;
	}
}

void
buffer_append_escaped(struct buffer *buffer, const char *text, size_t length)
{
	size_t from = 0;

	for (size_t i = 0; i < length; i++) {
		const char *entity = entity_of(text[i]);

		if (entity == NULL)
			continue;
		buffer_append(buffer, text + from, i - from);
		buffer_append_string(buffer, entity);
		from = i + 1;
	}
	buffer_append(buffer, text + from, length - from);
}

void
buffer_consume(struct buffer *buffer, size_t length)
{
	if (buffer->secret && buffer->data != NULL)
		explicit_bzero(buffer->data + buffer->start, length < buffer_length(buffer) ? length : buffer_length(buffer));
	buffer->start += length;
	if (buffer->start >= buffer->end)
		buffer->start = buffer->end = 0;
}

void
buffer_clear(struct buffer *buffer)
{
	if (buffer->secret && buffer->data != NULL)
		explicit_bzero(buffer->data, buffer->size);
	buffer->start = buffer->end = 0;
	buffer->failed = false;
}

void
buffer_release(struct buffer *buffer)
{
	if (buffer_length(buffer) == 0)
		buffer_deinit(buffer);
}

void
buffer_set_secret(struct buffer *buffer)
{
	buffer->secret = true;
}

void
buffer_deinit(struct buffer *buffer)
{
	if (buffer->secret && buffer->data != NULL)
		explicit_bzero(buffer->data, buffer->size);
	free(buffer->data);
	*buffer = (struct buffer){ 0 };
}
