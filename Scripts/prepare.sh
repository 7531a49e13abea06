# Shared by run.sh and test.sh (sourced, not run): sees to the Swift toolchain and the system libraries.
# Everything it prints goes to standard error, so that standard output stays the program's own.
# shellcheck shell=bash

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    sudo "$@"
  fi
}

apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2; }

# Whether the C compiler finds a header: oneDNN has no pkg-config file.
has_header() {
  local folder
  for folder in /usr/include /usr/local/include "/usr/include/$(uname -m)-linux-gnu"; do
    [[ -e $folder/$1 ]] && return
  done
  return 1
}

# Names the Debian packages that are missing, one a line.
missing_packages() {
  command -v pkg-config >/dev/null || echo pkg-config
  pkg-config --exists openblas 2>/dev/null || echo libopenblas-dev
  pkg-config --exists lapacke 2>/dev/null || echo liblapacke-dev
  pkg-config --exists zlib 2>/dev/null || echo zlib1g-dev
  pkg-config --exists libcurl 2>/dev/null || echo libcurl4-openssl-dev
  has_header oneapi/dnnl/dnnl.h || echo libdnnl-dev
}

prepare() {
  command -v swift >/dev/null ||
    fail "no swift on PATH: install Swift 6.2 or later (https://www.swift.org/install/) and run this again"
  local missing=()
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} -eq 0 ]] && return
  command -v apt-get >/dev/null ||
    fail "missing ${missing[*]} and no apt-get here: install OpenBLAS, LAPACKE, oneDNN, zlib, libcurl and pkg-config with your package manager"
  [[ $EUID -eq 0 ]] || command -v sudo >/dev/null ||
    fail "missing ${missing[*]} and no sudo here: run as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  if ! apt_install "${missing[@]}"; then # the package lists may be absent or old
    as_root apt-get update >&2 || fail "apt-get update failed: no network? Needed: ${missing[*]}"
    apt_install "${missing[@]}" || fail "apt-get could not install ${missing[*]}"
  fi
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} -eq 0 ]] || fail "${missing[*]} installed, but pkg-config does not find it"
}
