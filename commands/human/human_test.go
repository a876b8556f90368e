package human

import (
	"testing"
	"time"
)

// One thing is singular, and no unit is smaller than the span needs.
func TestWords(t *testing.T) {
	for want, got := range map[string]string{
		"1 route": Count(1, "route", "routes"), "0 routes": Count(0, "route", "routes"), "2 routes": Count(int64(2), "route", "routes"),
		"0 minutes": Span(59 * time.Second), "1 minute": Span(time.Minute), "119 minutes": Span(2*time.Hour - 1),
		"2 hours": Span(2 * time.Hour), "47 hours": Span(48*time.Hour - 1), "2 days": Span(48 * time.Hour),
		"2026-11-25 07:00:01 UTC": Time(time.Date(2026, 11, 25, 8, 0, 1, 999, time.FixedZone("", 3600))),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
