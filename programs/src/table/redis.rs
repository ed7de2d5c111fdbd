//! A server: it is asked by others, and only it has the allocator.

use super::need;
use crate::program::Program;
use crate::session::Session;
use crate::texts;
use std::io;

pub(super) const REDIS: Program = Program {
    name: "redis",
    needs: &[need("redis-server", "redis-server"), need("redis-benchmark", "redis-tools")],
    // Debian's links to jemalloc.
    repeats: false,
    own_allocator: true,
    prepare: |input, size| texts::redis(input, "commands", texts::sized(size, 10_000, 100_000)),
    run,
};

fn run(s: &mut Session) -> io::Result<()> {
    let server = s.serve(
        "redis-server --port 0 --unixsocket socket --save  --daemonize no --enable-debug-command yes --loglevel warning --logfile log --hz 10",
    )?;
    let up = (0..500).any(|i| {
        if i > 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        s.silent("redis-cli -s socket ping").unwrap_or(false)
    });
    if !up {
        // Killed as what hangs is.
        return s.give_up(server);
    }
    s.plain("redis-cli -s socket --pipe", Some("input/commands"))?;
    let requests = s.sized("20000", "200000");
    s.silent(&format!(
        "redis-benchmark -s socket -q -c 20 -P 8 -d 100 -n {requests} -t set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,mset"
    ))?;
    s.silent(&format!("redis-benchmark -s socket -q -c 20 -d 3000 -n {} -t set,get", s.sized("3000", "50000")))?;
    // A child writes what there is, while it shares memory with the server; then the server reads it.
    s.plain("redis-cli -s socket save", None)?;
    s.silent("redis-cli -s socket bgsave")?;
    s.plain("redis-cli -s socket debug reload", None)?;
    for ask in
        ["dbsize", "get counter:__rand_int__", "llen mylist", "debug digest", "memory purge", "flushall", "dbsize"]
    {
        s.plain(&format!("redis-cli -s socket {ask}"), None)?;
    }
    s.silent("redis-cli -s socket shutdown nosave")?;
    s.end(server)?;
    // It has times in it, and the order of keys depends on a seed of the server's own.
    for file in ["dump.rdb", "log"] {
        _ = std::fs::remove_file(s.file(file));
    }
    Ok(())
}
