package aggregate

import (
	"math"
	"math/rand/v2"
	"testing"
)

// pairs has so many pairs of blocks. Each is worth a price of 2: one prefix
// over both has two addresses of IPv4 too many, or two /64s. Nothing larger is
// possible, because what lies between the pairs is avoided.
func pairs(four, six int) [2]*trie {
	var set, avoid Set
	for i := range max(four, six) {
		for _, at := range []uint64{0, 3} {
			if i < four {
				set.Add(toPrefix(false, u128{lo: uint64(i)<<8 | at}, 0))
				avoid.Add(toPrefix(false, u128{lo: uint64(i)<<8 | 128}, 0))
			}
			if i < six {
				set.Add(toPrefix(true, u128{hi: 1<<60 | uint64(i)<<8 | at}, 64))
				avoid.Add(toPrefix(true, u128{hi: 1<<60 | uint64(i)<<8 | 128}, 0))
			}
		}
	}
	set.normalise()
	avoid.normalise()
	from, never := set.families(), avoid.families()
	return [2]*trie{newTrie(from[0], never[0], 1), newTrie(from[1], never[1], 1.0/(1<<64))}
}

// sizes are how many pairs there are in IPv4 and IPv6.
var sizes = [][2]int{{1, 0}, {0, 1}, {5, 0}, {0, 4}, {1, 1}, {3, 4}, {40, 9}}

// TestOffers: a pair is covered whole from the price on that it is worth.
func TestOffers(t *testing.T) {
	for _, size := range sizes {
		for f, tr := range pairs(size[0], size[1]) {
			k := size[f]
			apart, whole := offer{0, 2 * k}, offer{float64(2 * k), k}
			prices := map[float64]offer{cheapest: apart, 1.999: apart, 2: whole, 2.001: whole, dearest: whole}
			for price, want := range prices {
				if got := tr.offer(tr.offers(nil, price), tr.root()); got != want {
					t.Errorf("%d pairs at %v: %v, want %v", k, price, got, want)
				}
			}
			if got := tr.smallest(); got != k {
				t.Errorf("%d pairs: the smallest number is %d", k, got)
			}
		}
	}
}

// TestMix: the first pairs come apart while there is room, the others are
// covered whole.
func TestMix(t *testing.T) {
	for _, size := range sizes {
		for f, tr := range pairs(size[0], size[1]) {
			k := size[f]
			tr.dear, tr.cheap = tr.offers(nil, 3), tr.offers(nil, 1)
			for room := range k + 3 {
				apart := min(room, k)
				if got, want := tr.mix(tr.root(), room), (offer{float64(2 * (k - apart)), k + apart}); got != want {
					t.Errorf("%d pairs, room for %d: %v, want %v", k, room, got, want)
				}
			}
		}
	}
}

// TestFindLimitPairs: where the optimum is known, and no cover is between it
// and the bound, the slack is no more than the margin for rounding.
func TestFindLimitPairs(t *testing.T) {
	for _, size := range sizes {
		tries := pairs(size[0], size[1])
		k := size[0] + size[1]
		for n := k; n < 2*k; n++ {
			lim := findLimit(n, tries)
			if n > k && math.Abs(lim.price-2) > 1e-9 || n == k && lim.price < 2 {
				t.Errorf("%d of %v pairs: price %v", n, size, lim.price)
			}
			if margin := 1e-9 * lim.price * float64(n); lim.slack <= 0 || lim.slack > margin {
				t.Errorf("%d of %v pairs: slack %v, margin %v", n, size, lim.slack, margin)
			}
		}
	}
}

// TestFindLimit: for every number of prefixes the price is one at which as
// many are taken, or the one below which it would be too many.
func TestFindLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 0))
	for range 50 {
		var set Set
		for range 2 + r.IntN(60) {
			set.Add(toPrefix(false, u128{lo: r.Uint64N(4)<<r.IntN(30) | r.Uint64N(64)}, r.IntN(2)*r.IntN(3)))
			set.Add(toPrefix(true, u128{hi: 1<<61 | r.Uint64N(4)<<r.IntN(40) | r.Uint64N(64)}, 64))
		}
		set.normalise()
		tries := [2]*trie{newTrie(&set.v4, new(family), 1), newTrie(&set.v6, new(family), 1.0/(1<<64))}
		count := func(price float64) (n int) {
			for _, tr := range tries {
				n += tr.offer(tr.offers(nil, price), tr.root()).count
			}
			return n
		}
		for n := tries[0].smallest() + tries[1].smallest(); n < len(tries[0].blocks)+len(tries[1].blocks); n++ {
			price := findLimit(n, tries).price
			if at, below := count(price), count(price*(1-1e-9)); at > n || at < n && below <= n {
				t.Errorf("%d prefixes: %d at the price %v, %d below it", n, at, price, below)
			}
		}
	}
}
