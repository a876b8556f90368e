package neverban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/store/state"
)

// The list is the configuration's entries, those of its files in their order, and the store's; a host name stands as
// its addresses, and each entry says where it is from. The first place that names a prefix is the one that is told.
func TestSourceList(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.txt"), "192.0.2.2\n")
	write(t, filepath.Join(dir, "a.txt"), "\ufeff# the office\n\n 192.0.2.1 # door\noffice.example\n192.0.2.9\n")
	own, err := ParseEntries([]string{"192.0.2.9", "198.51.100.0/25"}, "f2bc.toml")
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
	files := []string{filepath.Join(dir, "*.txt"), filepath.Join(dir, "none*")}
	s := Source{Entries: own, Files: files, Private: true, Say: say}
	s.Names = Resolver{State: state.Dir(filepath.Join(dir, "state")), Say: say,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("203.0.113.7")}, nil
		}}
	list, err := s.List(t.Context(), []Text{{"192.0.2.3", "the hub"}, {"not an entry", "the hub"}})
	if err != nil || !list.Private {
		t.Fatal(list, err)
	}
	var got []string
	for _, entry := range list.Entries() {
		got = append(got, entry.String()+" "+strings.TrimPrefix(entry.Why, dir+"/"))
	}
	want := "192.0.2.1 a.txt\n192.0.2.2 b.txt\n192.0.2.3 the hub\n192.0.2.9 allow in f2bc.toml\n" +
		"198.51.100.0/25 allow in f2bc.toml\n203.0.113.7 a.txt, host name office.example\n" +
		"2001:db8::7 a.txt, host name office.example"
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("list\n%s\nwant\n%s", text, want)
	}
	const ignored = `"not an entry" of the store is ignored`
	if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, ignored) {
		t.Errorf("said %q", text)
	}
}

// Own entries that cannot be read stop everything: going on without them would ban what they shield.
func TestSourceErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.txt")
	write(t, bad, "192.0.2.1\n\n10.0.0.300\n")
	for _, c := range []struct {
		config, file, failure string
		invalid               bool
	}{
		{"", bad, bad + `:3: parse "10.0.0.300"`, true},
		{"", filepath.Join(dir, "missing"), "allow_files: \"" + filepath.Join(dir, "missing") + `" does not exist`, true},
		{"/etc/f2bc.toml", filepath.Join(dir, "missing"), "configuration /etc/f2bc.toml: allow_files: ", true},
		{"", filepath.Join(dir, "[a"), "syntax error in pattern", true},
		{"", dir, "read allow_files: ", false},
	} {
		s := Source{Config: c.config, Files: []string{c.file}}
		list, err := s.List(t.Context(), nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.failure) && !strings.HasSuffix(err.Error(), c.failure) {
			t.Errorf("%s: %v, %v, want %q", c.file, list, err, c.failure)
		}
		if errors.Is(err, ErrInvalid) != c.invalid {
			t.Errorf("%s: %v, want invalid: %v", c.file, err, c.invalid)
		}
	}
	if _, err := ParseEntries([]string{"192.0.2.1", "a..b"}, "f2bc.toml"); err == nil {
		t.Error("a bad entry is taken")
	}
}

// Names that stand for an address in the prefix, by the last answer or a new one, are left out.
func TestBeside(t *testing.T) {
	var said strings.Builder
	r := Resolver{
		State: state.Dir(filepath.Join(t.TempDir(), "state")),
		Say:   func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) },
	}
	answers := map[string]string{"in.example": "203.0.113.1", "out.example": "192.0.2.1", "comes.example": "192.0.2.2"}
	r.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr(answers[host])}, nil
	}
	r.Resolve(t.Context(), []Entry{{Host: "in.example"}, {Host: "out.example"}, {Host: "comes.example"}})
	answers["in.example"], answers["comes.example"] = "192.0.2.3", "203.0.113.2"
	if got := fmt.Sprint(r.Beside(t.Context(), netip.MustParsePrefix("203.0.113.0/24"))); got != "[out.example]" {
		t.Errorf("%v, said %q", got, said.String())
	}
}

// Without a Lookup names are resolved as this machine does; an answer that cannot be kept is used all the same, and a
// name that is not asked for any more keeps its last one.
func TestResolveHere(t *testing.T) {
	var said strings.Builder
	dir := t.TempDir()
	r := Resolver{
		State: state.Dir(filepath.Join(dir, "state")),
		Say:   func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) },
	}
	if got := r.Resolve(t.Context(), []Entry{{Host: "192.0.2.1"}})["192.0.2.1"]; fmt.Sprint(got) != "[192.0.2.1]" {
		t.Errorf("%v, said %q", got, said.String())
	}
	r.Resolve(t.Context(), []Entry{{Host: "192.0.2.2"}})
	if kept := r.kept(); len(kept) != 2 || said.Len() != 0 {
		t.Errorf("kept %v, said %q", kept, said.String())
	}
	write(t, filepath.Join(dir, "file"), "")
	r.State = state.Dir(filepath.Join(dir, "file"))
	got := r.Resolve(t.Context(), []Entry{{Host: "192.0.2.1"}})
	if len(got) != 1 || !strings.Contains(said.String(), "are not kept") {
		t.Errorf("%v, said %q", got, said.String())
	}
	if got := r.Resolve(t.Context(), []Entry{{Prefix: netip.MustParsePrefix("192.0.2.1/32")}}); got != nil {
		t.Errorf("%v without a name", got)
	}
}

// All names together are given two seconds: fail2ban waits.
func TestResolveInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Resolver{State: state.Dir(t.TempDir()), Say: func(string, ...any) {},
			Lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		start := time.Now()
		r.Resolve(t.Context(), []Entry{{Host: "a.example"}, {Host: "b.example"}})
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
