package aggregate

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
)

// chunk is how much is read at a time. A line has to fit into it.
const chunk = 64 << 10

var errTooLong = errors.New("line longer than 64 KiB")

// Read adds the prefixes of a text, one a line: an address or CIDR, blanks
// around it and a comment after it (from # or ; to the end of the line)
// ignored; blank lines, CRLF and a byte order mark are fine. Any other line is
// skipped and given to bad with its number, from 1, in ascending order and one
// at a time; of a long line text is only the beginning.
//
// A regular *os.File, which must not be written meanwhile, is read by two
// workers. The error is that of the reader; what was read before it is added.
func (s *Set) Read(r io.Reader, bad func(line int, text string, err error)) error {
	if f, ok := r.(*os.File); ok {
		start, size := remaining(f)
		if size > 4*chunk {
			return s.readFile(f, start, size, bad)
		}
	}
	sc := scanner{r: r, set: s, bad: bad, first: true}
	return sc.run()
}

// remaining is the place in a regular file and how much of it is left; 0 for
// what has no size, such as a pipe.
func remaining(f *os.File) (start, size int64) {
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return 0, 0
	}
	start, err = f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, 0
	}
	return start, st.Size() - start
}

// readFile has one half of f read by each of two workers, each straight into
// its part of one slice: at 10,000,000 lines every copy would be 40 MB.
func (s *Set) readFile(f *os.File, start, size int64, bad func(int, string, error)) error {
	middle, err := nextLine(f, start+size/2)
	if err != nil {
		return err
	}
	// The shortest IPv4 line has 8 bytes. Memory that is not written to costs
	// nothing, but a system may refuse to promise too much of it.
	room := min((middle-start)/8+1, 1<<24)
	old := len(s.v4.hosts4)
	all := append(make([]uint32, 0, int64(old)+2*room), s.v4.hosts4...)
	cut := int64(old) + room
	s.v4.hosts4 = all[:old:cut]
	var second Set
	second.v4.hosts4 = all[cut:cut]

	one := scanner{r: io.NewSectionReader(f, start, middle-start), set: s, bad: bad, first: true}
	late := lateLines{first: &one, ended: make(chan struct{})}
	two := scanner{r: io.NewSectionReader(f, middle, math.MaxInt64-middle), set: &second, bad: late.add}
	inPair(func(worker int) {
		if worker == 0 {
			one.err = one.run()
			close(late.ended)
		} else {
			two.err = two.run()
		}
	})
	if one.err != nil {
		return one.err
	}
	late.tell()
	if n := len(s.v4.hosts4); n <= int(cut) {
		s.v4.hosts4 = all[:n] // never outgrown: the second part moves down behind the first
	}
	s.AddSet(&second)
	if two.err == nil {
		_, two.err = f.Seek(0, io.SeekEnd)
	}
	return two.err
}

// lateLines keeps the second worker's bad lines, which have no number before
// the first worker has ended. If there are many the second waits for that: a
// wrong file is not kept in memory.
type lateLines struct {
	first *scanner
	ended chan struct{}
	kept  []func()
}

func (l *lateLines) add(line int, text string, err error) {
	l.kept = append(l.kept, func() { l.first.bad(l.first.line+line, text, err) })
	if len(l.kept) == 1000 {
		<-l.ended
		l.tell()
	}
}

func (l *lateLines) tell() {
	for _, tell := range l.kept {
		if l.first.err == nil {
			tell()
		}
	}
	l.kept = l.kept[:0]
}

