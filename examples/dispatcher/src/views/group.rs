//! `POST /group?by=`: objects in, the same objects by what they have in common out.

use super::{Asked, Problem, Question, aside};
use axum::Json;
use axum::body::Bytes;
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
    body: Bytes,
) -> Result<Json<Vec<Group>>, Problem> {
    let groups = aside(move || {
        let objects: Vec<Map<String, Value>> = serde_json::from_slice(&body)?;
        Ok(Json(grouped(objects, &by)))
    });
    groups
        .await?
        .map_err(|why: serde_json::Error| Problem::bad(format!("/group: the body is not read ({why}): {BODY}")))
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
