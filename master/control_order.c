#include <string.h>

#include "master/control_command.h"
#include "master/master.h"
#include "master/router.h"

void
control_order_kick(struct control_connection *connection, const json_t *request)
{
	struct master *master = connection->control->master;
	const char *id = control_command_string(request, "id");
	struct entry *entry;

	if (id == NULL) {
		control_connection_refuse(connection, "kick whom?");
		return;
	}
	entry = directory_find(&master->directory, (struct range){ id, strlen(id) });
	if (entry == NULL) {
		control_connection_refuse(connection, "no such client");
		return;
	}
	router_close(master, entry, END_KICKED);
	control_connection_done(connection);
}
