//! Flame graphs, drawn by the crate `inferno`.

use super::Value;
use super::asked::Asked;
use super::folded::Merged;
use super::rounded::Rounded;
use super::stacks::Texts;
use crate::reading::untracked;
use crate::snapshot::{Estimate, Frame, Names, Snapshot, Sum, is_runtime, outermost_of_interest, tracking};
use crate::units::{Bytes, Count};
use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Options, from_lines};

/// A flame graph as an SVG, to be opened in a browser: a click on a frame zooms, Ctrl-F searches.
///
/// The width of a frame is what it and all that it called hold, in bytes or blocks. Title and subtitle say what is shown,
/// how it was tracked, and the total with its 95 % interval. As in reports, frames of the allocator, the standard library
/// and the start of a thread are left out, so that a stack ends at the line that reports put the block down to; one that
/// has no others is a single frame. Frames narrower than a hundredth of a percent of the picture are not drawn.
///
/// Looks up names and allocates as [`folded`](super::folded()) does, and some 200 bytes for each frame that is drawn.
pub fn flame_graph(snapshot: &Snapshot, names: &mut dyn Names, value: Value) -> String {
    untracked(|| {
        let mut merged = Merged::default();
        merged.add(snapshot, names, value, 0, trimmed());
        names.finish();
        let title = format!("{}: {}", value.title(), value.total(snapshot));
        let subtitle = format!("{}{}", value.interval(snapshot), about(snapshot));
        let mut round = Rounded::default();
        draw(merged, value, title, subtitle, |[value, _]| {
            let width = round.next(value);
            (width > 0).then(|| width.to_string())
        })
    })
}

/// What changed from an earlier snapshot to a later one, as a flame graph: red grew, blue shrank, white stayed.
///
/// A stack is as wide as it was in whichever snapshot it had more, so that what is gone is still seen. Colours, and the
/// second percentage that a frame shows when it is pointed at, are those of a frame's own blocks, without what it called.
/// Stacks are told apart by the names of their functions, so that the snapshots may be of two processes, or of two builds.
///
/// `names` is asked for the later snapshot, and `earlier_names` for the earlier one; `None` if one speaks for both, as for
/// two snapshots of this process. For the rest see [`flame_graph()`].
pub fn flame_graph_diff(
    later: &Snapshot,
    earlier: &Snapshot,
    names: &mut dyn Names,
    earlier_names: Option<&mut dyn Names>,
    value: Value,
) -> String {
    untracked(|| {
        let mut merged = Merged::default();
        merged.add(later, names, value, 0, trimmed());
        match earlier_names {
            Some(names) => {
                merged.add(earlier, names, value, 1, trimmed());
                names.finish();
            }
            None => merged.add(earlier, names, value, 1, trimmed()),
        }
        names.finish();
        let title = format!("{}: from {} to {}", value.title(), value.total(earlier), value.total(later));
        let intervals = [value.interval(earlier), value.interval(later)].concat();
        let subtitle = format!("red grew, blue shrank; as wide as the larger of the two; {intervals}{}", about(later));
        let (mut after, mut before) = (Rounded::default(), Rounded::default());
        draw(merged, value, title, subtitle, |[later, earlier]| {
            let (later, earlier) = (after.next(later), before.next(earlier));
            let width = later.max(earlier);
            // What is drawn is the last number, and the colour is by how much it is more than the first.
            let first = width.saturating_add(earlier).saturating_sub(later);
            (width > 0).then(|| format!("{first} {width}"))
        })
    })
}

/// The stacks that the picture is drawn from, in order: frames outermost first, parted by `;`.
#[cfg(feature = "http")]
pub(crate) fn flame_stacks(snapshot: &Snapshot, names: &mut dyn Names, value: Value, mut each: impl FnMut(&str, f64)) {
    let mut merged = Merged::default();
    merged.add(snapshot, names, value, 0, trimmed());
    names.finish();
    merged.in_order(|stack, [amount, _]| each(stack, amount));
}

