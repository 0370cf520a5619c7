#include "tests/sessiond/fake.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sessiond/quiet.h"

#define NOW 1795262400	/* 2026-11-21T12:00:00Z */

static time_t
clock_still(void)
{
	return NOW;
}

struct fake *
fake_new_shut(const char *more)
{
	struct fake *fake = calloc(1, sizeof *fake);
	char text[2048];
	unsigned line;
	int error;

	ck_assert_ptr_nonnull(fake);
	quiet_log();
	snprintf(text, sizeof text, "host=localhost\nhost=example.org\nname=" FAKE_NAME
	    "\nsecret=s3cret\ndatabase=:memory:\nregistration=yes\n%s", more);
	error = settings_read(&fake->settings, text, &line);
	ck_assert_int_eq(error, 0);
	fake->settings.iterations = 1;
	error = sessiond_init(&fake->sd, &fake->settings);
	ck_assert_int_eq(error, 0);
	fake->sd.clock = clock_still;
	return fake;
}

struct fake *
fake_new(const char *more)
{
	struct fake *fake = fake_new_shut(more);

	fake_send(fake, "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>");
	fake_send(fake, fake_handshake(fake));
	ck_assert_int_eq(fake->sd.link.state, LINK_READY);
	return fake;
}

void
fake_free(struct fake *fake)
{
	sessiond_deinit(&fake->sd);
	settings_deinit(&fake->settings);
	buffer_deinit(&fake->output);
	free(fake);
}

static void
fake_turn(struct fake *fake)
{
	struct buffer *out = sessiond_output(&fake->sd);
	int error = sessiond_turn(&fake->sd);

	ck_assert_int_eq(error, 0);
	while (buffer_length(out) > 0) {
		buffer_append(&fake->output, buffer_bytes(out), buffer_length(out));
		buffer_consume(out, buffer_length(out));
		error = sessiond_drained(&fake->sd);
		ck_assert_int_eq(error, 0);
	}
}

const char *
fake_send(struct fake *fake, const char *text)
{
	int error = sessiond_input(&fake->sd, text, strlen(text));

	ck_assert_int_eq(error, 0);
	buffer_clear(&fake->output);
	fake_turn(fake);
	while (sessiond_is_busy(&fake->sd)) {
		error = sessiond_input(&fake->sd, NULL, 0);
		ck_assert_int_eq(error, 0);
		fake_turn(fake);
	}
	buffer_append(&fake->output, "", 1);
	return (const char *)buffer_bytes(&fake->output);
}

const char *
fake_sendf(struct fake *fake, const char *format, ...)
{
	char text[8192];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return fake_send(fake, text);
}

const char *
fake_handshake(struct fake *fake)
{
	static char text[128];
	unsigned char digest[EVP_MAX_MD_SIZE];
	char secret[128];
	char hex[64];

	snprintf(secret, sizeof secret, "%s%s", fake->sd.link.id, fake->settings.secret);
	EVP_Digest(secret, strlen(secret), digest, NULL, EVP_sha1(), NULL);
	for (unsigned i = 0; i < 20; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	snprintf(text, sizeof text, "<handshake>%s</handshake>", hex);
	return text;
}

void
fake_register(struct fake *fake, const char *user)
{
	const char *answer = fake_sendf(fake, "<iq type='set' id='r' sto='localhost' sfrom='%s'>"
	    "<query xmlns='jabber:iq:register'><username>%s</username><password>pw</password></query></iq>", FAKE_A,
	    user);

	ck_has(answer, "type='result'");
}

void
fake_login(struct fake *fake, const char *id, const char *user, const char *resource)
{
	const char *answer = fake_sendf(fake, "<iq type='set' id='l' sto='localhost' sfrom='%s'>"
	    "<query xmlns='jabber:iq:auth'><username>%s</username><password>pw</password><resource>%s</resource>"
	    "</query></iq>",
	    id, user, resource);

	ck_has(answer, "type='result'");
}

const char *
fake_stanza(struct fake *fake, const char *id, const char *address, const char *name, const char *attributes,
    const char *content)
{
	return fake_sendf(fake, "<%s %s sto='%s' sfrom='%s'>%s</%s>", name, attributes, address, id, content, name);
}

void
fake_available(struct fake *fake, const char *id, const char *address, int priority)
{
	fake_sendf(fake, "<presence sto='%s' sfrom='%s'><priority>%d</priority></presence>", address, id, priority);
}

unsigned
fake_count(const char *text, const char *what)
{
	unsigned count = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		count++;
	return count;
}

int
fake_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
