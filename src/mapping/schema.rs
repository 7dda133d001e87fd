//! The JSON Schema of mapping files, for editors.

use schemars::generate::SchemaSettings;

use super::file::MappingFile;

/// The JSON Schema of a mapping file: keys, types and their descriptions.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<MappingFile>();
    schema.insert("title".to_owned(), "cosell-sync mapping file".into());
    schema.to_value()
}
