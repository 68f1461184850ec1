//! What is published: connectors, merchants' lanes, and what each of them was at every revision. Pure: revisions of the
//! config log come in, answers to "whose is this row?" and the next revision's entries go out.
//!
//! | file | noun |
//! |---|---|
//! | `entry` | what the config log says of one object |
//! | `history` | what an object was, revision by revision |
//! | `catalogue` | everything that was ever published and may still be asked for |
//! | `routes` | whose a row is |
//! | `wanted` | what the configuration asks for, and whose word it is |
//! | `draft` | the next revision: what is wanted and is not yet published |
//! | `command` | what operators ask for, once each |
//! | `forget` | what nobody can ask for any more |

mod catalogue;
mod command;
mod draft;
mod entry;
mod forget;
mod history;
mod routes;
mod wanted;

pub use catalogue::{Catalogue, Change, Definition, FeedEntry};
pub use command::{CommandEntry, Order, partition_name};
pub use draft::{Draft, draft};
pub use entry::{ConnectorEntry, FlushEntry, LaneEntry, MerchantKey, Start, Topic, Unknown};
pub use forget::Needs;
pub use routes::{Assigned, ConnectorRoutes, Only};
pub use wanted::{Expected, LaneKey, Origin, Wanted, WantedConnector, WantedLane};
