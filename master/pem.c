#include "master/pem.h"

#include <string.h>

#include "common/base64.h"

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"

/* Longest label that is looked at: "ENCRYPTED PRIVATE KEY" has 21. */
#define LABEL_MAX 63

/* The line at the text's beginning, without its end; the text goes on behind it. */
static size_t
line_take(struct pem_text *text, const uint8_t **line_r)
{
	const uint8_t *end = memchr(text->at, '\n', text->left);
	size_t length = end != NULL ? (size_t)(end - text->at) : text->left;

	*line_r = text->at;
	text->at += end != NULL ? length + 1 : length;
	text->left -= end != NULL ? length + 1 : length;
	while (length > 0 && ((*line_r)[length - 1] == '\r' || (*line_r)[length - 1] == ' ' || (*line_r)[length - 1] == '\t'))
		length--;
	return length;
}

static bool
begins_with(const uint8_t *line, size_t length, const char *what)
{
	return length >= strlen(what) && memcmp(line, what, strlen(what)) == 0;
}

/* "-----BEGIN LABEL-----" */
static bool
label_take(char label[LABEL_MAX + 1], const uint8_t *line, size_t length, const char *head)
{
	size_t around = strlen(head) + strlen(DASHES);

	if (!begins_with(line, length, head) || length < around || length - around > LABEL_MAX ||
	    memcmp(line + length - strlen(DASHES), DASHES, strlen(DASHES)) != 0)
		return false;
	memcpy(label, line + strlen(head), length - around);
	label[length - around] = '\0';
	return true;
}

static enum pem_type
type_of(const char *label)
{
	static const struct {
		const char *label;
		enum pem_type type;
	} types[] = {
		{ "CERTIFICATE", PEM_CERTIFICATE }, { "X509 CERTIFICATE", PEM_CERTIFICATE }, { "PRIVATE KEY", PEM_KEY },
		{ "RSA PRIVATE KEY", PEM_KEY }, { "EC PRIVATE KEY", PEM_KEY }, { "ENCRYPTED PRIVATE KEY", PEM_ENCRYPTED_KEY },
	};

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		if (strcmp(types[i].label, label) == 0)
			return types[i].type;
	}
	return PEM_OTHER;
}

/* Base64 whose characters come in pieces (RFC 4648 4), decoded to a place that is never behind them. */
struct decoder {
	uint8_t *to;
	size_t length;
	uint32_t bits;
	unsigned count;		/* characters of this group of four */
	unsigned padding;
};

static bool
decoder_feed(struct decoder *decoder, const uint8_t *line, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		int sextet = base64_value(line[i]);

		if (line[i] == ' ' || line[i] == '\t')
			continue;
		if (line[i] == '=' && decoder->count + decoder->padding > 1 && decoder->count + decoder->padding < 4) {
			decoder->padding++;
			continue;
		}
		if (sextet < 0 || decoder->padding > 0)
			return false;
		decoder->bits = decoder->bits << 6 | (uint32_t)sextet;
		if (++decoder->count < 4)
			continue;
		decoder->to[decoder->length++] = (uint8_t)(decoder->bits >> 16);
		decoder->to[decoder->length++] = (uint8_t)(decoder->bits >> 8);
		decoder->to[decoder->length++] = (uint8_t)decoder->bits;
		decoder->count = 0;
		decoder->bits = 0;
	}
	return true;
}

static bool
decoder_finish(struct decoder *decoder)
{
	if (decoder->count > 0 && decoder->count + decoder->padding != 4)
		return false;
	if (decoder->count >= 2)
		decoder->to[decoder->length++] = (uint8_t)(decoder->bits >> (decoder->count == 2 ? 4 : 10));
	if (decoder->count == 3)
		decoder->to[decoder->length++] = (uint8_t)(decoder->bits >> 2);
	return decoder->length > 0;
}

/* From behind the first line to behind the last. */
static bool
body_take(struct pem_text *text, const char *label, struct pem *pem)
{
	struct decoder decoder = { .to = text->at };
	char end[LABEL_MAX + 1];
	const uint8_t *line;
	size_t length;
	bool good = true;

	while (text->left > 0) {
		length = line_take(text, &line);
		if (label_take(end, line, length, END)) {
			pem->bytes = decoder.to;
			good = good && strcmp(end, label) == 0 && decoder_finish(&decoder);
			pem->length = decoder.length;
			return good || pem->type == PEM_OTHER || pem->type == PEM_ENCRYPTED_KEY;
		}
		if (begins_with(line, length, BEGIN))
			return false;
		/* RFC 1421 4.6.1.1: the header of what OpenSSL's older form encrypts. */
		if (pem->type == PEM_KEY && begins_with(line, length, "Proc-Type:"))
			pem->type = PEM_ENCRYPTED_KEY;
		if (pem->type == PEM_CERTIFICATE || pem->type == PEM_KEY)
			good = good && decoder_feed(&decoder, line, length);
	}
	return false;
}

enum pem_result
pem_next(struct pem_text *text, struct pem *pem_r)
{
	char label[LABEL_MAX + 1];
	struct pem_text behind;
	const uint8_t *line;
	size_t length;

	*pem_r = (struct pem){ .type = PEM_OTHER };
	do {
		if (text->left == 0)
			return PEM_END;
		length = line_take(text, &line);
	} while (!label_take(label, line, length, BEGIN));
	pem_r->type = type_of(label);
	behind = *text;
	if (body_take(text, label, pem_r))
		return PEM_FOUND;
	*text = behind;
	return PEM_BROKEN;
}
