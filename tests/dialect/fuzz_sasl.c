/*
 * sasl and binding with any bytes, as an element and as a message of PLAIN: what is read lies within them and can be put into
 * XML, and a login is what was in the message.
 */
#include <string.h>

#include "common/base64.h"
#include "dialect/binding.h"
#include "dialect/sasl.h"
#include "dialect/wellformed.h"
#include "tests/dialect/fuzz.h"

static void
check_query(const struct sasl_login *login, const char *stream_id)
{
	struct buffer up = { 0 };

	sasl_put_query(&up, login->user, login->password, "r", stream_id);
	must(!up.failed);
	must(wellformed_fault(buffer_bytes(&up), buffer_length(&up)) == NULL);
	buffer_deinit(&up);
}

static void
check_element(const struct element *element, bool plain, bool challenged, struct range message)
{
	struct buffer down = { 0 };
	enum sasl_condition condition;
	struct sasl_login login;
	int step = sasl_take(element, "foo.com", plain, challenged, &login, &condition, &down);

	must(step >= 0 && (step == SASL_FAILED) == (condition != SASL_FINE));
	must((step == SASL_FAILED || step == SASL_CHALLENGED) == (buffer_length(&down) > 0));
	must(buffer_length(&down) == 0 || wellformed_fault(buffer_bytes(&down), buffer_length(&down)) == NULL);
	if (step == SASL_LOGIN) {
		must(plain || challenged);
		must(login.user[0] != '\0' && login.password[0] != '\0');
		check_query(&login, NULL);
		check_query(&login, "S'1");
		if (message.at != NULL) {
			size_t length = strlen(login.password);

			must(length < message.length && memcmp(range_end(message) - length, login.password, length) == 0);
		}
	}
	sasl_login_deinit(&login);
	buffer_deinit(&down);
}

static void
check_message(struct range message)
{
	struct buffer text = { 0 };
	struct element element;

	buffer_append_string(&text, "<auth xmlns='" SASL_NS "' mechanism='PLAIN'>");
	base64_encode(&text, message.at, message.length);
	buffer_append_string(&text, "</auth>");
	must(!text.failed && element_read_complete(&element, buffer_bytes(&text), buffer_length(&text)));
	check_element(&element, true, false, message);
	buffer_deinit(&text);
}

static void
check_binding(const struct element *element, struct range all)
{
	struct buffer down = { 0 };
	struct binding binding;
	char *resource;

	binding_read(&binding, element, "a@foo.com/r");
	must_lie_within(binding.id, all);
	must_lie_within(binding.resource, all);
	if (binding.request == BINDING_NONE)
		return;
	must(binding_read_resource(&binding, &resource) >= 0);
	free(resource);
	binding_put_error(&binding, BINDING_ERROR_BAD_REQUEST, &down);
	must(buffer_length(&down) > 0);
	buffer_deinit(&down);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct range all = { (const char *)data, size };
	struct element element;

	if (size > 0 && size <= 8192)
		check_message(all);
	if (!element_read_complete(&element, data, size))
		return 0;
	check_element(&element, true, false, (struct range){ 0 });
	check_element(&element, false, false, (struct range){ 0 });
	check_element(&element, true, true, (struct range){ 0 });
	check_binding(&element, all);
	return 0;
}
