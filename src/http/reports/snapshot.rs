//! A snapshot to keep, as its file.

use super::super::answer::{Answer, Fault, JSON};
use super::super::call::Call;
use super::ms;
use crate::export::{json, raw};
use http::{HeaderValue, header};

pub(in super::super) fn snapshot(call: &Call<'_>) -> Result<Answer, Fault> {
    let without_names = call.query.flag("raw")?;
    call.job(|names| {
        let snapshot = crate::snapshot();
        let text = if without_names { raw(&snapshot) } else { json(&snapshot, names) };
        let name = format!("attachment; filename=\"tenure-{}-{}.json\"", snapshot.pid(), ms(snapshot.time()) / 1000);
        let answer = Answer::new(JSON, text);
        match HeaderValue::from_str(&name) {
            Ok(name) => answer.with(header::CONTENT_DISPOSITION, name),
            Err(_) => answer,
        }
    })
}
