//! Why an app's definition is refused, each as a sentence for the person who wrote it.

/// What is wrong with an app's definition.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Larger than a definition may be, so it is not even read.
    #[error("{what} is {size} bytes long, more than the {limit} bytes allowed")]
    TooLarge {
        /// `spin.toml` or `the locked app`.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The manifest is not TOML, or not of the manifest's shape.
    #[error("spin.toml, line {line}, column {column}: {message}")]
    Manifest {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says, without the excerpt.
        message: String,
    },
    /// The manifest does not say which version of the format it is written in.
    #[error("spin.toml has no `spin_manifest_version`: it must say `spin_manifest_version = 2`, or \"1\" in the old format")]
    NoManifestVersion,
    /// A version of the manifest format that does not exist, or not yet.
    #[error("spin.toml has `spin_manifest_version = {0}`; only 2 and \"1\" are known")]
    UnknownManifestVersion(String),
    /// The locked app is not JSON, or not of a locked app's shape.
    #[error("the locked app is malformed: {0}")]
    LockedApp(String),
    /// Locked by a newer Spin than this.
    #[error("the locked app has version {0}; only 0 and 1 are known")]
    UnknownLockVersion(u64),
    /// `must_understand` names something unknown.
    #[error("the locked app must be understood in {0:?}, which this shim does not know")]
    MustUnderstand(String),
    /// A host requirement this shim does not meet.
    #[error("{place} requires {feature:?} of its host, which this shim does not have")]
    HostRequirement {
        /// `the app` or ``component `x` ``.
        place: String,
        /// The requirement's key.
        feature: String,
    },
    /// A malformed name of a component, a variable, a store.
    #[error("{what} {id:?} is not a valid name: {reason}")]
    InvalidId {
        /// `component`, `variable`, …
        what: &'static str,
        /// The name as written.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two things of one name.
    #[error("there are two {what} with the id {id:?}")]
    DuplicateId {
        /// `components` or `triggers`.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// A reference to a component that does not exist.
    #[error("{place} refers to component {id:?}, which does not exist")]
    UnknownComponent {
        /// ``trigger `x` ``, an entry of `allowed_outbound_hosts`, …
        place: String,
        /// The id referred to.
        id: String,
    },
    /// A field whose value can't be what it is.
    #[error("{place}: {reason}")]
    Invalid {
        /// The component, trigger or variable, and the field.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Right by the format, but not something this shim can run.
    #[error("{place}: {feature} can't be used in an image: {advice}")]
    Unsupported {
        /// The component or trigger, and the field.
        place: String,
        /// What was asked for.
        feature: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A malformed template.
    #[error("the template {text:?} is malformed: {reason}")]
    Template {
        /// The template as written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A template with a variable the app does not declare.
    #[error("{place} refers to the variable {variable:?}, which the app does not declare")]
    UndeclaredVariable {
        /// The component and the field.
        place: String,
        /// The variable's name.
        variable: String,
    },
    /// An entry of `allowed_outbound_hosts` that can't be read.
    #[error("{entry:?} is not an allowed outbound host: {reason}")]
    AllowedHost {
        /// The entry as written, or as resolved.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address a component may not even ask for, as it can't be read.
    #[error("{url:?} is not an address: {reason}")]
    Address {
        /// The address, without its user name and password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}
