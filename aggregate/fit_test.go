package aggregate

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// cover is one way to cover some of a small world's units: which, and with how
// many prefixes at least.
type cover struct {
	units uint16
	n     int
}

// covers lists every set of disjoint prefixes in a world of 1<<log units.
func covers(log int) []cover {
	if log == 0 {
		return []cover{{0, 0}, {1, 1}}
	}
	half := covers(log - 1)
	list := []cover{{1<<(1<<log) - 1, 1}}
	for _, a := range half {
		for _, b := range half {
			list = append(list, cover{a.units | b.units<<(1<<(log-1)), a.n + b.n})
		}
	}
	return list
}

// small is a world of 1<<log units for the brute force.
type small struct {
	world
	log    int
	covers []cover
}

func newSmall(base string, log, scale int) small {
	return small{world{base, netip.MustParseAddr(base), scale}, log, covers(log)}
}

func (s small) add(set *Set, units uint16) {
	for u := range 1 << s.log {
		if units>>u&1 == 1 {
			set.Add(s.prefix(u, 0))
		}
	}
}

// in gives the units of the world that the set covers whole, and fails if
// it covers one in part.
func (s small) in(t *testing.T, set *Set) (units uint16) {
	t.Helper()
	for u := range 1 << s.log {
		if set.Contains(s.prefix(u, 0)) {
			units |= 1 << u
		} else if set.Overlaps(s.prefix(u, 0)) {
			t.Fatalf("%v covers a part of %v", set.Prefixes(), s.prefix(u, 0))
		}
	}
	return units
}

// weigh is the weight of the extra units, in IPv6 addresses.
func (s small) weigh(units uint16) *big.Int {
	w := big.NewInt(int64(bits.OnesCount16(units)))
	w.Lsh(w, uint(s.scale))
	if s.base.Is4() {
		w.Lsh(w, 64)
	}
	return w
}

// cheapest[k] is the units that must be covered in addition with at most k
// prefixes, nil if impossible.
func (s small) cheapest(banned, avoid uint16) (best [17]*uint16) {
	for _, c := range s.covers {
		if c.units&banned != banned || c.units&avoid != 0 {
			continue
		}
		extra := c.units &^ banned
		if best[c.n] == nil || bits.OnesCount16(extra) < bits.OnesCount16(*best[c.n]) {
			best[c.n] = &extra
		}
	}
	for k := 1; k < len(best); k++ {
		if p := best[k-1]; p != nil && (best[k] == nil || bits.OnesCount16(*p) <= bits.OnesCount16(*best[k])) {
			best[k] = p
		}
	}
	return best
}

// TestFitBruteForce compares Fit with every possible cover: IPv4 alone, IPv6
// alone and both at several exchange rates, with and without avoided units.
func TestFitBruteForce(t *testing.T) {
	pairs := [][2]small{
		{newSmall("192.0.2.16", 3, 0), newSmall("2001:db8::", 3, 64)},
		{newSmall("192.0.2.16", 3, 0), newSmall("2001:db8::", 3, 60)},
		{newSmall("192.0.2.0", 3, 1), newSmall("2001:db8::", 3, 66)},
		{newSmall("255.255.255.240", 4, 0), newSmall("2001:db8::", 0, 0)},
		{newSmall("198.51.100.0", 0, 0), newSmall("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0", 4, 0)},
		{newSmall("0.0.0.0", 3, 29), newSmall("::", 3, 125)},
		{newSmall("0.0.0.0", 4, 28), newSmall("2001:db8:0:fffe::", 1, 64)},
		{newSmall("0.0.0.0", 1, 31), newSmall("::", 4, 124)},
	}
	for i, pair := range pairs {
		t.Run(fmt.Sprint(pair[0].name, " ", pair[1].name), func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, uint64(i)))
			cases := 500
			if pair[0].log == 4 || pair[1].log == 4 {
				cases = 100
			}
			for range cases {
				checkFit(t, pair, r)
			}
		})
	}
}

