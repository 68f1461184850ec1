//! Starts real servers as processes for tests: free loopback ports, logs in files, stopped by the process id that was
//! started, gone when the test process is gone, however it ended. What has to be fetched or built first is kept in
//! [`cache_folder`], once per machine.

mod azurite;
mod bigquery;
mod certificate;
mod connect;
mod gcs;
mod go;
pub mod http;
mod kafka;
mod maven;
mod postgres;
pub mod process;
pub mod python;
mod s3;

pub use azurite::Azurite;
pub use bigquery::BigQuery;
pub use certificate::Certificate;
pub use connect::{Connect, create_iceberg_table};
pub use gcs::Gcs;
pub use kafka::Kafka;
pub use maven::{java, maven_jars};
pub use postgres::Postgres;
pub use process::{Process, cache_folder, free_port, wait_until};
pub use python::python;
pub use s3::S3;
