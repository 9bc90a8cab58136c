#!/usr/bin/env bash
# Checks what building and testing need. Installs missing Debian packages where it may (as root, or
# with a sudo that asks no password); otherwise prints the one line that does it.
set -euo pipefail

say() { printf 'preflight: %s\n' "$*" >&2; }

if ! command -v cargo >/dev/null; then
    say "there is no cargo. Install Rust with rustup (https://rustup.rs), then run make again."
    exit 1
fi

# What is looked for, and the package that brings it. libjpeg-turbo is built from source and linked
# into the renderer alone: that is what cmake and nasm are for.
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
# A compiler without the C library's headers is there, and links nothing.
if ! echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null; then
    missing+=(gcc libc6-dev)
fi
need make make
need cmake cmake
need nasm nasm
need python3 python3
if ! python3 -m pip --version >/dev/null 2>&1; then missing+=(python3-pip); fi

if ((${#missing[@]} == 0)); then exit 0; fi
install="apt-get install -y --no-install-recommends ${missing[*]}"

if ! command -v apt-get >/dev/null; then
    say "missing: ${missing[*]} (names as in Debian). Install them, then run make again."
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    say "missing: ${missing[*]}. Run this, then make again:"
    printf '  sudo %s\n' "$install" >&2
    exit 1
fi
say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! "${as_root[@]}" $install >/dev/null 2>&1; then
    "${as_root[@]}" apt-get update >/dev/null
    "${as_root[@]}" $install >/dev/null
fi
