//! Every export of one snapshot, written into a directory, for the tools that read them: `docs/exports.md` says which.
//!
//! ```sh
//! cargo run --release --example exports --features json,pprof,flamegraph -- /tmp/exports
//! ```

use std::collections::HashMap;
use std::path::Path;
use tenure::export::{self, OpenMetrics, Value};
use tenure::{Mode, Symbols, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Exact);

/// What a customer wants to buy.
#[derive(Default)]
struct Cart {
    items: Vec<String>,
}

/// A shop that forgets no visitor.
#[derive(Default)]
struct Shop {
    carts: HashMap<u32, Cart>,
    thumbnails: Vec<Vec<u8>>,
}

impl Shop {
    #[inline(never)]
    fn visit(&mut self, customer: u32) {
        let _tag = tenure::scope("visit");
        let cart = self.carts.entry(customer).or_default();
        cart.items.extend((0..10).map(|i| format!("item {i} of customer {customer}")));
        self.show(customer);
    }

    #[inline(never)]
    fn show(&mut self, customer: u32) {
        // What is shown is rendered anew for each visitor, and kept for one in four.
        let page = vec![b'.'; 4000];
        if customer.is_multiple_of(4) {
            self.thumbnails.push(page);
        }
    }
}

fn main() {
    let Some(directory) = std::env::args().nth(1) else {
        eprintln!("which directory? cargo run --example exports --features json,pprof,flamegraph -- DIRECTORY");
        std::process::exit(2);
    };
    let mut shop = Shop::default();
    (0..1000).for_each(|customer| shop.visit(customer));
    let earlier = tenure::snapshot();
    shop.thumbnails.truncate(50);
    (1000..1500).for_each(|customer| shop.visit(customer));
    let later = tenure::snapshot();

    let names = &mut Symbols::new();
    let value = Value::LiveBytes;
    let files: [(&str, Vec<u8>); 7] = [
        ("heap.pb.gz", export::pprof(&later, names)),
        ("heap.folded", export::folded(&later, names, value).into()),
        ("heap.svg", export::flame_graph(&later, names, value).into()),
        ("diff.svg", export::flame_graph_diff(&later, &earlier, names, None, value).into()),
        ("dhat.json", export::dhat(&later, names).into()),
        ("metrics.txt", export::openmetrics(&later, names, OpenMetrics::new()).into()),
        ("heap.json", export::json(&later, names).into()),
    ];
    for (name, bytes) in files {
        let path = Path::new(&directory).join(name);
        if let Err(error) = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, &bytes)) {
            eprintln!("{} is not written: {error}", path.display());
            std::process::exit(1);
        }
        println!("{:>8} bytes  {}", bytes.len(), path.display());
    }
}
