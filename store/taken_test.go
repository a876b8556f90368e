package store

import (
	"strings"
	"testing"
	"time"

	"f2bc/store/state"
)

// TestRestore: a store that comes back from a backup gets what this host had delivered since, though another host
// wrote first, and what was lifted stays lifted.
func TestRestore(t *testing.T) {
	s := initStore(t, mariadbOptions(t))
	dir := state.Dir(t.TempDir())
	deliver := func(facts ...Fact) {
		t.Helper()
		check(t, s.Stamp(t.Context(), facts, time.Time{}))
		check(t, s.Write(t.Context(), facts))
		check(t, noteTaken(dir, s, facts))
	}
	recall := func(want int) {
		t.Helper()
		if n, err := s.Recall(t.Context(), dir); n != want || err != nil {
			t.Errorf("recalled %d, want %d: %v", n, want, err)
		}
	}
	recall(0)
	deliver(report("192.0.2.1/32", "web1", 0, Forever), report("192.0.2.2/32", "\xff \"1\"\n", 0, Forever))
	recall(0)
	// The backup was made here.
	deliver(report("192.0.2.3/32", "web1", 0, Forever), report("2001:db8::/48", "web1", 0, time.Hour))
	deliver(lift("192.0.2.1/32", "web1", "sshd", 0))
	deliver(lift("192.0.2.2/32", "", "", 0))
	for _, restore := range []string{"DELETE FROM report WHERE addr IN (X'C0000203', X'20010DB8000000000000000000000000')",
		"UPDATE report SET lifted = 0", "DELETE FROM lift", "DELETE FROM event WHERE expires = 0"} {
		_, err := s.db.Exec(restore)
		check(t, err)
	}
	check(t, s.Write(t.Context(), []Fact{report("192.0.2.9/32", "web2", s.clock.now(), Forever)}))
	wantBanned(t, s, "192.0.2.1/32 192.0.2.2/32 192.0.2.9/32")
	recall(6)
	wantBanned(t, s, "192.0.2.3/32 192.0.2.9/32 2001:db8::/48")
	recall(0)

	// Another store never had it.
	other := initStore(t, mariadbOptions(t))
	if n, err := other.Recall(t.Context(), dir); n != 0 || err != nil {
		t.Error("recalled for another store:", n, err)
	}
}

// TestTakenFiles: a line that a power cut left torn spoils no other, and old days are forgotten.
func TestTakenFiles(t *testing.T) {
	dir := state.Dir(t.TempDir())
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	fact := report("192.0.2.1/32", "web1", 7, Forever)
	for day := range 40 {
		check(t, appendTaken(dir, "ID", []Fact{fact}, now.Add(time.Duration(day)*24*time.Hour)))
	}
	files, err := takenFiles(dir)
	check(t, err)
	if len(files) != 31 || files[0] != "taken-2026-04-09.log" {
		t.Fatalf("%d files, the first %s", len(files), files[0])
	}
	whole, err := dir.Read(files[0])
	check(t, err)
	for cut := range len(whole) {
		check(t, dir.Note(files[0], string(whole[:cut])))
		check(t, appendTaken(dir, "ID", []Fact{fact}, now.Add(9*24*time.Hour)))
		text, err := dir.Read(files[0])
		check(t, err)
		n := 0
		for line := range strings.Lines(string(text)) {
			if id, f, ok := parseTaken(strings.TrimSuffix(line, "\n")); ok {
				if n++; id != "ID" || f != fact {
					t.Fatalf("%q became %+v", line, f)
				}
			}
		}
		if n != 1 {
			t.Fatalf("cut at %d of %d: %d facts", cut, len(whole), n)
		}
	}
}