/// What is written at the head.
impl Value {
    fn unit(self) -> &'static str {
        if self.is_bytes() { "bytes" } else { "blocks" }
    }

    /// How much one unit of a picture is in which so much is to be drawn, and what it is called. `inferno` multiplies what it
    /// draws by up to 210 without looking, so that sums stay below 2^53.
    fn scale(self, most: f64) -> (f64, String) {
        let (mut scale, mut power) = (1.0, 0);
        while most / scale >= (1u64 << 53) as f64 {
            (scale, power) = (scale * 1024.0, power + 1);
        }
        (scale, if power == 0 { self.unit().into() } else { format!("{} x 1024^{power}", self.unit()) })
    }

    fn title(self) -> &'static str {
        match self {
            Value::LiveBytes => "Live bytes",
            Value::LiveBlocks => "Live blocks",
            Value::AllocatedBytes => "Bytes allocated since the start",
            Value::AllocatedBlocks => "Blocks allocated since the start",
        }
    }

    fn estimate(self, snapshot: &Snapshot) -> Estimate {
        let sum: Sum = snapshot.sites().iter().map(|s| self.sum(s)).sum();
        if self.is_bytes() { sum.bytes() } else { sum.blocks() }
    }

    /// The total of a snapshot for people.
    fn total(self, snapshot: &Snapshot) -> String {
        self.text(self.estimate(snapshot).value)
    }

    /// Its 95 % interval, unless it is exact.
    fn interval(self, snapshot: &Snapshot) -> String {
        let estimate = self.estimate(snapshot);
        if estimate.is_exact() {
            return String::new();
        }
        let (low, high) = estimate.interval(0.95);
        format!("95 %: {} to {}; ", self.text(low), self.text(high))
    }

    fn text(self, value: f64) -> String {
        let whole = value.max(0.0).round();
        if self.is_bytes() { Bytes(whole as usize).to_string() } else { format!("{} blocks", Count(whole as u64)) }
    }
}

fn about(snapshot: &Snapshot) -> String {
    format!("{}; pid {}", tracking(snapshot.mode()), snapshot.pid())
}

/// Stacks, leaf first, as reports show them.
fn trimmed() -> impl FnMut(&Texts, Vec<u32>) -> Vec<u32> {
    let mut runtime = Asked::new(is_runtime);
    move |texts, stack| {
        let own: Vec<u32> = stack.iter().copied().filter(|&frame| !runtime.of(texts, frame)).collect();
        if own.is_empty() { line(texts, &stack).into_iter().collect() } else { own }
    }
}

/// The one frame that says anything of a stack that has none of the program's.
fn line(texts: &Texts, stack: &[u32]) -> Option<u32> {
    let frames: Vec<_> = stack.iter().map(|&f| Frame::new(&texts.all()[f as usize], None, None)).collect();
    let line = outermost_of_interest(&frames)?;
    frames.iter().position(|f| f == line).map(|i| stack[i])
}

fn draw(
    merged: Merged,
    value: Value,
    title: String,
    subtitle: String,
    mut numbers: impl FnMut([f64; 2]) -> Option<String>,
) -> String {
    let (scale, unit) = value.scale(merged.most());
    let mut lines = Vec::new();
    let mut line = |stack: &str, values: [f64; 2]| {
        lines.extend(numbers(values.map(|v| v / scale)).map(|n| format!("{stack} {n}")));
    };
    merged.in_order(&mut line);
    if lines.is_empty() {
        return nothing(&title);
    }
    let mut options = Options::default();
    options.title = title;
    options.subtitle = Some(subtitle);
    options.count_name = unit;
    options.name_type = "Function:".into();
    options.colors = Palette::Basic(BasicPalette::Mem);
    // The same function has the same colour in each picture.
    options.hash = true;
    options.min_width = 0.01;
    // The lines are in the order of their frames. In the order of their characters, in which `inferno` wants them, `f::g`
    // comes between `f` and `f;g`, and `f` is drawn twice. As a flame chart they are not checked, but turned around.
    options.flame_chart = true;
    let mut svg = Vec::new();
    // Writing to memory does not fail, and there are lines.
    let drawn = from_lines(&mut options, lines.iter().rev().map(String::as_str), &mut svg);
    debug_assert!(drawn.is_ok(), "{drawn:?}");
    String::from_utf8(svg).unwrap_or_default()
}

/// A picture that says so: `inferno` would call it an error.
fn nothing(title: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<svg version=\"1.1\" width=\"1200\" height=\"60\" xmlns=\"http://www.w3.org/2000/svg\">\
         <title>{title}</title><text x=\"50%\" y=\"35\" text-anchor=\"middle\" font-family=\"monospace\">{title}: \
         nothing to show</text></svg>\n"
    )
}

#[cfg(test)]
mod tests;
