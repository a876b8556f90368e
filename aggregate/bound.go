package aggregate

import "math"

// This file makes Fit fast without making it inexact. Suppose each prefix had
// a price: then every node could decide alone whether to be covered whole, or
// by the best of its halves, in one pass. At a price where that takes about n
// prefixes in all, the result is nearly the optimum for n, and it bounds how
// far from its own best choice a node can be in the optimum. The knapsack
// needs to look no further, which saves nearly all of its work.
//
// Rounding does no harm: it is far below the margin, which only makes the
// knapsack look further.

// offer is the best cover of a node at a price: the weight of its extra
// addresses and the number of its prefixes.
type offer struct {
	weight float64
	count  int
}

func (o offer) at(price float64) float64 { return o.weight + price*float64(o.count) }

func (o offer) plus(p offer) offer { return offer{o.weight + p.weight, o.count + p.count} }

// limit is what a node may cost above its best offer.
type limit struct {
	price float64
	slack float64
}

// dearest is a price at which every prefix that can be saved is: no weight
// comes near it. At cheapest none is.
const (
	dearest  = 1 << 80
	cheapest = 1.0 / (1 << 120)
)

// offers computes every node's offer at a price into list. A tie takes fewer
// prefixes.
func (t *trie) offers(list []offer, price float64) []offer {
	list = list[:0]
	for _, n := range t.nodes {
		best := t.offer(list, n.left).plus(t.offer(list, n.right))
		if whole := (offer{t.weight(n.extra), 1}); !n.avoided && whole.at(price) <= best.at(price) {
			best = whole
		}
		list = append(list, best)
	}
	return list
}

func (t *trie) offer(list []offer, c child) offer {
	switch {
	case c >= 0:
		return list[c]
	case len(t.blocks) == 0:
		return offer{0, 0}
	}
	return offer{0, 1} // a leaf
}

// smallest is the number of prefixes that cannot be undercut.
func (t *trie) smallest() int {
	t.dear = t.offers(nil, dearest)
	return t.offer(t.dear, t.root()).count
}

// findLimit finds the price for n prefixes shared by the tries, and the slack.
func findLimit(n int, tries [2]*trie) limit {
	low, high := cheapest, float64(dearest)
	for high/low > 1+1e-12 {
		price := math.Sqrt(low * high)
		count := 0
		for _, t := range tries {
			t.cheap = t.offers(t.cheap, price)
			count += t.offer(t.cheap, t.root()).count
		}
		if count > n {
			low = price
			continue
		}
		high = price
		if count == n {
			break
		}
	}
	// Any cover by at most n prefixes weighs at least best.at(high) - high*n.
	// One that exists bounds the optimum from above.
	var best offer
	var above float64
	for _, t := range tries {
		t.dear, t.cheap = t.offers(t.dear, high), t.offers(t.cheap, low)
		best = best.plus(t.offer(t.dear, t.root()))
	}
	room := n - best.count
	for _, t := range tries {
		mixed := t.mix(t.root(), room)
		above += mixed.weight
		room -= mixed.count - t.offer(t.dear, t.root()).count
	}
	margin := 1e-10 * (best.at(high) + high*float64(n))
	return limit{high, above - (best.at(high) - high*float64(n)) + margin}
}

// mix is a cover of c that takes the cheap price's offer for as many nodes as
// there is room for more prefixes, and the dear price's for the others.
func (t *trie) mix(c child, room int) offer {
	dear, cheap := t.offer(t.dear, c), t.offer(t.cheap, c)
	if cheap.count-dear.count <= room {
		return cheap
	}
	if dear.count == 1 {
		return dear
	}
	n := t.nodes[c]
	left := t.mix(n.left, room)
	room -= left.count - t.offer(t.dear, n.left).count
	return left.plus(t.mix(n.right, room))
}
