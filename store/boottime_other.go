//go:build !linux

package store

// bootClock returns nothing here: the wall clock has to do.
func bootClock() (boot string, µs int64) { return "", 0 }
