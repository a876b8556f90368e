package enforce

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"f2bc/store"
)

// fakeServer is the store as it is for all hosts.
type fakeServer struct {
	mu      sync.Mutex
	id      string
	mark    store.Time // of the newest change
	pause   store.Time // of the fleet
	bans    map[netip.Prefix]fakeBan
	allowed []store.Protected
	away    error // every answer
	hangs   bool  // every answer, until its caller gives up
	rows    []store.Host
}

type fakeBan struct {
	forced bool
	ends   time.Time // zero: never
}

func newServer(id string) *fakeServer {
	return &fakeServer{id: id, mark: 1, bans: map[netip.Prefix]fakeBan{}}
}

// change does something to the server, which moves its mark by a second.
func (s *fakeServer) change(do func(*fakeServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark = s.mark.Add(time.Second)
	do(s)
}

// ban replaces all bans by those of prefixes, as texts writes them.
func (s *fakeServer) ban(texts string) {
	s.change(func(s *fakeServer) {
		clear(s.bans)
		for _, p := range prefixes(texts) {
			s.bans[p] = fakeBan{}
		}
	})
}

// written returns how often a host's row was written, and the last of them.
func (s *fakeServer) written() (n int, last store.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n = len(s.rows); n > 0 {
		last = s.rows[n-1]
	}
	return n, last
}

// ask answers with what read reads.
func (s *fakeServer) ask(ctx context.Context, read func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return ctx.Err()
	}
	if s.away == nil {
		read()
	}
	return s.away
}

// fakeStore is an open connection.
type fakeStore struct {
	s     *fakeServer
	id    string
	pause store.Time
}

func (s *fakeServer) connect(ctx context.Context) (Store, error) {
	st := &fakeStore{s: s}
	if err := s.ask(ctx, func() { st.id, st.pause = s.id, s.pause }); err != nil {
		return nil, err
	}
	return st, nil
}

func (st *fakeStore) ID() string                   { return st.id }
func (st *fakeStore) Local(t store.Time) time.Time { return t.Std() }
func (st *fakeStore) Blocked() bool                { return false }
func (st *fakeStore) Close() error                 { return nil }
func (st *fakeStore) Deliver(context.Context)      {}
func (st *fakeStore) Live() Live                   { return &fakeLive{st: st, bans: map[netip.Prefix]fakeBan{}} }

func (st *fakeStore) Paused() store.Time {
	if st.pause > store.TimeOf(time.Now()) {
		return st.pause
	}
	return 0
}

func (st *fakeStore) Mark(ctx context.Context) (mark store.Time, err error) {
	err = st.s.ask(ctx, func() { mark = st.s.mark })
	return mark, err
}

func (st *fakeStore) Now(ctx context.Context) (store.Time, error) {
	return store.TimeOf(time.Now()), st.s.ask(ctx, func() {})
}

func (b fakeBan) ended() bool { return !b.ends.IsZero() && !time.Now().Before(b.ends) }

func (st *fakeStore) Bans(ctx context.Context, _ store.Filter, yield func(netip.Prefix, bool)) error {
	return st.s.ask(ctx, func() {
		for p, b := range st.s.bans {
			if !b.ended() {
				yield(p, b.forced)
			}
		}
	})
}

func (st *fakeStore) NeverBan(ctx context.Context) (allowed []store.Protected, err error) {
	err = st.s.ask(ctx, func() { allowed = st.s.allowed })
	return allowed, err
}

func (st *fakeStore) Reported(ctx context.Context, ps []netip.Prefix) (map[netip.Prefix]bool, error) {
	reported := map[netip.Prefix]bool{}
	err := st.s.ask(ctx, func() {
		for _, p := range ps {
			_, reported[p] = st.s.bans[p]
		}
	})
	return reported, err
}

func (st *fakeStore) WriteHost(ctx context.Context, h store.Host) (string, error) {
	return "203.0.113.250", st.s.ask(ctx, func() { st.s.rows = append(st.s.rows, h) })
}

// fakeLive is what a watch knows of the list.
type fakeLive struct {
	st   *fakeStore
	bans map[netip.Prefix]fakeBan
	mark store.Time
}

func (l *fakeLive) Mark() store.Time { return l.mark }

func (l *fakeLive) Refresh(ctx context.Context) (changed bool, err error) {
	replaced := false
	err = l.st.s.ask(ctx, func() {
		s := l.st.s
		replaced, changed = s.id != l.st.id, s.mark != l.mark
		l.mark, l.st.pause = s.mark, s.pause
		clear(l.bans)
		for p, b := range s.bans {
			l.bans[p] = b
		}
	})
	if err == nil && replaced {
		err = store.ErrReplaced
	}
	return l.Expire() || changed, err
}

func (l *fakeLive) Expire() (ended bool) {
	for p, b := range l.bans {
		if b.ended() {
			delete(l.bans, p)
			ended = true
		}
	}
	return ended
}

func (l *fakeLive) Bans(yield func(netip.Prefix, bool)) {
	for p, b := range l.bans {
		yield(p, b.forced)
	}
}
