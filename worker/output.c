#include "worker/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct output *
output_new(struct client *client)
{
	struct output *output = calloc(1, sizeof *output);

	if (output != NULL)
		output->client = client;
	return output;
}

void
output_free(struct output **output)
{
	if (*output == NULL)
		return;
	buffer_deinit(&(*output)->bytes);
	buffer_deinit(&(*output)->marks);
	free(*output);
	*output = NULL;
}

size_t
output_length(const struct output *output)
{
	return output == NULL ? 0 : buffer_length(&output->bytes);
}

uint64_t
output_total(const struct output *output)
{
	return output->written + buffer_length(&output->bytes);
}

void
output_mark(struct output *output, uint64_t number)
{
	struct output_mark mark = { number, output_total(output) };

	buffer_append(&output->marks, &mark, sizeof mark);
}

ssize_t
output_write(struct output *output, int fd)
{
	ssize_t length;

	if (output->bytes.failed || output->marks.failed)
		return -ENOMEM;
	if (buffer_length(&output->bytes) == 0)
		return 0;
	length = send(fd, buffer_bytes(&output->bytes), buffer_length(&output->bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (length < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	buffer_consume(&output->bytes, (size_t)length);
	output->written += (uint64_t)length;
	return length;
}

uint64_t
output_settled(struct output *output)
{
	struct output_mark mark;
	uint64_t number = 0;

	while (buffer_length(&output->marks) >= sizeof mark) {
		memcpy(&mark, buffer_bytes(&output->marks), sizeof mark);
		if (mark.end > output->written)
			break;
		number = mark.number;
		buffer_consume(&output->marks, sizeof mark);
	}
	return number;
}
