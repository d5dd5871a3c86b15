//! The Lua scripts: compiled into the binary, run by SHA, loaded again by the client library after NOSCRIPT.

use std::sync::LazyLock;

use redis::Script;

/// Every script of the crate. `Script` hashes its text once.
pub(crate) struct Scripts {
    pub(crate) adopt: Script,
    pub(crate) begin: Script,
    pub(crate) claim: Script,
    pub(crate) dead_letter: Script,
    pub(crate) delay: Script,
    pub(crate) depth: Script,
    pub(crate) done: Script,
    pub(crate) enqueue: Script,
    pub(crate) epoch: Script,
    pub(crate) forget_dead: Script,
    pub(crate) groups: Script,
    pub(crate) hand_back: Script,
    pub(crate) keep_alive: Script,
    pub(crate) leave: Script,
    pub(crate) live: Script,
    pub(crate) locate: Script,
    pub(crate) now: Script,
    pub(crate) pause: Script,
    pub(crate) put_back: Script,
    pub(crate) quarantine: Script,
    pub(crate) rebuild_dead: Script,
    pub(crate) reclaim: Script,
    pub(crate) recount: Script,
    pub(crate) resume: Script,
}

macro_rules! script {
    ($($file:literal),+) => {
        Script::new(concat!(include_str!("lua/prelude.lua"), $("\n", include_str!(concat!("lua/", $file, ".lua"))),+))
    };
}

pub(crate) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    adopt: script!("adopt"),
    begin: script!("begin"),
    claim: script!("claim"),
    dead_letter: script!("accounts", "remove", "dead_letter"),
    delay: script!("delay"),
    depth: script!("accounts", "marks", "read", "depth"),
    done: script!("accounts", "remove", "done"),
    enqueue: script!("accounts", "marks", "enqueue"),
    epoch: script!("epoch"),
    forget_dead: script!("forget_dead"),
    groups: script!("groups"),
    hand_back: script!("release", "hand_back"),
    keep_alive: script!("keep_alive"),
    leave: script!("release", "leave"),
    live: script!("accounts", "read", "live"),
    locate: script!("locate"),
    now: script!("now"),
    pause: script!("pause"),
    put_back: script!("release", "put_back"),
    quarantine: script!("quarantine"),
    rebuild_dead: script!("rebuild_dead"),
    reclaim: script!("reclaim"),
    recount: script!("accounts", "marks", "recount"),
    resume: script!("resume"),
});
