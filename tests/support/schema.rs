//! As much of JSON Schema as the schemas in `docs` use.

use serde_json::Value;

/// What is wrong with a value, by a schema or a part of it; `root` is where references lead.
pub(crate) fn faults(schema: &Value, root: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    validate(schema, root, value, "", &mut faults);
    faults
}

/// A keyword that is not known is a fault too, so that nothing goes unchecked.
fn validate(schema: &Value, root: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else { return };
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("no type: {other}"),
    };
    let properties = schema["properties"].as_object();
    for (keyword, rule) in rules {
        let right = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "$defs" | "properties" => true,
            "$ref" => {
                let target = rule.as_str().and_then(|r| r.strip_prefix('#')).and_then(|p| root.pointer(p));
                validate(target.unwrap_or_else(|| panic!("{rule} leads nowhere")), root, value, at, faults);
                true
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|k| is(k.as_str().expect("a type"))),
                kind => is(kind.as_str().expect("a type")),
            },
            "const" => value == rule,
            "enum" => rule.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|v| v <= rule.as_f64().expect("a number")),
            "minProperties" => value.as_object().is_none_or(|v| v.len() as u64 >= rule.as_u64().expect("a number")),
            "maxProperties" => value.as_object().is_none_or(|v| v.len() as u64 <= rule.as_u64().expect("a number")),
            "maxItems" => value.as_array().is_none_or(|v| v.len() as u64 <= rule.as_u64().expect("a number")),
            "minItems" => value.as_array().is_none_or(|v| v.len() as u64 >= rule.as_u64().expect("a number")),
            "required" => {
                rule.as_array().expect("a list").iter().all(|k| value.get(k.as_str().expect("a key")).is_some())
            }
            "additionalProperties" => {
                let known = |key: &str| properties.is_some_and(|p| p.contains_key(key));
                let mut others = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key)).peekable();
                match rule {
                    Value::Bool(false) => others.peek().is_none(),
                    rule => {
                        others.for_each(|(key, value)| validate(rule, root, value, &format!("{at}/{key}"), faults));
                        true
                    }
                }
            }
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(rule, root, item, &format!("{at}/{i}"), faults);
                }
                true
            }
            "oneOf" | "anyOf" => {
                let fits = |rule: &&Value| {
                    let mut faults = Vec::new();
                    validate(rule, root, value, at, &mut faults);
                    faults.is_empty()
                };
                let fitting = rule.as_array().expect("a list").iter().filter(fits).count();
                fitting == 1 || fitting > 1 && keyword == "anyOf"
            }
            other => panic!("the test does not know the keyword {other}"),
        };
        if !right {
            faults.push(format!("{at}: {keyword}"));
        }
    }
    for (key, rule) in properties.into_iter().flatten() {
        if let Some(value) = value.get(key) {
            validate(rule, root, value, &format!("{at}/{key}"), faults);
        }
    }
}
