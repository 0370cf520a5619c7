#include "dialect/edit.h"

#include <string.h>

void
edit_cut_attributes(struct edit *edit, const struct element *element, const char *const names[])
{
	struct attribute attribute = { 0 };

	while (element_next_attribute(element, &attribute))
		for (size_t i = 0; names[i] != NULL; i++)
			if (range_equals(attribute.name, names[i]))
				edit_cut(edit, attribute.whole);
}

void
edit_put_attribute(struct buffer *out, const char *name, const char *value)
{
	buffer_append_string(out, " ");
	buffer_append_string(out, name);
	buffer_append_string(out, "='");
	buffer_append_escaped(out, value, strlen(value));
	buffer_append_string(out, "'");
}

void
edit_put_attribute_raw(struct buffer *out, const char *name, struct range value)
{
	if (value.at == NULL)
		return;
	buffer_append_string(out, " ");
	buffer_append_string(out, name);
	buffer_append_string(out, "=");
	buffer_append(out, value.at - 1, value.length + 2);
}
