//! Puts what an operator wrote over a definition.

use serde_json::{Map, Value};

/// Puts `value` at `key` of `table`: tables are merged, anything else is replaced.
pub fn lay(table: &mut Map<String, Value>, key: &str, value: &Value) {
    match (table.get_mut(key), value) {
        (Some(Value::Object(below)), Value::Object(over)) => {
            for (key, value) in over {
                lay(below, key, value);
            }
        }
        _ => {
            table.insert(key.to_owned(), value.clone());
        }
    }
}
