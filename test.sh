#!/usr/bin/env bash
# Installs what is missing, checks the format, builds in release and runs every test. Exits with the tests' status.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=Scripts/prepare.sh
source "$root/Scripts/prepare.sh"

prepare
cd "$root"
if swift format --version >/dev/null 2>&1; then
  say "checking the format"
  swift format lint --strict --recursive Sources Tests Package.swift
else
  say "no swift format in this toolchain: format not checked"
fi
say "building"
swift build -c release
swift build -c release --build-tests
say "testing"
exec swift test -c release --skip-build
