#include "dialect/sasl.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base64.h"
#include "dialect/edit.h"
#include "dialect/login.h"
#include "dialect/prepare.h"
#include "dialect/wellformed.h"

/* The three strings of a message, each with its zero behind it. */
struct message {
	const char *authzid, *authcid, *password;
};

enum sasl_condition
sasl_condition_of(const char *error_name)
{
	static const struct {
		const char *error;
		enum sasl_condition condition;
	} meanings[] = {
		{ "not-authorized", SASL_NOT_AUTHORIZED },
		{ "forbidden", SASL_NOT_AUTHORIZED },
		{ "item-not-found", SASL_NOT_AUTHORIZED },
		{ "not-allowed", SASL_NOT_AUTHORIZED },
		{ "payment-required", SASL_NOT_AUTHORIZED },
		{ "registration-required", SASL_NOT_AUTHORIZED },
		{ "subscription-required", SASL_NOT_AUTHORIZED },
		{ "bad-request", SASL_MALFORMED_REQUEST },
		{ "jid-malformed", SASL_MALFORMED_REQUEST },
		{ "not-acceptable", SASL_MALFORMED_REQUEST },
	};

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(error_name, meanings[i].error) == 0)
			return meanings[i].condition;
	return SASL_TEMPORARY_AUTH_FAILURE;
}

static void
free_secret(char *string)
{
	if (string != NULL)
		explicit_bzero(string, strlen(string));
	free(string);
}

void
sasl_login_deinit(struct sasl_login *login)
{
	free(login->user);
	free_secret(login->password);
	*login = (struct sasl_login){ 0 };
}

/* ---- the message ---- */

/*
 * 0: XML may hold all three, each in the text of an element, which is where they are going to stand; and no parser there
 * makes another byte of one, as it would of a carriage return.
 */
static int
message_check_text(const struct message *message)
{
	const char *const strings[] = { message->authzid, message->authcid, message->password };
	struct buffer element = { 0 };
	int result = 0;

	buffer_set_secret(&element);
	for (unsigned i = 0; i < 3; i++) {
		buffer_append_string(&element, i == 0 ? "<x>" : "<x/>");
		buffer_append_escaped(&element, strings[i], strlen(strings[i]));
	}
	buffer_append_string(&element, "</x>");
	if (element.failed)
		result = -ENOMEM;
	else if (wellformed_fault(buffer_bytes(&element), buffer_length(&element)) != NULL ||
	    memchr(buffer_bytes(&element), '\r', buffer_length(&element)) != NULL)
		result = SASL_MALFORMED_REQUEST;
	buffer_deinit(&element);
	return result;
}

/* [authzid] NUL authcid NUL passwd, and a zero behind it. */
static bool
message_split(struct message *message_r, const char *bytes, size_t length)
{
	const char *end = bytes + length, *first, *second;

	first = memchr(bytes, '\0', length);
	if (first == NULL)
		return false;
	second = memchr(first + 1, '\0', (size_t)(end - first) - 1);
	if (second == NULL || strlen(second + 1) != (size_t)(end - second) - 1)
		return false;
	*message_r = (struct message){ bytes, first + 1, second + 1 };
	return true;
}

/* The same account, whatever its spelling? `bare` is all there is of the authzid, or what stands in front of its @. */
static int
check_authzid(const char *authzid, const char *user, const char *host)
{
	const char *at = strchr(authzid, '@');
	char *name, *prepared = NULL;
	int result;

	if (authzid[0] == '\0')
		return 0;
	if (at != NULL && strcasecmp(at + 1, host) != 0)
		return SASL_INVALID_AUTHZID;
	name = at == NULL ? strdup(authzid) : strndup(authzid, (size_t)(at - authzid));
	result = name == NULL ? -ENOMEM : prepare_node(name, &prepared);
	if (result == 1)
		result = strcmp(prepared, user) == 0 ? 0 : SASL_INVALID_AUTHZID;
	else if (result == 0)
		result = SASL_INVALID_AUTHZID;
	free(prepared);
	free(name);
	return result;
}

/* 0, an enum sasl_condition, or -ENOMEM. */
static int
message_read(const struct message *message, const char *host, struct sasl_login *login_r)
{
	char *prepared;
	int result;

	login_r->user = strdup(message->authcid);
	if (login_r->user == NULL)
		return -ENOMEM;
	result = prepare_node(message->authcid, &prepared);
	if (result < 0)
		return result;
	/* RFC 4616 2: what comes to nothing is the name or the password of nobody. */
	if (result == 0 || message->password[0] == '\0') {
		free(prepared);
		return SASL_NOT_AUTHORIZED;
	}
	free(login_r->user);
	login_r->user = prepared;
	result = check_authzid(message->authzid, login_r->user, host);
	if (result != 0)
		return result;
	login_r->password = strdup(message->password);
	return login_r->password == NULL ? -ENOMEM : 0;
}

/* Likewise; `message` is what was in base64. */
static int
read_plain(struct buffer *message, const char *host, struct sasl_login *login_r)
{
	size_t length = buffer_length(message);
	struct message strings;
	int result;

	buffer_append(message, "", 1);
	if (message->failed)
		return -ENOMEM;
	if (length > SASL_MESSAGE_MAX || !message_split(&strings, (const char *)buffer_bytes(message), length))
		return SASL_MALFORMED_REQUEST;
	result = message_check_text(&strings);
	return result != 0 ? result : message_read(&strings, host, login_r);
}

