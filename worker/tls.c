#include "worker/tls.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "worker/tls_openssl.h"

/* Longest plain text of a record (RFC 8446 5.1). */
#define RECORD_TEXT_MAX 16384

/* Records without data (KeyUpdate, warnings, attempts to begin anew) in a row: each costs us more than its sender. */
#define USELESS_MAX 16

/* RFC 9266 2 */
#define EXPORTER_LABEL "EXPORTER-Channel-Binding"

struct tls {
	SSL *ssl;
	struct tls_bio bio;
	struct tls_context *context;	/* until the handshake is over */
	struct tls_facts *facts;
	const char *error;
	int16_t verdict;		/* what tls_read says from now on: 0, or a negative errno */
	bool has_verdict;
	bool broken;			/* OpenSSL has given up: nothing can be said any more */
	bool read_wants_write;
	uint8_t version;		/* 12, 13 */
	uint8_t useless;
};

/* ---- in and out of OpenSSL ---- */

/* What tls_read says from now on. */
static int
tls_conclude(struct tls *tls, int verdict)
{
	if (!tls->has_verdict)
		tls->verdict = (int16_t)verdict;
	tls->has_verdict = true;
	return verdict;
}

static void
tls_enter(struct tls *tls)
{
	tls_errors_clear();
	tls_memory_limit(true);
	tls_bio_enter(&tls->bio);
}

static int
tls_leave(struct tls *tls)
{
	int result = tls_bio_leave();

	tls_memory_limit(false);
	tls_errors_clear();
	return result < 0 ? tls_conclude(tls, result) : 0;
}

struct tls_context *
tls_of_handshake(const SSL *ssl)
{
	const struct tls *tls = SSL_get_app_data(ssl);

	return tls->context;
}

/* OpenSSL has given up. A negative errno: -EPROTO when it was the other side's fault. */
static int
tls_break(struct tls *tls)
{
	int result = tls_errors_take(&tls->error);

	tls->broken = true;
	if (tls->bio.stopped) {
		tls->error = "too many records without data";
		return tls_conclude(tls, -EPROTO);
	}
	if (result == -EINVAL)
		result = tls->bio.error != 0 ? -tls->bio.error : -EPROTO;
	return tls_conclude(tls, result);
}

/* Why a call did not succeed: -EAGAIN, 0 when the other side has ended, or what tls_break says. */
static int
tls_reason(struct tls *tls, int result)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		if (tls->bio.ended)
			tls->error = tls->bio.cut ? "connection closed within a record" : "connection closed without close_notify";
		return tls_conclude(tls, 0);
	default:
		return tls_break(tls);
	}
}

/* ---- facts ---- */

static bool
facts_take_exporter(struct tls_facts *facts, SSL *ssl)
{
	if (!facts->has_exporter)
		return true;
	/* The context is there, and empty: with TLS 1.2 that is not the same as none (RFC 5705 4). */
	return SSL_export_keying_material(ssl, facts->exporter, sizeof facts->exporter, EXPORTER_LABEL,
	    sizeof EXPORTER_LABEL - 1, (const unsigned char *)"", 0, 1) == 1;
}

static bool
facts_take_end_point(struct tls_facts *facts, SSL *ssl)
{
	size_t length;

	if (!tls_end_point_get(ssl, facts->end_point, &length))
		return false;
	facts->end_point_length = (uint8_t)length;
	return true;
}

static bool
facts_take_client(struct tls_facts *facts, const SSL *ssl)
{
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	unsigned char *der = NULL;
	int length;

	if (sni != NULL && (facts->sni = strdup(sni)) == NULL)
		return false;
	if (certificate == NULL)
		return true;
	length = i2d_X509(certificate, &der);
	if (length <= 0)
		return false;
	facts->certificate = malloc((size_t)length);
	if (facts->certificate != NULL)
		memcpy((void *)(uintptr_t)facts->certificate, der, (size_t)length);
	facts->certificate_length = (size_t)length;
	OPENSSL_free(der);
	return facts->certificate != NULL;
}

static void
facts_free(struct tls_facts *facts)
{
	if (facts == NULL)
		return;
	free((void *)(uintptr_t)facts->sni);
	free((void *)(uintptr_t)facts->certificate);
	freezero(facts, sizeof *facts);
}

static struct tls_facts *
facts_new(SSL *ssl, uint8_t version)
{
	struct tls_facts *facts = calloc(1, sizeof *facts);

	if (facts == NULL)
		return NULL;
	facts->version = version;
	facts->resumed = SSL_session_reused(ssl) == 1;
	facts->has_exporter = version == 13 || SSL_get_extms_support(ssl) == 1;
	facts->cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
	if (facts_take_client(facts, ssl))
		return facts;
	facts_free(facts);
	return NULL;
}

/* ---- handshake ---- */

static bool
ssl_init(struct tls *tls, struct tls_context *context, const char *host)
{
	tls->ssl = SSL_new(tls_context_choose(context, host));
	if (tls->ssl == NULL || SSL_set_app_data(tls->ssl, tls) != 1)
		return false;
	SSL_set0_rbio(tls->ssl, tls_bio_share());
	SSL_set0_wbio(tls->ssl, tls_bio_share());
	SSL_set_accept_state(tls->ssl);
	if (!tls_context_gives_tickets(context)) {
		SSL_set_options(tls->ssl, SSL_OP_NO_TICKET);
		SSL_set_num_tickets(tls->ssl, 0);
	}
	return true;
}

