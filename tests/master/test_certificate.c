/*
 * certificate, certificates: what is read from files that openssl(1) has made, each thing that may be wrong with them by its
 * name, what a reload keeps, and that nothing of a key stays.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/certificates.h"
#include "tests/common/remains.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char folder[] = "/tmp/c2sd-certificate.XXXXXX";

/* In the folder; its output is only seen when it fails. */
static void __attribute__((format(printf, 1, 2)))
shell(const char *format, ...)
{
	char command[2048], line[2200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	snprintf(line, sizeof line, "cd %s && { %s; } >out 2>&1 || { cat out; exit 1; }", folder, command);
	ck_assert_msg(system(line) == 0, "%s", command);
}

static const char *
path_of(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % COUNT(paths)];

	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

/* A key of that kind, and a certificate that it has signed for itself: NAME.key, NAME.pem. */
static void
make(const char *name, const char *kind, const char *more)
{
	shell("openssl genpkey %s -out %s.key; chmod 600 %s.key; openssl req -x509 -new -key %s.key -out %s.pem -days 100 "
	    "-subj /CN=common.example %s", kind, name, name, name, name, more);
}

#define EC "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"

/* Once for all tests, before check forks. */
static void
files_make(void)
{
	make("ec", EC, "-addext 'subjectAltName=DNS:a.example,DNS:*.b.example,otherName:1.3.6.1.5.5.7.8.5;UTF8:c.example,"
	    "otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-client.d.example,otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-client.A.example,"
	    "otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-server.e.example,IP:192.0.2.1'");
	make("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "");
	make("ed", "-algorithm ED25519", "-addext subjectAltName=DNS:xn--mller-kva.example");
	make("other", EC, "");
	make("weak", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "");
	make("client", EC, "-addext extendedKeyUsage=clientAuth");
	make("nameless", EC, "-subj /O=nobody");
	shell("cat ec.pem ec.key >both.pem; cat ec.key ec.pem >reverse.pem; chmod 600 both.pem reverse.pem");
	shell("openssl ec -in ec.key -out sec1.key; openssl rsa -traditional -in rsa.key -out pkcs1.key");
	shell("openssl ec -in ec.key -param_out -out parameters.pem; cat parameters.pem sec1.key >with-parameters.key");
	shell("openssl pkcs8 -topk8 -in ec.key -out encrypted.key -passout pass:x");
	shell("openssl rsa -traditional -aes128 -in rsa.key -out encrypted-old.key -passout pass:x");
	shell("openssl req -new -key other.key -subj /CN=leaf.example -out leaf.csr; openssl x509 -req -in leaf.csr -CA ec.pem "
	    "-CAkey ec.key -CAcreateserial -days 50 -out leaf.pem");
	shell("openssl x509 -req -in leaf.csr -CA ec.pem -CAkey ec.key -days 50 -sha1 -out sha1.pem");
	shell("cat leaf.pem ec.pem >chain.pem; cat ec.pem leaf.pem >backwards.pem; cat leaf.pem rsa.pem >disorder.pem");
	shell("openssl dsaparam -out dsa.par 1024; openssl gendsa -out dsa.key dsa.par");
	shell("head -3 ec.pem >cut.pem; head -2 ec.key >cut.key; sed 's/^M/?/' ec.pem >damaged.pem; : >empty.pem; echo x >text.pem");
	shell("{ echo -----BEGIN CERTIFICATE-----; echo AAAA; echo -----END CERTIFICATE-----; } >noise.pem");
	shell("{ echo -----BEGIN PRIVATE KEY-----; echo AAAA; echo -----END PRIVATE KEY-----; } >noise.key");
	/* The secret number is another one, the public key is not; of RSA a prime as well, since either would do. */
	shell("openssl ec -in ec.key -outform DER -out sec1.der; openssl rsa -traditional -in rsa.key -outform DER -out pkcs1.der");
	shell("for i in sec1.der:20 pkcs1.der:400 pkcs1.der:600; do printf aaaa | "
	    "dd of=${i%%:*} bs=1 seek=${i#*:} conv=notrunc; done");
	shell("{ echo -----BEGIN EC PRIVATE KEY-----; base64 sec1.der; echo -----END EC PRIVATE KEY-----; } >broken-ec.key");
	shell("{ echo -----BEGIN RSA PRIVATE KEY-----; base64 pkcs1.der; echo -----END RSA PRIVATE KEY-----; } >broken-rsa.key");
	shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do cat ec.pem; done >many.pem");
	shell("head -c 262145 /dev/zero >long.pem; mkfifo fifo; cp ec.key open.key; chmod 644 open.key");
}

static int
read_files(struct certificate *certificate, struct certificate_error *error, const char *chain, const char *key)
{
	return certificate_read(certificate, path_of(chain), key != NULL ? path_of(key) : NULL, error);
}

static void
names_join(const struct certificate *certificate, char *names_r, size_t size)
{
	names_r[0] = '\0';
	for (const char *name = certificate_name_first(certificate); name != NULL;
	    name = certificate_name_next(certificate, name))
		snprintf(names_r + strlen(names_r), size - strlen(names_r), "%s ", name);
}

static const struct {
	const char *chain, *key, *names;
	unsigned doubts;
} good[] = {
	{ "ec.pem", "ec.key", "a.example *.b.example c.example d.example ", 0 },
	{ "rsa.pem", "rsa.key", "common.example ", 0 },
	{ "ed.pem", "ed.key", "xn--mller-kva.example ", 0 },
	{ "rsa.pem", "pkcs1.key", "common.example ", 0 },
	{ "ec.pem", "sec1.key", "a.example *.b.example c.example d.example ", 0 },
	{ "ec.pem", "with-parameters.key", "a.example *.b.example c.example d.example ", 0 },
	{ "ec.pem", "both.pem", "a.example *.b.example c.example d.example ", 0 },
	{ "both.pem", NULL, "a.example *.b.example c.example d.example ", 0 },
	{ "reverse.pem", NULL, "a.example *.b.example c.example d.example ", 0 },
	{ "chain.pem", "other.key", "leaf.example ", 0 },
	{ "disorder.pem", "other.key", "leaf.example ", CERTIFICATE_DISORDER },
	{ "client.pem", "client.key", "common.example ", CERTIFICATE_PURPOSE },
	{ "nameless.pem", "nameless.key", "", CERTIFICATE_NAMELESS },
	{ "ec.pem", "open.key", "a.example *.b.example c.example d.example ", CERTIFICATE_EXPOSED },
};

START_TEST(what_is_right)
{
	struct certificate certificate;
	struct certificate_error error;
	char names[256];

	ck_assert_msg(read_files(&certificate, &error, good[_i].chain, good[_i].key) == 0, "%s", error.text);
	names_join(&certificate, names, sizeof names);
	ck_assert_str_eq(names, good[_i].names);
	/* The first two files that are keys are made by openssl(1), which makes them readable for some. */
	ck_assert_uint_eq(certificate.doubts & ~(unsigned)CERTIFICATE_EXPOSED, good[_i].doubts & ~(unsigned)CERTIFICATE_EXPOSED);
	ck_assert((certificate.doubts & CERTIFICATE_EXPOSED) != 0 || (good[_i].doubts & CERTIFICATE_EXPOSED) == 0);
	ck_assert_uint_gt(buffer_length(&certificate.chain), 100);
	ck_assert_uint_gt(certificate.key.size, 30);
	certificate_deinit(&certificate);
	certificate_deinit(&certificate);
}
END_TEST

static const struct {
	const char *chain, *key;
	bool of_key;
	const char *text;
} bad[] = {
	{ "none.pem", "ec.key", false, "No such file or directory" },
	{ "ec.pem", "none.key", true, "No such file or directory" },
	{ ".", "ec.key", false, "not a file" },
	{ "ec.pem", "fifo", true, "not a file" },
	{ "empty.pem", "ec.key", false, "empty" },
	{ "long.pem", "ec.key", false, "longer than 262144 bytes" },
	{ "text.pem", "ec.key", false, "no certificate in it" },
	{ "ec.key", "ec.key", false, "no certificate in it" },
	{ "cut.pem", "ec.key", false, "something in it has no end, or is damaged" },
	{ "damaged.pem", "ec.key", false, "something in it has no end, or is damaged" },
	{ "noise.pem", "ec.key", false, "certificate 1 in it is damaged" },
	{ "many.pem", "ec.key", false, "more than 16 certificates in it" },
	{ "ec.pem", "text.pem", true, "no key in it" },
	{ "ec.pem", "ec.pem", true, "no key in it" },
	{ "ec.pem", "parameters.pem", true, "no key in it" },
	{ "ec.pem", NULL, false, "no key in it" },
	{ "ec.pem", "cut.key", true, "the key in it has no end, or is damaged" },
	{ "ec.pem", "noise.key", true, "the key in it is damaged, or of an unknown kind" },
	{ "ec.pem", "broken-ec.key", true, "the key in it is damaged" },
	{ "rsa.pem", "broken-rsa.key", true, "the key in it is damaged" },
	{ "ec.pem", "dsa.key", true, "the key in it is of a kind that TLS has no use for" },
	{ "ec.pem", "encrypted.key", true, "the key in it is encrypted: nobody could type its passphrase" },
	{ "rsa.pem", "encrypted-old.key", true, "the key in it is encrypted: nobody could type its passphrase" },
	{ "ec.pem", "other.key", true, "the key in it does not match the certificate" },
	{ "ec.pem", "rsa.key", true, "the key in it does not match the certificate" },
	{ "backwards.pem", "other.key", false, "the key's own certificate stands in place 2, not first" },
	{ "weak.pem", "weak.key", false, "the key of certificate 1 in it is too weak" },
	{ "sha1.pem", "other.key", false, "certificate 1 in it is signed too weakly" },
};

START_TEST(what_is_wrong)
{
	struct certificate certificate;
	struct certificate_error error;

	ck_assert_int_lt(read_files(&certificate, &error, bad[_i].chain, bad[_i].key), 0);
	ck_assert_str_eq(error.text, bad[_i].text);
	ck_assert_int_eq(error.of_key, bad[_i].of_key);
	certificate_deinit(&certificate);
}
END_TEST

START_TEST(hosts_that_it_is_for)
{
	static const struct {
		const char *file, *host;
		bool covered;
	} cases[] = {
		{ "ec", "a.example", true }, { "ec", "A.Example", true }, { "ec", "x.a.example", false },
		{ "ec", "x.b.example", true }, { "ec", "b.example", false }, { "ec", ".b.example", false },
		{ "ec", "x.y.b.example", false }, { "ec", "c.example", true }, { "ec", "d.example", true },
		{ "ec", "e.example", false }, { "ec", "common.example", false }, { "ec", "192.0.2.1", false },
		{ "rsa", "common.example", true }, { "rsa", "", false }, { "ed", "m\xc3\xbcller.example", true },
		{ "ed", "xn--mller-kva.example", true }, { "ed", "muller.example", false }, { "nameless", "nobody", false },
	};
	struct certificate certificate;
	struct certificate_error error;
	char chain[32], key[32];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(chain, sizeof chain, "%s.pem", cases[i].file);
		snprintf(key, sizeof key, "%s.key", cases[i].file);
		ck_assert_int_eq(read_files(&certificate, &error, chain, key), 0);
		ck_assert_msg(certificate_covers(&certificate, cases[i].host) == cases[i].covered, "%s", cases[i].host);
		certificate_deinit(&certificate);
	}
}
END_TEST

START_TEST(time_passes)
{
	struct certificate certificate = { .not_before = 1000 * 86400, .not_after = 1100 * 86400 };

	ck_assert_int_eq(certificate_days_left(&certificate, 1090 * 86400), 10);
	ck_assert_int_eq(certificate_days_left(&certificate, 1090 * 86400 + 1), 9);
	ck_assert_int_eq(certificate_days_left(&certificate, 1100 * 86400), 0);
	ck_assert_int_eq(certificate_days_left(&certificate, 1100 * 86400 + 1), -1);
	ck_assert_uint_eq(certificate_doubts(&certificate, 999 * 86400, 14), CERTIFICATE_NOT_YET);
	ck_assert_uint_eq(certificate_doubts(&certificate, 1000 * 86400, 14), 0);
	ck_assert_uint_eq(certificate_doubts(&certificate, 1086 * 86400, 14), 0);
	ck_assert_uint_eq(certificate_doubts(&certificate, 1086 * 86400 + 1, 14), CERTIFICATE_EXPIRES_SOON);
	ck_assert_uint_eq(certificate_doubts(&certificate, 1100 * 86400, 14), CERTIFICATE_EXPIRES_SOON);
	ck_assert_uint_eq(certificate_doubts(&certificate, 1100 * 86400, 0), 0);
	ck_assert_uint_eq(certificate_doubts(&certificate, 1100 * 86400 + 1, 14), CERTIFICATE_EXPIRED);
}
END_TEST

/* ---- nothing stays ---- */

#define PIECE 24

/* A piece of the file, its bits turned, without ever standing anywhere else. */
static void
piece_hide(uint8_t *hidden_r, const char *path, off_t offset)
{
	int fd = open(path, O_RDONLY);
	uint8_t byte;

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < PIECE; i++) {
		ck_assert_int_eq(pread(fd, &byte, 1, offset + (off_t)i), 1);
		hidden_r[i] = byte ^ 0xff;
	}
	close(fd);
}

