//! `POST /group?by=`: objects in, the same objects by what they have in common out.

use super::{Asked, Problem, Question, aside, json};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::collections::HashMap;

const BODY: &str = "send a list of objects, as in [{\"kind\":\"a\"},{\"kind\":\"b\"}]";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupQuestion {
    by: String,
}

impl Question for GroupQuestion {
    const TRY: &'static str = "/group?by=kind";
}

#[derive(Serialize)]
pub(crate) struct Group {
    /// `null` for objects without the field.
    value: Value,
    objects: Vec<Map<String, Value>>,
}

/// The largest group first.
pub(crate) async fn group(
    Asked(GroupQuestion { by }): Asked<GroupQuestion>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<Group>>, Problem> {
    aside(move || Ok(Json(grouped(json(body, "/group", BODY)?, &by)))).await?
}

fn grouped(objects: Vec<Map<String, Value>>, by: &str) -> Vec<Group> {
    let mut groups = HashMap::<Value, Vec<_>>::new();
    for object in objects {
        groups.entry(object.get(by).cloned().unwrap_or_default()).or_default().push(object);
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(value, objects)| Group { value, objects }).collect();
    groups.sort_by_cached_key(|group| (Reverse(group.objects.len()), group.value.to_string()));
    groups
}
