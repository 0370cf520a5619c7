/*
 * prepare: the parts of an address in the one form that stands for all spellings of them (RFC 6122: nodeprep and
 * resourceprep, the profiles of libidn). Pure.
 */
#ifndef C2SD_DIALECT_PREPARE_H
#define C2SD_DIALECT_PREPARE_H

/* Longest part of an address, in bytes (RFC 6122 2.1). */
#define PREPARE_PART_MAX 1023

/* 1 and a string of malloc; 0: it cannot be that part; -ENOMEM. `prepared_r` may be NULL, and is NULL unless it is 1. */
int prepare_node(const char *text, char **prepared_r) __attribute__((warn_unused_result));
int prepare_resource(const char *text, char **prepared_r) __attribute__((warn_unused_result));

#endif
