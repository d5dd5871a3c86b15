#!/bin/sh
# Installs the Debian packages that mailfleet's tests and demo need and that are missing, and says so.
#   scripts/packages.sh demo       servers and a C compiler (ring and zstd are built from C)
#   scripts/packages.sh            for the tests: Prometheus, curl and openssl besides
#   scripts/packages.sh python     Python with venv, for scripts/python.sh; where a good one is, nobody asks for it
# Without root or sudo, or off Debian, it names what is missing and how to go on without it.
set -eu

missing=""
need() { # need PACKAGE FILE...: the package is there if one of the files (globs allowed) is
    package=$1
    shift
    for pattern in "$@"; do
        for file in $pattern; do
            [ -x "$file" ] && return 0
        done
    done
    missing="$missing $package"
}

need redis-server /usr/bin/redis-server /usr/local/bin/redis-server
need postgresql '/usr/lib/postgresql/*/bin/initdb'
need dovecot-imapd /usr/sbin/dovecot
[ -x /usr/sbin/dovecot ] && [ ! -x /usr/lib/dovecot/imap ] && missing="$missing dovecot-imapd"
need build-essential /usr/bin/cc
if [ "${1:-}" != demo ]; then
    need prometheus /usr/bin/promtool
    need curl /usr/bin/curl
    need openssl /usr/bin/openssl
fi
[ "${1:-}" = python ] && missing="$missing python3-venv"

[ -z "$missing" ] && exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        as_root="none"
    fi
fi
if [ "$as_root" = none ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "mailfleet: missing:$missing" >&2
    echo "mailfleet: install them as root (apt-get install$missing), or start Redis, PostgreSQL and an IMAP" >&2
    echo "mailfleet: server elsewhere and name them in mailfleet.toml (README.md, 'Running it for real')." >&2
    exit 1
fi

echo "mailfleet: installing$missing"
log=$(mktemp)
# No daemon of these packages is to run: the tests and the demo start private ones on free ports. Where no policy
# stands yet, one that forbids starts is set for the time of the installation only.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086 # the list is meant to split
if ! { $as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "mailfleet: could not install$missing (the lines above say why)" >&2
    exit 1
fi
rm -f "$log"