static const struct {
	const char *name;
	off_t secret;	/* where in its PKCS #8 the secret number is */
} keys[] = {
	{ "ec", 40 },
	{ "rsa", 400 },
	{ "rsa", 700 },		/* a prime */
	{ "ed", 18 - 2 },
};

/* Neither its text nor its number is anywhere but in the vault. */
START_TEST(nothing_stays)
{
	const char *name = keys[_i].name;
	uint8_t text[PIECE], number[PIECE];
	struct certificate certificate;
	struct certificate_error error;
	char chain[32], key[32];

	snprintf(chain, sizeof chain, "%s.pem", name);
	snprintf(key, sizeof key, "%s.key", name);
	shell("openssl pkcs8 -topk8 -nocrypt -in %s -outform DER -out key.der", key);
	/* Behind the first line. */
	piece_hide(text, path_of(key), 28 + (strcmp(name, "rsa") == 0 ? 600 : 48));
	piece_hide(number, path_of("key.der"), keys[_i].secret);
	ck_assert_int_eq(read_files(&certificate, &error, chain, key), 0);
	ck_assert_uint_eq(remains_count(text, sizeof text), 0);
	ck_assert_uint_eq(remains_count(number, sizeof number), 1);
	certificate_deinit(&certificate);
	ck_assert_uint_eq(remains_count(number, sizeof number), 0);
	/* Refused, it is forgotten as well. */
	ck_assert_int_lt(read_files(&certificate, &error, "other.pem", key), 0);
	certificate_deinit(&certificate);
	ck_assert_uint_eq(remains_count(text, sizeof text), 0);
	ck_assert_uint_eq(remains_count(number, sizeof number), 0);
}
END_TEST

