/*
 * print: the answers of c2sd for people. Whatever clients have put into a text, it cannot move the terminal's cursor.
 */
#ifndef C2SD_CTL_PRINT_H
#define C2SD_CTL_PRINT_H

#include <jansson.h>

/* One object of the answer to that command. */
void print_object(const char *command, const json_t *object);

/* The answer is complete. */
void print_finish(const char *command);

/* "1234", "12K", "3.4M": at most five characters; `text` has room for 16. */
const char *print_size(long long number, char *text);

/* The text, control characters and those that change the direction of writing as ?, filled up to that width. */
void print_text(const char *text, int width);

#endif
