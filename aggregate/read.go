package aggregate

import (
	"bufio"
	"bytes"
	"io"
)

// Read adds the prefixes of a text, one a line: an address or CIDR, blanks
// around it and a comment after it (from # or ; to the end of the line)
// ignored; blank lines, CRLF and a byte order mark are fine. Every other line
// is given to bad with its number from 1 and skipped. The error is r's.
func (s *Set) Read(r io.Reader, bad func(line int, text string, err error)) error {
	sc := bufio.NewScanner(r)
	for line := 1; sc.Scan(); line++ {
		t := sc.Bytes()
		if line == 1 {
			t = bytes.TrimPrefix(t, []byte("\xef\xbb\xbf"))
		}
		if i := bytes.IndexAny(t, "#;"); i >= 0 {
			t = t[:i]
		}
		t = bytes.TrimSpace(t)
		if len(t) == 0 {
			continue
		}
		p, err := ParsePrefix(string(t))
		if err != nil {
			bad(line, sc.Text(), err)
			continue
		}
		s.Add(p)
	}
	return sc.Err()
}
