//! An app's variables: which exist, which must be given from outside, and which templates of components refer to them.

use std::collections::BTreeMap;

use crate::{Error, LockedApp, LockedComponent, id::lower_snake, template::Template};

/// The variables that have no default, so that a provider must have a value before the app may start.
pub fn required(app: &LockedApp) -> impl Iterator<Item = &str> {
    app.variables.iter().filter(|(_, variable)| variable.default.is_none()).map(|(name, _)| name.as_str())
}

/// The component's own variables, each a template over the app's.
pub fn templates(component: &LockedComponent) -> Result<BTreeMap<String, Template>, Error> {
    component.config.iter().map(|(name, text)| Ok((name.clone(), Template::parse(text)?))).collect()
}

/// Whether the variables have names that providers can look up, and the templates of every component are well formed and refer to declared variables alone.
pub fn check(app: &LockedApp) -> Result<(), Error> {
    app.variables.keys().try_for_each(|name| check_name(name))?;
    for component in &app.components {
        for (name, text) in &component.config {
            check_name(name)?;
            let place = || format!("variable {name:?} of component {:?}", component.id);
            let malformed = |error: Error| Error::Invalid { place: place(), reason: error.to_string() };
            check_template(app, &Template::parse(text).map_err(malformed)?, place)?;
        }
    }
    Ok(())
}

/// Whether a variable may have this name: `lower_snake_case`, as it becomes the name of an environment variable, a file or a secret.
pub fn check_name(name: &str) -> Result<(), Error> {
    lower_snake(name).map_err(|reason| Error::InvalidId { what: "variable", id: name.to_owned(), reason })
}

/// Whether the template refers to declared variables alone; `place` says where it stands.
pub fn check_template(app: &LockedApp, template: &Template, place: impl FnOnce() -> String) -> Result<(), Error> {
    match template.names().find(|name| !app.variables.contains_key(*name)) {
        Some(name) => Err(Error::UndeclaredVariable { place: place(), variable: name.to_owned() }),
        None => Ok(()),
    }
}