/* Likewise; `text` is what stands in the element, which is not nothing. RFC 6120 6.4.2: = stands for no bytes. */
static int
read_base64(const struct buffer *text, const char *host, struct sasl_login *login_r)
{
	const char *bytes = (const char *)buffer_bytes(text);
	size_t length = buffer_length(text);
	struct buffer message = { 0 };
	int result;

	buffer_set_secret(&message);
	if (length == 0 || (length == 1 && *bytes == '='))
		result = SASL_MALFORMED_REQUEST;
	else if (!base64_decode(&message, bytes, length))
		result = SASL_INCORRECT_ENCODING;
	else
		result = read_plain(&message, host, login_r);
	buffer_deinit(&message);
	return result;
}

static int
read_content(const struct element *element, const char *host, struct sasl_login *login_r)
{
	struct buffer text = { 0 };
	struct element child = { 0 };
	int result;

	if (element_next_child(element, &child))
		return SASL_MALFORMED_REQUEST;
	buffer_set_secret(&text);
	range_append_decoded(&text, element->content);
	result = text.failed ? -ENOMEM : read_base64(&text, host, login_r);
	buffer_deinit(&text);
	return result;
}

/* ---- the elements ---- */

/* May it begin? 0, or an enum sasl_condition. */
static int
check_mechanism(const struct element *element, bool plain)
{
	if (!element_attribute_is(element, "mechanism", "PLAIN"))
		return SASL_INVALID_MECHANISM;
	return plain ? 0 : SASL_ENCRYPTION_REQUIRED;
}

static void
put_challenge(struct buffer *down)
{
	buffer_append_string(down, "<challenge xmlns='" SASL_NS "'/>");
}

/* `result`: 0, an enum sasl_condition, or -ENOMEM. */
static int
conclude(int result, enum sasl_condition *condition_r, struct buffer *down)
{
	if (result < 0)
		return result;
	if (result == 0)
		return SASL_LOGIN;
	*condition_r = (enum sasl_condition)result;
	sasl_put_failure(down, *condition_r);
	return down->failed ? -ENOMEM : SASL_FAILED;
}

static int
take_auth(const struct element *element, const char *host, bool plain, struct sasl_login *login_r,
    enum sasl_condition *condition_r, struct buffer *down)
{
	int result = check_mechanism(element, plain);

	if (result == 0 && element->content.length == 0) {
		put_challenge(down);
		return down->failed ? -ENOMEM : SASL_CHALLENGED;
	}
	if (result == 0)
		result = read_content(element, host, login_r);
	return conclude(result, condition_r, down);
}

int
sasl_take(const struct element *element, const char *host, bool plain, bool challenged, struct sasl_login *login_r,
    enum sasl_condition *condition_r, struct buffer *down)
{
	int result;

	*login_r = (struct sasl_login){ 0 };
	*condition_r = SASL_FINE;
	if (!element_attribute_is(element, "xmlns", SASL_NS))
		return SASL_OTHER;
	if (range_equals(element->name, "auth")) {
		result = take_auth(element, host, plain, login_r, condition_r, down);
	} else if (range_equals(element->name, "response")) {
		result = challenged ? read_content(element, host, login_r) : SASL_MALFORMED_REQUEST;
		result = conclude(result, condition_r, down);
	} else if (range_equals(element->name, "abort")) {
		result = conclude(SASL_ABORTED, condition_r, down);
	} else {
		return SASL_OTHER;
	}
	if (result < 0)
		sasl_login_deinit(login_r);
	return result;
}

/* ---- what is said ---- */

void
sasl_put_mechanisms(struct buffer *features)
{
	buffer_append_string(features, "<mechanisms xmlns='" SASL_NS "'><mechanism>PLAIN</mechanism></mechanisms>");
}

void
sasl_put_success(struct buffer *down)
{
	buffer_append_string(down, "<success xmlns='" SASL_NS "'/>");
}

void
sasl_put_failure(struct buffer *down, enum sasl_condition condition)
{
	buffer_append_format(down, "<failure xmlns='" SASL_NS "'><%s/><text xml:lang='en'>%s</text></failure>",
	    sasl_condition_name(condition), sasl_condition_text(condition));
}

/* XEP-0078 3.2: of both, one behind the other. False: no memory. */
static bool
put_digest(struct buffer *up, const char *password, const char *stream_id)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(context, stream_id, strlen(stream_id)) == 1 &&
	    EVP_DigestUpdate(context, password, strlen(password)) == 1 && EVP_DigestFinal_ex(context, digest, &length) == 1;

	EVP_MD_CTX_free(context);
	buffer_append_string(up, "<digest");
	edit_put_attribute(up, "sid", stream_id);
	buffer_append_string(up, ">");
	for (unsigned i = 0; done && i < length; i++)
		buffer_append_format(up, "%02x", digest[i]);
	buffer_append_string(up, "</digest>");
	return done;
}

static void
put_field(struct buffer *up, const char *name, const char *value)
{
	buffer_append_format(up, "<%s>", name);
	buffer_append_escaped(up, value, strlen(value));
	buffer_append_format(up, "</%s>", name);
}

void
sasl_put_query(struct buffer *up, const char *user, const char *password, const char *resource, const char *stream_id)
{
	buffer_set_secret(up);
	buffer_append_string(up, "<query xmlns='" LOGIN_NS_AUTH "'>");
	put_field(up, "username", user);
	if (stream_id == NULL)
		put_field(up, "password", password);
	else if (!put_digest(up, password, stream_id))
		up->failed = true;
	put_field(up, "resource", resource);
	buffer_append_string(up, "</query>");
}
