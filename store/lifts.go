package store

import (
	"context"
	"database/sql"
	"net/netip"
)

// lifts holds the wider lifts for the question which of them is the newest that covers a report.
type lifts struct {
	byPrefix map[netip.Prefix][]Fact
	bits     [2][]int // the prefix lengths that occur, IPv4 and IPv6: only these are looked up
	named    bool     // some are of one source or reason only

	// The first two bytes of the addresses that are lifted, IPv4 and IPv6: most reports need no further look.
	maybe [2][1 << 16 / 64]uint64
}

func (l *lifts) any() bool { return len(l.byPrefix) > 0 }

func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// start returns the first two bytes of a.
func start(a netip.Addr) int {
	if a.Is4() {
		b := a.As4()
		return int(b[0])<<8 | int(b[1])
	}
	b := a.As16()
	return int(b[0])<<8 | int(b[1])
}

func (l *lifts) add(f Fact) {
	if l.byPrefix == nil {
		l.byPrefix = map[netip.Prefix][]Fact{}
	}
	l.byPrefix[f.Prefix] = append(l.byPrefix[f.Prefix], f)
	l.named = l.named || f.Source != "" || f.Reason != ""
	first := start(f.Prefix.Addr())
	for i := first; i <= first|0xffff>>min(f.Prefix.Bits(), 16); i++ {
		l.maybe[family(f.Prefix)][i/64] |= 1 << (i % 64)
	}
	bits := &l.bits[family(f.Prefix)]
	for _, b := range *bits {
		if b == f.Prefix.Bits() {
			return
		}
	}
	*bits = append(*bits, f.Prefix.Bits())
}

// newest returns the time of the newest lift that covers reports of source and reason on p, zero if there is none.
func (l *lifts) newest(p netip.Prefix, source, reason string) (at Time) {
	if i := start(p.Addr()); l.maybe[family(p)][i/64]>>(i%64)&1 == 0 {
		return 0
	}
	for _, bits := range l.bits[family(p)] {
		if bits > p.Bits() {
			continue
		}
		wider, _ := p.Addr().Prefix(bits)
		for _, f := range l.byPrefix[wider] {
			if f.At > at && f.covers(p, source, reason) {
				at = f.At
			}
		}
	}
	return at
}

// readLifts reads all wider lifts.
func (s *Store) readLifts(ctx context.Context, conn *sql.Conn) (*lifts, error) {
	l := &lifts{}
	err := s.query(ctx, conn, s.sane("SELECT addr, len, source, reason, at FROM lift WHERE "+validLift), nil, func(scan scanner) error {
		f, err := scanLift(scan)
		if err == nil && f.Prefix.IsValid() {
			l.add(f)
		}
		return err
	})
	return l, err
}

// scanLift reads a row (addr, len, source, reason, at). Where it makes no sense, the prefix is not valid.
func scanLift(scan scanner) (Fact, error) {
	var key rowKey
	f := Fact{Lift: true}
	if err := scan(&key.addr, &key.len, &key.source, &key.reason, &f.At); err != nil {
		return f, err
	}
	f.Prefix, _ = key.prefix()
	f.Source, f.Reason = string(key.source), string(key.reason)
	return f, nil
}
