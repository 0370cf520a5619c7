/*
 * slab and texts: objects lie apart and are zeroed, holes are used again, and what is given back goes back. (With the
 * address sanitizer slabs are malloc's: what is said of runs is then looked at nowhere.)
 */
#include <stdbool.h>
#include <string.h>

#include "common/slab.h"
#include "common/texts.h"
#include "tests/dialect/tap.h"

#define OBJECTS 3000

/* No multiple of eight, so that rounding matters. */
#define OBJECT_SIZE 92

static struct slab slab;
static uint8_t *objects[OBJECTS];

static void
setup(void)
{
	slab_init(&slab, OBJECT_SIZE);
}

static void
teardown(void)
{
	ck_assert_uint_eq(slab.count, 0);
	slab_deinit(&slab);
	slab_deinit(&slab);
	ck_assert_uint_eq(slab.runs, 0);
}

static bool
is_zero(const uint8_t *object)
{
	for (size_t i = 0; i < OBJECT_SIZE; i++) {
		if (object[i] != 0)
			return false;
	}
	return true;
}

static void
take(size_t i)
{
	objects[i] = slab_new(&slab);
	ck_assert_ptr_nonnull(objects[i]);
	ck_assert_uint_eq((uintptr_t)objects[i] % 8, 0);
	ck_assert(is_zero(objects[i]));
	memset(objects[i], (int)(i % 255) + 1, OBJECT_SIZE);
}

/* Nobody else has written into it. */
static void
give_back(size_t i)
{
	for (size_t at = 0; at < OBJECT_SIZE; at++) {
		if (objects[i][at] != i % 255 + 1)	/* an assertion writes to a pipe, each time */
			ck_abort_msg("object %zu: byte %zu is another", i, at);
	}
	slab_free(&slab, objects[i]);
	objects[i] = NULL;
}

static bool
has_runs(void)
{
	return slab.runs > 0;
}

START_TEST(objects_lie_apart)
{
	for (size_t i = 0; i < OBJECTS; i++)
		take(i);
	ck_assert_uint_eq(slab.count, OBJECTS);
	for (size_t i = 0; i < OBJECTS; i += 2)
		give_back(i);
	for (size_t i = 0; i < OBJECTS; i += 2)
		take(i);
	for (size_t i = 0; i < OBJECTS; i++)
		give_back(i);
}
END_TEST

START_TEST(runs_are_full_before_there_are_more)
{
	size_t wanted = (OBJECTS + slab.per_run - 1) / slab.per_run;

	for (size_t i = 0; i < OBJECTS; i++)
		take(i);
	if (has_runs())
		ck_assert_uint_eq(slab.runs, wanted);
	/* Holes everywhere: they are filled, and nothing is mapped. */
	for (size_t i = 0; i < OBJECTS; i += 3)
		give_back(i);
	for (size_t i = 0; i < OBJECTS; i += 3)
		take(i);
	if (has_runs())
		ck_assert_uint_eq(slab.runs, wanted);
	for (size_t i = OBJECTS; i > 0; i--)
		give_back(i - 1);
}
END_TEST

START_TEST(empty_runs_go_back_but_one)
{
	for (size_t i = 0; i < OBJECTS; i++)
		take(i);
	if (has_runs()) {
		/* The objects of a run come one after the other. */
		for (size_t i = 0; i < 2 * (size_t)slab.per_run; i++)
			give_back(i);
		ck_assert_uint_eq(slab.runs, (OBJECTS + slab.per_run - 1) / slab.per_run - 2);
	}
	for (size_t i = 0; i < OBJECTS; i++) {
		if (objects[i] != NULL)
			give_back(i);
	}
	ck_assert_uint_le(slab.runs, 1);
	/* A client that comes and goes maps nothing. */
	take(0);
	ck_assert_uint_le(slab.runs, 1);
	give_back(0);
	ck_assert_uint_le(slab.runs, 1);
}
END_TEST

START_TEST(nothing_is_no_object)
{
	slab_free(&slab, NULL);
	ck_assert_uint_eq(slab.count, 0);
}
END_TEST

START_TEST(texts_of_every_length)
{
	static char letters[4 * TEXTS_PACKED];
	static char *copies[2][sizeof letters + 1];
	struct texts texts;

	texts_init(&texts);
	memset(letters, 'x', sizeof letters);
	for (size_t length = 0; length <= sizeof letters; length++) {
		for (int i = 0; i < 2; i++) {
			copies[i][length] = texts_add(&texts, letters, length);
			ck_assert_ptr_nonnull(copies[i][length]);
		}
	}
	for (size_t length = 0; length <= sizeof letters; length++) {
		for (int i = 0; i < 2; i++) {
			ck_assert_uint_eq(strlen(copies[i][length]), length);
			ck_assert(memcmp(copies[i][length], letters, length) == 0);
			texts_remove(&texts, copies[i][length]);
		}
	}
	for (size_t i = 0; i < TEXTS_CLASSES; i++)
		ck_assert_uint_eq(texts.slabs[i].count, 0);
	texts_deinit(&texts);
	texts_deinit(&texts);
}
END_TEST

START_TEST(texts_end_at_a_zero)
{
	struct texts texts;
	char *copy;

	texts_init(&texts);
	copy = texts_add(&texts, "short\0and what nobody would count when it is given back", 55);
	ck_assert_str_eq(copy, "short");
	ck_assert_uint_eq(texts.slabs[0].count, 1);
	texts_remove(&texts, copy);
	ck_assert_uint_eq(texts.slabs[0].count, 0);
	texts_remove(&texts, NULL);
	texts_deinit(&texts);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("slab");
	TCase *tests = tcase_create("slab"), *strings = tcase_create("texts");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, objects_lie_apart);
	tcase_add_test(tests, runs_are_full_before_there_are_more);
	tcase_add_test(tests, empty_runs_go_back_but_one);
	tcase_add_test(tests, nothing_is_no_object);
	suite_add_tcase(suite, tests);
	tcase_add_test(strings, texts_of_every_length);
	tcase_add_test(strings, texts_end_at_a_zero);
	suite_add_tcase(suite, strings);
	return tap_run(suite);
}
