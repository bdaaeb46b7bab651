//! Release candidates whose interfaces were released as they were get the released name: their types are the same, so one host interface serves
//! both. A patch number of their own keeps the names of a component apart that imports both, as Python's do.

use std::borrow::Cow;
use std::ops::Range;

use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentExportSectionReader, ComponentImportSectionReader, FromReader, SectionLimited,
};

/// Versions in the names of imports and exports, and what they become.
const RELEASED: [(&str, &str); 1] = [("@0.3.0-rc-2026-03-15", "@0.3.20260315")];
/// The same for exports alone: the function has the same shape, though what it works on has not and is imported under its old name.
const RELEASED_EXPORTS: [(&str, &str); 1] =
    [("wasi:http/incoming-handler@0.2.0-rc-2023-10-18", "wasi:http/incoming-handler@0.2.20231018")];

/// The magic number and the version.
const HEADER: usize = 8;
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;

/// The component under the names that are known here; as it is where there is nothing to rename.
pub(super) fn released(component: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, BinaryReaderError> {
    match renamed(&component)? {
        Some(renamed) => Ok(renamed.into()),
        None => Ok(component),
    }
}

/// Whether it imports and exports nothing of WASI 0.3 or of Spin 4, whose functions are asynchronous.
pub(super) fn are_synchronous(component: &[u8]) -> Result<bool, BinaryReaderError> {
    let mut synchronous = true;
    sections(component, |id, section, _| {
        let asynchronous = |name: &&str| name.starts_with("spin:") || name.starts_with("wasi:") && name.contains("@0.3.");
        synchronous &= !names_in(id, section)?.iter().any(asynchronous);
        Ok(())
    })?;
    Ok(synchronous)
}

fn renamed(component: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let mut output: Option<Vec<u8>> = None;
    sections(component, |id, section, whole| {
        let release = if id == EXPORTS { release_export } else { release };
        let replacements = names_in(id, section)?.into_iter().filter_map(|name| Some((name, release(name)?)));
        let replacements: Vec<Replacement<'_>> = replacements.collect();
        if !replacements.is_empty() {
            let output = output.get_or_insert_with(|| component[..whole.start].to_vec());
            output.push(id);
            let section = replace(section, &replacements);
            write_length(output, section.len());
            output.extend(section);
        } else if let Some(output) = &mut output {
            output.extend(&component[whole]);
        }
        Ok(())
    })?;
    Ok(output)
}

/// Visits the component's own sections: their ids, what is in them, and where they stand with their heads.
fn sections<'a>(
    component: &'a [u8],
    mut visit: impl FnMut(u8, &'a [u8], Range<usize>) -> Result<(), BinaryReaderError>,
) -> Result<(), BinaryReaderError> {
    let mut reader = BinaryReader::new(component, 0);
    reader.read_bytes(HEADER)?;
    while !reader.eof() {
        let start = reader.current_position();
        let id = reader.read_u8()?;
        let length = reader.read_var_u32()? as usize;
        let section = reader.read_bytes(length)?;
        visit(id, section, start..reader.current_position())?;
    }
    Ok(())
}

/// The names that a section imports or exports; none in one that does neither.
fn names_in(id: u8, section: &[u8]) -> Result<Vec<&str>, BinaryReaderError> {
    let reader = BinaryReader::new(section, 0);
    match id {
        IMPORTS => names(ComponentImportSectionReader::new(reader)?, |import| import.name.name),
        EXPORTS => names(ComponentExportSectionReader::new(reader)?, |export| export.name.name),
        _ => Ok(Vec::new()),
    }
}

fn names<'a, T: FromReader<'a>>(
    section: SectionLimited<'a, T>,
    name: impl Fn(&T) -> &'a str,
) -> Result<Vec<&'a str>, BinaryReaderError> {
    section.into_iter().map(|item| Ok(name(&item?))).collect()
}

/// A name and what takes its place.
type Replacement<'a> = (&'a str, String);

fn release_export(name: &str) -> Option<String> {
    let exported = RELEASED_EXPORTS.iter().find(|(old, _)| *old == name).map(|(_, new)| (*new).to_owned());
    exported.or_else(|| release(name))
}

fn release(name: &str) -> Option<String> {
    let (old, new) = RELEASED.iter().find(|(old, _)| name.starts_with("wasi:") && name.ends_with(old))?;
    Some(format!("{}{new}", name.strip_suffix(old)?))
}

/// The section with other names, each written behind its length.
fn replace(section: &[u8], replacements: &[Replacement<'_>]) -> Vec<u8> {
    let mut output = Vec::with_capacity(section.len());
    let mut copied = 0;
    for (old, new) in replacements {
        // The name is a part of the section: how far it is behind its start is where it stands.
        let start = old.as_ptr().addr() - section.as_ptr().addr();
        output.extend(&section[copied..start - length_size(old.len())]);
        write_length(&mut output, new.len());
        output.extend(new.as_bytes());
        copied = start + old.len();
    }
    output.extend(&section[copied..]);
    output
}

/// Lengths are LEB128; encoders write a name's length without padding.
fn write_length(output: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        output.push(length as u8 | 0x80);
        length >>= 7;
    }
    output.push(length as u8);
}

fn length_size(length: usize) -> usize {
    let mut bytes = Vec::new();
    write_length(&mut bytes, length);
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(text: &str) -> Vec<String> {
        let component = wat::parse_str(text).unwrap();
        let renamed = released(component.into()).unwrap();
        let mut names = Vec::new();
        for payload in wasmparser::Parser::new(0).parse_all(&renamed) {
            match payload.unwrap() {
                wasmparser::Payload::ComponentImportSection(section) => {
                    names.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
                }
                wasmparser::Payload::ComponentExportSection(section) => {
                    names.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
                }
                _ => {}
            }
        }
        wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(&renamed).unwrap();
        names
    }

    #[test]
    fn a_candidate_and_its_release_stay_apart() {
        let component = r#"(component
            (import "wasi:cli/stdout@0.3.0-rc-2026-03-15" (instance $candidate))
            (import "wasi:cli/stdout@0.3.0" (instance))
            (import "other:cli/stdout@0.3.0-rc-2026-03-15" (instance))
            (export "wasi:cli/run@0.3.0-rc-2026-03-15" (instance $candidate)))"#;
        let names = ["wasi:cli/stdout@0.3.20260315", "wasi:cli/stdout@0.3.0", "other:cli/stdout@0.3.0-rc-2026-03-15"];
        assert_eq!(rename(component), [&names[..], &["wasi:cli/run@0.3.20260315"]].concat());
    }

    #[test]
    fn what_needs_no_other_name_is_not_copied() {
        let component = wat::parse_str(r#"(component (import "wasi:io/poll@0.2.0" (instance)))"#).unwrap();
        assert!(matches!(released((&component[..]).into()).unwrap(), Cow::Borrowed(_)));
    }

    #[test]
    fn broken_bytes_are_an_error() {
        for bytes in [&b"\0asm\x0d\0\x01\0\x0a"[..], b"\0asm\x0d\0\x01\0\x0a\xff\x01", b"\0asm\x0d\0\x01\0\x0b\x02\x01\x00"] {
            assert!(released(bytes.into()).is_err());
        }
    }
}
