/*
 * xml: what the tests know of XML comes from libxml2, so that they do not ask the code under test about itself.
 */
#ifndef C2SD_TESTS_DIALECT_XML_H
#define C2SD_TESTS_DIALECT_XML_H

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

/* Parse a run of elements; they are the children of the document's root. NULL: not well-formed. */
xmlDoc *xml_parse(const char *text, size_t length);

/* The same elements in the same order: attributes in any order, any quotes, any entities. */
bool xml_equal(const char *a, const char *b);

/* Write one element; the caller frees it. */
char *xml_write(xmlNode *node);

/* The value of an attribute, or NULL; the caller frees it with xmlFree. */
char *xml_attribute(xmlNode *node, const char *name);
bool xml_attribute_is(xmlNode *node, const char *name, const char *value);

/* An attribute of a stream's header, which is not closed; NULL when there is none. Freed with xmlFree. */
char *xml_header_attribute(const char *header, const char *name);

/* The first child element that is an error with code 510, or NULL. */
xmlNode *xml_find_510(xmlNode *node);

#endif
