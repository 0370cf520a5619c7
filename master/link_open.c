#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/link_parts.h"

bool
link_proof(const char *id, const char *secret, char *proof)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(context, id, strlen(id)) == 1 && EVP_DigestUpdate(context, secret, strlen(secret)) == 1 &&
	    EVP_DigestFinal_ex(context, digest, &length) == 1;

	EVP_MD_CTX_free(context);
	for (unsigned i = 0; done && i < length; i++)
		snprintf(proof + 2 * i, 3, "%02x", digest[i]);
	return done;
}

static void
link_adopt(struct link *link, int fd, uint32_t events)
{
	int result = watch_add(link->loop, &link->watch, fd, events, link_on_ready);

	if (result == 0)
		return;
	close(fd);
	link_fail(link, strerror(-result));
}

static void
connect_socket(struct link *link)
{
	const struct link_address *address = &link->addresses.list[link->failures % link->addresses.count];
	int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0) {
		link_fail(link, strerror(errno));
		return;
	}
	link_tcp_prepare(link, fd, address->address.ss_family);
	if (connect(fd, (const struct sockaddr *)&address->address, address->length) < 0 && errno != EINPROGRESS)
		error = errno;
	if (error != 0) {
		close(fd);
		link_fail(link, strerror(error));
		return;
	}
	link_adopt(link, fd, EPOLLOUT);
}

static void
connect_embedded(struct link *link)
{
	int fd = link->spawn(link);

	if (fd < 0) {
		link_fail(link, strerror(-fd));
		return;
	}
	link_tcp_prepare(link, fd, AF_UNIX);
	link_adopt(link, fd, EPOLLOUT);
}

void
link_step_connect(struct link *link)
{
	link_change_state(link, LINK_CONNECTING);
	link_step_begins(link);
	link->given = 0;
	link->closed = link->reset = false;
	if (link->spawn != NULL)
		connect_embedded(link);
	else
		connect_socket(link);
}

void
link_step_header(struct link *link)
{
	link_change_state(link, LINK_HEADER);
	link_step_begins(link);
	link->dialect->link_header(&link->prelude, link->name);
	link_wants(link, true);
	link_flush_later(link);
}

/* The id of their header, its entities resolved; NULL: there is none (or no memory). The caller frees it. */
static char *
header_id(const struct link_message *message)
{
	const char *at = (const char *)message->bytes;
	size_t name = 1;
	struct element header = { .tag = { at, message->length } };
	struct range id;

	while (name < message->length && strchr(" \t\r\n/>", at[name]) == NULL)
		name++;
	header.name = (struct range){ at + 1, name - 1 };
	return element_attribute(&header, "id", &id) ? range_strdup_decoded(id) : NULL;
}

void
link_step_handshake(struct link *link, const struct link_message *message)
{
	char *id = header_id(message), proof[41];
	bool proved = id != NULL && link_proof(id, link->secret, proof);

	free(id);
	if (!proved) {
		link_fail(link, "the session manager's header has no id");
		return;
	}
	link_change_state(link, LINK_HANDSHAKE);
	link_step_begins(link);
	buffer_append_format(&link->prelude, "<handshake>%s</handshake>", proof);
	link_flush_later(link);
}

void
link_handshake_answer(struct link *link, const struct link_message *message)
{
	struct element element;

	if (element_read_complete(&element, message->bytes, message->length) && range_equals(element.name, "handshake"))
		link_step_enable(link);
	else if (link_is_stream_error(message))
		link_fail(link, "refused by the session manager: wrong secret or name");
	else
		link_fail(link, "the session manager answers our proof with something else");
}
