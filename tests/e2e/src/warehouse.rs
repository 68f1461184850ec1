use crate::Site;
use outflow_rig::Postgres;

/// A database of its own on a PostgreSQL server, and who may write there: his password is a file of the installation.
pub struct Warehouse {
    port: u16,
    certificate: String,
    pub name: String,
    password_file: String,
}

impl Warehouse {
    pub const TABLE: &str = "page views";

    pub fn make(server: &Postgres, site: &Site, name: &str) -> Warehouse {
        let password = format!("secret of {name}");
        let password_file = site.write(&format!("secrets/{name}"), &password).display().to_string();
        let own = format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'");
        server.rows(Postgres::DATABASE, &own);
        server.rows(Postgres::DATABASE, &format!("CREATE DATABASE \"{name}\" OWNER \"{name}\""));
        let certificate = server.certificate().display().to_string();
        Warehouse { port: server.port(), certificate, name: name.to_owned(), password_file }
    }

    /// Settings of the sink, in YAML's flow style.
    pub fn sink(&self) -> String {
        let Warehouse { port, certificate, name, password_file } = self;
        format!(
            "type: postgres, host: 127.0.0.1, port: {port}, database: \"{name}\", table: \"{}\", user: \"{name}\", \
             password: \"${{file:{password_file}}}\", ca: \"{certificate}\"",
            Warehouse::TABLE
        )
    }

    /// As the server's own user sees it; none while there is no table.
    pub fn rows(&self, server: &Postgres, columns: &str) -> Vec<Vec<Option<String>>> {
        let table = format!("\"{}\"", Warehouse::TABLE);
        let is_there = format!("SELECT count(*) FROM pg_class WHERE relname = '{}'", Warehouse::TABLE);
        if server.number(&self.name, &is_there) == 0 {
            return Vec::new();
        }
        server.rows(&self.name, &format!("SELECT {columns} FROM {table} ORDER BY {columns}"))
    }

    /// Partition and offset of each row, rising.
    pub fn offsets(&self, server: &Postgres) -> Vec<(i64, i64)> {
        let number = |value: &Option<String>| value.as_deref().and_then(|value| value.parse().ok()).expect("a number");
        self.rows(server, "_partition, _offset").iter().map(|row| (number(&row[0]), number(&row[1]))).collect()
    }
}
