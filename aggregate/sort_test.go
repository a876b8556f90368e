package aggregate

import (
	"slices"
	"testing"
)

// TestSortStable: spans with the same first address stay in the order they
// came in where digits are counted, and below that no other memory is used.
func TestSortStable(t *testing.T) {
	for _, n := range []int{2, radixFrom - 1, radixFrom, radixFrom + 1} {
		words := make([]span4, n)
		for i := range words {
			words[i] = span4((n-i)/32)<<32 | span4(n-i) // 32 begin alike
		}
		want := slices.Clone(words)
		if n < radixFrom {
			slices.Sort(want)
		} else {
			slices.SortStableFunc(want, func(a, b span4) int { return int(a>>32) - int(b>>32) })
		}
		got := sortWords(words, 32)
		if !slices.Equal(got, want) {
			t.Errorf("%d spans are in another order", n)
		}
		if n < radixFrom && &got[0] != &words[0] {
			t.Errorf("%d spans were moved", n)
		}
	}
}