/* ---- all of them ---- */

static struct certificates running, fresh;
static struct options options;
static char errors_said[4096], kept_said[4096];

static void
on_said(const struct config_report *report, const char *file, int line, const char *what)
{
	char *said = report->argument;

	config_report_format(said + strlen(said), 4096 - strlen(said), file, line, what);
	strcat(said, "\n");
}

static const struct config_lines no_lines;
static const struct config_report on_errors = { .fn = on_said, .argument = errors_said };
static const struct config_report on_kept = { .fn = on_said, .argument = kept_said };
static const struct certificates_source source = { .file = "f", .lines = &no_lines, .errors = &on_errors, .kept = &on_kept };

static void
configure(unsigned count, ...)
{
	static char paths[SETTINGS_CERTIFICATES_MAX][2][128];
	va_list arguments;

	va_start(arguments, count);
	options.certificate_count = count;
	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; k < 2; k++)
			snprintf(paths[i][k], sizeof paths[i][k], "%s/%s", folder, va_arg(arguments, const char *));
		options.certificates[i] = (struct certificate_options){ paths[i][0], paths[i][1] };
	}
	va_end(arguments);
}

/* The number of errors; without any they are in force. */
static int
reload(void)
{
	int errors;

	errors_said[0] = kept_said[0] = '\0';
	fresh = (struct certificates){ 0 };
	errors = certificates_read(&fresh, &running, &options, &source);
	if (errors == 0)
		certificates_take(&running, &fresh);
	certificates_deinit(&fresh);
	return errors;
}

