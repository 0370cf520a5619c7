#include <errno.h>
#include <openssl/bio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "worker/tls_openssl.h"

#define HEADER_SIZE 5

/* Longest record that OpenSSL takes (RFC 5246 6.2.3 would have it longer), with its header. */
#define RECORD_MAX (HEADER_SIZE + SSL3_RT_MAX_ENCRYPTED_LENGTH)

/* One recv. */
#define FETCH_MAX 16384

struct tls_rest {
	uint32_t length;
	bool has_record;
	uint8_t bytes[];
};

/* What has come for the connection that is in OpenSSL now. */
static struct inbox {
	struct tls_bio *bio;	/* NULL: none is */
	bool loaded;		/* its rest is in here */
	bool fetched;		/* recv was asked */
	size_t start;		/* first byte that OpenSSL has not taken */
	size_t shown;		/* behind the last whole record */
	size_t end;
	uint8_t bytes[RECORD_MAX + FETCH_MAX];
} inbox;

static BIO *shared;

/* ---- records ---- */

/* What cannot be a record is shown as it is, for OpenSSL to say what is wrong with it. */
static bool
is_record(const uint8_t *header, size_t *length_r)
{
	*length_r = HEADER_SIZE + ((size_t)header[3] << 8 | header[4]);
	return header[0] >= SSL3_RT_CHANGE_CIPHER_SPEC && header[0] <= SSL3_RT_APPLICATION_DATA && header[1] == 3 &&
	    *length_r <= RECORD_MAX;
}

static void
inbox_look(void)
{
	size_t length;

	while (inbox.end - inbox.shown >= HEADER_SIZE) {
		if (!is_record(inbox.bytes + inbox.shown, &length)) {
			inbox.shown = inbox.end;
			break;
		}
		if (length > inbox.end - inbox.shown)
			break;
		inbox.shown += length;
	}
	/* Half a record and no more to come: OpenSSL is to see the end of it. */
	if (inbox.bio->ended && inbox.shown < inbox.end) {
		inbox.bio->cut = true;
		inbox.shown = inbox.end;
	}
}

static void
inbox_load(void)
{
	struct tls_rest *rest = inbox.bio->rest;

	inbox.loaded = true;
	inbox.start = inbox.shown = inbox.end = 0;
	if (rest == NULL)
		return;
	memcpy(inbox.bytes, rest->bytes, rest->length);
	inbox.end = rest->length;
	free(rest);
	inbox.bio->rest = NULL;
	inbox_look();
}

static void
inbox_fetch(void)
{
	struct tls_bio *bio = inbox.bio;
	ssize_t length;

	inbox.fetched = true;
	length = recv(bio->fd, inbox.bytes + inbox.end, FETCH_MAX, MSG_DONTWAIT);
	if (length < 0) {
		if (errno != EAGAIN && errno != EINTR)
			bio->error = errno;
		return;
	}
	bio->ended = length == 0;
	bio->received += (uint64_t)length;
	inbox.end += (size_t)length;
	inbox_look();
}

static bool
inbox_has_end(void)
{
	return inbox.bio->ended || inbox.bio->error != 0 || inbox.bio->stopped;
}

bool
tls_bio_fetch(void)
{
	if (!inbox.loaded)
		inbox_load();
	if (inbox.start == inbox.shown && !inbox.fetched && !inbox_has_end())
		inbox_fetch();
	return inbox.start < inbox.shown || inbox_has_end();
}

void
tls_bio_enter(struct tls_bio *bio)
{
	inbox.bio = bio;
	inbox.loaded = inbox.fetched = false;
}

int
tls_bio_leave(void)
{
	struct tls_bio *bio = inbox.bio;
	size_t length = inbox.end - inbox.start;

	inbox.bio = NULL;
	if (!inbox.loaded || length == 0)
		return 0;
	bio->rest = malloc(sizeof *bio->rest + length);
	if (bio->rest == NULL)
		return -ENOMEM;
	bio->rest->length = (uint32_t)length;
	bio->rest->has_record = inbox.start < inbox.shown;
	memcpy(bio->rest->bytes, inbox.bytes + inbox.start, length);
	return 0;
}

bool
tls_bio_has_record(const struct tls_bio *bio)
{
	return bio->rest != NULL && bio->rest->has_record;
}

size_t
tls_bio_held(const struct tls_bio *bio)
{
	return bio->rest == NULL ? 0 : sizeof *bio->rest + bio->rest->length;
}

void
tls_bio_deinit(struct tls_bio *bio)
{
	free(bio->rest);
	bio->rest = NULL;
}

/* ---- what OpenSSL calls ---- */

static int
on_read(BIO *bio, char *bytes, int size)
{
	size_t length;

	BIO_clear_retry_flags(bio);
	if (!tls_bio_fetch()) {
		BIO_set_retry_read(bio);
		return -1;
	}
	length = inbox.shown - inbox.start;
	if (inbox.bio->stopped || length == 0)
		return inbox.bio->ended && !inbox.bio->stopped ? 0 : -1;
	if (length > (size_t)size)
		length = (size_t)size;
	memcpy(bytes, inbox.bytes + inbox.start, length);
	inbox.start += length;
	return (int)length;
}

static int
on_write(BIO *bio, const char *bytes, int size)
{
	ssize_t length;

	BIO_clear_retry_flags(bio);
	length = send(inbox.bio->fd, bytes, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (length >= 0) {
		inbox.bio->sent += (uint64_t)length;
		return (int)length;
	}
	if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_write(bio);
	else
		inbox.bio->error = errno;
	return -1;
}

static long
on_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return inbox.bio != NULL && inbox.bio->ended && inbox.start == inbox.shown;
	default:
		return 0;
	}
}

bool
tls_bio_prepare(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "client");

	if (method == NULL || BIO_meth_set_read(method, on_read) != 1 || BIO_meth_set_write(method, on_write) != 1 ||
	    BIO_meth_set_ctrl(method, on_control) != 1)
		return false;
	shared = BIO_new(method);
	if (shared == NULL)
		return false;
	BIO_set_init(shared, 1);
	return true;
}

BIO *
tls_bio_share(void)
{
	BIO_up_ref(shared);
	return shared;
}
