#include "ctl/print.h"

#include <stdio.h>
#include <string.h>

static unsigned long printed;

static long long
number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static const char *
string_of(const json_t *object, const char *name)
{
	const char *string = json_string_value(json_object_get(object, name));

	return string != NULL ? string : "-";
}

static void
print_packets(const char *name, const json_t *packets)
{
	static const char *const columns[] = { "in", "settled", "bounced", "consumed", "dropped", "held", "up" };

	printf("%-10s", name);
	for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
		printf(" %10lld", number_of(packets, columns[i]));
	printf("%s\n", json_is_true(json_object_get(packets, "balanced")) ? "" : "  NOT BALANCED");
}

static void
print_workers(const json_t *workers)
{
	const json_t *worker;
	size_t i;

	printf("\n%-10s %8s %-9s %8s %8s %14s %14s\n", "worker", "pid", "state", "clients", "sessions", "bytes in",
	    "bytes out");
	json_array_foreach(workers, i, worker) {
		printf("%-10lld %8lld %-9s %8lld %8lld %14lld %14lld%s\n", number_of(worker, "number"), number_of(worker, "pid"),
		    string_of(worker, "state"), number_of(worker, "clients"), number_of(worker, "sessions"),
		    number_of(worker, "bytes_in"), number_of(worker, "bytes_out"),
		    json_is_true(json_object_get(worker, "full")) ? "  full" : "");
	}
	printf("\n%-10s %10s %10s %10s %10s %10s %10s %10s\n", "packets", "in", "settled", "bounced", "consumed", "dropped",
	    "held", "to link");
	json_array_foreach(workers, i, worker) {
		char name[32];

		snprintf(name, sizeof name, "worker %lld", number_of(worker, "number"));
		print_packets(name, json_object_get(worker, "packets"));
	}
}

static void
print_status(const json_t *status)
{
	const json_t *link = json_object_get(status, "link");

	printf("link       %s, %s (%s), dialect %s, up since %lld s, %lld bytes queued\n", string_of(link, "name"),
	    string_of(link, "state"), string_of(link, "type"), string_of(link, "dialect"), number_of(link, "up_seconds"),
	    number_of(link, "queued_bytes"));
	printf("clients    %lld, sessions %lld, bytes in %lld, out %lld\n", number_of(status, "clients"),
	    number_of(status, "sessions"), number_of(status, "bytes_in"), number_of(status, "bytes_out"));
	print_workers(json_object_get(status, "workers"));
	print_packets("all", json_object_get(status, "packets"));
}

static void
print_session(const json_t *session)
{
	if (printed == 0)
		printf("%-36s %-32s %-22s %6s %9s %9s\n", "id", "account", "address", "worker", "seconds", "packets");
	printf("%-36s %-32s %-16s %5lld %6lld %9lld %9lld\n", string_of(session, "id"), string_of(session, "account"),
	    string_of(session, "address"), number_of(session, "port"), number_of(session, "worker"),
	    number_of(session, "seconds"), number_of(session, "packets"));
}

void
print_object(const char *command, const json_t *object)
{
	if (strcmp(command, "status") == 0)
		print_status(object);
	else if (strcmp(command, "sessions") == 0)
		print_session(object);
	else
		puts(string_of(object, "name"));
	printed++;
}

void
print_finish(const char *command, bool json)
{
	if (!json && strcmp(command, "sessions") == 0 && printed == 0)
		puts("no clients");
}