static const uint8_t *
chain_bytes(unsigned place)
{
	return buffer_bytes(&running.entries[place].certificate.chain);
}

START_TEST(a_bad_one_stays_as_it_was)
{
	char before[64], wanted[512];

	shell("cp ec.pem x.pem; cp ec.key x.key");
	configure(2, "rsa.pem", "rsa.key", "x.pem", "x.key");
	ck_assert_int_eq(reload(), 0);
	ck_assert_uint_eq(running.count, 2);
	memcpy(before, chain_bytes(1) + 100, sizeof before);
	shell("cp other.key x.key");
	/* It may stand elsewhere now. */
	configure(2, "x.pem", "x.key", "ed.pem", "ed.key");
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(reload(), 0);
		snprintf(wanted, sizeof wanted, "f: certificate key %s/x.key: the key in it does not match the certificate; the "
		    "certificate that was read before stays\n", folder);
		ck_assert_str_eq(kept_said, wanted);
		ck_assert_mem_eq(chain_bytes(0) + 100, before, sizeof before);
		ck_assert_ptr_nonnull(running.entries[0].complaint);
		ck_assert_uint_gt(running.entries[0].certificate.key.size, 0);
	}
	/* Renewed as it should be. */
	shell("cp other.pem x.pem");
	ck_assert_int_eq(reload(), 0);
	ck_assert_str_eq(kept_said, "");
	ck_assert_mem_ne(chain_bytes(0) + 100, before, sizeof before);
	ck_assert_ptr_null(running.entries[0].complaint);
	certificates_deinit(&running);
}
END_TEST

