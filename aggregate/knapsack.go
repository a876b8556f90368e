package aggregate

import "sort"

// trie is the compressed binary trie over one family's blocks. A node is a run
// of them, blocks[lo:hi]; the smallest block that holds them all stands for
// it, and its children are the two halves of that block:
//
//	            192.0.2.0/29   [0:3]
//	           /            \
//	   192.0.2.0/30 [0:2]   192.0.2.5 [2:3]
//	    /         \
//	192.0.2.0   192.0.2.3
//
// An optimum consists of such nodes: any other prefix could be narrowed to
// the node of the blocks it covers.
type trie struct {
	blocks []block
	size   []u128  // size[i] is the number of addresses in blocks[:i], modulo 1<<128
	avoid  *family // normalised
	budget int
	// choice[mid][k-2 or more] is how many of k prefixes the left child gets,
	// for the node whose right child begins at mid: each node has its own mid.
	choice []choices
}

// block is a prefix: its first address, and how many bits after it are free.
type block struct {
	first u128
	free  int
}

func (b block) last() u128 { return b.first.or(lowBits(b.free)) }

// costs[k-least] is the number of extra addresses at best with k prefixes.
// It never rises with k.
type costs struct {
	least int
	extra []u128
}

type choices struct {
	least int
	left  []uint32
}

func (c costs) at(k int) u128 { return c.extra[k-c.least] }
func (c costs) most() int     { return c.least + len(c.extra) - 1 }

func newTrie(f, avoid *family) *trie {
	t := &trie{avoid: avoid, size: []u128{{}}}
	for s := range f.spans {
		for first, free := range s.blocks {
			b := block{first, free}
			t.blocks = append(t.blocks, b)
			t.size = append(t.size, t.size[len(t.size)-1].add(b.last().sub(first).next()))
		}
	}
	return t
}

// node is the block that stands for blocks[lo:hi], and where the right child
// begins if they are two or more.
func (t *trie) node(lo, hi int) (b block, mid int) {
	if hi-lo == 1 {
		return t.blocks[lo], hi
	}
	b.first = t.blocks[lo].first
	b.free = b.first.xor(t.blocks[hi-1].first).len()
	b.first = b.first.andNot(lowBits(b.free))
	left := block{b.first, b.free - 1}.last()
	return b, lo + sort.Search(hi-lo, func(i int) bool { return left.less(t.blocks[lo+i].first) })
}

// allowed says whether b may stand for what it holds.
func (t *trie) allowed(b block) bool {
	return !t.avoid.overlaps(span{b.first, b.last()})
}

// least is the smallest number of prefixes for blocks[lo:hi].
func (t *trie) least(lo, hi int) int {
	if hi-lo < 2 {
		return hi - lo
	}
	b, mid := t.node(lo, hi)
	if t.allowed(b) {
		return 1
	}
	return t.least(lo, mid) + t.least(mid, hi)
}

// solve fills choice and returns the costs for the whole family with up to
// budget prefixes, which are no fewer than least.
func (t *trie) solve(budget int) costs {
	if len(t.blocks) == 0 {
		return costs{0, []u128{{}}}
	}
	t.budget = budget
	t.choice = make([]choices, len(t.blocks))
	return t.solveNode(0, len(t.blocks))
}

func (t *trie) solveNode(lo, hi int) costs {
	if hi-lo == 1 {
		return costs{1, []u128{{}}}
	}
	b, mid := t.node(lo, hi)
	c, left := combine(t.solveNode(lo, mid), t.solveNode(mid, hi), t.budget)
	t.choice[mid] = choices{c.least, left}
	if c.least == 2 && t.allowed(b) {
		whole := b.last().sub(b.first).next().sub(t.size[hi].sub(t.size[lo]))
		c = costs{1, append([]u128{whole}, c.extra...)}
	}
	return c
}

// combine finds the best division of every k up to budget between two
// children, and how much of it the left one gets.
func combine(a, b costs, budget int) (c costs, left []uint32) {
	c.least = a.least + b.least
	n := min(a.most()+b.most(), budget) - c.least + 1
	c.extra, left = make([]u128, max(n, 0)), make([]uint32, max(n, 0))
	for k := range c.extra {
		c.extra[k] = u128{^uint64(0), ^uint64(0)}
	}
	for i, x := range a.extra {
		for j, y := range b.extra[:max(0, min(len(b.extra), n-i))] {
			if sum := x.add(y); sum.less(c.extra[i+j]) {
				c.extra[i+j], left[i+j] = sum, uint32(a.least+i)
			}
		}
	}
	return c, left
}

// collect puts the best k prefixes for blocks[lo:hi] into f.
func (t *trie) collect(lo, hi, k int, f *family) {
	if lo == hi {
		return
	}
	b, mid := t.node(lo, hi)
	if k == 1 {
		f.push(span{b.first, b.last()})
		return
	}
	c := t.choice[mid]
	left := int(c.left[k-c.least])
	t.collect(lo, mid, left, f)
	t.collect(mid, hi, k-left, f)
}
