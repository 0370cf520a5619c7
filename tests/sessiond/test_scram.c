/* SCRAM alone: the examples of the RFCs, what must be refused and why, and every message cut at every byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "sessiond/scram.h"
#include "tests/sessiond/fake.h"
#include "tests/sessiond/scram_client.h"

/* An exchange as it stands in an RFC. */
struct example {
	enum scram_hash hash;
	const char *salt;
	const char *first, *server_first, *nonce, *final, *server_final;
};

static const struct example examples[] = {
	/* RFC 5802 section 5 */
	{ SCRAM_SHA1, "QSXCR+Q6sek8bf92", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096", "3rfcNHYJY1ZVvWVs7j",
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	/* RFC 7677 section 3 */
	{ SCRAM_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static void
keys_of(struct scram_keys *keys_r, enum scram_hash hash, const char *salt)
{
	struct buffer bytes = { 0 };

	*keys_r = (struct scram_keys){ .iterations = 4096 };
	ck_assert(base64_decode(&bytes, salt, strlen(salt)));
	keys_r->salt_size = buffer_length(&bytes);
	memcpy(keys_r->salt, buffer_bytes(&bytes), keys_r->salt_size);
	buffer_deinit(&bytes);
	ck_assert(scram_derive(keys_r, hash, "pencil"));
}

static void
ck_written(struct buffer *out, const char *text)
{
	buffer_append(out, "", 1);
	ck_assert_str_eq((const char *)buffer_bytes(out), text);
	buffer_deinit(out);
}

START_TEST(examples_of_the_rfcs)
{
	const struct example *example = &examples[_i];
	struct scram_keys keys;
	struct scram scram;
	struct buffer out = { 0 };
	int result;

	keys_of(&keys, example->hash, example->salt);
	scram_init(&scram, example->hash, false, false);
	result = scram_read_first(&scram, example->first, strlen(example->first));
	ck_assert_int_eq(result, SCRAM_GOOD);
	ck_assert_str_eq(scram.username, "user");
	ck_assert_ptr_null(scram.authzid);
	ck_assert_ptr_null(scram.binding_type);
	result = scram_write_first(&scram, &keys, example->nonce, &out);
	ck_assert_int_eq(result, 0);
	ck_written(&out, example->server_first);
	result = scram_read_final(&scram, &keys, NULL, 0, example->final, strlen(example->final));
	ck_assert_int_eq(result, SCRAM_GOOD);
	scram_write_final(&scram, &out);
	ck_written(&out, example->server_final);
	scram_deinit(&scram);
}
END_TEST

static const struct {
	const char *message;
	int result;
	bool plus, plus_offered;
	const char *username, *authzid, *binding;
} firsts[] = {
	{ "n,,n=user,r=x", SCRAM_GOOD, false, false, "user", NULL, NULL },
	{ "n,,n=user,r=x", SCRAM_GOOD, false, true, "user", NULL, NULL },
	{ "y,,n=user,r=x", SCRAM_GOOD, false, false, "user", NULL, NULL },
	{ "y,,n=user,r=x", SCRAM_DOWNGRADED, false, true, NULL, NULL, NULL },
	{ "p=tls-exporter,,n=user,r=x", SCRAM_GOOD, true, true, "user", NULL, "tls-exporter" },
	{ "p=tls-exporter,,n=user,r=x", SCRAM_NOT_OF_MECHANISM, false, true, NULL, NULL, NULL },
	{ "n,,n=user,r=x", SCRAM_NOT_OF_MECHANISM, true, true, NULL, NULL, NULL },
	{ "y,,n=user,r=x", SCRAM_NOT_OF_MECHANISM, true, true, NULL, NULL, NULL },
	{ "p=,,n=user,r=x", SCRAM_MALFORMED, true, true, NULL, NULL, NULL },
	{ "p=a b,,n=user,r=x", SCRAM_MALFORMED, true, true, NULL, NULL, NULL },
	{ "p,,n=user,r=x", SCRAM_MALFORMED, true, true, NULL, NULL, NULL },
	{ "n,a=boss,n=user,r=x", SCRAM_GOOD, false, false, "user", "boss", NULL },
	{ "n,a=a=2Cb=3Dc,n=d=3D=2C,r=x", SCRAM_GOOD, false, false, "d=,", "a,b=c", NULL },
	{ "n,,n=J\xc3\xbcrgen,r=x", SCRAM_GOOD, false, false, "J\xc3\xbcrgen", NULL, NULL },
	{ "n,,n=user,r=x,q=later,Z=more", SCRAM_GOOD, false, false, "user", NULL, NULL },
	/* Extensions that must not be ignored. */
	{ "n,,m=x,n=user,r=x", SCRAM_EXTENSION, false, false, NULL, NULL, NULL },
	{ "n,,n=user,r=x,m=x", SCRAM_EXTENSION, false, false, NULL, NULL, NULL },
	{ "n,,m=,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	/* In another order, with holes, with more than there may be. */
	{ "n,,r=x,n=user", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ ",,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "z,,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "nn,,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,boss,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,a=,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,a=b=2c,n=user,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=us=er,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user=2,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user=,r=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user,", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user,r=", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user,r=x y", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user,r=\xc3\xa9", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user,r=x,", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user,r=x,1=x", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,n=user,r=x,q", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "n,,", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
	{ "", SCRAM_MALFORMED, false, false, NULL, NULL, NULL },
};

static void
ck_string(const char *is, const char *should_be)
{
	if (should_be == NULL)
		ck_assert_ptr_null(is);
	else
		ck_assert_str_eq(is, should_be);
}

START_TEST(first_message)
{
	struct scram scram;
	int result;

	scram_init(&scram, SCRAM_SHA256, firsts[_i].plus, firsts[_i].plus_offered);
	result = scram_read_first(&scram, firsts[_i].message, strlen(firsts[_i].message));
	ck_assert_int_eq(result, firsts[_i].result);
	if (result == SCRAM_GOOD) {
		ck_string(scram.username, firsts[_i].username);
		ck_string(scram.authzid, firsts[_i].authzid);
		ck_string(scram.binding_type, firsts[_i].binding);
	}
	scram_deinit(&scram);
}
END_TEST

START_TEST(first_message_with_a_zero_or_too_long)
{
	static const char zero[] = "n,,n=us\0er,r=x";
	char longest[SCRAM_MESSAGE_MAX + 2];
	struct scram scram;

	scram_init(&scram, SCRAM_SHA256, false, false);
	ck_assert_int_eq(scram_read_first(&scram, zero, sizeof zero - 1), SCRAM_MALFORMED);
	snprintf(longest, sizeof longest, "n,,n=%0*d,r=x", SCRAM_MESSAGE_MAX - 8, 1);
	ck_assert_int_eq(scram_read_first(&scram, longest, strlen(longest)), SCRAM_MALFORMED);
	snprintf(longest, sizeof longest, "n,,n=%0*d,r=x", SCRAM_MESSAGE_MAX - 9, 1);
	ck_assert_int_eq(scram_read_first(&scram, longest, strlen(longest)), SCRAM_GOOD);
	scram_deinit(&scram);
}
END_TEST

/* A client's last message with a right proof for whatever stands in front of it. */
static void
write_final(struct buffer *out, const struct scram *scram, const struct scram_keys *keys, const char *without_proof)
{
	char before[512];

	snprintf(before, sizeof before, "%.*s", (int)buffer_length(&scram->message),
	    (const char *)buffer_bytes(&scram->message));
	scram_client_final(out, scram->hash, "pencil", keys, before, without_proof);
}

#define BINDING "0123456789abcdef0123456789abcdef"
#define P_HEADER "p=tls-exporter,,"
#define N_HEADER "n,,"

/* `header` and `binding` are what the client puts into c=. */
static const struct {
	const char *header, *binding, *nonce, *more;
	bool plus;
	int result;
} finals[] = {
	{ N_HEADER, "", "cs", "", false, SCRAM_GOOD },
	{ P_HEADER, BINDING, "cs", "", true, SCRAM_GOOD },
	{ N_HEADER, "", "cs", ",x=later", false, SCRAM_GOOD },
	{ N_HEADER, "", "cs", ",m=must", false, SCRAM_EXTENSION },
	{ N_HEADER, "", "cs", ",x", false, SCRAM_MALFORMED },
	{ "y,,", "", "cs", "", false, SCRAM_OTHER_CHANNEL },
	{ "n,a=user,", "", "cs", "", false, SCRAM_OTHER_CHANNEL },
	{ N_HEADER, "x", "cs", "", false, SCRAM_OTHER_CHANNEL },
	{ P_HEADER, "", "cs", "", true, SCRAM_OTHER_CHANNEL },
	{ P_HEADER, "0123456789abcdef0123456789abcdeX", "cs", "", true, SCRAM_OTHER_CHANNEL },
	{ P_HEADER, BINDING "0", "cs", "", true, SCRAM_OTHER_CHANNEL },
	{ "p=tls-server-end-point,,", BINDING, "cs", "", true, SCRAM_OTHER_CHANNEL },
	{ N_HEADER, "", "c", "", false, SCRAM_OTHER_NONCE },
	{ N_HEADER, "", "csx", "", false, SCRAM_OTHER_NONCE },
	{ N_HEADER, "", "sc", "", false, SCRAM_OTHER_NONCE },
};

static void
exchange_begin(struct scram *scram, const struct scram_keys *keys, bool plus)
{
	const char *first = plus ? P_HEADER "n=user,r=c" : N_HEADER "n=user,r=c";
	struct buffer out = { 0 };

	scram_init(scram, SCRAM_SHA256, plus, plus);
	ck_assert_int_eq(scram_read_first(scram, first, strlen(first)), SCRAM_GOOD);
	ck_assert_int_eq(scram_write_first(scram, keys, "s", &out), 0);
	buffer_deinit(&out);
}

static int
read_final(struct scram *scram, const struct scram_keys *keys, const void *message, size_t length)
{
	return scram_read_final(scram, keys, BINDING, sizeof BINDING - 1, message, length);
}

START_TEST(final_message)
{
	struct buffer text = { 0 }, channel = { 0 }, message = { 0 };
	struct scram_keys keys;
	struct scram scram;

	keys_of(&keys, SCRAM_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==");
	exchange_begin(&scram, &keys, finals[_i].plus);
	buffer_append_format(&channel, "%s%s", finals[_i].header, finals[_i].binding);
	buffer_append_string(&text, "c=");
	base64_encode(&text, buffer_bytes(&channel), buffer_length(&channel));
	buffer_append_format(&text, ",r=%s%s", finals[_i].nonce, finals[_i].more);
	buffer_append(&text, "", 1);
	write_final(&message, &scram, &keys, (const char *)buffer_bytes(&text));
	ck_assert_int_eq(read_final(&scram, &keys, buffer_bytes(&message), buffer_length(&message)), finals[_i].result);
	buffer_deinit(&text);
	buffer_deinit(&channel);
	buffer_deinit(&message);
	scram_deinit(&scram);
}
END_TEST

static const struct {
	const char *message;
	int result;
} broken_finals[] = {
	{ "c=biws,r=cs,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", SCRAM_REFUSED },
	{ "c=biws,r=cs,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", SCRAM_MALFORMED },	/* that of SHA-1 */
	{ "c=biws,r=cs,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=y", SCRAM_MALFORMED },
	{ "c=biws,r=cs,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SCRAM_MALFORMED },
	{ "c=biws,r=cs,p=", SCRAM_MALFORMED }, { "c=biws,r=cs", SCRAM_MALFORMED }, { "c=biws,r=cs,", SCRAM_MALFORMED },
	{ "r=cs,c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", SCRAM_MALFORMED },
	{ "c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", SCRAM_MALFORMED },
	{ "m=x,c=biws,r=cs,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", SCRAM_EXTENSION },
	{ "c=,r=cs,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", SCRAM_MALFORMED },
	{ "c=biws", SCRAM_MALFORMED }, { "", SCRAM_MALFORMED }, { ",", SCRAM_MALFORMED }, { "p", SCRAM_MALFORMED },
};

START_TEST(broken_final_message)
{
	struct scram_keys keys;
	struct scram scram;

	keys_of(&keys, SCRAM_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==");
	exchange_begin(&scram, &keys, false);
	ck_assert_int_eq(read_final(&scram, &keys, broken_finals[_i].message, strlen(broken_finals[_i].message)),
	    broken_finals[_i].result);
	scram_deinit(&scram);
}
END_TEST

/* Half a message is never a good one, whichever half it is. */
START_TEST(messages_cut_anywhere_are_refused)
{
	const struct example *example = &examples[_i];
	struct scram_keys keys;

	keys_of(&keys, example->hash, example->salt);
	for (size_t cut = 0; cut < strlen(example->final); cut++) {
		struct scram scram;
		struct buffer out = { 0 };
		/* Of its own size, so that a sanitizer sees who reads behind it. */
		char *half = malloc(cut + 1);

		ck_assert_ptr_nonnull(half);
		scram_init(&scram, example->hash, false, false);
		ck_assert_int_eq(scram_read_first(&scram, example->first, strlen(example->first)), SCRAM_GOOD);
		ck_assert_int_eq(scram_write_first(&scram, &keys, example->nonce, &out), 0);
		memcpy(half, example->final, cut);
		ck_assert_int_ne(scram_read_final(&scram, &keys, NULL, 0, half, cut), SCRAM_GOOD);
		free(half);
		buffer_deinit(&out);
		scram_deinit(&scram);
	}
	/* A first message with a shorter nonce is a message. */
	for (size_t cut = 0; cut < strlen("n,,n=user,r=x"); cut++) {
		struct scram scram;

		scram_init(&scram, example->hash, false, false);
		ck_assert_int_ne(scram_read_first(&scram, example->first, cut), SCRAM_GOOD);
		scram_deinit(&scram);
	}
}
END_TEST

/* One byte of it is another one: never a login. */
START_TEST(messages_changed_anywhere_are_refused)
{
	const struct example *example = &examples[_i];
	struct scram_keys keys;

	keys_of(&keys, example->hash, example->salt);
	for (size_t place = 0; place < strlen(example->final); place++) {
		struct scram scram;
		struct buffer out = { 0 };
		char changed[512];

		scram_init(&scram, example->hash, false, false);
		ck_assert_int_eq(scram_read_first(&scram, example->first, strlen(example->first)), SCRAM_GOOD);
		ck_assert_int_eq(scram_write_first(&scram, &keys, example->nonce, &out), 0);
		strcpy(changed, example->final);
		changed[place] ^= 1;
		ck_assert_int_ne(scram_read_final(&scram, &keys, NULL, 0, changed, strlen(changed)), SCRAM_GOOD);
		buffer_deinit(&out);
		scram_deinit(&scram);
	}
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

int
main(void)
{
	Suite *suite = suite_create("scram");
	TCase *tests = tcase_create("scram");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, examples_of_the_rfcs, 0, COUNT(examples));
	tcase_add_loop_test(tests, first_message, 0, COUNT(firsts));
	tcase_add_test(tests, first_message_with_a_zero_or_too_long);
	tcase_add_loop_test(tests, final_message, 0, COUNT(finals));
	tcase_add_loop_test(tests, broken_final_message, 0, COUNT(broken_finals));
	tcase_add_loop_test(tests, messages_cut_anywhere_are_refused, 0, COUNT(examples));
	tcase_add_loop_test(tests, messages_changed_anywhere_are_refused, 0, COUNT(examples));
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
