//! What holds of every snapshot. A reading that came from outside is refused if it does not.

use super::Parts;
#[cfg(feature = "serde")]
use super::Snapshot;
use crate::generation::census::MOST_SUSPECTS;
use crate::generation::clock::Bands;

/// Whether two sums of the same, in another order perhaps, are equal.
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

/// Sites, tags and rows are in order and without doubles; every row has its site and its tag; every sum is finite, and
/// those of sites and tags are the sums of their rows; suspects and what a census found are sums, too. A suspect's site may be
/// missing: a dump may have had no room for it.
pub(super) fn check(parts: &Parts) -> Result<(), String> {
    let say = |what: &str| Err(what.to_string());
    if !parts.sites.is_sorted_by(|a, b| a.number < b.number) {
        return say("the sites are not in order");
    }
    if !parts.tags.is_sorted_by(|a, b| a.number < b.number) {
        return say("the tags are not in order");
    }
    if !parts.rows.is_sorted_by(|a, b| a.key() < b.key()) {
        return say("the rows are not in order");
    }
    if !parts.epoch_step.is_power_of_two() {
        return say("the epoch step is no power of two");
    }
    let Bands { middle, old, .. } = parts.bands;
    if !(1..=old).contains(&middle) {
        return Err(format!("generations begin at the ages 0, {middle} and {old}, which are not in order"));
    }
    let mut summed = (vec![0.0; parts.sites.len()], vec![0.0; parts.tags.len()]);
    for row in &parts.rows {
        let site = parts.sites.binary_search_by_key(&row.site, |s| s.number);
        let tag = parts.tags.binary_search_by_key(&row.tag, |t| t.number);
        let (Ok(site), Ok(tag)) = (site, tag) else {
            return Err(format!("a row names site {} and tag {}, which are not both there", row.site, row.tag));
        };
        if !row.live.is_sound() {
            return Err(format!("a row of site {} holds no sum", row.site));
        }
        summed.0[site] += row.live.bytes;
        summed.1[tag] += row.live.bytes;
    }
    for (site, &bytes) in parts.sites.iter().zip(&summed.0) {
        let are_sound = site.live.is_sound() && site.allocated.is_sound() && site.freed.is_sound();
        if !(are_sound && site.lifetimes.is_sound() && near(site.live.bytes, bytes)) {
            return Err(format!("the sums of site {} are not those of its rows", site.number));
        }
    }
    for (tag, &bytes) in parts.tags.iter().zip(&summed.1) {
        let are_sound = tag.live.is_sound() && tag.allocated.is_sound() && tag.freed.is_sound();
        if !(are_sound && tag.lifetimes.is_sound() && near(tag.live.bytes, bytes)) {
            return Err(format!("the sums of tag {} are not those of its rows", tag.number));
        }
    }
    if parts.suspects.len() > MOST_SUSPECTS {
        return Err(format!("there are {} suspects, and at most {MOST_SUSPECTS} are kept", parts.suspects.len()));
    }
    for s in &parts.suspects {
        let figures = [s.old_bytes, s.old_bytes_error, s.bytes_per_epoch, s.bytes_per_minute, s.confidence];
        if !figures.iter().all(|&x| x.is_finite() && x >= 0.0) || s.confidence > 1.0 {
            return Err(format!("a suspect, {:?}, has figures that are none", s.culprit));
        }
    }
    let censuses = parts.generations.stats.iter().filter_map(|stats| stats.last?.census);
    for alive in censuses.flat_map(|census| [census.young, census.middle, census.old, census.permanent]) {
        if ![alive.blocks, alive.bytes, alive.bytes_error].iter().all(|&x| x.is_finite() && x >= 0.0) {
            return say("what a census found is no sum");
        }
    }
    if parts.tracked.is_sound() { Ok(()) } else { say("the total is no sum") }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Snapshot {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Snapshot {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        check(&parts).map_err(serde::de::Error::custom)?;
        Ok(Snapshot { parts })
    }
}
