/*
 * The two messages of a client, one a line, with every mechanism. Nobody gets in who does not know the password, and what
 * is taken for a name is one. With libFuzzer, or replayed by fuzz_main.c.
 */
#include <string.h>

#include "sessiond/scram.h"
#include "tests/dialect/fuzz.h"

static void
run(enum scram_hash hash, bool plus, const char *first, size_t first_length, const char *final, size_t final_length)
{
	/* No password has such keys. */
	struct scram_keys keys = { .salt_size = 3, .iterations = 1 };
	struct buffer out = { 0 };
	struct scram scram;

	scram_init(&scram, hash, plus, plus);
	if (scram_read_first(&scram, first, first_length) == SCRAM_GOOD) {
		must(scram.username != NULL && *scram.username != '\0');
		must((scram.binding_type != NULL) == plus);
		must(strpbrk(scram.nonce, ", \n") == NULL && *scram.nonce != '\0');
		must(scram_write_first(&scram, &keys, "server", &out) == 0);
		must(memchr(buffer_bytes(&out), '\n', buffer_length(&out)) == NULL);
		must(scram_read_final(&scram, &keys, "binding", 7, final, final_length) != SCRAM_GOOD);
	}
	scram_deinit(&scram);
	buffer_deinit(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = size == 0 ? NULL : memchr(data, '\n', size);
	size_t first = line == NULL ? size : (size_t)(line - data), rest = line == NULL ? 0 : size - first - 1;

	for (int way = 0; way < 4; way++)
		run((way & 1) != 0 ? SCRAM_SHA256 : SCRAM_SHA1, (way & 2) != 0, (const char *)data, first,
		    (const char *)data + (line == NULL ? size : first + 1), rest);
	return 0;
}
