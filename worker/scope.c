#include "worker/scope.h"

#include <stdlib.h>
#include <string.h>

static int
compare_strings(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

static int
compare_scopes(const struct scope *a, const struct scope *b)
{
	int order = compare_strings(a->header.lang, b->header.lang);

	if (order == 0)
		order = compare_strings(a->header.declarations, b->header.declarations);
	if (order == 0)
		order = (a->header.version_major > b->header.version_major) -
		    (a->header.version_major < b->header.version_major);
	if (order == 0)
		order = (a->header.version_minor > b->header.version_minor) -
		    (a->header.version_minor < b->header.version_minor);
	return order;
}

RB_PROTOTYPE(scope_tree, scope, entry, compare_scopes)
RB_GENERATE(scope_tree, scope, entry, compare_scopes)

struct scope *
scope_of(struct scopes *scopes, struct stream_header *header)
{
	struct scope *scope = calloc(1, sizeof *scope), *there;

	if (scope == NULL)
		return NULL;
	scope->header = *header;
	scope->header.to = scope->header.from = NULL;
	header->lang = header->declarations = NULL;
	there = RB_INSERT(scope_tree, &scopes->tree, scope);
	if (there != NULL) {
		stream_header_deinit(&scope->header);
		free(scope);
		scope = there;
	}
	scope->users++;
	return scope;
}

void
scope_leave(struct scopes *scopes, struct scope *scope)
{
	if (scope == NULL || --scope->users > 0)
		return;
	RB_REMOVE(scope_tree, &scopes->tree, scope);
	stream_header_deinit(&scope->header);
	free(scope);
}
