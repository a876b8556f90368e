package store

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// difference names the lines that only one of two texts has.
func difference(got, want string) string {
	lines := func(a, b, of string) string {
		known := strings.Split(b, "\n")
		only := strings.Split(a, "\n")
		only = slices.DeleteFunc(only, func(line string) bool { return slices.Contains(known, line) })
		return of + "\n" + strings.Join(only, "\n") + "\n"
	}
	return lines(got, want, "got only") + lines(want, got, "want only")
}

// read compares every reader with the model.
func (w writer) read(t *testing.T, m *rowModel, live *Live, r *rand.Rand) {
	t.Helper()
	now := w.clock.now()
	same := func(reader, got, want string) {
		t.Helper()
		if got != want {
			t.Fatalf("%s, %s: %s", w.name, reader, difference(got, want))
		}
	}
	same("List", activeLines(t, w.Store), m.active(now))
	for _, everything := range []string{"0.0.0.0/0", "::/0", "203.0.113.5/32", "203.0.113.64/26"} {
		p := netip.MustParsePrefix(everything)
		reports, lifts, err := w.About(t.Context(), p)
		check(t, err)
		var lines []string
		for _, r := range reports {
			lines = append(lines, fmt.Sprint(r.Prefix, r.Source, r.Reason, r.At, r.Expires, r.Forced,
				r.Lifted, r.Blocked))
		}
		for _, l := range lifts {
			lines = append(lines, fmt.Sprint("lift ", l.Prefix, l.Source, l.Reason, l.At))
		}
		slices.Sort(lines)
		same("About "+everything, strings.Join(lines, "\n"), m.about(p, now))
	}
	w.readMore(t, m, now, same)

	_, err := live.Refresh(t.Context())
	check(t, err)
	bans, want := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	live.Bans(func(p netip.Prefix, forced bool) { bans[p] = forced })
	check(t, w.Bans(t.Context(), Filter{}, func(p netip.Prefix, forced bool) { want[p] = want[p] || forced }))
	same("Live", fmt.Sprint(bans), fmt.Sprint(want))

	var about []Fact
	for range 20 {
		key := randomKey(r)
		if p, ok := key.prefix(); ok {
			about = append(about, report(p.String(), key.source, 0, time.Hour),
				lift(p.String(), pick(r, key.source, ""), pick(r, "sshd", ""), 0))
		}
	}
	before := w.clock.now()
	check(t, w.Stamp(t.Context(), about, time.Time{}))
	for _, f := range about {
		m.wantStamp(t, w.name, f, before, w.clock.now())
	}
}

// wantStamp checks the time of a fact that was made between before and after.
func (m *rowModel) wantStamp(t *testing.T, way string, f Fact, before, after Time) {
	t.Helper()
	if newest := m.newestAbout(f, after.Add(maxAhead)); newest > after && f.At != newest+1 {
		t.Fatalf("%s: %+v is about %d", way, f, newest)
	} else if newest < before && (f.At < before || f.At > after) {
		t.Fatalf("%s: %+v was made between %d and %d", way, f, before, after)
	}
}

func (w writer) readMore(t *testing.T, m *rowModel, now Time, same func(reader, got, want string)) {
	t.Helper()
	ahead := now.Add(maxAhead)
	ever := map[netip.Prefix]bool{}
	var prefixes []netip.Prefix
	for _, row := range m.reports {
		if p, ok := row.prefix(); ok {
			if prefixes = append(prefixes, p); row.facts(ahead).at > 0 {
				ever[p] = true
			}
		}
	}
	got, err := w.Reported(t.Context(), prefixes)
	check(t, err)
	same("Reported", fmt.Sprint(got), fmt.Sprint(ever))

	events, senseless, err := w.History(t.Context(), netip.Prefix{}, Filter{}, 10_000)
	check(t, err)
	var lines, want []string
	for _, e := range events {
		lines = append(lines, fmt.Sprint(e.Prefix, e.Source, e.Reason, e.At, e.Expires(), e.Forced))
	}
	nonsense := 0
	for _, e := range m.events {
		if p, _ := e.prefix(); e.fact(ahead) {
			want = append(want, fmt.Sprint(p, e.source, e.reason, e.at, e.expires, e.forced == 1))
		} else if e.at >= 0 {
			nonsense++
		}
	}
	slices.Sort(lines)
	slices.Sort(want)
	same("History", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	if !w.Embedded() { // into which nobody else writes
		same("History's nonsense", fmt.Sprint(senseless), fmt.Sprint(nonsense))
	}
}
