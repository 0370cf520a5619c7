#include "sessiond/store.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

#define SCHEMA_VERSION 1

/* Another program (a backup, the sqlite3 shell) may hold the file for a moment. It is waited for once, until it has let go. */
#define BUSY_MILLISECONDS 5000

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE account (jid TEXT PRIMARY KEY, salt BLOB NOT NULL, iterations INTEGER NOT NULL,"
    " stored_sha1 BLOB NOT NULL, server_sha1 BLOB NOT NULL,"
    " stored_sha256 BLOB NOT NULL, server_sha256 BLOB NOT NULL,"
    " waiting INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE roster (account TEXT NOT NULL REFERENCES account (jid) ON DELETE CASCADE,"
    " contact TEXT NOT NULL, name TEXT, state INTEGER NOT NULL, listed INTEGER NOT NULL, groups TEXT,"
    " request TEXT, PRIMARY KEY (account, contact)) WITHOUT ROWID;"
    "CREATE TABLE offline (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " account TEXT NOT NULL REFERENCES account (jid) ON DELETE CASCADE, stanza TEXT NOT NULL);"
    "CREATE INDEX offline_account ON offline (account, id);"
    "CREATE TRIGGER offline_added AFTER INSERT ON offline BEGIN"
    " UPDATE account SET waiting = waiting + 1 WHERE jid = NEW.account; END;"
    "CREATE TRIGGER offline_removed AFTER DELETE ON offline BEGIN"
    " UPDATE account SET waiting = waiting - 1 WHERE jid = OLD.account; END;"
    "CREATE TABLE private (account TEXT NOT NULL REFERENCES account (jid) ON DELETE CASCADE,"
    " key TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (account, key)) WITHOUT ROWID;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

/* What is shown in the log of what SQLite complains about. */
#define ERROR_LOGGED 200

static void
store_fail(struct store *store, const char *what)
{
	char error[ERROR_LOGGED];

	/* Once a turn: on a full disk every packet would say the same. */
	if (!store->failed)
		log_error("store failed on=%s error=%s", what, log_quote(error, sizeof error, sqlite3_errmsg(store->db)));
	store->failed = store->touched = true;
}

