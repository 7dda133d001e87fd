//! The JSON Schema of mapping files, for editors.

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::file::MappingFile;

/// The JSON Schema of a mapping file: keys, types, words and their descriptions.
#[must_use]
pub fn json_schema() -> Json {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<MappingFile>();
    schema.insert("title".to_owned(), "cosell-sync mapping file".into());
    let mut schema = schema.to_value();
    drop_required(&mut schema);
    schema
}

/// Takes every `required` out: lists may be left out, and whether a key is needed depends on the
/// other keys of its row and on the file that is extended, which a schema cannot say.
fn drop_required(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            if members.get("required").is_some_and(Json::is_array) {
                members.remove("required");
            }
            members.values_mut().for_each(drop_required);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_required),
        _ => {}
    }
}
