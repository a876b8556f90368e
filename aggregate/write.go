package aggregate

import (
	"encoding/binary"
	"io"
	"net/netip"
	"sort"
	"strconv"
)

// AppendPrefix appends p as it is written in a list: an address bare, anything
// wider as a CIDR.
func AppendPrefix(b []byte, p netip.Prefix) []byte {
	b = p.Addr().AppendTo(b)
	if p.IsSingleIP() {
		return b
	}
	b = append(b, '/')
	return strconv.AppendInt(b, int64(p.Bits()), 10)
}

// Text returns p as AppendPrefix writes it.
func Text(p netip.Prefix) string { return string(AppendPrefix(nil, p)) }

// octets is every octet as text with a dot behind it, the first byte lowest,
// and its length.
var octets = func() (t [256]struct {
	text   uint32
	length int
}) {
	for i := range t {
		var b [4]byte
		t[i].length = copy(b[:], strconv.Itoa(i)+".")
		t[i].text = binary.LittleEndian.Uint32(b[:])
	}
	return t
}()

// appendIPv4 is AppendPrefix for the IPv4 prefix of addr with so many free
// bits, several times as fast: each octet is one store of four bytes.
func appendIPv4(b []byte, addr uint32, free int) []byte {
	var room [16]byte
	n := len(b)
	b = append(b, room[:]...)
	for shift := 24; shift >= 0; shift -= 8 {
		o := &octets[addr>>shift&255]
		binary.LittleEndian.PutUint32(b[n:], o.text)
		n += o.length
	}
	b = b[:n-1] // no dot after the last
	if free == 0 {
		return b
	}
	b = append(b, '/')
	return strconv.AppendInt(b, int64(32-free), 10)
}

// WriteText writes the prefixes of All, one a line between head and tail
// (which ends the line: WriteText(w, "deny ", ";\n")). Every call of w.Write
// carries whole lines, and there is only one at a time.
func (s *Set) WriteText(w io.Writer, head, tail string) error {
	for _, f := range s.families() {
		f.normalise()
		if err := f.writeText(w, head, tail); err != nil {
			return err
		}
	}
	return nil
}

// pieceSize is how many hosts and ranges make a piece of work: enough that
// taking turns costs nothing, few enough that short lists are shared too.
const pieceSize = 1 << 13

// writeText has two workers format every other piece each. The turn to write
// goes from one to the other, so that one writes while the other formats.
func (f *family) writeText(w io.Writer, head, tail string) error {
	pieces := f.pieces(pieceSize)
	var failed error // belongs to whoever has the turn
	turns := [2]chan bool{make(chan bool, 1), make(chan bool, 1)}
	turns[0] <- true
	inPair(func(worker int) {
		var b []byte
		for i := worker; i < len(pieces); i += 2 {
			hasTurn := false
			flush := func(b []byte) []byte {
				if !hasTurn {
					hasTurn = <-turns[worker]
				}
				if failed == nil && len(b) > 0 {
					_, failed = w.Write(b)
				}
				return b[:0]
			}
			for s := range pieces[i].spans {
				b = appendLines(b, s, f.six, head, tail)
				if len(b) >= flushAt {
					b = flush(b)
				}
			}
			b = flush(b)
			turns[1-worker] <- true
		}
	})
	return failed
}

// flushAt bounds what a piece takes in memory: a range can be 254 prefixes.
const flushAt = 512 << 10

// appendLines appends the prefixes of s, one a line.
func appendLines(b []byte, s span, six bool, head, tail string) []byte {
	if s.single() { // at no cost of a loop: nearly all are
		return appendLine(b, s.first, 0, six, head, tail)
	}
	for first, free := range s.blocks {
		b = appendLine(b, first, free, six, head, tail)
	}
	return b
}

func appendLine(b []byte, first u128, free int, six bool, head, tail string) []byte {
	b = append(b, head...)
	if six {
		b = AppendPrefix(b, toPrefix(true, first, free))
	} else {
		b = appendIPv4(b, uint32(first.lo), free)
	}
	return append(b, tail...)
}

// pieces cuts f into parts of at most size hosts and size ranges each.
func (f *family) pieces(size int) (list []family) {
	i, j := 0, 0
	for i < f.hosts() || j < f.ranges() {
		i2, j2 := min(i+size, f.hosts()), min(j+size, f.ranges())
		if i2 < f.hosts() {
			end := f.host(i2)
			j2 = j + sort.Search(j2-j, func(k int) bool { return end.less(f.rang(j + k).first) })
		}
		if j2 < f.ranges() {
			end := f.rang(j2).first
			i2 = i + sort.Search(i2-i, func(k int) bool { return end.less(f.host(i + k)) })
		}
		list = append(list, f.part(i, i2, j, j2))
		i, j = i2, j2
	}
	return list
}

// part is hosts i to i2 and ranges j to j2 of f, in the same memory.
func (f *family) part(i, i2, j, j2 int) family {
	if f.six {
		return family{six: true, hosts6: f.hosts6[i:i2], ranges6: f.ranges6[j:j2]}
	}
	return family{hosts4: f.hosts4[i:i2], ranges4: f.ranges4[j:j2]}
}
