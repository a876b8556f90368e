package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/store"
	"f2bc/store/state"
)

const (
	// storeTime is what the store gets to take a fact, connecting included, before it goes to the outbox: fail2ban
	// runs all actions of all jails one after the other.
	storeTime = 1500 * time.Millisecond

	// embeddedTime is the same for an embedded store: the outbox is on the same disk and no faster.
	embeddedTime = 20 * time.Second

	// perFact is added for each fact of a long list.
	perFact = time.Millisecond

	// awayFor is how long a store that did not answer is not asked again by ban.
	awayFor = 30 * time.Second
)

// sender gives this host's facts to the store, or to the outbox when the store does not take them, for whatever reason:
// fail2ban runs a failing command twice and never again, so what is not kept is lost.
type sender struct {
	p    *process
	cfg  *config
	st   *store.Store
	away error // why the store is not asked in this run
	kept int
}

// configureSender reads the configuration; where that is broken, facts can still be kept in the default state
// directory, under whatever name this host has when they are delivered.
func (p *process) configureSender(c *cli.Context) (*sender, error) {
	cfg, err := p.configure(c)
	if err == nil {
		return &sender{p: p, cfg: cfg}, nil
	}
	dir, _ := variable("STATE_DIR")
	if dir == "" {
		dir = p.place.stateDir()
	}
	if errors.Is(err, errUsage) || !filepath.IsAbs(dir) {
		return nil, err
	}
	return &sender{p: p, cfg: &config{configFile: configFile{StateDir: dir}, state: state.Dir(dir)}, away: err}, nil
}

func (s *sender) close() {
	if s.st != nil {
		s.st.Close()
	}
	if s.kept > 0 {
		s.p.out.fail(fmt.Errorf("%s in the outbox until the store takes them: %w", counted(s.kept, "fact waits", "facts wait"), s.away))
	}
}

// within bounds ctx by the time that the store has to take n facts.
func (s *sender) within(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	limit := storeTime
	if dsn, err := store.ParseDSN(s.cfg.DSN); err == nil && dsn.Path != "" {
		limit = embeddedTime
	}
	limit += perFact * time.Duration(n)
	return context.WithTimeout(store.WithPatience(ctx, limit), limit)
}

// open returns the store, nil when it is away. It is opened when it is first used.
func (s *sender) open() *store.Store {
	if s.st != nil || s.away != nil {
		return s.st
	}
	if text, ago, ok := s.knownAway(); ok {
		s.away = fmt.Errorf("%v ago: %s", ago.Round(time.Second), text)
		return nil
	}
	options, err := s.p.prepareStore(s.cfg)
	if err == nil {
		s.st, err = store.Prepare(options)
	}
	if err != nil {
		s.failed(err)
	}
	return s.st
}

// failed notes that the store is not to be asked again, neither in this run nor by the next ones.
func (s *sender) failed(err error) {
	s.away = err
	if s.st != nil {
		s.st.Close()
		s.st = nil
	}
	// Without the note the next ban waits as long as this one: no more can be done about it.
	s.cfg.state.Note(awayFile, s.awayPrefix()+err.Error())
}

// awayPrefix says which store is away: the configuration may name another one by now.
func (s *sender) awayPrefix() string { return hidePasswords(s.cfg.DSN) + "\n" }

const awayFile = "store-away"

func (s *sender) knownAway() (text string, ago time.Duration, ok bool) {
	info, err := s.cfg.state.Stat(awayFile)
	if err != nil {
		return "", 0, false
	}
	ago = time.Since(info.ModTime())
	if ago < 0 || ago > awayFor {
		return "", 0, false
	}
	b, err := s.cfg.state.Read(awayFile)
	text, ok = strings.CutPrefix(string(b), s.awayPrefix())
	return text, ago, ok && err == nil
}

