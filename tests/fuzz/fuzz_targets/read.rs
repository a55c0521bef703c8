//! Feeds what the fuzzer makes up to the reader that `TRANSHIP_FUZZ_TARGET` names.
#![no_main]

#[path = "../src/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Mutex};

use targets::{Harness, TARGETS};

static HARNESS: LazyLock<Mutex<Harness>> = LazyLock::new(|| {
    let name = std::env::var("TRANSHIP_FUZZ_TARGET").expect("TRANSHIP_FUZZ_TARGET names a target");
    let target = TARGETS.iter().find(|target| target.name == name).expect("there is such a target");
    // The hook of libfuzzer-sys would end the process even where a reader takes a panic of a library for damage.
    std::panic::set_hook(Box::new(|panic| *LAST_PANIC.lock().unwrap() = panic.to_string()));
    Mutex::new(Harness::new(target))
});
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let harness = HARNESS.lock().unwrap();
    if catch_unwind(AssertUnwindSafe(|| harness.read(input))).is_err() {
        eprintln!("{}", LAST_PANIC.lock().unwrap());
        std::process::abort();
    }
});