func checkFit(t *testing.T, pair [2]small, r *rand.Rand) {
	t.Helper()
	var set, avoid Set
	var banned [2]uint16
	var best [2][17]*uint16
	for f, s := range pair {
		mask := uint16(1<<(1<<s.log) - 1)
		banned[f] = uint16(r.Uint32()) & mask
		if r.IntN(3) == 0 {
			banned[f] &= uint16(r.Uint32())
		}
		x := r.Uint64()
		never := uint16(x) & uint16(x>>16) & uint16(x>>32) & mask
		if r.IntN(3) == 0 {
			never = 0
		}
		s.add(&set, banned[f])
		s.add(&avoid, never)
		banned[f] &^= never // what is in both is left out
		best[f] = s.cheapest(banned[f], never)
	}
	before := fmt.Sprint(set.Prefixes(), avoid.Prefixes())
	smallest := -1
	for n := range 2*16 + 1 {
		// The model: the lightest division of n.
		var want *big.Int
		for k := range n + 1 {
			if k > 16 || n-k > 16 || best[0][k] == nil || best[1][n-k] == nil {
				continue
			}
			w := new(big.Int).Add(pair[0].weigh(*best[0][k]), pair[1].weigh(*best[1][n-k]))
			if want == nil || w.Cmp(want) < 0 {
				want = w
			}
		}
		if want != nil && smallest < 0 {
			smallest = n
		}
		checkBudget(t, pair, banned, &set, &avoid, n, want)
	}
	// Every budget that was too small named the same smallest one.
	for n := -1; n < smallest; n++ {
		var e *BudgetError
		if _, _, err := set.Fit(n, &avoid); !errors.As(err, &e) || e.Smallest != smallest || e.Budget != n {
			t.Fatalf("Fit(%d) of %v avoiding %v: %v, want smallest %d", n, set.Prefixes(), avoid.Prefixes(), err, smallest)
		}
	}
	if after := fmt.Sprint(set.Prefixes(), avoid.Prefixes()); after != before {
		t.Fatalf("Fit changed its input from %s to %s", before, after)
	}
}

// checkBudget does one Fit and compares its result with the model's weight,
// nil if impossible.
func checkBudget(t *testing.T, pair [2]small, banned [2]uint16, set, avoid *Set, n int, want *big.Int) {
	t.Helper()
	fitted, extra, err := set.Fit(n, avoid)
	if want == nil {
		if err == nil {
			t.Fatalf("Fit(%d) of %v avoiding %v = %v, want an error", n, set.Prefixes(), avoid.Prefixes(), fitted.Prefixes())
		}
		return
	}
	if err != nil {
		t.Fatalf("Fit(%d) of %v avoiding %v: %v", n, set.Prefixes(), avoid.Prefixes(), err)
	}
	if fitted.Len() > n {
		t.Fatalf("Fit(%d) of %v = %v: too many", n, set.Prefixes(), fitted.Prefixes())
	}
	for p := range avoid.All() {
		if fitted.Overlaps(p) {
			t.Fatalf("Fit(%d) of %v = %v covers %v", n, set.Prefixes(), fitted.Prefixes(), p)
		}
	}
	got := new(big.Int)
	var reported [2]*big.Int
	for f, s := range pair {
		units := s.in(t, fitted)
		if units&banned[f] != banned[f] {
			t.Fatalf("Fit(%d) of %v = %v covers too little", n, set.Prefixes(), fitted.Prefixes())
		}
		reported[f] = s.weigh(units &^ banned[f])
		got.Add(got, reported[f])
	}
	if got.Cmp(want) != 0 {
		t.Fatalf("Fit(%d) of %v avoiding %v = %v: weight %v, want %v", n, set.Prefixes(), avoid.Prefixes(), fitted.Prefixes(), got, want)
	}
	// Both reported counts are the weight in /64s, rounded up.
	for f, n := range []uint64{extra.IPv4, extra.IPv6} {
		up := new(big.Int).Add(reported[f], new(big.Int).SetUint64(1<<64-1))
		if new(big.Int).SetUint64(n).Cmp(up.Rsh(up, 64)) != 0 {
			t.Fatalf("Fit reports %+v, the weight is %v", extra, reported)
		}
	}
}

