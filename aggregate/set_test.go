package aggregate

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestSetModel does random additions and removals on a Set and on a bit set
// and compares everything a Set can be asked.
func TestSetModel(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(w.scale)))
			for range 400 {
				checkModel(t, w, r)
			}
		})
	}
}

func checkModel(t *testing.T, w world, r *rand.Rand) {
	t.Helper()
	var set Set
	var model bitset
	for range 1 + r.IntN(60) {
		u, log := w.random(r)
		p := w.prefix(u, log)
		switch r.IntN(8) {
		default:
			set.Add(netip.PrefixFrom(w.addr(u+r.IntN(1<<log)), p.Bits())) // host bits are masked
			model.fill(u, log, true)
		case 0:
			set.RemovePrefix(p)
			model.fill(u, log, false)
		case 1:
			var other Set
			other.Add(p)
			other.Add(w.prefix(0, 0))
			set.Remove(&other)
			model.fill(u, log, false)
			model.fill(0, 0, false)
		case 2:
			var other Set
			other.Add(p)
			other.Add(p)
			set.AddSet(&other)
			model.fill(u, log, true)
		case 3:
			if set.Contains(p) != model.all(u, log) {
				t.Fatalf("Contains(%v) = %v in %v", p, set.Contains(p), set.Prefixes())
			}
			if set.Overlaps(p) != model.any(u, log) {
				t.Fatalf("Overlaps(%v) = %v in %v", p, set.Overlaps(p), set.Prefixes())
			}
		}
	}
	checkSame(t, &set, model.minimal(w))
}

// checkSame compares a set with its minimal prefixes, as values and as text.
func checkSame(t *testing.T, set *Set, want []netip.Prefix) {
	t.Helper()
	if got := set.Prefixes(); !slices.Equal(got, want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
	if set.Len() != len(want) {
		t.Fatalf("Len() = %d, want %d", set.Len(), len(want))
	}
	var got, text strings.Builder
	if err := set.WriteText(&got, "deny ", ";\n"); err != nil {
		t.Fatal(err)
	}
	for _, p := range want {
		name := p.String()
		if p.IsSingleIP() {
			name = p.Addr().String()
		}
		text.WriteString("deny " + name + ";\n")
	}
	if got.String() != text.String() {
		t.Fatalf("got text %q\nwant     %q", got.String(), text.String())
	}
}
