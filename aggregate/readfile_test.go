package aggregate

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openText is a file with this text, opened for reading from start on.
func openText(t *testing.T, text string, start int) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Seek(int64(start), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

// shortest is n of the shortest lines there are.
func shortest(n int) string { return strings.Repeat("9.9.9.9\n", n) }

// TestReadFileWorkers: what is left of a file is read by two workers if it is
// more than four chunks. They leave the file's place alone until both are done.
func TestReadFileWorkers(t *testing.T) {
	for _, start := range []int{0, 8, 3 * chunk} {
		for _, size := range []int{16, chunk, 4*chunk - 2, 4 * chunk, 4*chunk + 2, 9 * chunk} {
			text := shortest(start/8) + "x\n" + strings.Repeat("\n", size-2)
			f := openText(t, text, start)
			var moved []bool
			var set Set
			err := set.Read(f, func(int, string, error) {
				at, err := f.Seek(0, io.SeekCurrent)
				moved = append(moved, err != nil || at != int64(start))
			})
			if err != nil || !slices.Equal(moved, []bool{size <= 4*chunk}) {
				t.Errorf("%d bytes from %d on: moved %v, error %v", size, start, moved, err)
			}
		}
	}
}

// TestReadFileMemory: two workers need no more memory than for the addresses
// themselves, in one piece, even if every line is as short as can be.
func TestReadFileMemory(t *testing.T) {
	const start = 8000
	for _, lines := range []int{6 * chunk / 8, 6*chunk/8 + 1} {
		for old := range 3 {
			var set Set
			for i := range old {
				set.Add(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32))
			}
			f := openText(t, shortest(start/8+lines), start)
			if err := set.Read(f, func(line int, text string, err error) { t.Error(line, text, err) }); err != nil {
				t.Fatal(err)
			}
			n, room := len(set.v4.hosts4), cap(set.v4.hosts4)
			if n != old+lines || room > n+4 {
				t.Errorf("%d lines and %d addresses before: %d addresses, room for %d", lines, old, n, room)
			}
		}
	}
}

// TestNextLine compares with a search in memory: from every place around where
// a line or a buffer ends, and in the last line, which has no end.
func TestNextLine(t *testing.T) {
	const size = 4096
	text := []byte(strings.Repeat("x", 5*size))
	for _, i := range []int{0, 1, 9, size - 1, size, size + 1, 4 * size} {
		text[i] = '\n'
	}
	f := openText(t, string(text), 0)
	for from := range len(text) + 1 {
		if from%size > 12 && from%size < size-12 {
			continue
		}
		want := len(text)
		if i := bytes.IndexByte(text[from:], '\n'); i >= 0 {
			want = from + i + 1
		}
		if got, err := nextLine(f, int64(from)); err != nil || got != int64(want) {
			t.Errorf("after %d: %d, %v, want %d", from, got, err, want)
		}
	}
	f.Close()
	if _, err := nextLine(f, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
}

// TestLateLines: the second worker's bad lines are kept up to 1000, then told
// with their numbers in the whole text, and kept no longer.
func TestLateLines(t *testing.T) {
	var told []int
	late := lateLines{
		first: &scanner{line: 70, bad: func(line int, _ string, _ error) { told = append(told, line) }},
		ended: make(chan struct{}),
	}
	close(late.ended)
	var want []int
	for line := 1; line <= 2500; line++ {
		late.add(line, "x", errNotPrefix)
		if line%1000 == 0 {
			for len(want) < line {
				want = append(want, 70+len(want)+1)
			}
		}
		if !slices.Equal(told, want) || len(late.kept) != line%1000 {
			t.Fatalf("after %d lines: %d told, want %d; %d kept", line, len(told), len(want), len(late.kept))
		}
	}
}

// TestReadFileBroken has the file fail under the first worker, and under the
// second: the error comes back, and no line counts that has a gap before it.
func TestReadFileBroken(t *testing.T) {
	good, wrong := shortest(4*chunk/8), strings.Repeat("y\n", 1500)
	for name, c := range map[string]struct {
		text string
		bad  int
		want string // the addresses read before the error
	}{
		"first":  {"x\n1.1.1.1\n" + good + wrong + "2.2.2.2\n" + good, 1, "[1.1.1.1/32 9.9.9.9/32]"},
		"second": {good + good[3*chunk:] + wrong + "1.1.1.1\n" + good + "2.2.2.2\n", 1500, "[1.1.1.1/32 9.9.9.9/32]"},
	} {
		t.Run(name, func(t *testing.T) {
			f := openText(t, c.text, 0)
			bad := 0
			var set Set
			err := set.Read(f, func(line int, text string, err error) {
				bad++
				f.Close()
			})
			if !errors.Is(err, os.ErrClosed) || bad != c.bad {
				t.Errorf("error %v, %d bad lines", err, bad)
			}
			if got := listed(&set); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestReadFileOnlyWritten: a file that may not be read is an error, whatever
// its size.
func TestReadFileOnlyWritten(t *testing.T) {
	for _, lines := range []int{1, 5 * chunk / 8} {
		f, err := os.OpenFile(openText(t, shortest(lines), 0).Name(), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var set Set
		if err := set.Read(f, nil); err == nil || set.Len() > 0 {
			t.Errorf("%d lines: error %v, %d prefixes", lines, err, set.Len())
		}
	}
}
