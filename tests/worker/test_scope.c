/* scope: clients that wrote the same header share it, others do not, and the last one takes it along. */
#include <string.h>

#include "tests/dialect/tap.h"
#include "worker/scope.h"

static struct scopes scopes;

static char *
copy(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

static struct scope *
scope_with(const char *lang, const char *declarations, uint16_t major, uint16_t minor)
{
	struct stream_header header = {
		.to = copy("foo.com"), .from = copy("a@foo.com"), .lang = copy(lang), .declarations = copy(declarations),
		.version_major = major, .version_minor = minor,
	};
	struct scope *scope = scope_of(&scopes, &header);

	ck_assert_ptr_nonnull(scope);
	/* What the caller still needs stays his. */
	ck_assert_str_eq(header.to, "foo.com");
	ck_assert_ptr_null(header.lang);
	ck_assert_ptr_null(header.declarations);
	ck_assert_ptr_null(scope->header.to);
	ck_assert_ptr_null(scope->header.from);
	stream_header_deinit(&header);
	return scope;
}

START_TEST(the_same_is_shared)
{
	struct scope *one = scope_with("en", NULL, 1, 0), *other = scope_with("en", NULL, 1, 0);

	ck_assert_ptr_eq(one, other);
	ck_assert_uint_eq(one->users, 2);
	ck_assert_str_eq(one->header.lang, "en");
	scope_leave(&scopes, one);
	ck_assert_str_eq(other->header.lang, "en");
	scope_leave(&scopes, other);
	ck_assert(RB_EMPTY(&scopes.tree));
	scope_leave(&scopes, NULL);
}
END_TEST

START_TEST(what_differs_is_apart)
{
	static const struct {
		const char *lang;
		const char *declarations;
		uint16_t major, minor;
	} kinds[] = {
		{ NULL, NULL, 0, 0 }, { NULL, NULL, 1, 0 }, { NULL, NULL, 1, 1 }, { "en", NULL, 1, 0 }, { "de", NULL, 1, 0 },
		{ NULL, "en", 1, 0 }, { "", NULL, 1, 0 }, { NULL, "", 1, 0 }, { "en", "stream:stream xmlns:a='b'", 1, 0 },
	};
	enum { COUNT = sizeof kinds / sizeof kinds[0] };
	struct scope *first[COUNT], *again[COUNT];

	for (int i = 0; i < COUNT; i++)
		first[i] = scope_with(kinds[i].lang, kinds[i].declarations, kinds[i].major, kinds[i].minor);
	for (int i = COUNT - 1; i >= 0; i--)
		again[i] = scope_with(kinds[i].lang, kinds[i].declarations, kinds[i].major, kinds[i].minor);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_ptr_eq(first[i], again[i]);
		ck_assert_uint_eq(first[i]->users, 2);
		ck_assert_uint_eq(first[i]->header.version_major, kinds[i].major);
	}
	for (int i = 0; i < COUNT; i++) {
		scope_leave(&scopes, first[i]);
		scope_leave(&scopes, again[COUNT - 1 - i]);
	}
	ck_assert(RB_EMPTY(&scopes.tree));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("scope");
	TCase *tests = tcase_create("scope");

	tcase_add_test(tests, the_same_is_shared);
	tcase_add_test(tests, what_differs_is_apart);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
