#!/bin/sh
# Makes sure that cargo-nextest, the test runner, is there; builds it once where it is missing.
set -eu
cargo nextest --version >/dev/null 2>&1 && exit 0
echo "mailfleet: installing cargo-nextest (once, some minutes)"
exec cargo install cargo-nextest --locked --quiet
