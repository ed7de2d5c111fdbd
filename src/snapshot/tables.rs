//! Tables for programs: what a report shows, serialized.

use super::words::word_of;
use super::{By, Change, Diff, Difference, Group, Groups, Sum, TenuredGroup, TenuringGroups};
use serde::{Serialize, Serializer};

/// A word, as on a command line.
impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(word_of(*self))
    }
}

#[derive(Serialize)]
struct Table<'a> {
    by: By,
    groups: &'a [Group],
    others: Others,
    total: Sum,
    notes: &'a [String],
}

/// What `top` left out.
#[derive(Serialize)]
struct Others {
    groups: usize,
    live: Sum,
}

/// As an object with `by`, `groups`, `others` (how many groups were left out, and what lives of them), `total` and `notes`.
impl Serialize for Groups {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (groups, live) = self.others();
        let others = Others { groups, live };
        Table { by: self.by(), groups: self, others, total: self.total(), notes: self.notes() }.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Changes<'a> {
    by: By,
    changes: &'a [Change],
    others: OtherChanges,
    total: Total,
    notes: &'a [String],
}

#[derive(Serialize)]
struct OtherChanges {
    groups: usize,
    bytes: f64,
}

#[derive(Serialize)]
struct Total {
    bytes: Difference,
    blocks: Difference,
    earlier: Sum,
    later: Sum,
}

/// As an object with `by`, `changes`, `others` (how many were left out, and by how much they changed), `total` (of all) and
/// `notes`.
impl Serialize for Diff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Change { bytes, blocks, earlier, later, .. } = *self.total();
        let total = Total { bytes, blocks, earlier, later };
        let others = OtherChanges { groups: self.others.0, bytes: self.others.1 };
        Changes { by: self.by(), changes: self, others, total, notes: self.notes() }.serialize(serializer)
    }
}

#[derive(Serialize)]
struct TenuringTable<'a> {
    by: By,
    groups: &'a [TenuredGroup],
    others: Others,
    notes: &'a [String],
}

/// As an object with `by`, `groups`, `others` (how many groups were left out, and what lives of them) and `notes`.
impl Serialize for TenuringGroups {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (groups, live) = self.others();
        let others = Others { groups, live };
        TenuringTable { by: self.by(), groups: self, others, notes: self.notes() }.serialize(serializer)
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use crate::snapshot::By;
    use crate::snapshot::testing::{names, shop};

    #[test]
    fn tables_are_objects() {
        let shop = shop().snapshot();
        let groups = shop.group_by(By::Line, &mut names());
        let (all, first) = (groups.clone(), groups.top(1));
        let json = serde_json::to_value(&first).expect("JSON");
        assert_eq!((json["by"].as_str(), json["groups"].as_array().map(Vec::len)), (Some("line"), Some(1)));
        assert_eq!(json["groups"][0]["name"].as_str(), Some(&*all[0].name));
        assert_eq!(json["groups"][0]["live"]["bytes"].as_f64(), Some(all[0].live.bytes));
        assert_eq!(json["others"]["groups"].as_u64(), Some(all.len() as u64 - 1));
        assert_eq!(json["total"]["bytes"].as_f64(), Some(all.total().bytes));
        let json = serde_json::to_value(shop.diff(&shop, By::Tag, &mut names())).expect("JSON");
        assert_eq!((json["by"].as_str(), json["total"]["bytes"]["value"].as_f64()), (Some("tag"), Some(0.0)));
    }
}
