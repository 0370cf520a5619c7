#include "worker/mask.h"

#include <string.h>
#include <strings.h>

#define MASK "***"

/* What of the text has been read, and how much may still be written. */
struct mask {
	struct buffer *out;
	const char *at, *end;
	size_t room;
	bool cut;
	const char *name;	/* of the element whose content is not shown; NULL: it is shown */
	size_t name_length;
	size_t depth;		/* open elements inside it */
};

/* A start tag, or an attribute of one: where its name is, without the prefix. */
struct name {
	const char *at;
	size_t length;
};

static bool
name_is_one_of(struct name name, const char *const *names)
{
	for (; *names != NULL; names++) {
		if (strlen(*names) == name.length && strncasecmp(name.at, *names, name.length) == 0)
			return true;
	}
	return false;
}

/* Their content is a secret, or may be. */
static bool
is_secret_element(struct name name)
{
	static const char *const names[] = {
		"password", "passwd", "pass", "secret", "old-password", "new-password",
		"digest", "hash", "sequence", "token", "key",
		"header",	/* of an HTTP request: Authorization, Cookie */
		"auth", "challenge", "response", "success", "initial-response", "additional-data", "task-data",
		"connection", "channel-binding", "certificate", NULL,
	};

	return name_is_one_of(name, names);
}

static bool
is_secret_attribute(struct name name)
{
	static const char *const names[] = { "password", "passwd", "pass", "secret", "digest", "token", "key", NULL };

	return name_is_one_of(name, names);
}

/* The attributes of secret elements that are none. */
static bool
is_plain_attribute(struct name name)
{
	static const char *const names[] = { "xmlns", "mechanism", "id", "type", "lang", NULL };

	return name_is_one_of(name, names);
}

/* ---- writing ---- */

static void
emit(struct mask *mask, const char *bytes, size_t length)
{
	if (length > mask->room) {
		mask->cut = true;
		length = mask->room;
		/* Not in the middle of a character. */
		while (length > 0 && ((unsigned char)bytes[length] & 0xc0) == 0x80)
			length--;
		mask->room = length;
	}
	buffer_append(mask->out, bytes, length);
	mask->room -= length;
}

static void
emit_visible(struct mask *mask, const char *from, const char *to)
{
	if (mask->name == NULL)
		emit(mask, from, (size_t)(to - from));
}

/* ---- reading ---- */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
ends_name(char c)
{
	return is_space(c) || c == '>' || c == '/' || c == '=' || c == '<' || c == '"' || c == '\'';
}

/* The name that begins here, and what is behind it. */
static const char *
name_read(const char *at, const char *end, struct name *name_r)
{
	*name_r = (struct name){ at, 0 };
	for (; at < end && !ends_name(*at); at++) {
		if (*at == ':')
			name_r->at = at + 1;
	}
	name_r->length = (size_t)(at - name_r->at);
	return at;
}

/* Behind the next `mark`; NULL: there is none. */
static const char *
behind(const char *at, const char *end, const char *mark)
{
	const char *found = memmem(at, (size_t)(end - at), mark, strlen(mark));

	return found == NULL ? NULL : found + strlen(mark);
}

/* Behind the > of the tag that begins here; NULL: it does not end, or is none. */
static const char *
tag_end(const char *at, const char *end)
{
	char quote = '\0';

	for (at++; at < end; at++) {
		if (quote != '\0')
			quote = *at == quote ? '\0' : quote;
		else if (*at == '"' || *at == '\'')
			quote = *at;
		else if (*at == '<')
			return NULL;
		else if (*at == '>')
			return at + 1;
	}
	return NULL;
}

struct mask_attribute {
	struct name name;
	const char *value, *value_end;	/* between its quotes */
};

/* The next attribute at or behind `at`, inside a start tag. Behind it; NULL: there is none. */
static const char *
attribute_read(const char *at, const char *end, struct mask_attribute *attribute_r)
{
	while (at < end && is_space(*at))
		at++;
	if (at == end || *at == '>' || *at == '/')
		return NULL;
	at = name_read(at, end, &attribute_r->name);
	while (at < end && is_space(*at))
		at++;
	if (at == end || *at++ != '=')
		return NULL;
	while (at < end && is_space(*at))
		at++;
	if (at == end || (*at != '"' && *at != '\''))
		return NULL;
	attribute_r->value = at + 1;
	attribute_r->value_end = memchr(at + 1, *at, (size_t)(end - at - 1));
	return attribute_r->value_end == NULL ? NULL : attribute_r->value_end + 1;
}

static bool
value_holds(const struct mask_attribute *attribute, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = attribute->value; (size_t)(attribute->value_end - at) >= length; at++) {
		if (strncasecmp(at, word, length) == 0)
			return true;
	}
	return false;
}

