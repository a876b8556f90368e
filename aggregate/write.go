package aggregate

import (
	"io"
	"net/netip"
	"strconv"
)

// AppendPrefix appends p as it is written in a list: an address bare, anything
// wider as a CIDR.
func AppendPrefix(b []byte, p netip.Prefix) []byte {
	b = p.Addr().AppendTo(b)
	if !p.IsSingleIP() {
		b = append(b, '/')
		b = strconv.AppendInt(b, int64(p.Bits()), 10)
	}
	return b
}

// WriteText writes the prefixes of All, one a line between head and tail
// (which ends the line: WriteText(w, "deny ", ";\n")). Every call of w.Write
// carries whole lines, and there is only one at a time.
func (s *Set) WriteText(w io.Writer, head, tail string) error {
	var b []byte
	for p := range s.All() {
		b = append(b, head...)
		b = AppendPrefix(b, p)
		b = append(b, tail...)
		if len(b) > 1<<16 {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(b)
	return err
}
