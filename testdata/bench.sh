#!/bin/sh
# Prints the side-by-side benchmarks, one line a comparison. Arguments go to go test: -bench CompareRead, for example.
# Run it as root, with the packages that testdata/test.sh installs, on a machine that does nothing else.
set -eu
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go test -run '^$' -bench '^BenchmarkCompare' -benchtime 1x -timeout 90m -p 1 "$@" . ./aggregate ./routes ./store ./commands |
	sed -n 's/^bench: //p; /FAIL\|panic\|--- SKIP/p'
