/* tls_memory: blocks of all sizes, in all orders, keep what was put into them and come to nobody twice. */
#include <stdlib.h>
#include <string.h>

#include "common/sanitizer.h"
#include "tests/dialect/tap.h"
#include "worker/tls.h"
#include "worker/tls_openssl.h"

#define BLOCKS 2000

static struct block {
	uint8_t *bytes;
	size_t size;
	uint8_t fill;
} blocks[BLOCKS];

/* All of the first bytes are the same one. */
static void
check(const uint8_t *bytes, size_t size, uint8_t fill)
{
	ck_assert(size == 0 || (bytes[0] == fill && memcmp(bytes, bytes + 1, size - 1) == 0));
}

static void
block_fill(struct block *block, uint8_t *bytes, size_t size, uint8_t fill)
{
	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_eq((uintptr_t)bytes % 16, 0);
	*block = (struct block){ bytes, size, fill };
	memset(bytes, fill, size);
}

static size_t
size_choose(unsigned turn)
{
	static const size_t sizes[] = { 1, 15, 16, 17, 56, 960, 1008, 1009, 1024, 1025, 4096, 7624, 7625, 20000 };

	return turn % 3 ? sizes[(size_t)rand() % (sizeof sizes / sizeof sizes[0])] : (size_t)rand() % 3000 + 1;
}

START_TEST(blocks_of_all_sizes)
{
	srand(1);
	for (unsigned turn = 0; turn < 50000; turn++) {
		struct block *block = &blocks[rand() % BLOCKS];
		size_t size = size_choose(turn);
		uint8_t *bytes;

		check(block->bytes, block->size, block->fill);
		if (block->bytes == NULL) {
			block_fill(block, tls_memory_new(size), size, (uint8_t)turn);
		} else if (turn % 4 != 0) {
			tls_memory_free(block->bytes);
			*block = (struct block){ 0 };
		} else {
			bytes = tls_memory_resize(block->bytes, size);
			check(bytes, size < block->size ? size : block->size, block->fill);
			block_fill(block, bytes, size, (uint8_t)turn);
		}
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		check(blocks[i].bytes, blocks[i].size, blocks[i].fill);
		tls_memory_free(blocks[i].bytes);
	}
	tls_memory_free(NULL);
}
END_TEST

/* Two connections' worth of SSL lie side by side, without anything between them. */
START_TEST(blocks_are_packed)
{
	uint8_t *first = tls_memory_new(100), *second = tls_memory_new(100);

	if (!UNDER_SANITIZER)
		ck_assert_int_eq(labs(second - first), 112);
	tls_memory_free(first);
	tls_memory_free(second);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tls_memory");
	TCase *tests = tcase_create("tls_memory");

	tcase_add_test(tests, blocks_of_all_sizes);
	tcase_add_test(tests, blocks_are_packed);
	suite_add_tcase(suite, tests);
	return tls_init() < 0 ? EXIT_FAILURE : tap_run(suite);
}
