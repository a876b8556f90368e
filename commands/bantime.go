package commands

import (
	"math"
	"strconv"
	"strings"
	"time"

	"f2bc/store"
)

var units = map[byte]time.Duration{
	's': time.Second,
	'm': time.Minute,
	'h': time.Hour,
	'd': 24 * time.Hour,
	'w': 7 * 24 * time.Hour,
}

// parseSpan reads whole seconds (600), or a number with a unit (90m, 24h, 30d, 1w). More than 292 years do not fit.
func parseSpan(s string) (time.Duration, bool) {
	unit := time.Second
	digits := s
	if s != "" {
		if u, ok := units[s[len(s)-1]]; ok {
			unit, digits = u, s[:len(s)-1]
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || strings.HasPrefix(digits, "+") || n > math.MaxInt64/int64(unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// parseBantime reads --bantime: a span, or -1 for permanent.
func parseBantime(s string) (time.Duration, error) {
	if s == "-1" {
		return store.Forever, nil
	}
	if d, ok := parseSpan(s); ok {
		return d, nil
	}
	return 0, usagef("--bantime %q: want seconds as fail2ban gives them, -1 for permanent, or a time such as 90m, 24h, 30d, 1w", s)
}

// parseAt reads --at: seconds since 1970, with or without a fraction, as fail2ban gives them, or RFC 3339.
func parseAt(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	// The bound keeps the conversion to microseconds exact and the year below 10000.
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 253402300800 {
		return time.UnixMicro(int64(math.Round(f * 1e6))), nil
	}
	return time.Time{}, usagef("--at %q: want seconds since 1970, such as 1767225600.25, or 2026-01-01T00:00:00Z", s)
}

// parseSince reads --since: a span back from now, or RFC 3339.
func parseSince(s string, now store.Time) (store.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return store.TimeOf(t), nil
	}
	if d, ok := parseSpan(s); ok {
		return store.TimeOf(now.Std().Add(-d)), nil
	}
	return 0, usagef("--since %q: want a time back such as 15m, 24h, 7d, or 2026-01-01T00:00:00Z", s)
}
