#include "worker/proxy.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t line_start[] = { 'P', 'R', 'O', 'X', 'Y', ' ' };
static const uint8_t signature[] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

/* Version 2: where things stand. */
#define AT_COMMAND 12
#define AT_FAMILY 13
#define AT_LENGTH 14
#define AT_BLOCK 16

#define COMMAND_LOCAL 0
#define COMMAND_PROXY 1

#define FAMILY_INET 1
#define FAMILY_INET6 2
#define FAMILY_UNIX 3
#define TRANSPORT_STREAM 1
#define TRANSPORT_DATAGRAM 2

#define TLV_CRC32C 3
#define TLV_HEAD 3
#define CRC32C_SIZE 4

const char *
proxy_fault_name(enum proxy_fault fault)
{
	static const char *const names[PROXY_FAULT_COUNT] = {
		[PROXY_NO_FAULT] = "none",
		[PROXY_NO_HEADER] = "no-header",
		[PROXY_BAD_LINE] = "bad-line",
		[PROXY_BAD_VERSION] = "bad-version",
		[PROXY_BAD_COMMAND] = "bad-command",
		[PROXY_BAD_FAMILY] = "bad-family",
		[PROXY_TOO_LONG] = "too-long",
		[PROXY_TOO_SHORT] = "too-short",
		[PROXY_BAD_TLV] = "bad-tlv",
		[PROXY_BAD_CHECKSUM] = "bad-checksum",
	};

	return names[fault];
}

static enum proxy_outcome
fail(struct proxy_header *header_r, enum proxy_fault fault)
{
	header_r->fault = fault;
	return PROXY_FAILED;
}

static enum proxy_outcome
complete(struct proxy_header *header_r, enum proxy_outcome outcome, size_t length)
{
	header_r->length = length;
	return outcome;
}

static void
peer_set_v4(struct peer *peer, const void *address)
{
	peer->address.s6_addr[10] = peer->address.s6_addr[11] = 0xff;
	memcpy(peer->address.s6_addr + 12, address, 4);
}

/* ---- version 1 ---- */

/* What is left of a line. */
struct text {
	const char *at;
	size_t left;
};

/* The text up to the next space, or to the end, which is then left. False: it is longer than `word`, or no text. */
static bool
text_take_word(struct text *text, char *word, size_t size)
{
	const char *space = memchr(text->at, ' ', text->left);
	size_t length = space == NULL ? text->left : (size_t)(space - text->at);

	if (length >= size || memchr(text->at, '\0', length) != NULL)
		return false;
	memcpy(word, text->at, length);
	word[length] = '\0';
	text->at += length;
	text->left -= length;
	return true;
}

static bool
text_take_space(struct text *text)
{
	if (text->left == 0 || text->at[0] != ' ')
		return false;
	text->at++;
	text->left--;
	return true;
}

