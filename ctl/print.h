/*
 * print: the answers of c2sd for people.
 */
#ifndef C2SD_CTL_PRINT_H
#define C2SD_CTL_PRINT_H

#include <jansson.h>
#include <stdbool.h>

/* One line of the answer to that command. */
void print_object(const char *command, const json_t *object);

/* The answer is complete. */
void print_finish(const char *command, bool json);

#endif