START_TEST(a_bad_new_one_is_an_error)
{
	char wanted[512];

	configure(1, "rsa.pem", "rsa.key");
	ck_assert_int_eq(reload(), 0);
	configure(3, "rsa.pem", "rsa.key", "rsa.pem", "ec.key", "none.pem", "ec.key");
	ck_assert_int_eq(reload(), 2);
	snprintf(wanted, sizeof wanted, "f: certificate key %s/ec.key: the key in it does not match the certificate\n"
	    "f: certificate chain %s/none.pem: No such file or directory\n", folder, folder);
	ck_assert_str_eq(errors_said, wanted);
	/* What was in force still is. */
	ck_assert_uint_eq(running.count, 1);
	ck_assert_uint_gt(running.entries[0].certificate.key.size, 0);
	configure(0);
	ck_assert_int_eq(reload(), 0);
	ck_assert_uint_eq(running.count, 0);
	certificates_deinit(&running);
}
END_TEST

START_TEST(doubts_are_said)
{
	static char host[] = "a.example", other[] = "f.example";	/* the options keep them */
	char wanted[1024];

	configure(2, "client.pem", "client.key", "ec.pem", "ec.key");
	options.tls.expiry_days = 200;
	options.host_count = 2;
	options.hosts[0].name = host;
	options.hosts[1].name = other;
	ck_assert_int_eq(reload(), 0);
	certificates_review(&running, &options, &source);
	snprintf(wanted, sizeof wanted, "f: warning: certificate %s/client.pem: the certificate in it is not for servers\n"
	    "f: warning: certificate %s/client.pem: the certificate in it expires soon\n"
	    "f: warning: certificate %s/ec.pem: the certificate in it expires soon\n"
	    "f: warning: host f.example: no certificate is for it\n", folder, folder, folder);
	ck_assert_str_eq(errors_said, wanted);
	certificates_deinit(&running);
}
END_TEST

START_TEST(they_are_watched)
{
	struct loop loop;

	ck_assert_int_eq(loop_init(&loop), 0);
	configure(1, "ec.pem", "ec.key");
	ck_assert_int_eq(reload(), 0);
	running.options = &options;
	certificates_watch(&running, &loop);
	ck_assert_uint_eq(running.daily.at, loop_now(&loop) + 86400000);
	timer_is_due(&loop, &running.daily);
	loop_turn(&loop);
	ck_assert_uint_ge(running.daily.at, loop_now(&loop) + 86400000);
	certificates_deinit(&running);
	ck_assert(!timer_is_set(&running.daily));
	loop_deinit(&loop);
}
END_TEST

static void
files_remove(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -r %s", folder);
	if (system(command) != 0)
		exit(EXIT_FAILURE);
}

int
main(void)
{
	Suite *suite = suite_create("certificate");
	TCase *tests = tcase_create("certificate");
	int status;

	certificate_prepare();
	if (mkdtemp(folder) == NULL || system("openssl version >/dev/null") != 0)
		return EXIT_FAILURE;
	tcase_add_unchecked_fixture(tests, files_make, NULL);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, what_is_right, 0, COUNT(good));
	tcase_add_loop_test(tests, what_is_wrong, 0, COUNT(bad));
	tcase_add_test(tests, hosts_that_it_is_for);
	tcase_add_test(tests, time_passes);
	tcase_add_loop_test(tests, nothing_stays, 0, COUNT(keys));
	tcase_add_test(tests, a_bad_one_stays_as_it_was);
	tcase_add_test(tests, a_bad_new_one_is_an_error);
	tcase_add_test(tests, doubts_are_said);
	tcase_add_test(tests, they_are_watched);
	suite_add_tcase(suite, tests);
	status = tap_run(suite);
	files_remove();
	return status;
}
