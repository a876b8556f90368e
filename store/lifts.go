package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"net/netip"
)

// lifts holds the wider lifts for the question which of them is the newest that covers a report. However many there
// are, a question costs at most four lookups for each prefix length that occurs.
type lifts struct {
	byLen [2][]*liftsOfLen  // IPv4 and IPv6
	names map[string]uint32 // numbers the sources and reasons from 1

	// A bit for the hash of each address and prefix length. Most reports need no further look: one in the map of a
	// million lifts costs as much as all else that is done with a report.
	maybe []uint64
}

const maybeLog = 23 // of the number of bits: 1 MB

// liftsOfLen are the lifts of one prefix length.
type liftsOfLen struct {
	bits   int
	kinds  [4]bool // which of the kinds of newest occur
	newest map[liftKey]Time
}

// liftKey is what a lift is about. Of several about the same only the newest counts.
type liftKey struct {
	addr           addrBits
	source, reason uint32 // their numbers, 0: any
}

// addrBits are the bits of an address from the left, the 32 of an IPv4 one followed by zeros.
type addrBits struct{ high, low uint64 }

func bitsOf(a netip.Addr) addrBits {
	if a.Is4() {
		b := a.As4()
		return addrBits{high: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return addrBits{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// masked keeps the first n bits.
func (b addrBits) masked(n int) addrBits {
	if n <= 64 {
		return addrBits{high: b.high &^ (1<<(64-n) - 1)}
	}
	return addrBits{b.high, b.low &^ (1<<(128-n) - 1)}
}

// maybeBit returns the place in lifts.maybe.
func (b addrBits) maybeBit(bits int) (word int, bit uint64) {
	i := (b.high + b.low*0xff51afd7ed558ccd + uint64(bits)) * 0x9e3779b97f4a7c15 >> (64 - maybeLog)
	return int(i / 64), 1 << (i % 64)
}

func (l *lifts) any() bool { return len(l.byLen[0])+len(l.byLen[1]) > 0 }

// named reports whether some are of one source or reason only.
func (l *lifts) named() bool { return len(l.names) > 0 }

func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// number returns the number of a source or reason, 0 for any.
func (l *lifts) number(name string) uint32 {
	n, ok := l.names[name]
	if name == "" || ok {
		return n
	}
	if l.names == nil {
		l.names = map[string]uint32{}
	}
	n = uint32(len(l.names) + 1)
	l.names[name] = n
	return n
}

func (l *lifts) ofLen(family, bits int) *liftsOfLen {
	for _, of := range l.byLen[family] {
		if of.bits == bits {
			return of
		}
	}
	of := &liftsOfLen{bits: bits, newest: map[liftKey]Time{}}
	l.byLen[family] = append(l.byLen[family], of)
	return of
}

func (l *lifts) add(f Fact) {
	of := l.ofLen(family(f.Prefix), f.Prefix.Bits())
	key := liftKey{bitsOf(f.Prefix.Addr()), l.number(f.Source), l.number(f.Reason)}
	of.newest[key] = max(of.newest[key], f.At)
	kind := 0
	if f.Source != "" {
		kind |= 1
	}
	if f.Reason != "" {
		kind |= 2
	}
	of.kinds[kind] = true
	if l.maybe == nil {
		l.maybe = make([]uint64, 1<<maybeLog/64)
	}
	word, bit := key.addr.maybeBit(of.bits)
	l.maybe[word] |= bit
}

// newest returns the time of the newest lift that covers reports of source and reason on p, zero if there is none.
func (l *lifts) newest(p netip.Prefix, source, reason string) (at Time) {
	addr := bitsOf(p.Addr())
	for _, of := range l.byLen[family(p)] {
		if of.bits > p.Bits() {
			continue
		}
		key := liftKey{addr: addr.masked(of.bits)}
		if word, bit := key.addr.maybeBit(of.bits); l.maybe[word]&bit == 0 {
			continue
		}
		s, r := l.names[source], l.names[reason] // where no lift names it, that of any
		for kind, occurs := range of.kinds {
			if occurs {
				key.source, key.reason = s*uint32(kind&1), r*uint32(kind>>1)
				at = max(at, of.newest[key])
			}
		}
	}
	return at
}

// readLifts reads all wider lifts.
func (s *Store) readLifts(ctx context.Context, conn *sql.Conn) (*lifts, error) {
	l := &lifts{}
	query := s.sane("SELECT addr, len, source, reason, at FROM lift WHERE " + validLift)
	return l, s.queryRaw(ctx, conn, query, nil, 5, func(row []driver.Value) {
		if f, ok := liftOf(row); ok {
			l.add(f)
		}
	})
}

// liftOf reads a row (addr, len, source, reason, at). A name that is none, as a NULL, must not count as any.
func liftOf(row []driver.Value) (f Fact, ok bool) {
	addr, ok1 := bytesOf(row[0])
	bits, ok2 := row[1].(int64)
	source, ok3 := bytesOf(row[2])
	reason, ok4 := bytesOf(row[3])
	at, ok5 := row[4].(int64)
	p, err := prefixOf(addr, int(bits))
	f = Fact{Lift: true, Prefix: p, Source: string(source), Reason: string(reason), At: Time(at)}
	return f, ok1 && ok2 && ok3 && ok4 && ok5 && err == nil
}

func bytesOf(v driver.Value) (b []byte, ok bool) {
	switch v := v.(type) {
	case []byte:
		return v, true
	case string: // SQLite keeps what was written as text
		return []byte(v), true
	}
	return nil, false
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
