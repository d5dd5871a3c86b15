#!/bin/sh
# Installs what `make bench-queue` compares with into target/rivals: BullMQ on Node.js, and BullMQ's Rust port. Neither is
# needed to build, test or run mailfleet; one that cannot be installed is left out of the comparison, and that is said.
set -u
cd "$(dirname "$0")/.."
here=target/rivals
mkdir -p "$here"

skip() { echo "mailfleet: $1; the comparison goes on without it" >&2; }

if command -v npm >/dev/null 2>&1; then
    mkdir -p "$here/bullmq-node"
    cp crates/bench/rivals/bullmq-node/package.json crates/bench/rivals/bullmq-node/queue.mjs "$here/bullmq-node/"
    if [ ! -d "$here/bullmq-node/node_modules/bullmq" ]; then
        echo "mailfleet: installing BullMQ for Node.js"
        (cd "$here/bullmq-node" && npm install --no-audit --no-fund --no-package-lock --silent) || skip "BullMQ for Node.js could not be installed"
    fi
else
    skip "Node.js with npm is not there"
fi

echo "mailfleet: building BullMQ's Rust port"
${CARGO:-cargo} build --release --locked --quiet --manifest-path crates/bench/rivals/bullmq-rust/Cargo.toml \
    --target-dir "$here/bullmq-rust" || skip "BullMQ's Rust port could not be built"
