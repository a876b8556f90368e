package aggregate

import (
	"slices"
	"sync"
)

// Below this many words the counting tables cost more than they save.
const radixFrom = 1 << 12

const (
	digitBits = 11 // three digits make 32 bits; the tables stay in the first-level cache
	digits    = 1 << digitBits
)

// sortWords sorts by the 32 bits from bit low upwards: an IPv4 address, or
// the first address of a span4. It returns the sorted words, in memory of
// their own or in that of words, which is used up.
func sortWords[W ~uint32 | ~uint64](words []W, low int) []W {
	if slices.IsSorted(words) {
		return words // a database's primary key, another list maker's output
	}
	if len(words) < radixFrom {
		slices.Sort(words)
		return words
	}
	other := make([]W, len(words))
	for shift := low; shift < low+32; shift += digitBits {
		sortDigit(words, other, shift)
		words, other = other, words
	}
	return words
}

// sortDigit moves from into to, stably by the digit at shift. Two workers
// count and move one half each.
func sortDigit[W ~uint32 | ~uint64](from, to []W, shift int) {
	half := len(from) / 2
	part := [2][]W{from[:half], from[half:]}
	var at [2][digits]int // first the count, then the place of each worker's next word
	inPair(func(w int) {
		for _, x := range part[w] {
			at[w][x>>shift%digits]++
		}
	})
	sum := 0
	for d := range digits {
		for w := range at {
			sum, at[w][d] = sum+at[w][d], sum
		}
	}
	inPair(func(w int) {
		place := &at[w]
		for _, x := range part[w] {
			d := x >> shift % digits
			to[place[d]] = x
			place[d]++
		}
	})
}

// inPair runs work(0) and work(1) side by side.
func inPair(work func(worker int)) {
	var wg sync.WaitGroup
	wg.Go(func() { work(1) })
	work(0)
	wg.Wait()
}
