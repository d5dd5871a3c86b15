#!/bin/sh
# Feeds the mail reader with bytes that a fuzzer makes up, each target for the given number of seconds. It begins with the
# mails of tests/corpus and keeps what it learns in target/fuzz. Needs a nightly toolchain; installs cargo-fuzz where missing.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz.sh SECONDS}
here=$PWD
nightly=${NIGHTLY:-nightly}

if ! rustup run "$nightly" rustc --version >/dev/null 2>&1; then
    echo "mailfleet: the fuzzer needs a nightly toolchain: rustup toolchain install nightly --profile minimal" >&2
    exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1 && [ ! -x target/fuzz/bin/cargo-fuzz ]; then
    echo "mailfleet: installing cargo-fuzz into target/fuzz"
    cargo install --locked --quiet --root target/fuzz --target-dir target/fuzz/build cargo-fuzz
fi
PATH=$here/target/fuzz/bin:$PATH

for target in parse report html; do
    mkdir -p "target/fuzz/corpus/$target"
    seeds=
    if [ "$target" = parse ]; then
        mkdir -p target/fuzz/seeds
        find tests/corpus -name '*.eml' -size -64k | while read -r mail; do
            cp "$mail" "target/fuzz/seeds/$(echo "$mail" | tr / _)"
        done
        seeds=$here/target/fuzz/seeds
    fi
    echo "mailfleet: fuzzing $target for $seconds s"
    # A unit may take 10 s and 2 GiB, under the sanitizer, before it counts as a fault.
    cargo +"$nightly" fuzz run --fuzz-dir crates/mime/fuzz --target-dir "$here/target/fuzz/target" "$target" \
        "$here/target/fuzz/corpus/$target" $seeds -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1
done
