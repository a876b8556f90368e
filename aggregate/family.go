package aggregate

import (
	"slices"
	"sort"
)

// family holds the addresses of one IP version. The arithmetic is the same
// for both and done on u128; only what is kept differs, because a million
// IPv4 bans in 4 MB instead of 16 or 32 is what makes export cheap.
type family struct {
	six bool // IPv6, set by Set.families: hosts6 and ranges6 are used; else hosts4 and ranges4

	// The invariant, binding all four slices unless dirty: strictly ascending,
	// and no two entries overlap or touch, neither inside a slice nor between
	// hosts and ranges. A host is one address, a range at least two. So every
	// set has exactly one form. While dirty they are in any order, and only
	// "a range is at least two" holds.
	hosts4  []uint32
	ranges4 []span4
	hosts6  []u128
	ranges6 []span

	dirty bool
}

// span4 is an IPv4 span in one sortable word: first address high, last low.
type span4 uint64

func (f *family) hosts() int  { return len(f.hosts4) + len(f.hosts6) }
func (f *family) ranges() int { return len(f.ranges4) + len(f.ranges6) }
func (f *family) empty() bool { return f.hosts()+f.ranges() == 0 }

func (f *family) host(i int) u128 {
	if f.six {
		return f.hosts6[i]
	}
	return u128{lo: uint64(f.hosts4[i])}
}

func (f *family) rang(i int) span {
	if f.six {
		return f.ranges6[i]
	}
	r := uint64(f.ranges4[i])
	return span{u128{lo: r >> 32}, u128{lo: r & 0xffffffff}}
}

// push appends a span; the caller answers for the invariant.
func (f *family) push(s span) {
	switch {
	case f.six && s.single():
		f.hosts6 = append(f.hosts6, s.first)
	case f.six:
		f.ranges6 = append(f.ranges6, s)
	case s.single():
		f.hosts4 = append(f.hosts4, uint32(s.first.lo))
	default:
		f.ranges4 = append(f.ranges4, span4(s.first.lo<<32|s.last.lo))
	}
}

// add appends a span in any order.
func (f *family) add(s span) {
	f.push(s)
	f.dirty = true
}

// absorb appends everything in g, which is of the same IP version or empty.
func (f *family) absorb(g *family) {
	if g.empty() {
		return
	}
	f.hosts4 = append(f.hosts4, g.hosts4...)
	f.ranges4 = append(f.ranges4, g.ranges4...)
	f.hosts6 = append(f.hosts6, g.hosts6...)
	f.ranges6 = append(f.ranges6, g.ranges6...)
	f.dirty = true
}

func (f *family) clone() family {
	return family{
		six:     f.six,
		hosts4:  slices.Clone(f.hosts4),
		ranges4: slices.Clone(f.ranges4),
		hosts6:  slices.Clone(f.hosts6),
		ranges6: slices.Clone(f.ranges6),
		dirty:   f.dirty,
	}
}

// normalise establishes the invariant.
func (f *family) normalise() {
	if !f.dirty {
		return
	}
	f.dirty = false
	f.hosts4 = sortWords(f.hosts4, 0)
	f.ranges4 = sortWords(f.ranges4, 32)
	slices.SortFunc(f.hosts6, compare)
	slices.SortFunc(f.ranges6, func(a, b span) int { return compare(a.first, b.first) })

	// Hosts are written back in place: no more of them come out than were
	// read. Ranges may become more, where neighbouring hosts join into one.
	in := *f
	f.hosts4, f.hosts6 = f.hosts4[:0], f.hosts6[:0]
	f.ranges4, f.ranges6 = make([]span4, 0, len(f.ranges4)), make([]span, 0, len(f.ranges6))
	c := cursor{f: &in}
	open, ok := c.next()
	if !ok {
		return
	}
	for s, ok := c.next(); ok; s, ok = c.next() {
		if !open.touches(s) {
			f.push(open)
			open = s
		} else if open.last.less(s.last) {
			open.last = s.last
		}
	}
	f.push(open)
}

func compare(a, b u128) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

// cursor walks over hosts and ranges, which are sorted, by first address.
type cursor struct {
	f    *family
	i, j int // next host, next range
}

func (c *cursor) next() (span, bool) {
	if c.i < c.f.hosts() {
		h := c.f.host(c.i)
		if c.j == c.f.ranges() || h.less(c.f.rang(c.j).first) {
			c.i++
			return span{h, h}, true
		}
	}
	if c.j < c.f.ranges() {
		c.j++
		return c.f.rang(c.j - 1), true
	}
	return span{}, false
}

// spans ranges over hosts and ranges together.
func (f *family) spans(yield func(span) bool) {
	c := cursor{f: f}
	for s, ok := c.next(); ok && yield(s); {
		s, ok = c.next()
	}
}

// subtract takes the addresses of g out of f. Pieces of what was apart stay
// apart, so the result keeps the invariant as it is built.
func (f *family) subtract(g *family) {
	f.normalise()
	g.normalise()
	if f.empty() || g.empty() {
		return
	}
	out := family{
		six:    f.six,
		hosts4: make([]uint32, 0, len(f.hosts4)),
		hosts6: make([]u128, 0, len(f.hosts6)),
	}
	cf, cg := cursor{f: f}, cursor{f: g}
	hole, holes := cg.next()
	for s, ok := cf.next(); ok; s, ok = cf.next() {
		for holes && hole.last.less(s.first) {
			hole, holes = cg.next()
		}
		whole := false // whether s is used up
		for holes && !s.last.less(hole.first) {
			if s.first.less(hole.first) {
				out.push(span{s.first, hole.first.prev()})
			}
			if !hole.last.less(s.last) {
				whole = true // the hole may reach into the next span
				break
			}
			s.first = hole.last.next()
			hole, holes = cg.next()
		}
		if !whole {
			out.push(s)
		}
	}
	*f = out
}

// contains says whether s is covered whole; f is normalised.
func (f *family) contains(s span) bool {
	if s.single() {
		i := sort.Search(f.hosts(), func(i int) bool { return !f.host(i).less(s.first) })
		if i < f.hosts() && f.host(i) == s.first {
			return true
		}
	}
	j := f.rangeFrom(s.first)
	return j < f.ranges() && !s.first.less(f.rang(j).first) && !f.rang(j).last.less(s.last)
}

// overlaps says whether any address of s is in f; f is normalised.
func (f *family) overlaps(s span) bool {
	i := sort.Search(f.hosts(), func(i int) bool { return !f.host(i).less(s.first) })
	if i < f.hosts() && !s.last.less(f.host(i)) {
		return true
	}
	j := f.rangeFrom(s.first)
	return j < f.ranges() && !s.last.less(f.rang(j).first)
}

// rangeFrom is the first range that does not end before a.
func (f *family) rangeFrom(a u128) int {
	return sort.Search(f.ranges(), func(j int) bool { return !f.rang(j).last.less(a) })
}