// send writes facts to the store, or keeps them, and returns those. at is when they happened by the local
// clock, zero for now. The store may have something to say of them first, which check is told.
func (s *sender) send(ctx context.Context, facts []store.Fact, at time.Time, check *store.Check) (sent []store.Fact, err error) {
	if len(facts) == 0 {
		return nil, nil
	}
	tried := time.Now()
	if st := s.open(); st != nil {
		facts, err = st.Give(ctx, facts, at, check)
		if err == nil {
			if st.Blocked() {
				s.p.out.say("this host is blocked (f2bc host remove): what it reports does not count until f2bc host add %s", s.cfg.Source)
			}
			s.settle(ctx, facts)
			return facts, nil
		}
		foreign := func(f store.Fact) bool { return f.Forced || f.Source != s.cfg.Source }
		if store.Rejected(err) || errors.Is(err, store.ErrNotOwn) && slices.ContainsFunc(facts, foreign) {
			return nil, err // waiting would not help
		}
		s.failed(err)
	}
	if err := s.keep(facts, at, tried); err != nil {
		return nil, err
	}
	return facts, nil
}

// keep puts facts into the outbox, which the store was first given at that moment. A fact that has its time already may have
// reached the store, and keeps it. Those of this host go out under the name that it has by then: a wrong name may be why they wait.
func (s *sender) keep(facts []store.Fact, at, tried time.Time) error {
	for i := range facts {
		if facts[i].Source == s.cfg.Source {
			facts[i].Source = ""
		}
	}
	const limit = 10 * time.Second
	ctx, cancel := context.WithTimeout(store.WithPatience(context.Background(), limit), limit) // the store's time may be over
	defer cancel()
	outbox, err := store.OpenOutbox(ctx, s.cfg.state)
	if err == nil {
		defer outbox.Close()
		err = outbox.AddTried(ctx, facts, at, tried)
	}
	if err != nil {
		return fmt.Errorf("neither the store nor the outbox took %s: %w; %w", counted(len(facts), "fact", "facts"), s.away, err)
	}
	s.kept += len(facts)
	return nil
}

// settle notes what the store took, and delivers what waits as far as the time allows.
func (s *sender) settle(ctx context.Context, facts []store.Fact) {
	if len(facts) > 0 {
		s.p.noteTaken(s.cfg, s.st, facts)
	}
	if s.cfg.state.Has(awayFile) { // without it nothing waits, and the outbox need not be opened
		s.cfg.state.Remove(awayFile)
		s.p.deliverFrom(ctx, s.cfg, s.st, s.cfg.state)
	}
}

// noteTaken notes on this host what the store took, for the day that it is restored from a backup.
func (p *process) noteTaken(cfg *config, st *store.Store, facts []store.Fact) {
	if cfg.state == "" {
		return
	}
	if err := store.NoteTaken(cfg.state, st, facts); err != nil {
		p.out.say("done, but: %v", err)
	}
}

// deliver gives the store what waits on this host, and what it lost in a restore.
func (p *process) deliver(ctx context.Context, cfg *config, st *store.Store) {
	if cfg.state != "" {
		switch n, err := st.Recall(ctx, cfg.state); {
		case err != nil:
			p.out.fail(fmt.Errorf("give the store what it lost in a restore: %w", err))
		case n > 0:
			p.out.say("the store was restored from a backup: gave it %s that it had taken", counted(n, "fact", "facts"))
		}
	}
	p.deliverFrom(ctx, cfg, st, cfg.state)
	if dir := state.Dir(p.place.stateDir()); dir != cfg.state { // facts kept while the configuration was broken
		p.deliverFrom(ctx, cfg, st, dir)
	}
}

func (p *process) deliverFrom(ctx context.Context, cfg *config, st *store.Store, dir state.Dir) {
	if _, err := os.Lstat(store.OutboxPath(dir)); dir == "" || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return // an outbox of root's is root's to deliver
	}
	outbox, err := store.OpenOutbox(ctx, dir)
	if err != nil {
		if ctx.Err() == nil {
			p.out.fail(err)
		}
		return
	}
	defer outbox.Close()
	d, err := outbox.Deliver(ctx, st, cfg.Source)
	if d.Delivered > 0 {
		p.out.say("delivered %s from the outbox", counted(d.Delivered, "fact", "facts"))
	}
	for _, rejected := range d.Aside {
		p.out.fail(fmt.Errorf("set aside, the store will never take it: %w", rejected))
	}
	if err != nil && ctx.Err() == nil { // short of time it is no failure: the next command goes on
		p.out.fail(fmt.Errorf("deliver what waits in the outbox: %w", err))
	}
}