/* XEP-0004: <field var='password'/>, or whatever is said to be private. A name in entities is somebody's trick. */
static bool
is_secret_field(const char *at, const char *end)
{
	struct mask_attribute attribute;
	struct name var = { "var", 3 }, type = { "type", 4 };

	while ((at = attribute_read(at, end, &attribute)) != NULL) {
		bool is_var = attribute.name.length == var.length && memcmp(attribute.name.at, var.at, var.length) == 0;
		bool is_type = attribute.name.length == type.length && memcmp(attribute.name.at, type.at, type.length) == 0;

		if ((is_var && (value_holds(&attribute, "pass") || value_holds(&attribute, "secret") ||
		    value_holds(&attribute, "token") || value_holds(&attribute, "&"))) ||
		    (is_type && (value_holds(&attribute, "private") || value_holds(&attribute, "&"))))
			return true;
	}
	return false;
}

/* ---- tags ---- */

/* The tag, its secret attributes masked; `at` is behind its name. What comes behind nonsense in it is not shown. */
static void
emit_attributes(struct mask *mask, const char *tag, const char *at, const char *end, bool secret)
{
	struct mask_attribute attribute;
	const char *next;

	while ((next = attribute_read(at, end, &attribute)) != NULL) {
		bool namespace = memmem(at, (size_t)(attribute.name.at - at), "xmlns:", 6) != NULL;

		if (!namespace && (is_secret_attribute(attribute.name) || (secret && !is_plain_attribute(attribute.name)))) {
			emit(mask, tag, (size_t)(attribute.value - tag));
			emit(mask, MASK, sizeof MASK - 1);
			tag = attribute.value_end;
		}
		at = next;
	}
	while (is_space(*at) || *at == '/')
		at++;
	if (*at == '>') {
		emit(mask, tag, (size_t)(end - tag));
	} else {
		emit(mask, tag, (size_t)(at - tag));
		mask->cut = true;
	}
}

static void
take_start_tag(struct mask *mask, const char *end)
{
	bool empty = end[-2] == '/', secret;
	struct name name;
	const char *at = name_read(mask->at + 1, end, &name);

	if (mask->name != NULL) {
		mask->depth += !empty;
		return;
	}
	secret = is_secret_element(name) || (name.length == 5 && memcmp(name.at, "field", 5) == 0 && is_secret_field(at, end));
	emit_attributes(mask, mask->at, at, end, secret);
	if (!secret || empty)
		return;
	emit(mask, MASK, sizeof MASK - 1);
	mask->name = name.at;
	mask->name_length = name.length;
	mask->depth = 0;
}

static void
take_end_tag(struct mask *mask, const char *end)
{
	struct name name;

	name_read(mask->at + 2, end, &name);
	if (mask->name != NULL && mask->depth > 0) {
		mask->depth--;
	} else if (mask->name == NULL) {
		emit(mask, mask->at, (size_t)(end - mask->at));
	} else if (name.length == mask->name_length && memcmp(name.at, mask->name, name.length) == 0) {
		mask->name = NULL;
		emit(mask, mask->at, (size_t)(end - mask->at));
	}
}

static bool
begins(const struct mask *mask, const char *mark)
{
	size_t length = strlen(mark);

	return (size_t)(mask->end - mask->at) >= length && memcmp(mask->at, mark, length) == 0;
}

/* What begins with <. Behind it; NULL: nobody can tell. */
static const char *
take_markup(struct mask *mask)
{
	const char *end;

	if (begins(mask, "<!--"))
		return behind(mask->at + 4, mask->end, "-->");	/* nobody needs to see it */
	if (begins(mask, "<![CDATA[")) {
		end = behind(mask->at, mask->end, "]]>");
		if (end != NULL)
			emit_visible(mask, mask->at, end);
		return end;
	}
	if (begins(mask, "<?")) {
		end = behind(mask->at, mask->end, "?>");
		if (end != NULL)
			emit_visible(mask, mask->at, end);
		return end;
	}
	if (begins(mask, "<!"))
		return NULL;
	end = tag_end(mask->at, mask->end);
	if (end == NULL)
		return NULL;
	if (begins(mask, "</"))
		take_end_tag(mask, end);
	else
		take_start_tag(mask, end);
	return end;
}

bool
mask_append(struct buffer *out, const char *bytes, size_t length, size_t most)
{
	struct mask mask = { .out = out, .at = bytes, .end = bytes + length, .room = most };

	while (mask.at < mask.end && !mask.cut) {
		const char *next = memchr(mask.at, '<', (size_t)(mask.end - mask.at));

		if (next == mask.at)
			next = take_markup(&mask);
		else
			emit_visible(&mask, mask.at, next == NULL ? mask.end : next);
		if (next == NULL)
			return mask.cut || *mask.at == '<';
		mask.at = next;
	}
	return mask.cut;
}
