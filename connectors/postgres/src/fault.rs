//! What the server answers → what the engine does.

use crate::settings::Settings;
use outflow_api::{Blame, Fault, Reach, Verdict};
use tokio_postgres::{Error, error::SqlState};

/// `what` was tried.
pub fn of(settings: &Settings, what: &str, error: Error) -> Fault {
    let (host, port) = (&settings.host, settings.port);
    let at = format!("{what} at {host}:{port}");
    match error.as_db_error() {
        Some(answer) => {
            let fault = answered(settings, &at, answer.code());
            let said = answer.message().to_owned();
            // Detail and hint of the server may repeat values of rows.
            Fault { hint: format!("{} (SQLSTATE {}: {said})", fault.hint, answer.code().code()), ..fault }
        }
        None => {
            let hint = format!("{at}: no answer, or the connection broke");
            Fault::retry("unreachable", hint).reaching(Reach::Host).because(error)
        }
    }
}

fn answered(settings: &Settings, at: &str, code: &SqlState) -> Fault {
    let Settings { user, database, schema, .. } = settings;
    let target = settings.target();
    let park = |code, hint: String| Fault::park(Blame::Merchant, code, hint);
    let retry = |code, hint: String| Fault::retry(code, hint);
    match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            park("not-accepted", format!("{at}: user {user} is not accepted: see password and pg_hba.conf"))
                .reaching(Reach::Credential)
        }
        SqlState::INVALID_CATALOG_NAME => park("database-missing", format!("{at}: there is no database {database}")),
        SqlState::INVALID_SCHEMA_NAME => {
            park("schema-missing", format!("{at}: there is no schema {schema}: CREATE SCHEMA, or name another"))
        }
        SqlState::UNDEFINED_TABLE => park("table-missing", format!("{at}: there is no table {target}")),
        SqlState::INSUFFICIENT_PRIVILEGE => park(
            "denied",
            format!(
                "{at}: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}; GRANT SELECT, INSERT ON {target}, \
                 {schema}.outflow_batches TO {user}"
            ),
        ),
        SqlState::TOO_MANY_CONNECTIONS => {
            retry("too-many-connections", format!("{at}: the server takes no more connections of {user}"))
                .reaching(Reach::Credential)
        }
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            retry("restarting", format!("{at}: the server is restarting")).reaching(Reach::Host)
        }
        SqlState::QUERY_CANCELED => {
            retry("too-slow", format!("{at}: longer than statement_timeout_s, or cancelled by somebody"))
        }
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED | SqlState::LOCK_NOT_AVAILABLE => {
            retry("in-the-way", format!("{at}: other transactions were in the way"))
        }
        SqlState::DISK_FULL | SqlState::OUT_OF_MEMORY | SqlState::INSUFFICIENT_RESOURCES => {
            retry("server-full", format!("{at}: the server has no room")).reaching(Reach::Host)
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            park("read-only", format!("{at}: this server, or this user's sessions, take no writes: name the primary"))
        }
        ref other => by_class(at, &target, other),
    }
}

fn by_class(at: &str, target: &str, code: &SqlState) -> Fault {
    match code.code().get(..2).unwrap_or_default() {
        "08" | "57" | "53" => {
            Fault::retry("server-fails", format!("{at}: the server fails")).reaching(Reach::Host)
        }
        "23" => Fault::park(
            Blame::Merchant,
            "constraint-violated",
            format!("{at}: a constraint of {target} refuses a row: take it off, or leave such rows out"),
        ),
        "22" => Fault::park(
            Blame::Merchant,
            "value-refused",
            format!("{at}: a column of {target} takes less than the model has: widen it"),
        ),
        _ => Fault::new(Verdict::Park, Blame::Merchant, "refused", format!("{at}: the server refuses")),
    }
}
