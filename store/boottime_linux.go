package store

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootClock returns the id of this boot and the µs since then, sleep included. No step of the wall clock moves it.
func bootClock() (boot string, µs int64) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var t unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return "", 0
	}
	return strings.TrimSpace(string(id)), t.Nano() / 1000
}
