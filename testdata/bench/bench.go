// Package bench prints side-by-side benchmarks, one line a comparison. testdata/bench.sh runs them all.
package bench

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// Side is one side of a comparison. Run does the work once and returns how long the part that counts took.
type Side struct {
	Name string
	Run  func() time.Duration
}

// Timed makes a Run of a function that counts as a whole.
func Timed(b *testing.B, f func() error) func() time.Duration {
	return func() time.Duration {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
}

// Compare runs both sides in turn, rounds times, and prints their medians and the ratio of them. The goal is part of the
// line and not a limit: a machine under load must not fail.
func Compare(b *testing.B, what string, rounds int, ours, theirs Side, goal string) {
	b.Helper()
	var a, z []time.Duration
	for range rounds {
		a = append(a, ours.Run())
		z = append(z, theirs.Run())
	}
	slices.Sort(a)
	slices.Sort(z)
	o, t := a[rounds/2], z[rounds/2]
	Print("%s: %s %v, %s %v, ratio %.3g (goal: %s)", what, ours.Name, round(o), theirs.Name, round(t), float64(o)/float64(t), goal)
}

// Print prints a line of results, which bench.sh finds by how it begins.
func Print(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "\nbench: "+format+"\n", args...)
}

func round(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
