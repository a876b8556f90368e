// Package human writes counts and times as people say them. Programs are given RFC 3339 and plain numbers instead.
package human

import (
	"fmt"
	"time"
)

// Count is a number with its noun.
func Count[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// MaxNamed bounds how many of many are named in one run.
const MaxNamed = 20

// Time is a moment, to the second, in UTC.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Span is a time span in its largest unit.
func Span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return Count(int(d/(24*time.Hour)), "day", "days")
	case d >= 2*time.Hour:
		return Count(int(d/time.Hour), "hour", "hours")
	}
	return Count(int(d/time.Minute), "minute", "minutes")
}
