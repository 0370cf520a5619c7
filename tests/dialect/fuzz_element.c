/* element with any bytes: nothing outside them is named, and what is read twice is read alike. */
#include <string.h>

#include "tests/dialect/fuzz.h"

static void
check_text(struct range range)
{
	struct address address;
	char *text = range_strdup_decoded(range);

	must(text != NULL);
	if (memchr(range.at, '<', range.length) == NULL && memchr(range.at, '\0', range.length) == NULL)
		must(range_decodes_to(range, text));
	free(text);
	if (address_read(&address, range)) {
		must_lie_within(address.user, range);
		must_lie_within(address.host, range);
		must_lie_within(address.resource, range);
	}
}

static void
check_attributes(const struct element *element)
{
	struct attribute attribute = { 0 };
	const char *before = range_end(element->name);
	char name[16];

	while (element_next_attribute(element, &attribute)) {
		struct range value;

		must(attribute.whole.at == before);
		before = range_end(attribute.whole);
		must_lie_within(attribute.whole, element->tag);
		must_lie_within(attribute.name, attribute.whole);
		must_lie_within(attribute.value, attribute.whole);
		must(attribute.value.at[-1] == *range_end(attribute.value));
		check_text(attribute.value);
		if (attribute.name.length < sizeof(name)) {
			memcpy(name, attribute.name.at, attribute.name.length);
			name[attribute.name.length] = '\0';
			/* The first of two of one name; one with a NUL in it cannot be asked for. */
			if (strlen(name) == attribute.name.length)
				must(element_attribute(element, name, &value) && value.at <= attribute.value.at);
		}
	}
}

static void
check_element(const struct element *element, unsigned depth)
{
	struct element child = { 0 }, again;
	const char *before = element->content.at;

	must_lie_within(element->name, element->tag);
	must_lie_within(element->tag, element->whole);
	must_lie_within(element->content, element->whole);
	must(element->name.length > 0);
	must(element_read(&again, element->whole.at, element->whole.length));
	must(ranges_equal(again.whole, element->whole));
	check_attributes(element);
	check_text(element->content);
	while (depth > 0 && element_next_child(element, &child)) {
		must(child.whole.at >= before);
		before = range_end(child.whole);
		must_lie_within(child.whole, element->content);
		check_element(&child, depth - 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct range all = { (const char *)data, size };
	struct element element, child = { 0 };

	check_text(all);
	if (element_read(&element, data, size)) {
		must_lie_within(element.whole, all);
		check_element(&element, 8);
	}
	/* Bytes that nobody has split: no more is promised than to stay inside. */
	if (element_read_complete(&element, data, size)) {
		must(element.whole.length == size);
		check_attributes(&element);
		while (element_next_child(&element, &child))
			must_lie_within(child.whole, element.content);
	}
	return 0;
}
