//! `GET /panic`: fails on purpose, in this view or, with `?where=aside`, on the thread that it sends work to.

use super::{Asked, Problem, Question, aside};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PanicQuestion {
    #[serde(default, rename = "where")]
    place: Place,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    #[default]
    Here,
    Aside,
}

impl Question for PanicQuestion {
    const TRY: &'static str = "/panic or /panic?where=aside";
}

pub(crate) async fn panic(Asked(question): Asked<PanicQuestion>) -> Result<(), Problem> {
    match question.place {
        Place::Here => panic!("as it was asked to"),
        Place::Aside => aside(|| panic!("as it was asked to")).await,
    }
}
