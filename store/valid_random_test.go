package store

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// randomRows draws rows of which half are what facts make, and the rest is that with something changed.
func randomRows(r *rand.Rand, now Time, n int) *rowModel {
	m, seen := &rowModel{}, map[any]bool{}
	second := Time(time.Second.Microseconds())
	// Far enough from what is ahead, and from what ends, that no machine is so slow that it makes a difference.
	anyTime := func() Time {
		return pick(r, -1<<63, -1, 0, 1, now-3600*second, now-2, now-1, now,
			now+30*second, now+600*second, now+365*86400*second, Permanent)
	}
	past := func() Time { return now - Time(r.IntN(4)) + pick(r, 0, 30*second, 0) }
	for range n {
		key := randomKey(r)
		row := modelReport{modelKey: key, at: past(), lifted: pick(r, 0, 0, past())}
		row.expires = row.at + pick(r, 3600*second, 7200*second, Permanent-row.at)
		row.longest, row.forced = row.expires+pick(r, 0, 0, Permanent-row.expires), pick(r, 0, 0, row.at, row.at-1)
		if r.IntN(6) == 0 {
			row = modelReport{modelKey: key, lifted: past()}
		}
		for range pick(r, 0, 0, 1, 2) {
			*pick(r, &row.at, &row.expires, &row.forced, &row.longest, &row.lifted) = anyTime()
		}
		wide := modelLift{modelKey: randomKey(r), at: pick(r, past(), past(), anyTime())}
		wide.source, wide.reason = pick(r, wide.source, ""), pick(r, wide.reason, "")
		event := modelEvent{key, row.at, pick(r, row.expires, anyTime()), pick(r, 0, 0, 1, -1, 2)}
		if !seen[row.modelKey] {
			m.reports = append(m.reports, row)
		}
		if r.IntN(8) == 0 && !seen[[1]any{wide.modelKey}] {
			m.lifts = append(m.lifts, wide)
		}
		if !seen[event] {
			m.events = append(m.events, event)
		}
		seen[row.modelKey], seen[[1]any{wide.modelKey}], seen[event] = true, true, true
	}
	return m
}

func randomKey(r *rand.Rand) modelKey {
	k := modelKey{"\xcb\x00\x71" + string(rune(r.IntN(128))), 32,
		pick(r, "web1", "web1", "web2", "WEB1"), pick(r, "sshd", "sip")}
	switch r.IntN(5) {
	case 0: // the bytes of the IPv6 ones lie among the IPv4 ones
		k.addr, k.len = "\xcb\x00\x71"+string(rune(r.IntN(4)))+strings.Repeat("\x00", 12), pick(r, 32, 64, 127, 128)
	case 1:
		k.addr, k.len = pick(r, "\xcb\x00\x71\x00", "\xcb\x00\x71\x40", "\x00\x00\x00\x00"), pick(r, 24, 25, 26, 0, 8)
	}
	if r.IntN(8) == 0 { // no prefix
		k.addr = pick(r, "", "\xcb\x00\x71", "\xcb\x00\x71\x00\x00", k.addr[1:], k.addr,
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x01")
		k.len = pick(r, k.len, 0, 31, 33, 127, 129, 255)
	}
	return k
}

// factsOn draws facts of web1's own, most of them on keys that there are.
func factsOn(r *rand.Rand, m *rowModel, now Time) []Fact {
	var facts []Fact
	for len(facts) < 30 {
		key := pick(r, m.reports[r.IntN(len(m.reports))].modelKey, randomKey(r))
		p, ok := key.prefix()
		if !ok {
			continue
		}
		f := lift(p.String(), "web1", pick(r, "sshd", "sip", ""), now-Time(r.IntN(4)))
		if len(facts) == 0 {
			f.At = 0
		}
		if r.IntN(3) > 0 {
			f.Lift, f.Reason, f.Bantime = false, key.reason, pick(r, Forever, time.Hour, 2*time.Hour)
		}
		facts = append(facts, f)
	}
	return facts
}

// eventsOf are the events of facts that are not there yet.
func eventsOf(there []modelEvent, facts []Fact) (fresh []modelEvent) {
	for _, f := range facts {
		e := modelEvent{keyOf(f), f.At, f.Expires(), 0}
		if !slices.Contains(there, e) && !slices.Contains(fresh, e) {
			fresh = append(fresh, e)
		}
	}
	return fresh
}
