use std::{error::Error, fmt, time::Duration};

/// What the engine does about a fault. Matches on this are exhaustive: a new verdict must be decided everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The same call again, later. Says nothing about whether the effect happened.
    Retry { after: Option<Duration> },
    /// This lane needs a human or another day; all other lanes go on.
    Park,
    /// Somebody newer owns this shard: stop touching anything.
    Fence,
    /// What we believe and what we see disagree: stop the process and recover from the journal.
    Halt,
}

/// Whom to page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// A mistake of ours or of our configuration.
    Us,
    /// The owner of the destination: credentials, quota, a missing table.
    Merchant,
    /// The service: 5xx, throttling, a broken connection.
    Provider,
}

/// Who meets the same: lanes that have their credential or their host in common are spared to find out one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reach {
    /// This lane alone: its bucket, its table, its rows.
    #[default]
    Lane,
    /// All that call with the same credential: not accepted, throttled.
    Credential,
    /// All that call the same host: no answer, or that of a server that fails.
    Host,
}

/// What went wrong, for the program and for the person who is woken by it.
#[derive(Debug)]
pub struct Fault {
    pub verdict: Verdict,
    pub blame: Blame,
    pub reach: Reach,
    /// Stable, kebab-case, listed in the README of whoever answers it; metrics and alerts key on it.
    pub code: &'static str,
    /// One sentence for the operator: what, where, what is allowed, how to mend it. No secrets, no row values.
    pub hint: String,
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    pub fn new(verdict: Verdict, blame: Blame, code: &'static str, hint: impl Into<String>) -> Fault {
        Fault { verdict, blame, reach: Reach::Lane, code, hint: hint.into(), source: None }
    }

    pub fn retry(code: &'static str, hint: impl Into<String>) -> Fault {
        Fault::new(Verdict::Retry { after: None }, Blame::Provider, code, hint)
    }

    pub fn park(blame: Blame, code: &'static str, hint: impl Into<String>) -> Fault {
        Fault::new(Verdict::Park, blame, code, hint)
    }

    pub fn halt(code: &'static str, hint: impl Into<String>) -> Fault {
        Fault::new(Verdict::Halt, Blame::Us, code, hint)
    }

    pub fn reaching(self, reach: Reach) -> Fault {
        Fault { reach, ..self }
    }

    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Fault {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.hint)?;
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as &(dyn Error + 'static))
    }
}
