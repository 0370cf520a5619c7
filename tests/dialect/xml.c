#include "tests/dialect/xml.h"

#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"

xmlDoc *
xml_parse(const char *text, size_t length)
{
	struct buffer buffer = { 0 };
	xmlDoc *doc;

	buffer_append_string(&buffer, "<root xmlns:stream='http://etherx.jabber.org/streams'>");
	buffer_append(&buffer, text, length);
	buffer_append_string(&buffer, "</root>");
	doc = xmlReadMemory((char *)buffer_bytes(&buffer), (int)buffer_length(&buffer), NULL, "UTF-8",
	    XML_PARSE_NOENT | XML_PARSE_NOCDATA | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET);
	buffer_deinit(&buffer);
	return doc;
}

static const xmlChar *
namespace_of(const xmlNode *node)
{
	return node->ns == NULL ? NULL : node->ns->href;
}

static bool
attributes_within(xmlNode *a, xmlNode *b)
{
	for (xmlAttr *attribute = a->properties; attribute != NULL; attribute = attribute->next) {
		const xmlChar *href = attribute->ns == NULL ? NULL : attribute->ns->href;
		xmlChar *mine = xmlGetNsProp(a, attribute->name, href);
		xmlChar *other = xmlGetNsProp(b, attribute->name, href);
		bool same = xmlStrEqual(mine, other);

		xmlFree(mine);
		xmlFree(other);
		if (!same)
			return false;
	}
	return true;
}

static bool
nodes_equal(xmlNode *a, xmlNode *b)
{
	if (a->type != b->type || !xmlStrEqual(a->name, b->name))
		return false;
	if (a->type != XML_ELEMENT_NODE)
		return xmlStrEqual(a->content, b->content);
	if (!xmlStrEqual(namespace_of(a), namespace_of(b)) || !attributes_within(a, b) || !attributes_within(b, a))
		return false;
	for (a = a->children, b = b->children; a != NULL && b != NULL; a = a->next, b = b->next)
		if (!nodes_equal(a, b))
			return false;
	return a == NULL && b == NULL;
}

bool
xml_equal(const char *a, const char *b)
{
	xmlDoc *doc_a = xml_parse(a, strlen(a)), *doc_b = xml_parse(b, strlen(b));
	bool equal = doc_a != NULL && doc_b != NULL &&
	    nodes_equal(xmlDocGetRootElement(doc_a), xmlDocGetRootElement(doc_b));

	xmlFreeDoc(doc_a);
	xmlFreeDoc(doc_b);
	return equal;
}

char *
xml_write(xmlNode *node)
{
	xmlBuffer *buffer = xmlBufferCreate();
	char *text;

	xmlNodeDump(buffer, node->doc, node, 0, 0);
	text = strdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	return text;
}

char *
xml_attribute(xmlNode *node, const char *name)
{
	return (char *)xmlGetNoNsProp(node, (const xmlChar *)name);
}

bool
xml_attribute_is(xmlNode *node, const char *name, const char *value)
{
	char *found = xml_attribute(node, name);
	bool same = found != NULL && strcmp(found, value) == 0;

	xmlFree(found);
	return same;
}

char *
xml_header_attribute(const char *header, const char *name)
{
	struct buffer buffer = { 0 };
	char *value = NULL;
	xmlDoc *doc;

	buffer_append_string(&buffer, header);
	buffer_append_string(&buffer, "</stream:stream>");
	doc = xmlReadMemory((char *)buffer_bytes(&buffer), (int)buffer_length(&buffer), NULL, "UTF-8", XML_PARSE_NONET);
	if (doc != NULL)
		value = xml_attribute(xmlDocGetRootElement(doc), name);
	xmlFreeDoc(doc);
	buffer_deinit(&buffer);
	return value;
}

xmlNode *
xml_find_510(xmlNode *node)
{
	for (xmlNode *child = xmlFirstElementChild(node); child != NULL; child = xmlNextElementSibling(child))
		if (xmlStrEqual(child->name, (const xmlChar *)"error") && xml_attribute_is(child, "code", "510"))
			return child;
	return NULL;
}
