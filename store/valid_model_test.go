package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// rowModel says of raw rows what the comment at the top of valid.go says, in Go and without any of the store's code.
type rowModel struct {
	reports []modelReport
	lifts   []modelLift
	events  []modelEvent
	blocked []string
}

type modelKey struct {
	addr           string
	len            int
	source, reason string
}

type modelReport struct {
	modelKey
	at, expires, forced, longest, lifted Time
}

type modelLift struct {
	modelKey
	at Time
}

type modelEvent struct {
	modelKey
	at, expires Time
	forced      int
}

// prefix returns the prefix of a row, where it is masked and of its family's length.
func (k modelKey) prefix() (p netip.Prefix, ok bool) {
	bits := 8 * len(k.addr)
	if bits != 32 && bits != 128 || k.len < 0 || k.len > bits {
		return p, false
	}
	for i := k.len; i < bits; i++ {
		if k.addr[i/8]&(0x80>>(i%8)) != 0 {
			return p, false
		}
	}
	if bits == 128 && k.addr[:12] == "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff" {
		return p, false // an IPv4 address has four bytes
	}
	a, _ := netip.AddrFromSlice([]byte(k.addr))
	return netip.PrefixFrom(a, k.len), true
}

// facts returns what a row says: nothing but its key if no facts make it, and 0 for what is ahead.
func (r modelReport) facts(ahead Time) modelReport {
	_, ok := r.prefix()
	ok = ok && r.lifted >= 0
	if r.at == 0 {
		ok = ok && r.expires == 0 && r.forced == 0 && r.longest == 0 && r.lifted != 0
	} else {
		ok = ok && r.at > 0 && r.expires > r.at && r.longest >= r.expires && r.forced >= 0 && r.forced <= r.at
	}
	if !ok {
		return modelReport{modelKey: r.modelKey}
	}
	if r.at > ahead {
		r.at, r.expires, r.forced, r.longest = 0, 0, 0, 0
	}
	if r.lifted > ahead {
		r.lifted = 0
	}
	return r
}

func (l modelLift) fact(ahead Time) bool {
	_, ok := l.prefix()
	return ok && l.at >= 1 && l.at <= ahead
}

func (e modelEvent) fact(ahead Time) bool {
	_, ok := e.prefix()
	return ok && e.at >= 1 && e.at <= ahead && (e.expires == 0 || e.expires > e.at) && (e.forced == 0 || e.forced == 1)
}

// covers reports whether the row k of lift, or an exact lift, is about the reports of a row.
func (k modelKey) covers(r modelKey) bool {
	wide, _ := k.prefix()
	p, ok := r.prefix()
	return ok && (k.source == "" || k.source == r.source) && (k.reason == "" || k.reason == r.reason) &&
		wide.Bits() <= p.Bits() && wide.Contains(p.Addr())
}

// newestLift is the time of the newest lift that covers a row, its own included.
func (m *rowModel) newestLift(r modelReport, ahead Time) Time {
	newest := r.facts(ahead).lifted
	for _, l := range m.lifts {
		if l.fact(ahead) && l.covers(r.modelKey) {
			newest = max(newest, l.at)
		}
	}
	return newest
}

