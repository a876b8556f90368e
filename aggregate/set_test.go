package aggregate

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"
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

// TestCarveEveryBlock takes every block of every world out of a larger one.
func TestCarveEveryBlock(t *testing.T) {
	for _, w := range worlds {
		for log := range 8 {
			for u := 0; u < units; u += 1 << log {
				var set Set
				var model bitset
				for _, half := range []int{0, units / 2} {
					set.Add(w.prefix(half, 7))
					model.fill(half, 7, true)
				}
				set.RemovePrefix(w.prefix(u, log))
				model.fill(u, log, false)
				checkSame(t, &set, model.minimal(w))
				set.Add(w.prefix(u, log)) // and back again
				model.fill(u, log, true)
				checkSame(t, &set, model.minimal(w))
			}
		}
	}
}

// TestWiden6 compares with widening prefix by prefix.
func TestWiden6(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 0))
	for _, w := range worlds {
		for _, bits := range []int{0, 1, 47, 62, 63, 64, 65, 120, 127, 128} {
			var set, want Set
			for range r.IntN(30) {
				set.Add(w.prefix(w.random(r)))
			}
			for p := range set.All() {
				if p.Addr().Is6() && p.Bits() > bits {
					p = netip.PrefixFrom(p.Addr(), bits).Masked()
				}
				want.Add(p)
			}
			set.Widen6(bits)
			checkSame(t, &set, want.Prefixes())
		}
	}
}

// TestAgainstNetipx compares large sets, which are sorted and written by two
// workers, with another implementation.
func TestAgainstNetipx(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 0))
	for _, lists := range [][]netip.Prefix{
		random4(30_000),
		clustered4(50_000),
		slices.Concat(random4(20_000), random6(20_000)),
		slices.Concat(clustered4(40_000), random6(9_000), clustered4(10_000)),
	} {
		var set, allow Set
		var model, allowed netipx.IPSetBuilder
		for _, p := range lists {
			if r.IntN(3) == 0 { // a range, with host bits
				p = netip.PrefixFrom(p.Addr(), p.Bits()-r.IntN(12))
			}
			set.Add(p)
			model.AddPrefix(p)
		}
		for _, p := range lists[:len(lists)/5] {
			p = netip.PrefixFrom(p.Addr(), p.Bits()-r.IntN(6))
			allow.Add(p)
			allowed.AddPrefix(p)
		}
		all, err := allowed.IPSet()
		if err != nil {
			t.Fatal(err)
		}
		for _, carved := range []bool{false, true} {
			if carved {
				set.Remove(&allow)
				model.RemoveSet(all)
			}
			want, err := model.IPSet()
			if err != nil {
				t.Fatal(err)
			}
			checkSame(t, &set, want.Prefixes())
			checkSame(t, set.IPv4(), slices.DeleteFunc(want.Prefixes(), func(p netip.Prefix) bool { return p.Addr().Is6() }))
			checkSame(t, set.IPv6(), slices.DeleteFunc(want.Prefixes(), func(p netip.Prefix) bool { return p.Addr().Is4() }))
		}
	}
}

// TestCopies changes a set after a copy of one family was taken, and the copy.
func TestCopies(t *testing.T) {
	for _, w := range []world{worlds[0], worlds[5]} {
		for _, changed := range []int{0, 1} {
			set := new(Set)
			for u := range 100 {
				set.Add(w.prefix(2*u, 0))
			}
			want := set.Prefixes()
			both := [2]*Set{set, set.IPv4()}
			if w.base.Is6() {
				both[1] = set.IPv6()
			}
			for u := range 50 {
				both[changed].Add(w.prefix(4*u, 1))
			}
			if slices.Equal(both[changed].Prefixes(), want) {
				t.Error("nothing has changed")
			}
			checkSame(t, both[1-changed], want)
		}
	}
}

func TestRemoveItself(t *testing.T) {
	var set Set
	for _, w := range worlds {
		set.Add(w.prefix(6, 1))
	}
	set.AddSet(&set)
	set.Remove(&set)
	checkSame(t, &set, nil)
}

func TestAddMapped(t *testing.T) {
	var set Set
	set.Add(netip.MustParsePrefix("::ffff:192.0.2.77/120"))
	checkSame(t, &set, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	if !set.Contains(netip.MustParsePrefix("::ffff:192.0.2.9/128")) {
		t.Error("192.0.2.9 is missing by its IPv6 name")
	}
	set.Add(netip.MustParsePrefix("::ffff:0:0/96"))
	checkSame(t, &set, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
}

// TestInvalidPrefix: what is no prefix, and no length of one, is a panic.
func TestInvalidPrefix(t *testing.T) {
	for name, f := range map[string]func(*Set){
		"Add":          func(s *Set) { s.Add(netip.Prefix{}) },
		"RemovePrefix": func(s *Set) { s.RemovePrefix(netip.Prefix{}) },
		"Contains":     func(s *Set) { s.Contains(netip.Prefix{}) },
		"Widen6(-1)":   func(s *Set) { s.Widen6(-1) },
		"Widen6(129)":  func(s *Set) { s.Widen6(129) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(new(Set))
		})
	}
}

func TestSortWords(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 0))
	for _, n := range []int{0, 1, 2, radixFrom - 1, radixFrom, radixFrom + 1, 50_000} {
		words, long := make([]uint32, n), make([]uint64, n)
		for i := range words {
			words[i] = r.Uint32() >> (r.IntN(4) * 8)
			long[i] = uint64(words[i])<<32 | r.Uint64()>>32
		}
		want := slices.Sorted(slices.Values(words))
		if got := sortWords(words, 0); !slices.Equal(got, want) {
			t.Errorf("%d words are not sorted", n)
		}
		if got := sortWords(slices.Clone(want), 0); !slices.Equal(got, want) {
			t.Errorf("%d sorted words are not left alone", n)
		}
		got := sortWords(slices.Clone(long), 32)
		if !slices.IsSortedFunc(got, func(a, b uint64) int { return cmp.Compare(a>>32, b>>32) }) {
			t.Errorf("%d spans are not sorted", n)
		}
		slices.Sort(long)
		slices.Sort(got)
		if !slices.Equal(got, long) {
			t.Errorf("%d spans are not the same after sorting", n)
		}
	}
}

// FuzzSet does what the input says on a Set and on a bit set.
func FuzzSet(f *testing.F) {
	f.Add(byte(0), []byte("\x02\x10\x81\x12\x00\x11"))
	f.Add(byte(10), []byte("\x07\x00\x07\x80\x83\x28\x00\x2a"))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		w := worlds[int(which)%len(worlds)]
		var set Set
		var model bitset
		for _, op := range w.decode(data) {
			if op.remove {
				set.RemovePrefix(w.prefix(op.u, op.log))
			} else {
				set.Add(w.prefix(op.u, op.log))
			}
			model.fill(op.u, op.log, !op.remove)
		}
		checkSame(t, &set, model.minimal(w))
	})
}
