package aggregate

import (
	"fmt"
	"math"
	"math/bits"
)

// Extra counts the addresses that a fitted set has and the original had not.
type Extra struct {
	IPv4 uint64 // addresses, at most 1<<32
	IPv6 uint64 // /64s, rounded up, at most 1<<64 - 1
}

// BudgetError says that no set of so few prefixes covers everything without
// covering something that is to be avoided.
type BudgetError struct {
	Budget   int // the number asked for
	Smallest int // the smallest number that is possible
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("fit into %d prefixes: the smallest possible number is %d", e.Budget, e.Smallest)
}

// Fit returns the set of at most n prefixes that covers every address of s,
// no address of avoid (nil avoids nothing; what is in both is left out), and
// the fewest others, which it counts. One IPv4 address weighs as much as one
// IPv6 /64, a part of a /64 as much less as it is smaller; n is shared between
// IPv4 and IPv6 so that the sum is least. The result is an exact optimum, not
// an approximation. The error is a *BudgetError. s and avoid stay as they are.
//
// It is a knapsack on a tree: f(node, k) is the least of covering the node
// whole and f(left, i) + f(right, k-i) over all i. That takes time in
// proportion to s.Len() times n at worst; bound.go makes it much less.
func (s *Set) Fit(n int, avoid *Set) (*Set, Extra, error) {
	if avoid == nil {
		avoid = new(Set)
	}
	s.normalise()
	avoid.normalise()
	exact := &Set{v4: s.v4.clone(), v6: s.v6.clone()}
	exact.Remove(avoid)
	from, never := exact.families(), avoid.families()
	t4 := newTrie(from[0], never[0], 1)
	t6 := newTrie(from[1], never[1], 1.0/(1<<64))
	smallest4, smallest6 := t4.smallest(), t6.smallest()
	if n < smallest4+smallest6 {
		return nil, Extra{}, &BudgetError{Budget: n, Smallest: smallest4 + smallest6}
	}
	if n >= len(t4.blocks)+len(t6.blocks) {
		return exact, Extra{}, nil
	}

	lim := findLimit(n, [2]*trie{t4, t6})
	cost4, cost6 := t4.solve(n-smallest6, lim), t6.solve(n-smallest4, lim)
	n4, n6 := share(n, cost4, cost6)
	fitted := new(Set)
	to := fitted.families()
	t4.collect(t4.root(), n4, to[0])
	t6.collect(t6.root(), n6, to[1])

	whole, part := cost6.at(n6).hi, cost6.at(n6).lo
	if part > 0 && whole < math.MaxUint64 {
		whole++
	}
	return fitted, Extra{IPv4: cost4.at(n4).lo, IPv6: whole}, nil
}

// share divides n between the families at the least weight. An IPv4 address
// weighs 1<<64 IPv6 addresses, so its count is added to the upper word.
func share(n int, cost4, cost6 costs) (n4, n6 int) {
	var best [3]uint64
	found := false
	for k := cost4.least; k <= cost4.most() && k+cost6.least <= n; k++ {
		rest := min(n-k, cost6.most())
		c := cost6.at(rest)
		hi, carry := bits.Add64(cost4.at(k).lo, c.hi, 0)
		sum := [3]uint64{carry, hi, c.lo}
		if !found || less3(sum, best) {
			best, n4, n6, found = sum, k, rest, true
		}
	}
	return n4, n6
}

func less3(a, b [3]uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}