// active returns the active reports, a line each, as activeLines of a store does.
func (m *rowModel) active(now Time) string {
	var lines []string
	for _, r := range m.standing(now) {
		p, _ := r.prefix()
		lines = append(lines, fmt.Sprint(p, r.source, r.reason, r.at, r.expires, r.forced == r.at))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (m *rowModel) standing(now Time) (standing []modelReport) {
	for _, row := range m.reports {
		r := row.facts(now.Add(maxAhead))
		if r.at > m.newestLift(row, now.Add(maxAhead)) && r.expires > now && !slices.Contains(m.blocked, r.source) {
			standing = append(standing, r)
		}
	}
	return standing
}

// bans are the prefixes banned, and whether by force.
func (m *rowModel) bans(now Time) string {
	bans := map[netip.Prefix]bool{}
	for _, r := range m.standing(now) {
		p, _ := r.prefix()
		bans[p] = bans[p] || r.forced == r.at
	}
	return fmt.Sprint(bans)
}

// about returns the reports and the wider lifts on prefixes that overlap p, a line each.
func (m *rowModel) about(p netip.Prefix, now Time) string {
	var lines []string
	ahead := now.Add(maxAhead)
	for _, row := range m.reports {
		r := row.facts(ahead)
		if q, ok := r.prefix(); ok && q.Overlaps(p) && r.at+r.lifted > 0 {
			lines = append(lines, fmt.Sprint(q, r.source, r.reason, r.at, r.expires, r.at > 0 && r.forced == r.at,
				m.newestLift(row, ahead), slices.Contains(m.blocked, r.source)))
		}
	}
	for _, l := range m.lifts {
		if q, _ := l.prefix(); l.fact(ahead) && q.Overlaps(p) {
			lines = append(lines, fmt.Sprint("lift ", q, l.source, l.reason, l.at))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// newestAbout is the newest of what a fact made now is about.
func (m *rowModel) newestAbout(f Fact, ahead Time) (newest Time) {
	key := keyOf(f)
	for _, row := range m.reports {
		if r := row.facts(ahead); r.modelKey == key || f.Lift && key.covers(r.modelKey) {
			if newest = max(newest, r.at); !f.Lift {
				newest = max(newest, r.lifted)
			}
		}
	}
	for _, l := range m.lifts {
		if !f.Lift && l.fact(ahead) && l.covers(key) {
			newest = max(newest, l.at)
		}
	}
	return newest
}

func keyOf(f Fact) modelKey {
	return modelKey{string(f.Prefix.Addr().AsSlice()), f.Prefix.Bits(), f.Source, f.Reason}
}

// merge merges a fact: what is no fact counts for nothing, then the later (time, expiry) and the maxima stand.
func (m *rowModel) merge(f Fact, ahead Time) {
	key := keyOf(f)
	if f.Lift && !(f.Source != "" && f.Reason != "" && f.Prefix.IsSingleIP()) {
		for i, r := range m.reports {
			if key.covers(r.modelKey) && (r.at > ahead || r.lifted > ahead) {
				m.reports[i] = r.facts(ahead)
			}
		}
		i := slices.IndexFunc(m.lifts, func(l modelLift) bool { return l.modelKey == key })
		if i < 0 {
			i, m.lifts = len(m.lifts), append(m.lifts, modelLift{modelKey: key})
		}
		if l := &m.lifts[i]; l.at < f.At || l.at > ahead {
			l.at = f.At
		}
		return
	}
	i := slices.IndexFunc(m.reports, func(r modelReport) bool { return r.modelKey == key })
	if i < 0 {
		i, m.reports = len(m.reports), append(m.reports, modelReport{modelKey: key})
	}
	r := m.reports[i].facts(ahead)
	if f.Lift {
		r.lifted = max(r.lifted, f.At)
	} else {
		if f.At > r.at || f.At == r.at && (f.Forced && r.forced != r.at || f.Forced == (r.forced == r.at) &&
			f.Expires() > r.expires) {
			r.at, r.expires = f.At, f.Expires()
		}
		if f.Forced {
			r.forced = max(r.forced, f.At)
		}
		r.longest = max(r.longest, f.Expires())
	}
	m.reports[i] = r
}

// rows returns the rows of report and lift as dumpRows does, those that say nothing left out.
func (m *rowModel) rows(ahead Time) string {
	var lines []string
	for _, row := range m.reports {
		if r := row.facts(ahead); r.at+r.lifted > 0 {
			lines = append(lines, fmt.Sprintf("%x/%d %q %q %v", r.addr, r.len, r.source, r.reason,
				[]Time{r.at, r.expires, r.forced, r.longest, r.lifted}))
		}
	}
	for _, l := range m.lifts {
		if l.fact(ahead) {
			lines = append(lines, fmt.Sprintf("lift %x/%d %q %q %d", l.addr, l.len, l.source, l.reason, l.at))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// raw returns the rows of report and lift as they are.
func (m *rowModel) raw() string {
	var lines []string
	for _, r := range m.reports {
		lines = append(lines, fmt.Sprintf("%x %+v", r.addr, r))
	}
	for _, l := range m.lifts {
		lines = append(lines, fmt.Sprintf("lift %x %+v", l.addr, l))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
