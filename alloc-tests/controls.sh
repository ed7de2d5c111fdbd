#!/bin/sh
# Plants each fault that src/planted.rs knows, one at a time, and sees that the tests which must find it do.
# A test counts only if it passes without the fault. Takes some minutes. Arguments: the faults to plant; all of them if there are none.
set -u
cd "$(dirname "$0")"

run() { # fault, test file, test
    TENURE_PLANTED="$1" RUST_BACKTRACE=0 timeout 300 \
        cargo test --quiet --package tenure-alloc-tests --features planted --test "$2" -- "$3" >"$log" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --quiet --package tenure-alloc-tests --features planted --no-run || exit 1
cargo build --quiet --package tenure-alloc-tests --features planted --example plugin || exit 1

good=" "
missed=0
while read -r fault file test; do
    case "$fault" in '' | '#'*) continue ;; esac
    if [ $# -gt 0 ]; then
        case " $* " in *" $fault "*) ;; *) continue ;; esac
    fi
    case "$good" in
    *" $file/$test "*) ;;
    *)
        if ! run "" "$file" "$test"; then
            echo "BROKEN  $file $test fails without a fault:"
            tail -n 20 "$log"
            missed=$((missed + 1))
            continue
        fi
        good="$good$file/$test "
        ;;
    esac
    if run "$fault" "$file" "$test"; then
        echo "MISSED  $fault: $file $test passes"
        missed=$((missed + 1))
    else
        echo "found   $fault: $file $test"
    fi
done <<'TABLE'
misaligns                   boundaries      every_alignment
misaligns                   oracle          one_thread
dirty-zeroed                boundaries      every_size
dirty-zeroed                boundaries      zeroed_blocks_that_were_dirty
dirty-zeroed                oracle          one_thread
short-realloc               boundaries      every_step_of_realloc
short-realloc               realloc         two_vectors_in_turns
short-realloc               realloc         shrink_to_fit_keeps_the_contents
realloc-forgets-alignment   boundaries      every_step_of_realloc
realloc-forgets-alignment   boundaries      realloc_of_large_blocks_keeps_large_alignments
frees-on-failed-realloc     boundaries      impossible_sizes_are_refused
frees-on-failed-realloc     rlimit          try_reserve_is_an_error
hands-out-twice             oracle          many_threads
hands-out-twice             threads         a_ring
scribbles                   oracle          one_thread_with_small_blocks
scribbles                   threads         frees_after_the_thread_ended
grants-impossible           boundaries      impossible_sizes_are_refused
aborts-when-full            boundaries      impossible_sizes_are_refused
aborts-when-full            rlimit          null_when_memory_is_out
aborts-when-full            rlimit          try_reserve_is_an_error
aborts-when-full            rlimit          nothing_beyond_the_start
reserves-up-front           rlimit          starts_with_little
loses-remote-frees          churn           producer_and_consumer
loses-remote-frees          churn           threads_that_free_each_other
loses-remote-frees          churn           sawtooth_over_threads
loses-remote-frees          memory_returns  while_the_owners_sleep
loses-remote-frees          rlimit          null_when_memory_is_out_with_threads
thread-keeps                churn           short_threads_one_after_the_other
thread-keeps                churn           short_threads_in_crowds
thread-keeps                churn           threads_that_allocate_once
thread-keeps                teardown        destructors_of_keys_that_set_themselves_again
loses-small                 churn           sawtooth_of_small_classes
loses-small                 memory_returns  after_mixed_sizes
loses-small                 memory_returns  after_frees_in_random_order
loses-small                 memory_returns  while_those_who_freed_sleep
loses-small                 rlimit          null_when_memory_is_out
loses-large                 churn           sawtooth_of_all_sizes
loses-large                 memory_returns  after_large_blocks
loses-large                 memory_returns  after_each_of_some_bursts
lock-across-fork            fork            forks_among_busy_threads
lock-across-fork            fork            every_thread_forks
tls-with-drop               teardown        destructors_of_thread_locals
tls-with-drop               teardown        destructors_of_keys_that_set_themselves_again
dangling-key                dlopen          loaded_and_closed_fifty_times
absorbs-bad-frees           bad_use         a_small_block_freed_twice
TABLE

[ "$missed" -eq 0 ] || echo "$missed controls failed"
exit "$missed"
