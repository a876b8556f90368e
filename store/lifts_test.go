package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// nestedPrefix draws prefixes that lie in each other or are equal, of all lengths. The bytes of the IPv6 ones begin as
// those of the IPv4 ones do.
func nestedPrefix(r *rand.Rand) netip.Prefix {
	var b [16]byte
	copy(b[:], []byte{203, 0, 113, byte(r.IntN(4))})
	binary.BigEndian.PutUint64(b[8:], uint64(r.IntN(3)))
	a := netip.AddrFrom16(b)
	if r.IntN(2) == 0 {
		a = netip.AddrFrom4([4]byte(b[:4]))
	}
	bits := pick(r, 0, 1, 8, 16, a.BitLen()-1, a.BitLen(), a.BitLen(), r.IntN(a.BitLen()+1))
	return netip.PrefixFrom(a, bits).Masked()
}

// TestLiftsModel: the newest lift that covers a report is the one found by looking at all lifts.
func TestLiftsModel(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var all []Fact
		var l lifts
		for range r.IntN(30) {
			f := Fact{Lift: true, Prefix: nestedPrefix(r), Source: pick(r, "", "a", "b"), Reason: pick(r, "", "a", "x", "y"),
				At: Time(1 + r.IntN(20))}
			all = append(all, f)
			l.add(f)
		}
		if l.any() != (len(all) > 0) {
			t.Fatalf("seed %d: any is %v with %d lifts", seed, l.any(), len(all))
		}
		for range 50 {
			p, source, reason := nestedPrefix(r), pick(r, "a", "b", "c"), pick(r, "a", "x", "z")
			var want Time
			for _, f := range all {
				if f.covers(p, source, reason) {
					want = max(want, f.At)
				}
			}
			if got := l.newest(p, source, reason); got != want {
				t.Fatalf("seed %d: %v of %s for %s: %d, want %d\nlifts: %v", seed, p, source, reason, got, want, all)
			}
		}
	}
}

// TestLiftsOfOnePrefix: a report is looked up as fast beside 50,000 lifts of its prefix as beside one.
func TestLiftsOfOnePrefix(t *testing.T) {
	took := func(n int) time.Duration {
		var l lifts
		for i := range n {
			l.add(lift("0.0.0.0/0", "", fmt.Sprint("reason", i), Time(i+1)))
		}
		p := netip.MustParsePrefix("203.0.113.6/32")
		start := time.Now()
		for range 5000 {
			if l.newest(p, "web1", "reason0") != 1 || l.newest(p, "web1", "sshd") != 0 {
				t.Fatal("not the lift for this reason")
			}
		}
		return time.Since(start)
	}
	if one, many := took(1), took(50_000); many > 200*one+100*time.Millisecond {
		t.Errorf("5,000 reports beside one lift %v, beside 50,000 %v", one, many)
	}
}

// TestLiftsRepeated: a lift that is added again takes no more room, and the newest counts.
func TestLiftsRepeated(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var l lifts
	before := heap()
	for i := range 100_000 {
		l.add(lift("203.0.113.0/24", "", "", Time(1+i*7919%100_000)))
	}
	if grown := heap() - before; grown > 4<<20 { // 100,000 of them would be more
		t.Errorf("100,000 times the same lift: %d bytes", grown)
	}
	if at := l.newest(netip.MustParsePrefix("203.0.113.6/32"), "web1", "sshd"); at != 100_000 {
		t.Error("not the newest lift:", at)
	}
}

// TestLiftAsText: a lift of one source that somebody wrote into SQLite as text is not one of any source.
func TestLiftAsText(t *testing.T) {
	s := initStore(t, sqliteOptions(t))
	at := Time(1_700_000_000_000_000)
	check(t, s.Write(t.Context(), []Fact{
		report("203.0.113.6/32", "web1", at, Forever), report("203.0.113.7/32", "web2", at, Forever)}))
	_, err := s.db.Exec("INSERT INTO lift (addr, len, source, reason, at) VALUES (X'CB007100', 24, 'web1', '', ?)", at)
	check(t, err)
	wantBanned(t, s, "203.0.113.7/32")
}
