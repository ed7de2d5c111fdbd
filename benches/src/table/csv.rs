//! Raw figures in a file: one line for each, after the header of the tables as comments.

use std::fs;
use std::io;
use std::path::Path;

use crate::compare::{Results, Sample};

const COLUMNS: &str = "round,workload,allocator,metric,value";

pub(crate) fn write(path: &Path, header: &str, results: &Results) -> io::Result<()> {
    let mut text = String::new();
    for line in header.lines() {
        text += &format!("# {line}\n");
    }
    text += &format!("{COLUMNS}\n");
    for s in &results.samples {
        text += &format!("{},{},{},{},{}\n", s.round, s.workload, s.allocator, s.metric, s.value);
    }
    fs::write(path, text)
}

pub(super) fn read(path: &Path) -> io::Result<(String, Results)> {
    let text = fs::read_to_string(path)?;
    let (comments, rows): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    let header = comments.iter().map(|line| format!("{}\n", line.trim_start_matches(['#', ' ']))).collect();
    let samples = rows.into_iter().filter(|line| *line != COLUMNS).map(|line| {
        sample(line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not a row: {line:?}")))
    });
    Ok((header, Results { samples: samples.collect::<io::Result<_>>()? }))
}

fn sample(line: &str) -> Option<Sample> {
    let mut fields = line.split(',');
    let mut next = || fields.next().map(str::to_owned);
    Some(Sample {
        round: next()?.parse().ok()?,
        workload: next()?,
        allocator: next()?,
        metric: next()?,
        value: next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let sample = Sample {
            round: 2,
            workload: "json".into(),
            allocator: "tenure".into(),
            metric: "time_ns".into(),
            value: 1.25,
        };
        let results = Results { samples: vec![sample.clone()] };
        let path = std::env::temp_dir().join(format!("tenure-bench-test-{}.csv", std::process::id()));
        write(&path, "- a machine\n- a day\n", &results).expect("the temporary folder is writable");
        let read = read(&path);
        fs::remove_file(&path).expect("it was just written");
        let (header, results) = read.expect("it was just written");
        assert_eq!(header, "- a machine\n- a day\n");
        assert_eq!(results.samples, [sample]);
    }
}
