#include "ctl/balance.h"

#include <stdio.h>
#include <string.h>

/* `total` is the sum of `parts`. */
struct law {
	const char *member;	/* of the object: where the counters are */
	const char *what;	/* they count */
	const char *total;
	const char *parts[6];
};

static const struct law laws[] = {
	{ "packets", "packets of", "in", { "settled", "bounced", "consumed", "dropped", "held" } },
	{ "up", "packets to the link of", "in", { "acknowledged", "waiting", "lost" } },
};

/* By whose counters they are: what is to be said of them. */
static json_t *found;

static long long
number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static void
remember(const char *whose, const struct law *law, const json_t *counters)
{
	char line[512], key[64];
	int length = snprintf(line, sizeof line, "%s %s do not balance: %s %lld, but", law->what, whose, law->total,
	    number_of(counters, law->total));
	long long sum = 0;

	for (unsigned i = 0; law->parts[i] != NULL; i++) {
		sum += number_of(counters, law->parts[i]);
		length += snprintf(line + length, sizeof line - (size_t)length, "%s %s %lld", i == 0 ? "" : " +",
		    law->parts[i], number_of(counters, law->parts[i]));
	}
	snprintf(line + length, sizeof line - (size_t)length, " = %lld", sum);
	snprintf(key, sizeof key, "%s %s", law->member, whose);
	if (found == NULL)
		found = json_object();
	json_object_set_new(found, key, json_string(line));
}

static bool
law_holds(const struct law *law, const json_t *counters)
{
	long long sum = 0;

	for (unsigned i = 0; law->parts[i] != NULL; i++)
		sum += number_of(counters, law->parts[i]);
	return sum == number_of(counters, law->total) && !json_is_false(json_object_get(counters, "balanced"));
}

bool
balance_holds(const char *member, const json_t *counters)
{
	for (unsigned i = 0; i < sizeof laws / sizeof laws[0]; i++) {
		if (strcmp(laws[i].member, member) == 0)
			return law_holds(&laws[i], counters);
	}
	return true;
}

static bool
check_one(const json_t *object, const char *whose)
{
	bool all = true;

	for (unsigned i = 0; i < sizeof laws / sizeof laws[0]; i++) {
		const json_t *counters = json_object_get(object, laws[i].member);

		if (!json_is_object(counters) || law_holds(&laws[i], counters))
			continue;
		remember(whose, &laws[i], counters);
		all = false;
	}
	return all;
}

bool
balance_check(const json_t *object)
{
	const json_t *worker, *number = json_object_get(object, "number");
	char whose[48] = "all";
	bool all;
	size_t i;

	if (number != NULL)
		snprintf(whose, sizeof whose, "worker %lld", (long long)json_integer_value(number));
	all = check_one(object, whose);
	json_array_foreach(json_object_get(object, "workers"), i, worker)
		all = balance_check(worker) && all;
	return all;
}

bool
balance_finish(void)
{
	const json_t *line;
	const char *key;

	if (found == NULL)
		return true;
	fflush(stdout);
	json_object_foreach(found, key, line)
		fprintf(stderr, "c2sctl: %s: a packet has vanished, or was counted twice\n", json_string_value(line));
	json_decref(found);
	found = NULL;
	return false;
}
