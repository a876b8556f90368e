package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// callFacts writes facts of this account's own, which have their times, by one call of the procedure.
func (s *Store) callFacts(ctx context.Context, facts []Fact) error {
	text := make([]byte, 0, 64*len(facts))
	for i, f := range facts {
		lift := 0
		if f.Lift {
			lift = 1
		}
		text = fmt.Appendf(text, `%s["%x",%d,"%x",%d,%d,%d]`, [2]string{"[", ","}[min(i, 1)],
			f.Prefix.Addr().AsSlice(), f.Prefix.Bits(), f.Reason, f.At, f.bantimeMicros(), lift)
	}
	_, err := s.db.ExecContext(ctx, "CALL write_facts(?)", append(text, ']'))
	return err
}

// bantimeMicros is the ban time as the procedures take it: -1 for ever. A part of a microsecond counts as a whole one.
func (f Fact) bantimeMicros() int64 {
	if f.Lift || f.Bantime == Forever {
		return -1
	}
	return max(f.Bantime.Microseconds(), 1)
}

// A Check is asked what of some facts may be written, once the store has said what must never be banned.
type Check struct {
	Names []string // host names of the never-ban list that were resolved, and bear on none of the facts
	Facts func([]Protected) ([]Fact, error)
}

// Give writes facts that were made now, or at a time by the local clock where at is not zero, and returns what was written,
// with its times, or with an error what is still to be written. Without a check, the never-ban list is not asked.
//
// A single fact of a server's own account is one call, the one statement after login: fail2ban waits for it, and the store may
// be far away.
func (s *Store) Give(ctx context.Context, facts []Fact, at time.Time, check *Check) ([]Fact, error) {
	if len(facts) == 1 && s.oneCall(facts[0]) {
		given, err := s.giveOne(ctx, &facts[0], at, check)
		if given || err != nil {
			return facts, err
		}
	}
	if err := s.learn(ctx); err != nil {
		return facts, err
	}
	if check != nil {
		protected, err := s.NeverBan(ctx)
		if err != nil {
			return facts, err
		}
		allowed, err := check.Facts(protected)
		if err != nil {
			return facts, err
		}
		if facts = allowed; len(facts) == 0 {
			return nil, nil
		}
	}
	err := s.Stamp(ctx, facts, at)
	if err == nil {
		err = s.Write(ctx, facts)
	}
	return facts, err
}

// oneCall reports whether the procedure write_fact may take f.
func (s *Store) oneCall(f Fact) bool {
	return s.own(f) && f.At == 0 && (!f.Lift || f.exact()) && way(s.ways.Load()) == byCall
}

// giveOne gives a fact by call, and reports whether that is done: if not, Give goes on in the other way, as it does where the
// never-ban list has something to say of the fact.
//
// After a lost answer the fact may have been written, under a time that nobody knows. So it gets one that is not later, and
// keeps it: a time of a second call could be later than an unban in between.
func (s *Store) giveOne(ctx context.Context, f *Fact, at time.Time, check *Check) (done bool, err error) {
	var names any
	if check != nil {
		if names, err = json.Marshal(append([]string{}, check.Names...)); err != nil {
			return false, err
		}
	}
	made, lost := time.Now(), false
	var written Time
	err = retry(ctx, func(ctx context.Context) (err error) {
		written, err = s.callFact(ctx, *f, at, names)
		if lost = err != nil && number(err) == 0 && transient(err); lost {
			return nil
		}
		return err
	})
	if lost {
		if !at.IsZero() {
			return false, nil // it keeps the time that it has from at
		}
		known, err := s.notAfter(ctx, made)
		if err == nil {
			f.At = known
		}
		return false, err
	}
	if closed, why := s.closed(ctx, byCall, err); closed {
		s.ways.Store(int32(byViews))
		return false, nil
	} else if why != nil {
		return false, fmt.Errorf("write to %v: %w", s.dsn, why)
	}
	f.At = written
	return written != 0, nil
}

// notAfter returns a time by the store's clock that is not later than a moment of the local one, but hardly earlier.
func (s *Store) notAfter(ctx context.Context, local time.Time) (Time, error) {
	asked := time.Now()
	now, err := s.Now(ctx)
	if err != nil {
		return 0, err
	}
	// The store's clock is no later than this when the answer has come.
	return now - Time(time.Since(asked).Microseconds()) - Time(time.Since(local).Microseconds()), nil
}

// callFact returns the time that a fact was given, zero if the never-ban list must be asked first. Then it was not written.
func (s *Store) callFact(ctx context.Context, f Fact, at time.Time, names any) (written Time, err error) {
	asked := time.Now()
	happened := Time(0)
	if !at.IsZero() {
		happened = TimeOf(at)
	}
	var offset, now Time
	var about string
	var blocked, stale bool
	row := s.db.QueryRowContext(ctx, "CALL write_fact(?, ?, ?, ?, ?, ?, ?, ?, ?)",
		f.Prefix.Addr().AsSlice(), f.Prefix.Bits(), []byte(f.Reason), f.Lift, f.bantimeMicros(), int64(happened), int64(TimeOf(asked)), int64(keptOffset(s.state)), names)
	if err := row.Scan(&written, &offset, &now, &about, &blocked, &stale); err != nil {
		return 0, err
	}
	s.blocked.Store(blocked)
	if happened != 0 {
		s.keepOffset(offset)
	}
	meta := map[string]string{"now": fmt.Sprint(int64(now))}
	for line := range strings.Lines(about) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		meta[name] = value
	}
	err = s.know(asked, meta)
	if err == nil && written != 0 && stale {
		s.db.ExecContext(ctx, "CALL touch_host()") // the next command does it otherwise
	}
	return written, err
}
