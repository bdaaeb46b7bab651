//! Why an app can't be built or run, each as a sentence for a person, with the exit code that tells whose turn it is.

use std::path::PathBuf;

/// What keeps an app from running.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The app's definition; found by spin-app.
    #[error(transparent)]
    App(#[from] spin_app::Error),

    /// The bytes are not WebAssembly at all.
    #[error("this is not a WebAssembly file: it does not start with the bytes of one")]
    NotWasm,
    /// A core module that nothing says how to make a component of.
    #[error(
        "this is a plain WebAssembly module, not a component, and it carries no component types; build it for the target `wasm32-wasip2`"
    )]
    PlainModule,
    /// A core module whose component types don't fit its code, or what the adapter offers.
    #[error("this WebAssembly module can't be made into a component: {0}")]
    Componentize(String),
    /// WebAssembly that is broken, or uses what the engine does not have.
    #[error("this is not a valid WebAssembly component: {0}")]
    InvalidWasm(String),
    /// There is no code for a component of the app.
    #[error("component {component:?} has no code")]
    NoCode {
        /// The component's id.
        component: String,
    },
    /// An error of one component.
    #[error("component {component:?}: {source}")]
    Component {
        /// The component's id.
        component: String,
        /// What is wrong with it.
        source: Box<RuntimeError>,
    },
    /// The component imports what nobody provides.
    #[error("component {component:?} imports {import:?}, which this shim does not provide{hint}")]
    UnknownImport {
        /// The component's id.
        component: String,
        /// The import's full name.
        import: String,
        /// Empty, or what to do.
        hint: &'static str,
    },
    /// The component imports an interface in another shape than it has.
    #[error("component {component:?} does not fit this shim: {reason}")]
    Import {
        /// The component's id.
        component: String,
        /// The engine's words.
        reason: String,
    },
    /// The component lacks the export its trigger calls.
    #[error("component {component:?} has no {what} handler: it must export {wanted}, but it exports {found}")]
    NoExport {
        /// The component's id.
        component: String,
        /// `HTTP` or `Redis`.
        what: &'static str,
        /// The interfaces that would do.
        wanted: &'static str,
        /// What it exports instead.
        found: String,
    },
    /// The component exports a handler of a kind that is not supported yet.
    #[error("component {component:?} exports {export:?}, which is not supported yet; build it with a current SDK")]
    OldExport {
        /// The component's id.
        component: String,
        /// The export's name.
        export: String,
    },

    /// A variable nobody gave a value.
    #[error(
        "the required variable {0:?} has no value: set the environment variable {1} in the pod, or configure a variables provider"
    )]
    MissingVariable(String, String),
    /// runtime-config.toml is malformed or asks for what there is not.
    #[error("runtime-config.toml: {0}")]
    RuntimeConfig(String),
    /// A component wants a store nobody configured.
    #[error(
        "component {component:?} wants the key-value store {label:?}, but only \"default\" and those of runtime-config.toml exist"
    )]
    UnknownStore {
        /// The component's id.
        component: String,
        /// The label.
        label: String,
    },
    /// The file of a component's store can't be written.
    #[error("the key-value store {label:?} of component {component:?} can't be written as user {user}: {path}: {source}")]
    Store {
        /// The component's id.
        component: String,
        /// The store's label.
        label: String,
        /// The user that the app runs as.
        user: u32,
        /// The file or the directory.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A directory of a volume that a component is to see can't be opened.
    #[error("component {component:?} can't see {} of a volume: {source}; it can see directories", path.display())]
    Volume {
        /// The component's id.
        component: String,
        /// In the container.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The files a component is to see can't be opened.
    #[error("the files of component {component:?} can't be opened at {path}: {source}")]
    Files {
        /// The component's id.
        component: String,
        /// The directory on the host.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },

    /// The engine can't be made, or the code can't be loaded.
    #[error("internal error: {0}")]
    Internal(String),
}

impl RuntimeError {
    /// The exit code of an app that ends by this error; docs/operations.md has the table.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::App(_) => 64,
            Self::NotWasm
            | Self::PlainModule
            | Self::Componentize(_)
            | Self::InvalidWasm(_)
            | Self::NoCode { .. }
            | Self::UnknownImport { .. }
            | Self::Import { .. }
            | Self::NoExport { .. }
            | Self::OldExport { .. } => 65,
            Self::Component { source, .. } => source.exit_code(),
            Self::MissingVariable(..)
            | Self::RuntimeConfig(_)
            | Self::UnknownStore { .. }
            | Self::Store { .. }
            | Self::Volume { .. } => 66,
            Self::Files { .. } | Self::Internal(_) => 70,
        }
    }

    /// The same error, told of a component.
    pub fn of_component(self, component: &str) -> Self {
        Self::Component { component: component.to_owned(), source: Box::new(self) }
    }
}