// nextLine is where the first line after offset begins, or the end of f.
func nextLine(f *os.File, offset int64) (int64, error) {
	buf := make([]byte, 4096)
	for {
		n, err := f.ReadAt(buf, offset)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return offset + int64(i) + 1, nil
		}
		offset += int64(n)
		if err == io.EOF {
			return offset, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// scanner reads lines into a set.
type scanner struct {
	r     io.Reader
	set   *Set
	bad   func(line int, text string, err error)
	first bool // line 1 is the first of the text, where a byte order mark may be
	line  int  // the number of lines so far
	err   error
}

func (sc *scanner) run() error {
	buf := make([]byte, chunk+quadRoom)
	n := 0           // bytes in buf; a line begins at 0
	tooLong := false // that line is a bad one, named already
	for {
		m, err := sc.r.Read(buf[n:chunk])
		n += m
		ended := err == io.EOF
		if err != nil && !ended {
			return err
		}
		if ended && n > 0 && buf[n-1] != '\n' {
			buf[n] = '\n'
			n++
		}
		end := bytes.LastIndexByte(buf[:n], '\n') + 1
		begin := 0
		if tooLong && end > 0 {
			begin = bytes.IndexByte(buf[:end], '\n') + 1
			tooLong = false
		}
		sc.lines(buf, begin, end)
		if ended {
			return nil
		}
		n = copy(buf, buf[end:n])
		if n == chunk {
			if !tooLong {
				sc.line++
				sc.bad(sc.line, quote(buf[:n]), errTooLong)
			}
			tooLong, n = true, 0
		}
	}
}

// lines takes the lines of buf[i:end], which ends with a newline. After it
// buf has quadRoom bytes more.
func (sc *scanner) lines(buf []byte, i, end int) {
	if sc.first && sc.line == 0 && bytes.HasPrefix(buf[i:end], byteOrderMark) {
		i += len(byteOrderMark)
	}
	families := sc.set.families()
	v4, v6 := families[0], families[1]
	v4.dirty, v6.dirty = true, true
	for ; i < end; sc.line++ {
		if addr, n := parseIPv4(buf[i:]); n > 0 {
			if free, next := lineEnd(buf, i+n, 32); next > 0 {
				if free == 0 {
					v4.hosts4 = append(v4.hosts4, addr)
				} else {
					v4.push(spanOf(u128{lo: uint64(addr)}, free))
				}
				i = next
				continue
			}
		} else if addr, n := parseIPv6(buf[i:]); n > 0 {
			if free, next := lineEnd(buf, i+n, 128); next > 0 {
				v6.push(spanOf(addr, free))
				i = next
				continue
			}
		}
		// Anything but a bare address or CIDR: rare, and slower.
		n := i + bytes.IndexByte(buf[i:end], '\n')
		if err := sc.set.addLine(buf[i:n]); err != nil {
			sc.bad(sc.line+1, quote(buf[i:n]), err)
		}
		i = n + 1
	}
}

// lineEnd reads what follows an address at n up to the end of the line: a
// length of at most width, or nothing. It returns how many bits that leaves
// free and where the next line begins, 0 if anything else follows.
func lineEnd(buf []byte, n, width int) (free, next int) {
	if buf[n] == '/' {
		n++
		begin, length := n, 0
		for n < begin+3 && buf[n]-'0' <= 9 {
			length = length*10 + int(buf[n]-'0')
			n++
		}
		if n == begin || length > width || buf[begin] == '0' && n > begin+1 {
			return 0, 0
		}
		free = width - length
	}
	if buf[n] == '\r' {
		n++
	}
	if buf[n] != '\n' {
		return 0, 0
	}
	return free, n + 1
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// addLine adds what stands on one line, in any allowed form.
func (s *Set) addLine(text []byte) error {
	if i := bytes.IndexAny(text, "#;"); i >= 0 {
		text = text[:i]
	}
	text = bytes.Trim(text, " \t\r")
	if len(text) == 0 {
		return nil
	}
	p, err := ParsePrefix(quote(text))
	if err != nil {
		return err
	}
	s.Add(p)
	return nil
}

// quote is the beginning of text: more of a wrong file helps nobody. No
// prefix is as long.
func quote(text []byte) string {
	return string(text[:min(len(text), 200)])
}
