//! stub
fn main() {
    println!("{}", tenure::stats());
    let v: Vec<String> = (0..100000).map(|i| i.to_string()).collect();
    println!("{}", tenure::stats());
    drop(v);
    println!("{}", tenure::stats());
}
#[global_allocator]
static ALLOC: tenure::Tenure = tenure::Tenure::new();
