package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"f2bc/store"
)

func TestCleanName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"sshd", "sshd"},
		{"  sshd\n", "sshd"},
		{"a\x00b\x1b[31mc\x7f", "ab[31mc"},
		{"wéb\u0085x", "wébx"},
		{"", "manual"},
		{" \t\n", "manual"},
		{strings.Repeat("x", 70), strings.Repeat("x", 64)},
		{strings.Repeat("é", 40), strings.Repeat("é", 32)},
		{"x" + strings.Repeat("é", 40), "x" + strings.Repeat("é", 31)}, // not in the middle of a character
		{strings.Repeat("x", 63) + " y", strings.Repeat("x", 63)},
		{strings.Repeat("\xe9", 70), strings.Repeat("\xe9", 64)}, // not UTF-8: bytes
		{"\xe9\x01", "\xe9"},
	} {
		if got := cleanName(c.in, "manual"); got != c.want {
			t.Errorf("cleanName(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("  wéb\x00 ")
	f.Add("\xff" + strings.Repeat("é", 64))
	f.Fuzz(func(t *testing.T, s string) {
		name := cleanName(s, "manual")
		if name == "" || len(name) > store.MaxName || cleanName(name, "manual") != name {
			t.Errorf("cleanName(%q) = %q, and that cleaned %q", s, name, cleanName(name, "manual"))
		}
		if utf8.ValidString(s) && !utf8.ValidString(name) {
			t.Errorf("cleanName(%q) = %q cuts a character", s, name)
		}
	})
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"web1 – größer", "web1 – größer"},
		{"a\x1b[2Jb", `a\x1b[2Jb`},
		{"a\nb\tc", `a\nb\tc`},
		{"\xff", `\xff`},
		{"\ufffd", "\ufffd"},
		{"\u202egnp.exe", `\u202egnp.exe`}, // turns the direction of writing
		{"\u0085", `\u0085`},
	} {
		if got := printable(c.in); got != c.want {
			t.Errorf("printable(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestHidePasswords(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"mysql://f2bc:secret@db/f2bc", "mysql://f2bc:***@db/f2bc"},
		{"mysql://f2bc:s3c:r/e@t@db/f2bc", "mysql://f2bc:***@db/f2bc"},
		{"mysql://f2bc@db:3306/f2bc", "mysql://f2bc@db:3306/f2bc"},
		{`open "mysql://a:b@c/d": refused`, `open "mysql://a:***@c/d": refused`},
	} {
		if got := store.HidePasswords(c.in); got != c.want {
			t.Errorf("store.HidePasswords(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestBantime(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"600": 600 * time.Second, "-1": store.Forever, "90m": 90 * time.Minute, "24h": 24 * time.Hour, "30d": 720 * time.Hour,
		"1w": 168 * time.Hour, "5s": 5 * time.Second, "9223372036": 9223372036 * time.Second,
	} {
		if got, err := parseBantime(in); got != want || err != nil {
			t.Errorf("parseBantime(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "0h", "-2", "-1h", "+5", "1.5", "h", "24H", "1 h", "9223372037", "1000000w", "1e3"} {
		if got, err := parseBantime(in); !errors.Is(err, errUsage) {
			t.Errorf("parseBantime(%q) = %v, %v, want a usage error", in, got, err)
		}
	}
}

func TestAt(t *testing.T) {
	for in, want := range map[string]int64{ // microseconds
		"1767225600.25":             1767225600250000,
		"1767225600":                1767225600000000,
		"1767225600.123456":         1767225600123456,
		"2026-01-01T00:00:00Z":      1767225600000000,
		"2026-01-01T01:00:00+01:00": 1767225600000000,
	} {
		if got, err := parseAt(in); got.UnixMicro() != want || err != nil {
			t.Errorf("parseAt(%q) = %v, %v, want %d µs", in, got, err, want)
		}
	}
	for _, in := range []string{"", "now", "-5", "0", "NaN", "Inf", "1e300", "2026-01-01"} {
		if got, err := parseAt(in); !errors.Is(err, errUsage) {
			t.Errorf("parseAt(%q) = %v, %v, want a usage error", in, got, err)
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("away"), 1},
		{usagef("x"), 2},
		{invalidf("x"), 2},
		{refusedf("x"), 3},
		{kindError{errDrift, errSaid}, 4},
		{errInterrupted, 130},
		{fmt.Errorf("read: %w", context.Canceled), 1}, // only a signal is 130
		{fmt.Errorf("wrapped: %w", refusedf("x")), 3},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestEachLine(t *testing.T) {
	var lines strings.Builder
	var want []string
	for i := range 2500 { // more than two chunks
		fmt.Fprintf(&lines, "  10.0.%d.%d # comment\r\n\n", i/250, i%250)
		want = append(want, fmt.Sprintf("%d 10.0.%d.%d", 2*i+1, i/250, i%250))
	}
	var got []string
	err := eachLine(t.Context(), strings.NewReader(lines.String()), func(line int, text string) error {
		got = append(got, fmt.Sprint(line, " ", text))
		return nil
	})
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("read %d lines, %v, want %d: %.200q", len(got), err, len(want), got)
	}

	got = nil
	err = eachLine(t.Context(), strings.NewReader("\ufeff192.0.2.1\n#\n192.0.2.2"), func(line int, text string) error {
		got = append(got, fmt.Sprint(line, " ", text))
		return nil
	})
	if want := "1 192.0.2.1,3 192.0.2.2"; err != nil || strings.Join(got, ",") != want {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}

	err = eachLine(t.Context(), strings.NewReader("192.0.2.1\n"+strings.Repeat("x", 1<<17)), func(int, string) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a line of 128 KB: %v", err)
	}

	// A person at a terminal presses Ctrl-C instead of typing a line.
	ctx, cancel := context.WithCancel(t.Context())
	typing, _ := io.Pipe()
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := eachLine(ctx, typing, func(int, string) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
