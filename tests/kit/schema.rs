//! The committed schema of JSON output, held against what verbs print.

use serde_json::Value;

/// Holds that a value fits what the schema says of a verb: no field that it does not have, and each that it requires.
pub fn fits(verb: &str, value: &Value) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/output.schema.json");
    let root: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    check(&root, &root["properties"][verb], value, verb);
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    assert!(!schema.is_null(), "the schema does not have {at}");
    if let Some(name) = schema["$ref"].as_str() {
        return check(root, &root["$defs"][name.rsplit('/').next().unwrap()], value, at);
    }
    if let Some(forms) = schema["anyOf"].as_array().filter(|_| !value.is_null()) {
        return check(root, forms.iter().find(|form| form["type"] != "null").unwrap(), value, at);
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let of_pattern = schema["patternProperties"].as_object().and_then(|forms| forms.values().next());
                let named = schema["properties"].get(name).or(of_pattern);
                check(root, named.unwrap_or(&schema["additionalProperties"]), field, &format!("{at}.{name}"));
            }
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check(root, &schema["items"], item, at)),
        _ => {}
    }
}