// TestFitWhole covers the far end of the arithmetic: two addresses whose only
// common prefix is a whole family.
func TestFitWhole(t *testing.T) {
	set := new(Set)
	for _, a := range []string{"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		p, err := ParsePrefix(a)
		if err != nil {
			t.Fatal(err)
		}
		set.Add(p)
	}
	fitted, extra, err := set.Fit(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(fitted.Prefixes()); got != "[0.0.0.0/0 ::/0]" {
		t.Errorf("got %s", got)
	}
	if want := (Extra{IPv4: 1<<32 - 2, IPv6: 1<<64 - 1}); extra != want {
		t.Errorf("extra %+v, want %+v", extra, want)
	}
	if _, _, err := set.Fit(1, nil); err == nil || err.Error() != "fit into 1 prefixes: the smallest possible number is 2" {
		t.Errorf("got error %v", err)
	}
	if fitted, _, err := new(Set).Fit(0, nil); err != nil || fitted.Len() != 0 {
		t.Errorf("nothing fitted into nothing: %v, %v", fitted, err)
	}
}

// TestFitLimit compares Fit, which looks no further than bound.go says, with
// the whole knapsack, which the brute force has found right, on sets too large
// for the brute force.
func TestFitLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 0))
	for range 300 {
		var set, avoid Set
		for range 1 + r.IntN(12) { // clusters of every density in both families
			net4, net6 := r.Uint32(), 0x2001<<48|r.Uint64()>>16
			size := uint64(1) << r.IntN(10)
			for range r.IntN(40) {
				a := u128{lo: uint64(net4) + r.Uint64N(size)&0xffffffff}
				set.Add(toPrefix(false, a, r.IntN(2)*r.IntN(3)))
			}
			for range r.IntN(20) {
				set.Add(toPrefix(true, u128{net6 + r.Uint64N(size), r.Uint64N(size)}, r.IntN(2)*64))
			}
			if r.IntN(2) == 0 {
				avoid.Add(toPrefix(false, u128{lo: uint64(net4) + r.Uint64N(size)&0xffffffff}, 0))
				avoid.Add(toPrefix(true, u128{net6 + r.Uint64N(size), 0}, 0))
			}
		}
		set.Remove(&avoid)
		for range 12 {
			n := 1 + r.IntN(set.Len()+1)
			t4, t6 := newTrie(&set.v4, &avoid.v4, 1), newTrie(&set.v6, &avoid.v6, 1.0/(1<<64))
			least4, least6 := t4.smallest(), t6.smallest()
			if n < least4+least6 {
				n = least4 + least6
			}
			everything := limit{price: 0, slack: math.Inf(1)}
			cost4, cost6 := t4.solve(n-least6, everything), t6.solve(n-least4, everything)
			n4, n6 := share(n, cost4, cost6)

			fitted, extra, err := set.Fit(n, &avoid)
			if err != nil || fitted.Len() > n {
				t.Fatalf("Fit(%d): %v, %v", n, fitted, err)
			}
			got4, got6 := difference(&fitted.v4, &set.v4), difference(&fitted.v6, &set.v6)
			want4, want6 := cost4.at(n4), cost6.at(n6)
			if sum(got4, got6) != sum(want4, want6) || extra.IPv4 != got4.lo {
				t.Fatalf("Fit(%d) of %v avoiding %v: extra %v and %v, want %v and %v",
					n, set.Prefixes(), avoid.Prefixes(), got4, got6, want4, want6)
			}
		}
	}
}

// sum is the weight of extra addresses in both families, here no more than fits.
func sum(four, six u128) u128 { return six.add(u128{four.lo, 0}) }

// difference is how many addresses f has and g, a part of f, has not.
func difference(f, g *family) (n u128) {
	f.normalise()
	for s := range f.spans {
		n = n.add(s.last.sub(s.first).next())
	}
	for s := range g.spans {
		n = n.sub(s.last.sub(s.first).next())
	}
	return n
}
