//! What the server answers → what the engine does.

use crate::{
    ledger::Ledger,
    settings::{Mode, Settings},
    types::quoted,
};
use outflow_api::{Blame, Fault, Reach, Verdict};
use std::{error::Error as _, io};
use tokio_postgres::{Error, error::SqlState};
use tokio_rustls::rustls;

/// What needs more rights than to deliver.
pub const REMOVING: &str = "removing a batch";

/// `what` was tried.
pub fn of(settings: &Settings, what: &str, error: Error) -> Fault {
    let (host, port) = (&settings.host, settings.port);
    let at = format!("{what} at {host}:{port}");
    match error.as_db_error() {
        Some(answer) => {
            let fault = answered(settings, &at, answer.code());
            let code = answer.code().code();
            // Detail and hint of the server may repeat values of rows; of a value that it refuses its message, too.
            let said = if code.starts_with("22") { String::new() } else { format!(": {}", answer.message()) };
            Fault { hint: format!("{} (SQLSTATE {code}{said})", fault.hint), ..fault }
        }
        None if is_without_tls(&error) => {
            let hint = format!("{at}: the server has no TLS: give it a certificate, or set `tls: off`");
            Fault::park(Blame::Merchant, "tls-missing", hint)
        }
        None if refuses_certificate(&error) => {
            let hint = format!(
                "{at}: the server's certificate is not accepted: name its authority in `ca`, and the host as it is \
                 in the certificate"
            );
            Fault::park(Blame::Merchant, "certificate-refused", hint).because(error)
        }
        None => {
            let hint = format!("{at}: no answer, or the connection broke");
            Fault::retry("unreachable", hint).reaching(Reach::Host).because(error)
        }
    }
}

fn is_without_tls(error: &Error) -> bool {
    error.source().is_some_and(|source| source.to_string() == "server does not support TLS")
}

fn refuses_certificate(error: &Error) -> bool {
    let inner = error.source().and_then(|source| source.downcast_ref::<io::Error>()).and_then(io::Error::get_ref);
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
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
        SqlState::INSUFFICIENT_PRIVILEGE => park("denied", format!("{at}: {}", grant(settings, at))),
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
        // Of ON CONFLICT alone: nothing else here names columns that the table is not asked for before.
        SqlState::INVALID_COLUMN_REFERENCE => {
            let key: Vec<String> = settings.key.0.iter().map(|name| quoted(name)).collect();
            let index = format!("CREATE UNIQUE INDEX ON {target} ({})", key.join(", "));
            park("key-not-unique", format!("{at}: {target} may hold a key twice: {index}"))
        }
        SqlState::UNTRANSLATABLE_CHARACTER => park(
            "encoding",
            format!("{at}: database {database} cannot hold every character: its encoding must be UTF8"),
        ),
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            park("read-only", format!("{at}: this server, or this user's sessions, take no writes: name the primary"))
        }
        ref other => by_class(at, &target, other),
    }
}

/// What its owner has to say.
fn grant(settings: &Settings, tried: &str) -> String {
    let (user, schema, target) = (quoted(&settings.user), quoted(&settings.schema), settings.target());
    if tried.starts_with("ALTER TABLE") {
        return format!("the owner of {target} must say this, or give the table to {user}");
    }
    if tried.starts_with("CREATE TABLE") {
        return format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}");
    }
    let ledger = Ledger::beside(settings).name;
    if tried.starts_with("CREATE TEMPORARY TABLE") {
        return format!("GRANT TEMPORARY ON DATABASE {} TO {user}", quoted(&settings.database));
    }
    if tried.starts_with(REMOVING) {
        return format!("GRANT DELETE ON {target} TO {user}; GRANT UPDATE ON {ledger} TO {user}");
    }
    let rights = match (settings.mode, &settings.deleted) {
        (Mode::Append, _) => "SELECT, INSERT",
        (Mode::Upsert, None) => "SELECT, INSERT, UPDATE",
        (Mode::Upsert, Some(_)) => "SELECT, INSERT, UPDATE, DELETE",
    };
    let tables = [Some(target), Some(ledger), settings.deletions()];
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    format!("GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT {rights} ON {} TO {user}", tables.join(", "))
}

fn by_class(at: &str, target: &str, code: &SqlState) -> Fault {
    match code.code().get(..2).unwrap_or_default() {
        "08" | "57" | "53" => Fault::retry("server-fails", format!("{at}: the server fails")).reaching(Reach::Host),
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
