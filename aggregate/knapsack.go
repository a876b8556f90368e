package aggregate

// costs of a node: extra[k-least] is the number of extra addresses with at
// most k prefixes, so it never rises. What is left out at either end no
// optimum needs.
type costs struct {
	least int
	extra []u128
}

func (c costs) at(k int) u128 { return c.extra[k-c.least] }
func (c costs) most() int     { return c.least + len(c.extra) - 1 }

// choice of a node: left[k-least] is how many of k prefixes go to the left
// child, 0 if the node is covered whole.
type choice struct {
	least int
	left  []int32
}

// solve makes every choice for up to budget prefixes within the limit, and
// returns the costs of the root.
func (t *trie) solve(budget int, lim limit) costs {
	t.choice = make([]choice, len(t.nodes))
	tables := make([]costs, len(t.nodes))
	take := func(c child) costs {
		if c < 0 {
			return costs{1, []u128{{}}}
		}
		table := tables[c]
		tables[c] = costs{} // used once
		return table
	}
	for i, n := range t.nodes {
		c, left := combine(take(n.left), take(n.right), budget)
		if !n.avoided {
			// Up to where the halves can be covered apart, whole.
			c, left = addWhole(c, left, n.extra)
		}
		tables[i], t.choice[i] = t.trim(c, left, t.dear[i].at(lim.price)+lim.slack, lim.price)
	}
	if len(t.blocks) == 0 {
		return costs{0, []u128{{}}}
	}
	return take(t.root())
}

// combine finds the best division of every k up to budget between two halves,
// and how much of it the left one gets. This is where the time goes.
func combine(a, b costs, budget int) (costs, []int32) {
	c := costs{least: a.least + b.least}
	n := max(0, min(a.most()+b.most(), budget)-c.least+1)
	c.extra = make([]u128, n)
	left := make([]int32, n)
	for i, x := range a.extra[:min(len(a.extra), n)] {
		for j, y := range b.extra[:min(len(b.extra), n-i)] {
			if sum := x.add(y); left[i+j] == 0 || sum.less(c.extra[i+j]) {
				c.extra[i+j], left[i+j] = sum, int32(a.least+i)
			}
		}
	}
	return c, left
}

// addWhole extends the table down to one prefix: the node's own.
func addWhole(c costs, left []int32, extra u128) (costs, []int32) {
	more := c.least - 1
	whole := make([]u128, more, more+len(c.extra))
	for k := range whole {
		whole[k] = extra
	}
	return costs{1, append(whole, c.extra...)}, append(make([]int32, more, more+len(left)), left...)
}

// trim cuts off both ends what costs more than the most a node may cost.
func (t *trie) trim(c costs, left []int32, most, price float64) (costs, choice) {
	tooMuch := func(k int) bool { return t.weight(c.at(k))+price*float64(k) > most }
	from, to := c.least, c.most()
	for from < to && tooMuch(from) {
		from++
	}
	for from < to && tooMuch(to) {
		to--
	}
	from, to = from-c.least, to-c.least+1
	return costs{c.least + from, c.extra[from:to]}, choice{c.least + from, left[from:to]}
}

// collect puts the best k prefixes for c into f; the table of c has such a k.
func (t *trie) collect(c child, k int, f *family) {
	if c < 0 {
		if len(t.blocks) > 0 {
			f.add(t.blocks[^c].span())
		}
		return
	}
	n, ch := t.nodes[c], t.choice[c]
	left := int(ch.left[k-ch.least])
	if left == 0 {
		f.add(n.span())
		return
	}
	t.collect(n.left, left, f)
	t.collect(n.right, k-left, f)
}
