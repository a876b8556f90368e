package aggregate

import (
	"slices"
	"testing"
)

// TestTrim: what costs more than the most is cut off both ends, what costs as
// much stays, and never is nothing left.
func TestTrim(t *testing.T) {
	tr := &trie{unit: 1}
	// With the price 10 that is 130, 90, 70, 70, 80 for 3 to 7 prefixes.
	extra, left := []u128{{0, 100}, {0, 50}, {0, 20}, {0, 10}, {0, 10}}, []int32{0, 1, 2, 3, 4}
	for _, c := range []struct {
		most     float64
		from, to int
	}{{1000, 3, 7}, {130, 3, 7}, {129, 4, 7}, {90, 4, 7}, {80, 5, 7}, {79, 5, 6}, {70, 5, 6}, {69, 7, 7}, {0, 7, 7}} {
		got, choice := tr.trim(costs{3, extra}, left, c.most, 10)
		if got.least != c.from || got.most() != c.to || !slices.Equal(got.extra, extra[c.from-3:c.to-2]) {
			t.Errorf("at most %v: got costs %v", c.most, got)
		}
		if choice.least != c.from || !slices.Equal(choice.left, left[c.from-3:c.to-2]) {
			t.Errorf("at most %v: got choices %v", c.most, choice)
		}
	}
}
