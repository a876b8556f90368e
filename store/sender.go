package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"f2bc/store/state"
)

const (
	// SendTime is what the store gets to take a fact, connecting included, before it goes to the outbox: fail2ban
	// runs all actions of all jails one after the other.
	SendTime = 1500 * time.Millisecond

	// embeddedTime is the same for an embedded store: the outbox is on the same disk and no faster.
	embeddedTime = 20 * time.Second

	// perFact is added for each fact of a long list.
	perFact = time.Millisecond

	// awayFor is how long a store that did not answer is not asked again by a Sender.
	awayFor = 30 * time.Second

	// keepTime is for the outbox, whose time begins when the store's may be over.
	keepTime = 10 * time.Second
)

// Sender gives this host's facts to the store, or to the outbox when the store does not take them, for whatever reason:
// fail2ban runs a failing command twice and never again, so what is not kept is lost.
type Sender struct {
	Options
	Away   error          // why the store is not asked; nil: it is
	Kept   int            // how many facts went to the outbox
	Report func(Delivery) // takes what was delivered from the outbox on the way

	st *Store
}

// Store returns the store, nil when it is away or was not needed yet.
func (s *Sender) Store() *Store { return s.st }

// Close closes the store.
func (s *Sender) Close() {
	if s.st != nil {
		s.st.Close()
	}
}

// Within bounds ctx by the time that the store has to take n facts.
func (s *Sender) Within(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	limit := SendTime
	if dsn, err := ParseDSN(s.DSN); err == nil && dsn.Path != "" {
		limit = embeddedTime
	}
	limit += perFact * time.Duration(n)
	return context.WithTimeout(WithPatience(ctx, limit), limit)
}

// open returns the store, nil when it is away. It is opened when it is first used.
func (s *Sender) open() *Store {
	if s.st != nil || s.Away != nil {
		return s.st
	}
	if text, ago, ok := s.knownAway(); ok {
		s.Away = fmt.Errorf("%v ago: %s", ago.Round(time.Second), text)
		return nil
	}
	st, err := Prepare(s.Options)
	if err != nil {
		s.failed(err)
		return nil
	}
	s.st = st
	return st
}

// failed notes that the store is not to be asked again, neither in this run nor by the next ones.
func (s *Sender) failed(err error) {
	s.Away = err
	if s.st != nil {
		s.st.Close()
		s.st = nil
	}
	// Without the note the next ban waits as long as this one: no more can be done about it.
	s.State.Note(awayFile, s.awayPrefix()+err.Error())
}

const awayFile = "store-away"

// awayPrefix says which store is away: the configuration may name another one by now.
func (s *Sender) awayPrefix() string { return HidePasswords(s.DSN) + "\n" }

func (s *Sender) knownAway() (text string, ago time.Duration, ok bool) {
	info, err := s.State.Stat(awayFile)
	if err != nil {
		return "", 0, false
	}
	ago = time.Since(info.ModTime())
	if ago < 0 || ago > awayFor {
		return "", 0, false
	}
	b, err := s.State.Read(awayFile)
	text, ok = strings.CutPrefix(string(b), s.awayPrefix())
	return text, ago, ok && err == nil
}

// Send writes facts to the store, or keeps them, and returns those. at is when they happened by the local clock, zero for
// now. The store may have something to say of them first, which check is told.
func (s *Sender) Send(ctx context.Context, facts []Fact, at time.Time, check *Check) (sent []Fact, err error) {
	if len(facts) == 0 {
		return nil, nil
	}
	tried := time.Now()
	if st := s.open(); st != nil {
		facts, err = st.Give(ctx, facts, at, check)
		if err == nil {
			if st.Blocked() {
				s.Warn("this host is blocked (f2bc host remove): what it reports does not count until f2bc host add %s", s.Source)
			}
			s.settle(ctx, facts)
			return facts, nil
		}
		foreign := func(f Fact) bool { return f.Forced || f.Source != s.Source }
		if Rejected(err) || errors.Is(err, ErrNotOwn) && slices.ContainsFunc(facts, foreign) {
			return nil, err // waiting would not help
		}
		s.failed(err)
	}
	if err := s.keep(facts, at, tried); err != nil {
		return nil, err
	}
	return facts, nil
}

// keep puts facts into the outbox, which the store was first given at that moment. A fact that has its time already may
// have reached the store, and keeps it. Those of this host go out under the name that it has by then: a wrong name may be
// why they wait.
func (s *Sender) keep(facts []Fact, at, tried time.Time) error {
	for i := range facts {
		if facts[i].Source == s.Source {
			facts[i].Source = ""
		}
	}
	ctx, cancel := context.WithTimeout(WithPatience(context.Background(), keepTime), keepTime)
	defer cancel()
	outbox, err := OpenOutbox(ctx, s.State)
	if err == nil {
		defer outbox.Close()
		err = outbox.AddTried(ctx, facts, at, tried)
	}
	if err != nil {
		count := fmt.Sprintf("%d facts", len(facts))
		if len(facts) == 1 {
			count = "1 fact"
		}
		return fmt.Errorf("neither the store nor the outbox took %s: %w; %w", count, s.Away, err)
	}
	s.Kept += len(facts)
	return nil
}

// settle notes what the store took, and delivers what waits as far as the time allows.
func (s *Sender) settle(ctx context.Context, facts []Fact) {
	if len(facts) > 0 {
		s.st.NoteTaken(facts)
	}
	if s.State.Has(awayFile) { // without it nothing waits, and the outbox need not be opened
		s.State.Remove(awayFile)
		s.Report(s.st.Deliver(ctx, s.State))
	}
}

// Deliver gives the store what waits in the outbox of a state directory, if there is one that this user may read.
func (s *Store) Deliver(ctx context.Context, dir state.Dir) (d Delivery) {
	if _, err := dir.Stat(outboxFile); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return d // an outbox of root's is root's to deliver
	}
	outbox, err := OpenOutbox(ctx, dir)
	if err != nil {
		if ctx.Err() == nil {
			d.Errs = append(d.Errs, err)
		}
		return d
	}
	defer outbox.Close()
	d, err = outbox.Deliver(ctx, s, s.source)
	if err != nil && ctx.Err() == nil { // short of time it is no failure: the next command goes on
		d.Errs = append(d.Errs, fmt.Errorf("deliver what waits in the outbox: %w", err))
	}
	return d
}

// DeliverAll gives the store what it lost in a restore, and what waits in these state directories, the first of which is
// that of Options.
func (s *Store) DeliverAll(ctx context.Context, elsewhere state.Dir) (d Delivery) {
	recalled, err := s.Recall(ctx, s.state)
	if d.Recalled = recalled; err != nil {
		d.Errs = append(d.Errs, fmt.Errorf("give the store what it lost in a restore: %w", err))
	}
	dirs := []state.Dir{s.state, elsewhere}
	for _, dir := range slices.Compact(dirs) {
		more := s.Deliver(ctx, dir)
		d.Delivered += more.Delivered
		d.Aside, d.Errs = append(d.Aside, more.Aside...), append(d.Errs, more.Errs...)
	}
	return d
}
