/*
 * document: an XML file read into a tree of libxml2, with the line on which each element and each attribute begins.
 *
 * libxml2 keeps one line for an element, that on which its tag ends; a complaint about one of many attributes needs the
 * attribute's own. Only what stands in the file counts: document types, and with them one's own entities, are refused.
 */
#ifndef C2SD_COMMON_DOCUMENT_H
#define C2SD_COMMON_DOCUMENT_H

#include <libxml/tree.h>

/* More than any configuration needs; a larger file is the wrong file. */
#define DOCUMENT_BYTES_MAX (4u * 1024 * 1024)

struct document {
	xmlDoc *tree;		/* NULL: it could not be read */
	int line;		/* of the error; 0: it has none */
	char error[256];	/* why it could not be read, in one line */
};

/* Read a file. 0, or -ENOMEM; `tree` and `error` say the rest. document_deinit in any case. */
int document_read(struct document *document_r, const char *file) __attribute__((warn_unused_result));
void document_deinit(struct document *document);

/* Where an element or an attribute of a document's tree begins. */
int document_node_line(const xmlNode *node);
int document_attribute_line(const xmlAttr *attribute);

#endif
