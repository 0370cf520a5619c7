/*
 * wellformed: is this one element, and will every parser read it, and read it alike?
 *
 * For bytes whose cut is known (dialect/splitter) or claimed (a worker), from somebody who is not believed that he writes
 * XML: a worker that was broken into, a session manager that passes on what others wrote. It is well-formed XML 1.0 with
 * namespaces, in UTF-8, without what RFC 6120 11.1 restricts, and within what all parsers take:
 * - no comment, processing instruction or entity but the predefined; CDATA sections are taken;
 * - names are those before the fifth edition of XML 1.0, because expat knows no others (dialect/names);
 * - prefixes are declared inside of it, but for `xml` and `stream`, which both ends of a stream know;
 * - a namespace is made of the characters of URIs: parsers that join namespace and name with a byte that no URI has
 *   break off where one has it (CVE-2022-25236 was the same without the breaking off);
 * - at most WELLFORMED_DEPTH_MAX elements inside each other and WELLFORMED_ATTRIBUTES_MAX attributes in one.
 *
 * One pass, no memory but the stack, a few instructions a byte: it is done for every packet.
 */
#ifndef C2SD_DIALECT_WELLFORMED_H
#define C2SD_DIALECT_WELLFORMED_H

#include <stddef.h>

/* libxml2 takes no more than 256 of itself, a root among them. */
#define WELLFORMED_DEPTH_MAX 255

/* What worker/stream lets through, and the declarations that it adds. */
#define WELLFORMED_ATTRIBUTES_MAX 520

/* NULL: it is. Else what is wrong, in a few English words without anything of the bytes. */
const char *wellformed_fault(const void *bytes, size_t length);

#endif