static int
store_schema(struct store *store)
{
	sqlite3_stmt *statement = NULL;
	int version = -1;

	if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	if (version == 0)
		return sqlite3_exec(store->db, schema, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
	if (version < 0)
		return -EIO;
	return version == SCHEMA_VERSION ? 0 : -EPROTO;
}

/* Files of before have none yet, and who does not ask for it is not disturbed by it: no other version of the schema. */
static int
store_secret(struct store *store)
{
	sqlite3_stmt *statement = NULL;
	int error = -EIO;

	arc4random_buf(store->secret, sizeof store->secret);
	if (sqlite3_exec(store->db, "CREATE TABLE IF NOT EXISTS secret (one INTEGER PRIMARY KEY CHECK (one = 1),"
	    " bytes BLOB NOT NULL);"
	    "CREATE TABLE IF NOT EXISTS turn (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL)",
	    NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(store->db, "INSERT OR IGNORE INTO secret VALUES (1, ?)", -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_bind_blob(statement, 1, store->secret, sizeof store->secret, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_DONE)
		error = 0;
	sqlite3_finalize(statement);
	if (error < 0 || sqlite3_prepare_v2(store->db, "SELECT bytes FROM secret", -1, &statement, NULL) != SQLITE_OK)
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 0) == STORE_SECRET_SIZE)
		memcpy(store->secret, sqlite3_column_blob(statement, 0), STORE_SECRET_SIZE);
	else
		error = -EIO;
	sqlite3_finalize(statement);
	return error;
}

int
store_open(struct store *store, const char *path)
{
	char text[ERROR_LOGGED];
	int error = -EIO;

	*store = (struct store){ 0 };
	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK &&
	    sqlite3_busy_timeout(store->db, BUSY_MILLISECONDS) == SQLITE_OK &&
	    sqlite3_exec(store->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
		NULL, NULL, NULL) == SQLITE_OK)
		error = store_schema(store);
	if (error == 0)
		error = store_secret(store);
	if (error == -EPROTO)
		log_error("store %s refused reason=other-schema-version", path);
	else if (error < 0)
		log_error("store %s unusable error=%s", path, log_quote(text, sizeof text, sqlite3_errmsg(store->db)));
	if (error < 0)
		store_close(store);
	return error;
}

void
store_close(struct store *store)
{
	for (unsigned i = 0; i < STORE_STATEMENT_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
	*store = (struct store){ 0 };
}

static sqlite3_stmt *
statement_prepare(struct store *store, enum store_statement which)
{
#define STORE_SQL(name, sql) [STORE_##name] = sql,
	static const char *const texts[] = { STORE_STATEMENTS(STORE_SQL) };
#undef STORE_SQL
	sqlite3_stmt **place = &store->statements[which];

	if (*place == NULL &&
	    sqlite3_prepare_v3(store->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, place, NULL) != SQLITE_OK)
		store_fail(store, texts[which]);
	return *place;
}

static bool
statement_bind(sqlite3_stmt *statement, const char *format, va_list arguments)
{
	int result = SQLITE_OK;

	for (int i = 1; *format != '\0' && result == SQLITE_OK; i++, format++) {
		if (*format == 't') {
			result = sqlite3_bind_text(statement, i, va_arg(arguments, const char *), -1, SQLITE_STATIC);
		} else if (*format == 'i') {
			result = sqlite3_bind_int64(statement, i, va_arg(arguments, long long));
		} else {
			const struct store_bytes *bytes = va_arg(arguments, const struct store_bytes *);

			result = sqlite3_bind_blob64(statement, i, bytes->at, bytes->length, SQLITE_STATIC);
		}
	}
	return result == SQLITE_OK;
}

static sqlite3_stmt *
store_ready(struct store *store, enum store_statement which, const char *format, va_list arguments)
{
	sqlite3_stmt *statement = store->failed ? NULL : statement_prepare(store, which);

	if (statement == NULL) {
		store->touched = true;
		return NULL;
	}
	if (!statement_bind(statement, format, arguments)) {
		store_fail(store, sqlite3_sql(statement));
		store_rest(statement);
		return NULL;
	}
	return statement;
}

sqlite3_stmt *
store_query(struct store *store, enum store_statement which, const char *format, ...)
{
	sqlite3_stmt *statement;
	va_list arguments;

	va_start(arguments, format);
	statement = store_ready(store, which, format, arguments);
	va_end(arguments);
	return statement;
}

void
store_rest(sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

bool
store_row(struct store *store, sqlite3_stmt *statement)
{
	int result;

	if (statement == NULL)
		return false;
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW)
		return true;
	if (result != SQLITE_DONE)
		store_fail(store, sqlite3_sql(statement));
	store_rest(statement);
	return false;
}

static void
transaction_begin(struct store *store)
{
	if (store->writing || store->failed)
		return;
	if (sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK)
		store->writing = true;
	else
		store_fail(store, "begin");
	sqlite3_busy_timeout(store->db, store->writing ? BUSY_MILLISECONDS : 0);
}

void
store_execute(struct store *store, enum store_statement which, const char *format, ...)
{
	sqlite3_stmt *statement;
	va_list arguments;

	store->touched = true;
	transaction_begin(store);
	va_start(arguments, format);
	statement = store_ready(store, which, format, arguments);
	va_end(arguments);
	if (store_row(store, statement))
		store_rest(statement);
}

long long
store_number(struct store *store, enum store_statement which, const char *format, ...)
{
	sqlite3_stmt *statement;
	va_list arguments;
	long long number = 0;

	va_start(arguments, format);
	statement = store_ready(store, which, format, arguments);
	va_end(arguments);
	if (store_row(store, statement)) {
		number = sqlite3_column_int64(statement, 0);
		store_rest(statement);
	}
	return number;
}

uint64_t
store_turn(struct store *store)
{
	uint64_t number = (uint64_t)store_number(store, STORE_TURN_READ, "");

	store->failed = store->touched = false;
	return number;
}

const char *
store_text(sqlite3_stmt *statement, int column)
{
	return (const char *)sqlite3_column_text(statement, column);
}

int
store_commit(struct store *store)
{
	int error;

	if (store->writing && !store->failed && sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		store_fail(store, "commit");
	/* A full disk may have ended the transaction already (SQLite, "Response To Errors Within A Transaction"). */
	if (store->failed && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	error = store->failed ? -EIO : 0;
	store->writing = store->failed = false;
	return error;
}
