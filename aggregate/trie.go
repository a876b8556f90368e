package aggregate

import "sort"

// trie is the compressed binary trie over one family's blocks:
//
//	          192.0.2.0/29
//	         /            \
//	 192.0.2.0/30      192.0.2.5
//	  /         \
//	192.0.2.0  192.0.2.3
//
// Its nodes are all the prefixes that an optimum needs: any other one could be
// narrowed to the node of the blocks it covers.
type trie struct {
	blocks []block // the leaves, ascending: the minimal prefixes
	nodes  []node  // the inner nodes, children before parents, the root last
	unit   float64 // the weight of one address

	// What Fit found out about each node, see bound.go and knapsack.go.
	dear, cheap []offer
	choice      []choice
}

// block is a prefix: its first address, and how many bits after it are free.
type block struct {
	first u128
	free  int
}

func (b block) span() span { return spanOf(b.first, b.free) }

// node is the smallest block that holds everything below it.
type node struct {
	block
	extra       u128  // addresses in block that are not in the set
	avoided     bool  // block has addresses that are to be avoided
	left, right child // the halves of block
}

// child is the index of an inner node, or ^ the index of a leaf.
type child int32

// newTrie makes the trie of f; both families are normalised.
func newTrie(f, avoid *family, unit float64) *trie {
	t := &trie{unit: unit}
	for s := range f.spans {
		for first, free := range s.blocks {
			t.blocks = append(t.blocks, block{first, free})
		}
	}
	if len(t.blocks) > 1 {
		t.nodes = make([]node, 0, len(t.blocks)-1)
		t.grow(0, len(t.blocks), avoid)
	}
	return t
}

// grow adds the node over blocks[lo:hi] and all below it. It returns which it
// is, and how many addresses of the set are below it (0 for all of IPv6,
// which has no other node).
func (t *trie) grow(lo, hi int, avoid *family) (child, u128) {
	if hi-lo == 1 {
		s := t.blocks[lo].span()
		return ^child(lo), s.last.sub(s.first).next()
	}
	first, last := t.blocks[lo].first, t.blocks[hi-1].first
	free := first.xor(last).len()
	n := node{block: block{first.andNot(lowBits(free)), free}}
	end := block{n.first, free - 1}.span().last // of the left half
	middle := lo + sort.Search(hi-lo, func(i int) bool { return end.less(t.blocks[lo+i].first) })

	var inLeft, inRight u128
	n.left, inLeft = t.grow(lo, middle, avoid)
	n.right, inRight = t.grow(middle, hi, avoid)
	s, in := n.span(), inLeft.add(inRight)
	n.extra = s.last.sub(s.first).next().sub(in)
	n.avoided = avoid.overlaps(s)
	t.nodes = append(t.nodes, n)
	return child(len(t.nodes) - 1), in
}

// root is the last node, or the only leaf.
func (t *trie) root() child { return child(len(t.nodes) - 1) }

// weight is a number of addresses as what Fit minimises, rounded.
func (t *trie) weight(addresses u128) float64 {
	return (float64(addresses.hi)*(1<<64) + float64(addresses.lo)) * t.unit
}