/* inet_pton(3) is as strict as the document: no leading zeros, no zone, no blanks. */
static bool
text_take_address(struct text *text, bool v6, struct peer *peer)
{
	char word[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (!text_take_word(text, word, sizeof word))
		return false;
	if (v6)
		return inet_pton(AF_INET6, word, &peer->address) == 1;
	if (inet_pton(AF_INET, word, &v4) != 1)
		return false;
	peer_set_v4(peer, &v4);
	return true;
}

static bool
text_take_port(struct text *text, uint16_t *port_r)
{
	uint32_t port = 0;
	char word[6];

	if (!text_take_word(text, word, sizeof word) || word[0] == '\0' || (word[0] == '0' && word[1] != '\0'))
		return false;
	for (const char *digit = word; *digit != '\0'; digit++) {
		if (*digit < '0' || *digit > '9')
			return false;
		port = port * 10 + (uint32_t)(*digit - '0');
	}
	*port_r = (uint16_t)port;
	return port <= UINT16_MAX;
}

/* Behind "PROXY ", without the line's end. */
static enum proxy_outcome
line_read(struct text text, struct peer *peer_r)
{
	char family[sizeof "UNKNOWN"];
	struct peer destination = { 0 };
	bool v6;

	if (!text_take_word(&text, family, sizeof family))
		return PROXY_FAILED;
	if (strcmp(family, "UNKNOWN") == 0)
		return PROXY_UNKNOWN;
	v6 = strcmp(family, "TCP6") == 0;
	if (!v6 && strcmp(family, "TCP4") != 0)
		return PROXY_FAILED;
	if (!text_take_space(&text) || !text_take_address(&text, v6, peer_r) ||
	    !text_take_space(&text) || !text_take_address(&text, v6, &destination) ||
	    !text_take_space(&text) || !text_take_port(&text, &peer_r->port) ||
	    !text_take_space(&text) || !text_take_port(&text, &destination.port) || text.left > 0)
		return PROXY_FAILED;
	return PROXY_PEER;
}

static enum proxy_outcome
line_parse(const uint8_t *bytes, size_t length, struct proxy_header *header_r)
{
	size_t end = sizeof line_start;
	enum proxy_outcome outcome;

	while (end < length && end < PROXY_LINE_MAX && bytes[end] != '\r' && bytes[end] != '\n')
		end++;
	if (end > PROXY_LINE_MAX - 2)
		return fail(header_r, PROXY_TOO_LONG);
	if (end == length || (end + 1 == length && bytes[end] == '\r'))
		return PROXY_MORE;
	if (bytes[end] != '\r' || bytes[end + 1] != '\n')
		return fail(header_r, PROXY_BAD_LINE);
	outcome = line_read((struct text){ (const char *)bytes + sizeof line_start, end - sizeof line_start },
	    &header_r->peer);
	if (outcome == PROXY_FAILED)
		return fail(header_r, PROXY_BAD_LINE);
	return complete(header_r, outcome, end + 2);
}

/* ---- version 2 ---- */

static size_t
get16(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 8 | bytes[1];
}

/* CRC32c (RFC 9260, appendix A) with the four bytes at `hole` taken as zeros. */
static uint32_t
checksum(const uint8_t *bytes, size_t length, size_t hole)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < length; i++) {
		crc ^= i >= hole && i < hole + CRC32C_SIZE ? 0 : bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* The TLVs from `at` to the end of the header. */
static enum proxy_fault
tlvs_check(const uint8_t *bytes, size_t at, size_t length)
{
	size_t value, hole = 0;

	while (at < length) {
		if (length - at < TLV_HEAD)
			return PROXY_BAD_TLV;
		value = get16(bytes + at + 1);
		if (length - at - TLV_HEAD < value)
			return PROXY_BAD_TLV;
		if (bytes[at] == TLV_CRC32C) {
			if (hole > 0 || value != CRC32C_SIZE)
				return PROXY_BAD_TLV;
			hole = at + TLV_HEAD;
		}
		at += TLV_HEAD + value;
	}
	if (hole > 0 && checksum(bytes, length, hole) != ((uint32_t)get16(bytes + hole) << 16 | get16(bytes + hole + 2)))
		return PROXY_BAD_CHECKSUM;
	return PROXY_NO_FAULT;
}

/* How long the addresses of a family are; 0: they are of no use to anybody. */
static size_t
family_size(uint8_t family)
{
	static const size_t sizes[] = { [FAMILY_INET] = 12, [FAMILY_INET6] = 36, [FAMILY_UNIX] = 216 };

	return (family & 0x0f) == 0 ? 0 : sizes[family >> 4];
}

/* What each byte of the fixed part says, as far as it is there. */
static enum proxy_fault
fixed_check(const uint8_t *bytes, size_t length)
{
	bool proxied;

	if (length > AT_COMMAND && bytes[AT_COMMAND] >> 4 != 2)
		return PROXY_BAD_VERSION;
	if (length > AT_COMMAND && (bytes[AT_COMMAND] & 0x0f) > COMMAND_PROXY)
		return PROXY_BAD_COMMAND;
	proxied = length > AT_COMMAND && (bytes[AT_COMMAND] & 0x0f) == COMMAND_PROXY;
	if (length > AT_FAMILY && proxied &&
	    (bytes[AT_FAMILY] >> 4 > FAMILY_UNIX || (bytes[AT_FAMILY] & 0x0f) > TRANSPORT_DATAGRAM))
		return PROXY_BAD_FAMILY;
	if (length < AT_BLOCK)
		return PROXY_NO_FAULT;
	if (get16(bytes + AT_LENGTH) > PROXY_HEADER_MAX - AT_BLOCK)
		return PROXY_TOO_LONG;
	if (proxied && get16(bytes + AT_LENGTH) < family_size(bytes[AT_FAMILY]))
		return PROXY_TOO_SHORT;
	return PROXY_NO_FAULT;
}

/* Source address, destination address, source port, destination port. */
static void
block_read(const uint8_t *block, uint8_t family, struct peer *peer)
{
	if (family == FAMILY_INET) {
		peer_set_v4(peer, block);
		peer->port = (uint16_t)get16(block + 8);
	} else {
		memcpy(&peer->address, block, sizeof peer->address);
		peer->port = (uint16_t)get16(block + 32);
	}
}

static enum proxy_outcome
block_parse(const uint8_t *bytes, size_t length, struct proxy_header *header_r)
{
	uint8_t family = bytes[AT_FAMILY];
	enum proxy_fault fault;

	/* The document has a receiver ignore what comes with these. */
	if ((bytes[AT_COMMAND] & 0x0f) == COMMAND_LOCAL)
		return complete(header_r, PROXY_LOCAL, length);
	if (family_size(family) == 0)
		return complete(header_r, PROXY_UNKNOWN, length);
	fault = tlvs_check(bytes, AT_BLOCK + family_size(family), length);
	if (fault != PROXY_NO_FAULT)
		return fail(header_r, fault);
	if (family >> 4 == FAMILY_UNIX || (family & 0x0f) != TRANSPORT_STREAM)
		return complete(header_r, PROXY_UNKNOWN, length);
	block_read(bytes + AT_BLOCK, family >> 4, &header_r->peer);
	return complete(header_r, PROXY_PEER, length);
}

static enum proxy_outcome
binary_parse(const uint8_t *bytes, size_t length, struct proxy_header *header_r)
{
	enum proxy_fault fault = fixed_check(bytes, length);
	size_t size;

	if (fault != PROXY_NO_FAULT)
		return fail(header_r, fault);
	if (length < AT_BLOCK)
		return PROXY_MORE;
	size = AT_BLOCK + get16(bytes + AT_LENGTH);
	return length < size ? PROXY_MORE : block_parse(bytes, size, header_r);
}

/* ---- both ---- */

/* As far as there are bytes. */
static bool
begins_with(const uint8_t *bytes, size_t length, const uint8_t *start, size_t size)
{
	return memcmp(bytes, start, length < size ? length : size) == 0;
}

enum proxy_outcome
proxy_parse(const uint8_t *bytes, size_t length, struct proxy_header *header_r)
{
	*header_r = (struct proxy_header){ 0 };
	if (length == 0)
		return PROXY_MORE;
	if (begins_with(bytes, length, line_start, sizeof line_start))
		return length < sizeof line_start ? PROXY_MORE : line_parse(bytes, length, header_r);
	if (begins_with(bytes, length, signature, sizeof signature))
		return length < sizeof signature ? PROXY_MORE : binary_parse(bytes, length, header_r);
	return fail(header_r, PROXY_NO_HEADER);
}
