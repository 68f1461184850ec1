//! One connection for one call: ten thousand merchants' servers are not kept waiting by idle ones of ours.

use crate::{
    fault,
    settings::{Settings, Tls},
};
use outflow_api::{Blame, Fault};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio_postgres::{Client, Config, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Of a server, or a way to it, that is gone without a word.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const NAME: &str = "outflow";

/// Those that this machine trusts: read once.
static AUTHORITIES: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// The connection lives in this future alone: whoever drops it has closed the connection, and the server takes back
/// what was not committed.
pub async fn with<T>(settings: &Settings, act: impl AsyncFnOnce(&Client) -> Result<T, Fault>) -> Result<T, Fault> {
    let mut config = Config::new();
    let Settings { host, port, database, user, password, .. } = settings;
    config.host(host).port(*port).dbname(database).user(user).application_name(NAME).connect_timeout(CONNECT_MAX);
    config.tcp_user_timeout(SILENCE_MAX).keepalives_idle(SILENCE_MAX);
    // Without one the client would not even ask, and call it an error of its own.
    config.password(password.as_deref().unwrap_or_default());
    let unreachable = |error| fault::of(settings, "connecting", error);
    match settings.tls {
        Tls::Off => {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await.map_err(unreachable)?;
            driven(settings, act(&client), connection).await
        }
        Tls::Verify => {
            config.ssl_mode(SslMode::Require);
            let tls = MakeRustlsConnect::new(tls(settings)?);
            let (client, connection) = config.connect(tls).await.map_err(unreachable)?;
            driven(settings, act(&client), connection).await
        }
    }
}

/// Both at once; a connection that ends first ends the work.
async fn driven<T>(
    settings: &Settings,
    work: impl Future<Output = Result<T, Fault>>,
    connection: impl Future<Output = Result<(), tokio_postgres::Error>>,
) -> Result<T, Fault> {
    tokio::select! {
        biased;
        done = work => done,
        ended = connection => Err(match ended {
            Err(error) => fault::of(settings, "a statement", error),
            Ok(()) => Fault::retry("unreachable", format!("the server at {} closed the connection", settings.host)),
        }),
    }
}

fn tls(settings: &Settings) -> Result<ClientConfig, Fault> {
    let unusable = |why: String| Fault::park(Blame::Us, "ca-unusable", why);
    let roots = match &settings.ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let read = read.map_err(|error| unusable(format!("ca {}: {error}", path.display())))?;
            let (taken, _) = roots.add_parsable_certificates(read);
            if taken == 0 {
                return Err(unusable(format!("ca {}: there is no certificate in it", path.display())));
            }
            roots
        }
        None => AUTHORITIES.clone(),
    };
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| unusable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
