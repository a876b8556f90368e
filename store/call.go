package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
		text = fmt.Appendf(text, `%s["%x",%d,"%x",%d,%d,%d]`, [2]string{"[", ","}[min(i, 1)], f.Prefix.Addr().AsSlice(), f.Prefix.Bits(), f.Reason,
			f.At, f.bantimeMicros(), lift)
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
// with its times. Without a check, the never-ban list is not asked.
//
// A single fact of a server's own account is one call, the one statement after login: fail2ban waits for it, and the store may
// be far away.
func (s *Store) Give(ctx context.Context, facts []Fact, at time.Time, check *Check) ([]Fact, error) {
	if len(facts) == 1 && s.own(facts[0]) && facts[0].At == 0 && way(s.ways.Load()) == byCall {
		given, err := s.giveOne(ctx, &facts[0], at, check)
		if given && err == nil && facts[0].At == 0 {
			return nil, nil // refused
		}
		if given || err != nil {
			return facts, err
		}
	}
	if err := s.learn(ctx); err != nil {
		return nil, err
	}
	if check != nil {
		protected, err := s.NeverBan(ctx)
		if err == nil {
			facts, err = check.Facts(protected)
		}
		if err != nil || len(facts) == 0 {
			return nil, err
		}
	}
	err := s.Stamp(ctx, facts, at)
	if err == nil {
		err = s.Write(ctx, facts)
	}
	return facts, err
}

// giveOne gives a fact by call, and reports whether that is done: if not, Give goes on in the other way.
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
	made := time.Now()
	for {
		var a answer
		lost := false
		err := retry(ctx, func(ctx context.Context) (err error) {
			a, err = s.callFact(ctx, *f, at, names)
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
		if a.written != 0 {
			f.At = a.written
			return true, nil
		}
		facts, err := check.Facts(a.never)
		if err != nil || len(facts) == 0 {
			return true, err
		}
		names = nil // it was asked
	}
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

// answer is what the procedure write_fact says.
type answer struct {
	never   []Protected // what bears on the fact, which was not written
	written Time        // the time that the fact was given, zero if it was not written
}

func (s *Store) callFact(ctx context.Context, f Fact, at time.Time, names any) (a answer, err error) {
	asked := time.Now()
	happened := Time(0)
	if !at.IsZero() {
		happened = TimeOf(at)
	}
	meta := map[string]string{}
	args := []any{f.Prefix.Addr().AsSlice(), f.Prefix.Bits(), []byte(f.Reason), f.Lift, f.bantimeMicros(),
		int64(happened), int64(TimeOf(asked)), int64(keptOffset(s.stateDir)), names}
	err = s.query(ctx, s.db, "CALL write_fact(?, ?, ?, ?, ?, ?, ?, ?, ?)", args, func(scan scanner) error {
		var kind, text, detail string
		var n Time
		err := scan(&kind, &text, &detail, &n)
		switch kind {
		case "never":
			a.never = append(a.never, protected(text, detail))
		case "written":
			a.written = n
		case "blocked":
			s.blocked.Store(true)
		case "offset":
			if happened != 0 {
				s.keepOffset(n)
			}
		case "now":
			text = fmt.Sprint(int64(n))
		}
		meta[kind] = text
		return err
	})
	switch {
	case err != nil:
		return a, err
	case a.written != 0:
		err = s.know(asked, meta)
	case len(a.never) == 0:
		err = errors.New("the procedure write_fact gave no answer")
	}
	return a, err
}
