package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"f2bc/store/state"
)

// What the store took from this host is noted for 30 days in plain files of the state directory, one a day, for the
// day that the store is restored from a backup that lacks it. They are no database since ban writes to them every
// time: appending a line takes microseconds, opening a database as long as the ban itself. Losing the last lines in a
// power cut loses only the note.
const takenKept = 30 * 24 * time.Hour

const takenPrefix, takenSuffix = "taken-", ".log"

// NoteTaken notes on this host that the store took facts. Where that fails they are taken all the same.
func (s *Store) NoteTaken(facts []Fact) {
	if s.state == "" {
		return
	}
	if err := noteTaken(s.state, s, facts); err != nil {
		s.warn("done, but: %v", err)
	}
}

// noteTaken notes in the state directory dir that the store took facts. An embedded store is on the same disk as the
// note would be: for it nothing is noted.
func noteTaken(dir state.Dir, st *Store, facts []Fact) error {
	if st.Embedded() {
		return nil
	}
	if err := appendTaken(dir, st.id, facts, time.Now()); err != nil {
		return fmt.Errorf("note what the store took: %w", err)
	}
	return nil
}

func appendTaken(dir state.Dir, id string, facts []Fact, now time.Time) error {
	file := takenPrefix + now.UTC().Format(time.DateOnly) + takenSuffix
	_, err := dir.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = forgetTaken(dir, now.Add(-takenKept)) // once a day
	}
	if err != nil {
		return err
	}
	var text []byte
	for _, f := range facts {
		// The line feed comes first, so that a line that a power cut left torn spoils no other.
		text = fmt.Appendf(text, "\n%s %d %t %v %q %q %d %t .", id, f.At, f.Lift, f.Prefix, f.Source, f.Reason, f.Bantime, f.Forced)
	}
	return dir.Append(file, text)
}

// takenFiles returns the notes, oldest first.
func takenFiles(dir state.Dir) ([]string, error) {
	return dir.Find(takenPrefix + "????-??-??" + takenSuffix)
}

func forgetTaken(dir state.Dir, before time.Time) error {
	files, err := takenFiles(dir)
	for _, file := range files {
		day := strings.TrimSuffix(strings.TrimPrefix(file, takenPrefix), takenSuffix)
		if day < before.UTC().Format(time.DateOnly) {
			err = errors.Join(err, dir.Remove(file))
		}
	}
	return err
}

// parseTaken returns the fact of a line and the id of the store that took it; ok is false for a torn line.
func parseTaken(line string) (id string, f Fact, ok bool) {
	var prefix, end string
	var err error
	_, err = fmt.Sscanf(line, "%s %d %t %s %q %q %d %t %s", &id, &f.At, &f.Lift, &prefix, &f.Source, &f.Reason, &f.Bantime, &f.Forced, &end)
	if err == nil {
		f.Prefix, err = netip.ParsePrefix(prefix)
	}
	return id, f, err == nil && end == "."
}

// Recall gives the store once more all that it took from this host, as noted in dir, if it no longer has the newest of
// it: then it was restored from a backup. (Its newest mark would not tell, since other hosts may have written since.)
// The newest comes last, so that a run that is cut short is repeated. Returns how many facts there were.
func (s *Store) Recall(ctx context.Context, dir state.Dir) (recalled int, err error) {
	newest, ok, err := newestTaken(dir, s.id, s.clock.now().Add(maxAhead))
	if err != nil || !ok {
		return 0, err
	}
	if has, err := s.has(ctx, newest); has || err != nil {
		return 0, err
	}
	files, err := takenFiles(dir)
	if err != nil {
		return 0, err
	}
	var facts []Fact
	write := func() error {
		err := s.Write(ctx, facts)
		recalled, facts = recalled+len(facts), facts[:0]
		return err
	}
	for _, file := range files {
		f, err := dir.Open(file)
		if err != nil {
			return recalled, err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// What is dated ahead, by a clock that was wrong, is not a fact yet.
			if id, fact, ok := parseTaken(lines.Text()); ok && id == s.id && fact.At <= s.clock.now().Add(maxAhead) {
				facts = append(facts, fact)
			}
			if len(facts) == batchSize {
				if err := write(); err != nil {
					return recalled, err
				}
			}
		}
		if err := lines.Err(); err != nil {
			return recalled, err
		}
	}
	return recalled, write()
}

// newestTaken returns the last fact noted in dir that is not later than until, of the store with this id, or of any store
// where id is empty.
func newestTaken(dir state.Dir, id string, until Time) (newest Fact, ok bool, err error) {
	files, err := takenFiles(dir)
	if err != nil || len(files) == 0 {
		return newest, false, err
	}
	f, err := dir.Open(files[len(files)-1])
	if err != nil {
		return newest, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return newest, false, err
	}
	end, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-64<<10), 64<<10))
	for line := range strings.Lines(string(end)) {
		if of, fact, whole := parseTaken(strings.TrimSuffix(line, "\n")); whole && (of == id || id == "") && fact.At <= until {
			newest, ok = fact, true
		}
	}
	return newest, ok, err
}

// has reports whether the store has f, or a later fact in its place.
func (s *Store) has(ctx context.Context, f Fact) (bool, error) {
	column, table, valid := "at", reports, ""
	if f.Lift && f.exact() {
		column = "lifted"
	} else if f.Lift {
		table, valid = "lift", " AND "+validLift
	}
	var at Time
	err := retry(ctx, func(ctx context.Context) error {
		query := "SELECT COALESCE(MAX(" + column + "), 0) FROM " + table + " WHERE addr = ? AND len = ? AND source = ? AND reason = ?" + valid
		return s.db.QueryRowContext(ctx, s.sane(query), f.Prefix.Addr().AsSlice(), f.Prefix.Bits(), []byte(f.Source), []byte(f.Reason)).Scan(&at)
	})
	if err != nil {
		return false, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	return at >= f.At, nil
}
