/*
 * names: which characters beyond ASCII the names of XML are made of (XML 1.0 before its fifth edition, appendix B).
 *
 * That edition because expat, which most servers and clients read with, knows no other: a name of the fifth would end
 * their streams.
 */
#ifndef C2SD_DIALECT_NAMES_H
#define C2SD_DIALECT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* May a name begin with it? For characters from U+0080. */
bool names_begin_with(uint32_t character);

/* May it stand in a name, behind the first character? */
bool names_contain(uint32_t character);

#endif
