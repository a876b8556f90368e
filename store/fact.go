package store

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Time is a moment in microseconds since 1970-01-01 UTC, the precision of the store. Zero means not set.
type Time int64

// Permanent is the expiry of a report that never ends: a maximum value, so that it orders last.
const Permanent Time = math.MaxInt64

// Forever is the ban time of a report that never ends.
const Forever time.Duration = math.MaxInt64

// MaxName is the length in bytes to which sources and reasons are cut.
const MaxName = 64

// TimeOf truncates t to microseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Std returns t in UTC. It has no meaning for Permanent.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add returns t+d, or Permanent where that is beyond all times.
func (t Time) Add(d time.Duration) Time {
	if d == Forever || d > 0 && t > Permanent-Time(d.Microseconds()) {
		return Permanent
	}
	return t + Time(d.Microseconds())
}

// bantime is the inverse of Add.
func bantime(at, expires Time) time.Duration {
	if expires == Permanent {
		return Forever
	}
	return time.Duration(expires-at) * time.Microsecond
}

// Fact is a report or a lift.
type Fact struct {
	Lift    bool
	Prefix  netip.Prefix  // masked and unmapped
	Source  string        // 1 to 64 bytes; in a lift empty means any
	Reason  string        // 1 to 64 bytes; in a lift empty means any
	At      Time          // zero until Stamp
	Bantime time.Duration // of a report, from At to its expiry, more than zero; Forever never ends
	Forced  bool          // of a report: an admin insisted on a prefix that is wide or not globally routable
}

// Expires returns when a report ends. A lift has no end: zero.
func (f Fact) Expires() Time {
	if f.Lift {
		return 0
	}
	return f.At.Add(f.Bantime)
}

// exact reports whether a lift lives in the row of the report that it lifts. The others have rows of their own, since
// they also concern other rows.
func (f Fact) exact() bool {
	return f.Source != "" && f.Reason != "" && f.Prefix.IsSingleIP()
}

// covers reports whether the lift f is about reports of this source and reason on p. The time is not looked at.
func (f Fact) covers(p netip.Prefix, source, reason string) bool {
	return (f.Source == "" || f.Source == source) && (f.Reason == "" || f.Reason == reason) &&
		f.Prefix.Bits() <= p.Bits() && f.Prefix.Contains(p.Addr())
}

// badFact is an error that lies in a fact itself.
type badFact string

func (b badFact) Error() string { return string(b) }

// check says why a fact cannot be written.
func (f Fact) check(now Time) error {
	name := "report on"
	if f.Lift {
		name = "lift of"
	}
	fail := func(why string) error { return badFact(fmt.Sprintf("%s %v: %s", name, f.Prefix, why)) }
	switch {
	case !f.Prefix.IsValid() || f.Prefix != f.Prefix.Masked() || f.Prefix.Addr().Is4In6():
		return fail("not a masked prefix")
	case len(f.Source) > MaxName || len(f.Reason) > MaxName:
		return fail(fmt.Sprintf("source or reason longer than %d bytes", MaxName))
	case !f.Lift && (f.Source == "" || f.Reason == ""):
		return fail("no source or reason")
	case !f.Lift && f.Bantime < time.Microsecond: // the precision of the store
		return fail("no ban time")
	case f.At <= 0:
		return fail("no time")
	case f.At > now.Add(maxAhead):
		return fail(fmt.Sprintf("dated %s, more than %v ahead of the store's clock (%s): set this host's clock",
			f.At.Std().Format(time.RFC3339), maxAhead, now.Std().Format(time.RFC3339)))
	}
	return nil
}

// compare orders facts by the key of their row, the order in which every writer locks rows.
func (f Fact) compare(g Fact) int {
	if c := f.Prefix.Addr().Compare(g.Prefix.Addr()); c != 0 {
		return c // nearly always; cmp.Or compares everything
	}
	return cmp.Or(
		cmp.Compare(f.Prefix.Bits(), g.Prefix.Bits()),
		cmp.Compare(f.Source, g.Source),
		cmp.Compare(f.Reason, g.Reason),
		cmp.Compare(f.At, g.At),
	)
}
