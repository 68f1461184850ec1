//! What takes effect in a running worker: tokens of its file, and its certificate. All else of that file waits for a
//! restart, and the log says so once.

use crate::{files::Files, health::people};
use outflow_config::{Rest, Worker};
use outflow_control::{Access, Certificate, Tls};

pub struct Renewal {
    pub files: Files,
    pub access: Access,
    /// None without `rest.tls`.
    pub certificate: Option<Certificate>,
}

impl Renewal {
    /// Until nobody looks at the files any more.
    pub async fn run(self) {
        let (mut looks, started) = (self.files.looks(), self.files.config());
        let mut told = Vec::new();
        while looks.changed().await.is_ok() {
            let config = self.files.config();
            self.renew_tokens(&config.worker.rest);
            self.renew_certificate(&config.worker.rest);
            let waiting = waiting(&started.worker, &config.worker);
            if waiting != told && !waiting.is_empty() {
                let keys = waiting.join(", ");
                tracing::warn!(keys, event = "restart-needed", "changed keys of the worker's file wait for a restart");
            }
            told = waiting;
        }
    }

    /// Never down to none: the address that others reach is that of the start, whatever the file says of it now.
    fn renew_tokens(&self, rest: &Rest) {
        if rest.tokens.is_empty() && !self.access.is_open() {
            return;
        }
        if self.access.replace(people(rest), rest.requests_per_second) {
            let names: Vec<&str> = rest.tokens.iter().map(|token| token.name.as_str()).collect();
            tracing::info!(?names, event = "tokens-changed", "who may ask is as the worker's file says now");
        }
    }

    fn renew_certificate(&self, rest: &Rest) {
        let (Some(certificate), Some(tls)) = (&self.certificate, &rest.tls) else { return };
        let files = Tls { certificate: tls.certificate.clone(), key: tls.key.clone() };
        match certificate.renew(&files) {
            Ok(true) => tracing::info!(event = "certificate-changed", "new connections see the new certificate"),
            Ok(false) => {}
            Err(fault) => {
                let code = fault.code;
                tracing::error!(code, %fault, event = "certificate-refused", "the certificate before stays in force");
            }
        }
    }
}

/// Keys that differ and are read at the start alone.
fn waiting(started: &Worker, now: &Worker) -> Vec<&'static str> {
    let Worker {
        cluster,
        group,
        shards,
        memory,
        calls,
        rest,
        config: _,
        journal,
        session_timeout,
        instance_id,
        log,
        drain_deadline,
        replay_distance_max,
        alarms,
    } = now;
    let differs = [
        ("kafka or local", *cluster != started.cluster),
        ("group", *group != started.group),
        ("shards", *shards != started.shards),
        ("memory", *memory != started.memory),
        ("calls", *calls != started.calls),
        ("rest.listen", rest.listen != started.rest.listen),
        ("rest.advertise", rest.advertise != started.rest.advertise),
        ("rest.tls", rest.tls.is_some() != started.rest.tls.is_some()),
        ("rest.tokens", rest.tokens.is_empty() && !started.rest.tokens.is_empty()),
        ("journal", *journal != started.journal),
        ("session_timeout", *session_timeout != started.session_timeout),
        ("instance_id", *instance_id != started.instance_id),
        ("log", *log != started.log),
        ("drain_deadline", *drain_deadline != started.drain_deadline),
        ("replay_distance_max", *replay_distance_max != started.replay_distance_max),
        ("alarms", *alarms != started.alarms),
    ];
    differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}
