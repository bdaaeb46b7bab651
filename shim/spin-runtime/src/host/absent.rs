//! What SDKs import always though few guests use it, and which this shim does not have yet: databases, MQTT, language models.
//!
//! A component that is given such a thing by its manifest means to use it and is refused at the start. Any other gets functions that answer
//! that interface's own error, as if access were denied.

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, LinkerInstance, ResourceType, Val};

use super::{Guest, HostState};
use crate::RuntimeError;

/// Interfaces by the start of their name, and what of the manifest grants their use.
const ABSENT: [(&str, &str); 11] = [
    ("fermyon:spin/llm", "llm"),
    ("fermyon:spin/sqlite", "sqlite"),
    ("fermyon:spin/postgres", "postgres"),
    ("fermyon:spin/mysql", "mysql"),
    ("fermyon:spin/mqtt", "mqtt"),
    ("fermyon:spin/rdbms-types", "-"),
    ("spin:sqlite/", "sqlite"),
    ("spin:postgres/", "postgres"),
    ("spin:mysql/", "mysql"),
    ("spin:mqtt/", "mqtt"),
    ("wasi:otel/", "-"),
];

/// The absent interfaces a component imports.
pub(super) struct Absent(Vec<(String, Vec<(String, Export)>)>);

enum Export {
    Function { name: String, asynchronous: bool },
    Resource,
    Other,
}

/// Finds them, or refuses the component; usually there are none.
pub(super) fn find(code: &Component, guest: &Guest) -> Result<Option<Absent>, RuntimeError> {
    let engine = code.engine();
    let mut absent = Vec::new();
    for (import, item) in code.component_type().imports(engine) {
        let Some((_, granted_by)) = ABSENT.iter().find(|(prefix, _)| import.starts_with(prefix)) else { continue };
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        if guest.granted.contains(*granted_by) {
            let hint = "; the manifest grants its use, so it can't be left out";
            return Err(RuntimeError::UnknownImport { component: guest.id.clone(), import: import.to_owned(), hint });
        }
        let exports = instance.exports(engine).map(|(name, export)| {
            let kind = match export.ty {
                ComponentItem::ComponentFunc(function) => {
                    Export::Function { name: format!("{import}#{name}"), asynchronous: function.async_() }
                }
                ComponentItem::Resource(_) => Export::Resource,
                _ => Export::Other,
            };
            (name.to_owned(), kind)
        });
        absent.push((import.to_owned(), exports.collect()));
    }
    Ok((!absent.is_empty()).then_some(Absent(absent)))
}

/// Stands for a resource of which there never is one.
struct Nothing;

impl Absent {
    pub(super) fn link(self, linker: &mut wasmtime::component::Linker<HostState>) -> wasmtime::Result<()> {
        for (import, exports) in self.0 {
            let mut instance = linker.instance(&import)?;
            for (export, kind) in exports {
                define(&mut instance, &export, kind)?;
            }
        }
        Ok(())
    }
}

fn define(instance: &mut LinkerInstance<'_, HostState>, export: &str, kind: Export) -> wasmtime::Result<()> {
    match kind {
        Export::Resource => instance.resource(export, ResourceType::host::<Nothing>(), |_, _| Ok(())),
        Export::Function { name, asynchronous: false } => {
            instance.func_new(export, move |_, function, _, results| answer(&name, &function, results))
        }
        Export::Function { name, asynchronous: true } => instance.func_new_concurrent(export, move |_, function, _, results| {
            let result = answer(&name, &function, results);
            Box::pin(async move { result })
        }),
        Export::Other => Ok(()),
    }
}

/// The interface's own error, or a trap where it has none.
fn answer(name: &str, function: &ComponentFunc, results: &mut [Val]) -> wasmtime::Result<()> {
    let refusal = function.results().next().and_then(|result| refusal(name, &result));
    match (refusal, results) {
        (Some(refusal), [result]) => {
            *result = refusal;
            Ok(())
        }
        _ => Err(wasmtime::format_err!("{name} is not supported by this shim yet")),
    }
}

fn refusal(name: &str, result: &Type) -> Option<Val> {
    let Type::Result(result) = result else { return None };
    let Type::Variant(error) = result.err()? else { return None };
    let cases: Vec<_> = error.cases().collect();
    let denied = cases.iter().find(|case| case.name == "access-denied" && case.ty.is_none());
    let in_words = cases.iter().find(|case| matches!(case.ty, Some(Type::String)));
    let case = denied.or(in_words)?;
    let words = case.ty.as_ref().map(|_| Box::new(Val::String(format!("{name} is not supported by this shim yet"))));
    Some(Val::Result(Err(Some(Box::new(Val::Variant(case.name.to_owned(), words))))))
}
