//! All sinks that this build knows, one line each. Nothing else in the product names a connector.

use outflow_api::SinkDescriptor;

static SINKS: &[&SinkDescriptor] = &[
    &outflow_object_store::DESCRIPTOR, //
    &outflow_postgres::DESCRIPTOR,
    &outflow_bigquery::DESCRIPTOR,
];

pub fn sinks() -> &'static [&'static SinkDescriptor] {
    SINKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sinks_go_by_one_name() {
        for (index, sink) in sinks().iter().enumerate() {
            assert!(sinks()[..index].iter().all(|other| other.kind != sink.kind), "{} is there twice", sink.kind);
        }
    }
}
