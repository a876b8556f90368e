package aggregate

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// lineWriter notes what a Write must never be, and fails from the limit on.
type lineWriter struct {
	strings.Builder
	broken  bool // a call was no whole lines, empty, or came after an error
	limit   int
	failed  bool
	largest int // bytes of a call
}

var errFull = errors.New("full")

func (w *lineWriter) Write(b []byte) (int, error) {
	if len(b) == 0 || b[len(b)-1] != '\n' || w.failed {
		w.broken = true
	}
	w.largest = max(w.largest, len(b))
	if w.limit > 0 && w.Len()+len(b) > w.limit {
		w.failed = true
		return 0, errFull
	}
	return w.Builder.Write(b)
}

// large has more entries than a piece, hosts and ranges mixed, and pieces that
// are written in parts.
func large() *Set {
	set := new(Set)
	families := set.families()
	for _, p := range random4(4 * pieceSize) {
		set.Add(p)
	}
	for i := range uint32(3 * pieceSize) {
		// A /28 without its ends is 6 prefixes, a /64 without them 126.
		families[0].add(span{u128{lo: uint64(i<<13 | 1)}, u128{lo: uint64(i<<13 | 14)}})
		if i%64 == 0 {
			families[1].add(span{u128{uint64(i) << 40, 1}, u128{uint64(i) << 40, ^uint64(1)}})
		}
	}
	return set
}

func TestWriteTextLarge(t *testing.T) {
	set := large()
	var want strings.Builder
	n := 0
	for p := range set.All() {
		want.WriteString("add f2bc ")
		want.Write(AppendPrefix(nil, p))
		want.WriteString("\n")
		n++
	}
	if n != set.Len() || n < 200_000 {
		t.Errorf("%d prefixes, Len() = %d", n, set.Len())
	}
	var w lineWriter
	if err := set.WriteText(&w, "add f2bc ", "\n"); err != nil || w.broken {
		t.Errorf("broken %v, error %v", w.broken, err)
	}
	if w.String() != want.String() {
		t.Error("the text differs from the prefixes")
	}
	for _, limit := range []int{1, 1 << 20, 3 << 20, want.Len() - 1} {
		w := lineWriter{limit: limit}
		if err := set.WriteText(&w, "add f2bc ", "\n"); !errors.Is(err, errFull) || w.broken {
			t.Errorf("limit %d: broken %v, error %v", limit, w.broken, err)
		}
		if !strings.HasPrefix(want.String(), w.String()) {
			t.Errorf("limit %d: the text is not the beginning", limit)
		}
	}
}

// TestWriteTextFull has a piece's text fill the memory for it to the last byte
// again and again: nothing more is kept, and nothing empty is written.
func TestWriteTextFull(t *testing.T) {
	var set Set
	for i := range byte(64) {
		for at := range byte(64) {
			set.Add(netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 100, 100 + i, 100 + 2*at}), 32))
		}
	}
	const hosts, line = 64 * 64, flushAt >> 10 // 1024 lines fill it
	tail := strings.Repeat(" ", line-len("100.100.100.100\n")) + "\n"
	var w lineWriter
	if err := set.WriteText(&w, "", tail); err != nil || w.broken {
		t.Errorf("broken %v, error %v", w.broken, err)
	}
	if w.Len() != hosts*line || w.largest != flushAt {
		t.Errorf("%d bytes, at most %d at once", w.Len(), w.largest)
	}
}

func TestWriteTextNothing(t *testing.T) {
	var w lineWriter
	if err := new(Set).WriteText(&w, "", "\n"); err != nil || w.broken || w.Len() > 0 {
		t.Errorf("broken %v, error %v, text %q", w.broken, err, w.String())
	}
}

func TestAppendPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1/32":    "192.0.2.1",
		"0.0.0.0/0":       "0.0.0.0/0",
		"2001:db8::1/128": "2001:db8::1",
		"2001:db8::/32":   "2001:db8::/32",
	} {
		if got := string(AppendPrefix([]byte("x "), netip.MustParsePrefix(text))); got != "x "+want {
			t.Errorf("%s is written %q", text, got)
		}
	}
}
