package aggregate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// listed is every prefix of a set as text.
func listed(set *Set) string { return fmt.Sprint(set.Prefixes()) }

// TestLineEnd compares what may follow an address with netip: every length, in
// odd spellings too, and every end of a line.
func TestLineEnd(t *testing.T) {
	lengths := []string{"", "/", "//8", "/ 8", "/8x", "/x", "/:", "/-1", "/+8", "/00", "/000", "/08", "/032", "/1000"}
	for n := range 300 {
		lengths = append(lengths, fmt.Sprint("/", n))
	}
	for _, addr := range []string{"10.0.0.0", "::"} {
		for _, length := range lengths {
			for _, end := range []string{"\n", "\r\n", "\r\r\n", " \n", "x\n", "\x00\n"} {
				a := netip.MustParseAddr(addr)
				p, err := netip.ParsePrefix(addr + length)
				if length == "" {
					p, err = a.Prefix(a.BitLen())
				}
				wantFree, wantNext := 0, 0
				if err == nil && (end == "\n" || end == "\r\n") {
					wantFree, wantNext = a.BitLen()-p.Bits(), len(addr+length+end)
				}
				free, next := lineEnd([]byte(addr+length+end+"1.1.1.1\n"), len(addr), a.BitLen())
				if next != wantNext || next > 0 && free != wantFree {
					t.Errorf("%q: free %d, next %d, want %d, %d", addr+length+end, free, next, wantFree, wantNext)
				}
			}
		}
	}
}

// TestReadChunks has lines that are about as long as a chunk, and lines that
// end about where a chunk does, in readers that give much at once and little.
func TestReadChunks(t *testing.T) {
	for around := -2; around <= 2; around++ {
		const before = "10.0.0.1\n"
		blanks := strings.Repeat(" ", chunk+around-len("10.0.0.2"))
		fewer := blanks[len(before):]
		for _, text := range []string{
			"10.0.0.2" + blanks,
			blanks + "10.0.0.2\n10.0.0.3\nx",
			before + blanks + "10.0.0.2\n" + blanks + "10.0.0.x\n10.0.0.3",
			before + fewer + "10.0.0.2",
			before + fewer + "10.0.0.x\n10.0.0.2\n",
			before + fewer + strings.Repeat("\n", 9) + "10.0.0.2" + blanks + "12345678\n10.0.0.4",
			strings.Repeat("10.0.0.5\n", chunk/9) + "x\n" + before + blanks + "\nx\n",
		} {
			checkRead(t, strings.NewReader(text), text)
			checkRead(t, iotest.HalfReader(strings.NewReader(text)), text)
		}
	}
}