struct tls *
tls_new(struct tls_context *context, int fd, const char *host)
{
	struct tls *tls = tls_memory_new(sizeof *tls);

	if (tls == NULL)
		return NULL;
	*tls = (struct tls){ 0 };
	tls_errors_clear();
	tls->bio.fd = fd;
	tls->context = tls_context_hold(context);
	if (!ssl_init(tls, context, host)) {
		tls_errors_clear();
		tls_free(&tls);
	}
	return tls;
}

/* What comes after the handshake without being data. */
static void
on_message(int is_ours, int version, int type, const void *bytes, size_t length, SSL *ssl, void *argument)
{
	struct tls *tls = argument;

	(void)version, (void)length, (void)ssl;
	if (is_ours || type != (tls->version == 13 ? SSL3_RT_INNER_CONTENT_TYPE : SSL3_RT_HEADER))
		return;
	if (*(const uint8_t *)bytes != SSL3_RT_APPLICATION_DATA && ++tls->useless > USELESS_MAX)
		tls->bio.stopped = true;
}

static int
handshake_finish(struct tls *tls)
{
	uint8_t version = SSL_version(tls->ssl) == TLS1_3_VERSION ? 13 : 12;

	tls->facts = facts_new(tls->ssl, version);
	if (tls->facts == NULL)
		return tls_break(tls), -ENOMEM;
	tls->version = version;
	tls_context_release(&tls->context);
	SSL_set_msg_callback(tls->ssl, on_message);
	SSL_set_msg_callback_arg(tls->ssl, tls);
	return TLS_READY;
}

static int
handshake_result(struct tls *tls, int result)
{
	if (result == 1)
		return handshake_finish(tls);
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANTS_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANTS_WRITE;
	default:
		break;
	}
	result = tls_break(tls);
	if (result == -ENOMEM)
		return result;
	return tls->bio.ended || tls->bio.error != 0 ? TLS_CLOSED : TLS_FAILED;
}

int
tls_handshake(struct tls *tls)
{
	int result;

	tls_enter(tls);
	result = handshake_result(tls, SSL_do_handshake(tls->ssl));
	return tls_leave(tls) < 0 ? -ENOMEM : result;
}

/* ---- data ---- */

/* As much as there is; what ended it stays for the next call when there was something before. */
static ssize_t
read_records(struct tls *tls, uint8_t *bytes, size_t size)
{
	size_t total = 0, length;

	while (total < size && (SSL_pending(tls->ssl) > 0 || tls->read_wants_write || tls_bio_fetch())) {
		int result = SSL_read_ex(tls->ssl, bytes + total, size - total, &length);

		tls->read_wants_write = result != 1 && SSL_want_write(tls->ssl);
		if (result == 1) {
			total += length;
			tls->useless = 0;
			continue;
		}
		result = tls_reason(tls, result);
		return total > 0 ? (ssize_t)total : result;
	}
	return total > 0 ? (ssize_t)total : -EAGAIN;
}

ssize_t
tls_read(struct tls *tls, void *bytes, size_t size)
{
	ssize_t length;

	if (tls->has_verdict)
		return tls->verdict;
	tls_enter(tls);
	length = read_records(tls, bytes, size);
	tls_leave(tls);
	return length;
}

bool
tls_has_more(const struct tls *tls)
{
	return tls->has_verdict || SSL_pending(tls->ssl) > 0 || tls_bio_has_record(&tls->bio);
}

bool
tls_read_wants_write(const struct tls *tls)
{
	return tls->read_wants_write;
}

ssize_t
tls_write(struct tls *tls, const void *bytes, size_t length)
{
	size_t written;
	ssize_t outcome;
	int result;

	/* SSL_MODE_ENABLE_PARTIAL_WRITE: not more than a record. */
	tls_enter(tls);
	result = SSL_write_ex(tls->ssl, bytes, length, &written);
	outcome = result == 1 ? (ssize_t)written : tls_reason(tls, result);
	tls_leave(tls);
	return outcome == 0 ? -EPIPE : outcome;
}

/* ---- the rest ---- */

uint64_t
tls_sent(const struct tls *tls)
{
	return tls->bio.sent;
}

uint64_t
tls_received(const struct tls *tls)
{
	return tls->bio.received;
}

const struct tls_facts *
tls_facts(const struct tls *tls)
{
	return tls->facts;
}

int
tls_bind(struct tls *tls)
{
	bool done;

	if (tls->facts->is_bound)
		return 0;
	tls_errors_clear();
	done = facts_take_exporter(tls->facts, tls->ssl) && facts_take_end_point(tls->facts, tls->ssl);
	tls_errors_clear();
	tls->facts->is_bound = done;
	return done ? 0 : -ENOMEM;
}

void
tls_forget(struct tls *tls)
{
	facts_free(tls->facts);
	tls->facts = NULL;
}

unsigned
tls_version(const struct tls *tls)
{
	return tls->version;
}

void
tls_close(struct tls *tls)
{
	if (tls->version == 0 || tls->broken)
		return;
	tls_enter(tls);
	SSL_shutdown(tls->ssl);
	tls_leave(tls);
}

void
tls_free(struct tls **tls)
{
	if (*tls == NULL)
		return;
	SSL_free((*tls)->ssl);
	tls_bio_deinit(&(*tls)->bio);
	tls_context_release(&(*tls)->context);
	facts_free((*tls)->facts);
	tls_memory_free(*tls);
	*tls = NULL;
}

size_t
tls_held(const struct tls *tls)
{
	/* OpenSSL's own buffer is there as long as anything of its record is. */
	return tls_bio_held(&tls->bio) + (SSL_pending(tls->ssl) > 0 ? RECORD_TEXT_MAX : 0);
}

const char *
tls_error(const struct tls *tls)
{
	return tls->error;
}
