//! The rules of the layout as tests. Comes in: the manifests and texts of the workspace. Goes out: violations, each
//! with file, line and the reason of its rule. Touches nothing. A rule without a reason or a check is no rule.

pub mod bans;
pub mod dependencies;
pub mod documents;
pub mod functions;
pub mod source;
pub mod violation;
pub mod workspace;

pub use source::SourceFile;
pub use violation::{Violation, none};
pub use workspace::{Kind, Package, Workspace};
