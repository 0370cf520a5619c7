/*
 * proxy: headers of both versions, row by row, each with the client's first bytes behind it and cut at every byte: nothing
 * is said too early, nothing that follows changes it, and what is wrong stays wrong.
 */
#include <arpa/inet.h>
#include <string.h>

#include "tests/dialect/tap.h"
#include "worker/proxy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a client sends first, in clear and with TLS. */
#define BEHIND "<?xml version='1.0'?>\r\n\x16\x03\x01"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x07\xc6\x33\x64\x01\x30\x39\x14\x66"	/* 192.0.2.7 to 198.51.100.1, 12345 to 5222 */
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x30\x39\x14\x66"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x01\x30\x39\x14\x66"
#define TWELVE "abcdefghijkl"
#define HUNDRED_AND_EIGHT TWELVE TWELVE TWELVE TWELVE TWELVE TWELVE TWELVE TWELVE TWELVE

#define BYTES(text) text, sizeof(text) - 1

static const struct row {
	const char *bytes;
	size_t length;
	enum proxy_outcome outcome;
	enum proxy_fault fault;
	const char *address;
	uint16_t port;
} rows[] = {
	/* Version 1. */
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_PEER, 0, "255.255.255.255", 65535 },
	{ BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), PROXY_PEER, 0, "0.0.0.0", 0 },
	{ BYTES("PROXY TCP6 2001:db8::7 2001:DB8::1 12345 5222\r\n"), PROXY_PEER, 0, "2001:db8::7", 12345 },
	{ BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    PROXY_PEER, 0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535 },
	{ BYTES("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 12345 5222\r\n"), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES("PROXY TCP6 ::ffff:c000:207 :: 12345 5222\r\n"), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES("PROXY UNKNOWN\r\n"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES("PROXY UNKNOWN \r\n"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES("PROXY UNKNOWN what \0 ever <\r\n"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655350\r\n"),
	    PROXY_FAILED, PROXY_TOO_LONG, NULL, 0 },
	{ BYTES("PROXY TCP4 " HUNDRED_AND_EIGHT), PROXY_FAILED, PROXY_TOO_LONG, NULL, 0 },
	/* Line ends. */
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222\r "), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222\r\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7\r\n198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY UNKNOWN\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY UNKNOWN x\ry\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY \r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	/* Families. */
	{ BYTES("PROXY UNKNOWNX\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY UNKNOW\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY unknown\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY  UNKNOWN\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP5 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY tcp4 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY UDP4 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	/* Addresses. */
	{ BYTES("PROXY TCP4 2001:db8::7 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP6 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.02.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.256 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 3221225991 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 0xc0.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7. 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7\0 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.999 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP6 fe80::1%lo 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP6 [2001:db8::7] 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP6 2001::db8::7 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP6 2001:db8:7 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP6 02001:db8::7 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP6 1:2:3:4:5:6:7:8:9 2001:db8::1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	/* Ports. */
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 012345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 01 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 00 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 65536 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 99999 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 05222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 -1 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 +1 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 0x1 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 \r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222 \r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222 7\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7  198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4 192.0.2.7\t198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	{ BYTES("PROXY TCP4  192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_BAD_LINE, NULL, 0 },
	/* Neither. */
	{ BYTES("PROXY\tTCP4 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	{ BYTES("proxy TCP4 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	{ BYTES(" PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222\r\n"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	{ BYTES("<?xml version='1.0'?>"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	{ BYTES("\x16\x03\x01\x02"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	{ BYTES("GET / HTTP/1.1\r\n\r\n"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	{ BYTES("\r\n\r\n\r\n"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	{ BYTES("\r\n\r\n\0\r\nQUIT\r"), PROXY_FAILED, PROXY_NO_HEADER, NULL, 0 },
	/* Version 2. */
	{ BYTES(SIGNATURE "\x21\x11\0\x0c" V4), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES(SIGNATURE "\x21\x21\0\x24" V6), PROXY_PEER, 0, "2001:db8::7", 12345 },
	{ BYTES(SIGNATURE "\x21\x21\0\x24" MAPPED), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES(SIGNATURE "\x20\0\0\0"), PROXY_LOCAL, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x20\x11\0\x0c" V4), PROXY_LOCAL, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x20\x11\0\x03" "abc"), PROXY_LOCAL, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x20\xff\0\x05" "\x01\x02\x03\x04\x05"), PROXY_LOCAL, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\0\0\0"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\0\0\x05" "\x01\x02\x03\x04\x05"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x01\0\0"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x10\0\0"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x12\0\x0c" V4), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x22\0\x24" V6), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x31\0\xd8" HUNDRED_AND_EIGHT HUNDRED_AND_EIGHT), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x32\0\xd8" HUNDRED_AND_EIGHT HUNDRED_AND_EIGHT), PROXY_UNKNOWN, 0, NULL, 0 },
	/* Versions, commands, families, lengths. */
	{ BYTES(SIGNATURE "\x11\x11\0\x0c" V4), PROXY_FAILED, PROXY_BAD_VERSION, NULL, 0 },
	{ BYTES(SIGNATURE "\x31\x11\0\x0c" V4), PROXY_FAILED, PROXY_BAD_VERSION, NULL, 0 },
	{ BYTES(SIGNATURE "\x01\x11\0\x0c" V4), PROXY_FAILED, PROXY_BAD_VERSION, NULL, 0 },
	{ BYTES(SIGNATURE "\x22\x11\0\x0c" V4), PROXY_FAILED, PROXY_BAD_COMMAND, NULL, 0 },
	{ BYTES(SIGNATURE "\x2f\x11\0\x0c" V4), PROXY_FAILED, PROXY_BAD_COMMAND, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x41\0\x0c" V4), PROXY_FAILED, PROXY_BAD_FAMILY, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x13\0\x0c" V4), PROXY_FAILED, PROXY_BAD_FAMILY, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x0b" V4), PROXY_FAILED, PROXY_TOO_SHORT, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\0" V4), PROXY_FAILED, PROXY_TOO_SHORT, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x12\0\x0b" V4), PROXY_FAILED, PROXY_TOO_SHORT, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x21\0\x23" V6), PROXY_FAILED, PROXY_TOO_SHORT, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x31\0\xd7" HUNDRED_AND_EIGHT HUNDRED_AND_EIGHT), PROXY_FAILED, PROXY_TOO_SHORT, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\x0f\xf1" V4), PROXY_FAILED, PROXY_TOO_LONG, NULL, 0 },
	{ BYTES(SIGNATURE "\x20\0\x0f\xf1"), PROXY_FAILED, PROXY_TOO_LONG, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x21\xff\xff" V6), PROXY_FAILED, PROXY_TOO_LONG, NULL, 0 },
	/* TLVs: an unknown one, empty ones, ALPN and authority, the proxy's TLS with its own inside; padding. */
	{ BYTES(SIGNATURE "\x21\x11\0\x11" V4 "\xea\0\x02" "ab"), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES(SIGNATURE "\x21\x11\0\x12" V4 "\x04\0\0" "\x05\0\0"), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES(SIGNATURE "\x21\x21\0\x33" V6 "\x02\0\x07" "foo.com" "\x04\0\x02" "\0\0"), PROXY_PEER, 0, "2001:db8::7", 12345 },
	{ BYTES(SIGNATURE "\x21\x11\0\x1e" V4 "\x20\0\x0f" "\x01\0\0\0\0" "\x21\0\x07" "TLSv1.3"), PROXY_PEER, 0, "192.0.2.7",
	    12345 },
	{ BYTES(SIGNATURE "\x21\x31\0\xdb" HUNDRED_AND_EIGHT HUNDRED_AND_EIGHT "\x04\0\0"), PROXY_UNKNOWN, 0, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x0d" V4 "\x04"), PROXY_FAILED, PROXY_BAD_TLV, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x0e" V4 "\x04\0"), PROXY_FAILED, PROXY_BAD_TLV, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\x01"), PROXY_FAILED, PROXY_BAD_TLV, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\x04\xff\xff" "x"), PROXY_FAILED, PROXY_BAD_TLV, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x12" V4 "\x04\0\0" "\x04\0\x01"), PROXY_FAILED, PROXY_BAD_TLV, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x31\0\xd9" HUNDRED_AND_EIGHT HUNDRED_AND_EIGHT "\x04"), PROXY_FAILED, PROXY_BAD_TLV, NULL, 0 },
	/* The checksum, alone and among others. */
	{ BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04" "\x63\x39\x41\xd7"), PROXY_PEER, 0, "192.0.2.7", 12345 },
	{ BYTES(SIGNATURE "\x21\x11\0\x19" V4 "\x04\0\0" "\x03\0\x04" "\xc5\x5d\x97\x53" "\x04\0\0"), PROXY_PEER, 0, "192.0.2.7",
	    12345 },
	{ BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04" "\0\0\0\0"), PROXY_FAILED, PROXY_BAD_CHECKSUM, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x12" V4 "\x03\0\x03" "\0\0\0"), PROXY_FAILED, PROXY_BAD_TLV, NULL, 0 },
	{ BYTES(SIGNATURE "\x21\x11\0\x1a" V4 "\x03\0\x04" "\0\0\0\0" "\x03\0\x04" "\0\0\0\0"), PROXY_FAILED, PROXY_BAD_TLV,
	    NULL, 0 },
};

static const struct row *
row_at(int index)
{
	return &rows[index];
}

/* Of exactly that many bytes, so that a sanitizer sees a look behind them. */
static enum proxy_outcome
parse(const char *bytes, size_t length, struct proxy_header *header_r)
{
	uint8_t *exact = malloc(length > 0 ? length : 1);
	enum proxy_outcome outcome;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, bytes, length);
	outcome = proxy_parse(exact, length, header_r);
	free(exact);
	return outcome;
}

static void
check_row(const struct row *row, enum proxy_outcome outcome, const struct proxy_header *header)
{
	char address[INET6_ADDRSTRLEN];

	ck_assert_int_eq(outcome, row->outcome);
	ck_assert_str_eq(proxy_fault_name(header->fault), proxy_fault_name(row->fault));
	if (outcome != PROXY_FAILED)
		ck_assert_uint_eq(header->length, row->length);
	if (row->address == NULL)
		return;
	ck_assert_str_eq(peer_format(&header->peer, address), row->address);
	ck_assert_uint_eq(header->peer.port, row->port);
}

START_TEST(every_row_at_every_cut)
{
	const struct row *row = row_at(_i);
	size_t length = row->length + sizeof BEHIND - 1;
	char *bytes = malloc(length);
	struct proxy_header header;
	bool said = false;

	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, row->bytes, row->length);
	memcpy(bytes + row->length, BEHIND, sizeof BEHIND - 1);
	for (size_t cut = 0; cut <= length; cut++) {
		enum proxy_outcome outcome = parse(bytes, cut, &header);

		if (outcome == PROXY_MORE) {
			ck_assert(!said && cut < row->length);
			continue;
		}
		said = true;
		ck_assert(row->outcome == PROXY_FAILED || cut >= row->length);
		check_row(row, outcome, &header);
	}
	ck_assert(said);
	free(bytes);
}
END_TEST

START_TEST(the_longest_there_may_be)
{
	static char bytes[PROXY_HEADER_MAX + 1] = SIGNATURE "\x21\x11\x0f\xf0" V4 "\x04\x0f\xe1";
	struct proxy_header header;

	ck_assert_int_eq(parse(bytes, PROXY_HEADER_MAX - 1, &header), PROXY_MORE);
	ck_assert_int_eq(parse(bytes, PROXY_HEADER_MAX, &header), PROXY_PEER);
	ck_assert_int_eq(parse(bytes, PROXY_HEADER_MAX + 1, &header), PROXY_PEER);
	ck_assert_uint_eq(header.length, PROXY_HEADER_MAX);
	ck_assert_uint_eq(header.peer.port, 12345);
}
END_TEST

/* Whichever bit is wrong on the way. */
START_TEST(a_checksum_sees_every_bit)
{
	static const char good[] = SIGNATURE "\x21\x11\0\x17" V4 "\x03\0\x04" "\xee\x69\xad\x09" "\x04\0\x01" "x";
	struct proxy_header header;
	char bytes[sizeof good - 1];

	ck_assert_int_eq(parse(good, sizeof bytes, &header), PROXY_PEER);
	for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
		enum proxy_outcome outcome;

		memcpy(bytes, good, sizeof bytes);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
		outcome = parse(bytes, sizeof bytes, &header);
		/* What bears another name is no checksum. */
		if (outcome == PROXY_PEER)
			ck_assert_uint_eq(bit / 8, 28);
	}
}
END_TEST

START_TEST(every_fault_has_a_name)
{
	for (unsigned fault = 0; fault < PROXY_FAULT_COUNT; fault++)
		ck_assert_ptr_nonnull(proxy_fault_name((enum proxy_fault)fault));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("proxy");
	TCase *tests = tcase_create("proxy");

	suite_add_tcase(suite, tests);
	tcase_add_loop_test(tests, every_row_at_every_cut, 0, COUNT(rows));
	tcase_add_test(tests, the_longest_there_may_be);
	tcase_add_test(tests, a_checksum_sees_every_bit);
	tcase_add_test(tests, every_fault_has_a_name);
	return tap_run(suite);
}
