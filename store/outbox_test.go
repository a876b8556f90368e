package store

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
	"f2bc/store/state"
)

func openOutbox(t testing.TB, dir state.Dir) *Outbox {
	t.Helper()
	o, err := OpenOutbox(t.Context(), dir)
	check(t, err)
	t.Cleanup(func() { o.Close() })
	return o
}

func wantState(t testing.TB, o *Outbox, waiting, aside int) {
	t.Helper()
	s, err := o.State(t.Context())
	check(t, err)
	if s.Waiting != waiting || s.Aside != aside || s.Oldest.IsZero() != (waiting == 0) {
		t.Fatalf("outbox: %+v, want %d waiting and %d aside", s, waiting, aside)
	}
}

// TestOutbox: what waited is delivered under the time at which it happened, whatever the local clock says by then.
func TestOutbox(t *testing.T) {
	onEngines(t, func(t *testing.T, options Options) {
		s := initStore(t, options)
		o := openOutbox(t, state.Dir(t.TempDir()))
		check(t, o.Add(t.Context(), []Fact{
			report("192.0.2.1/32", "", 0, Forever), // of this host, whatever it is called
			report("192.0.2.2/32", "web7", 0, time.Hour),
		}, time.Time{}))
		check(t, o.Add(t.Context(), []Fact{report("192.0.2.3/32", "web1", 0, Forever)}, time.Now().Add(-20*time.Minute)))
		check(t, o.Add(t.Context(), []Fact{report("192.0.2.4/32", "web1", 0, Forever), lift("192.0.2.4/32", "web1", "sshd", 0)}, time.Time{}))
		check(t, o.Add(t.Context(), []Fact{report("192.0.2.5/32", "web1", 0, Forever)}, time.Time{}))
		wantState(t, o, 6, 0)

		// The wall clock is stepped by an hour: the machine's own clock knows better.
		_, err := o.db.Exec("UPDATE fact SET made = made - 3600000000 WHERE addr <> ?", []byte{192, 0, 2, 5})
		check(t, err)
		// The machine was rebooted: the wall clock is all there is, though it is ahead.
		_, err = o.db.Exec("UPDATE fact SET boot = 'before', made = made + 3600000000 WHERE addr = ?", []byte{192, 0, 2, 5})
		check(t, err)

		d, err := o.Deliver(t.Context(), s, "web1")
		check(t, err)
		if d.Delivered != 6 || len(d.Aside) != 0 {
			t.Errorf("%+v", d)
		}
		wantState(t, o, 0, 0)
		now, err := s.Now(t.Context())
		check(t, err)
		bans, err := s.List(t.Context(), Filter{})
		check(t, err)
		var got []string
		for _, b := range bans {
			age := time.Duration(now-b.Last) * time.Microsecond
			got = append(got, b.Prefix.Addr().String()+" "+b.Sources[0]+" "+age.Round(10*time.Minute).String())
		}
		if text := strings.Join(got, ", "); text != "192.0.2.1 web1 0s, 192.0.2.2 web7 0s, 192.0.2.3 web1 20m0s, 192.0.2.5 web1 0s" {
			t.Error(text)
		}
		if d, err := o.Deliver(t.Context(), s, "web1"); err != nil || d.Delivered != 0 {
			t.Error("delivered again:", d, err)
		}
	})
}

// TestOutboxOnce: a fact keeps the time of its first delivery, though the answer was lost, so an unban in between stands.
func TestOutboxOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, options Options) {
		s := initStore(t, options)
		dir := state.Dir(t.TempDir())
		o := openOutbox(t, dir)
		check(t, o.Add(t.Context(), []Fact{report("192.0.2.1/32", "web1", 0, Forever)}, time.Time{}))
		batch, err := o.fix(t.Context(), s, "web1")
		check(t, err)
		check(t, s.Write(t.Context(), []Fact{batch[0].Fact})) // and the machine dies

		unban := []Fact{lift("192.0.2.1/32", "", "", 0)}
		check(t, s.Stamp(t.Context(), unban, time.Time{}))
		check(t, s.Write(t.Context(), unban))
		o = openOutbox(t, dir)
		wantState(t, o, 1, 0)
		_, err = o.Deliver(t.Context(), s, "web1")
		check(t, err)
		wantBanned(t, s, "")
	})
}

// TestOutboxDated: fail2ban's ban and its prolongation have the same time, whichever of them had to wait.
func TestOutboxDated(t *testing.T) {
	onEngines(t, func(t *testing.T, options Options) {
		options.State = state.Dir(t.TempDir())
		at := time.Now().Add(-3 * time.Second)
		short, long := report("192.0.2.1/32", "web1", 0, time.Minute), report("192.0.2.1/32", "web1", 0, time.Hour)
		var times []Time
		for round := range 6 {
			s := initStore(t, options)
			o := openOutbox(t, options.State)
			direct, late := []Fact{short}, []Fact{long}
			if round%2 == 0 {
				direct, late = late, direct
			}
			check(t, o.Add(t.Context(), late, at))
			check(t, s.Stamp(t.Context(), direct, at))
			check(t, s.Write(t.Context(), direct))
			_, err := o.Deliver(t.Context(), s, "web1")
			check(t, err)
			bans, err := s.List(t.Context(), Filter{})
			check(t, err)
			times = append(times, bans[0].First)
			if bans[0].First != times[0] || bans[0].Expires != bans[0].First.Add(time.Hour) {
				t.Fatalf("round %d: %+v, times %v", round, bans, times)
			}
		}
	})
}

// TestOutboxAfter: what this host does after something else stands, though the store told its clock late, or another
// node of the cluster did whose clock is ahead.
func TestOutboxAfter(t *testing.T) {
	s := initStore(t, mariadbOptions(t))
	dir := state.Dir(t.TempDir())
	o := openOutbox(t, dir)
	now, err := s.Now(t.Context())
	check(t, err)
	ban := []Fact{report("192.0.2.1/32", "web1", now.Add(5*time.Second), Forever)}
	check(t, s.Write(t.Context(), ban))
	check(t, noteTaken(dir, s, ban))
	check(t, o.Add(t.Context(), []Fact{lift("192.0.2.1/32", "web1", "sshd", 0)}, time.Time{}))
	_, err = o.Deliver(t.Context(), s, "web1")
	check(t, err)
	wantBanned(t, s, "")
}

// TestOutboxTogether: many hosts' worth of writers and deliverers at once lose nothing.
func TestOutboxTogether(t *testing.T) {
	s := initStore(t, mariadbOptions(t))
	dir := state.Dir(t.TempDir())
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			o, err := OpenOutbox(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer o.Close()
			for j := range 10 {
				f := report("192.0.2.1/32", "web1", 0, Forever)
				a := f.Prefix.Addr().As4()
				a[2], a[3] = byte(i), byte(j)
				f.Prefix = prefix4(a)
				if err := o.Add(t.Context(), []Fact{f}, time.Time{}); err != nil {
					t.Error(err)
				}
				if _, err := o.Deliver(t.Context(), s, "web1"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	bans, err := s.List(t.Context(), Filter{})
	check(t, err)
	if len(bans) != 200 {
		t.Errorf("%d bans", len(bans))
	}
	wantState(t, openOutbox(t, dir), 0, 0)
}

// TestOutboxAside: a fact that the store rejects for good is set aside and named, and blocks nothing.
func TestOutboxAside(t *testing.T) {
	s := initStore(t, mariadbOptions(t))
	_, err := s.db.Exec("ALTER TABLE report ADD CONSTRAINT no_web9 CHECK (source <> 'web9')")
	check(t, err)
	o := openOutbox(t, state.Dir(t.TempDir()))
	check(t, o.Add(t.Context(), []Fact{
		report("192.0.2.1/32", "web1", 0, Forever), report("192.0.2.2/32", "web9", 0, Forever), report("192.0.2.3/32", "web1", 0, Forever)}, time.Time{}))
	d, err := o.Deliver(t.Context(), s, "web1")
	check(t, err)
	if d.Delivered != 2 || len(d.Aside) != 1 {
		t.Errorf("%+v", d)
	}
	wantState(t, o, 0, 1)
	wantBanned(t, s, "192.0.2.1/32 192.0.2.3/32")
}

// TestOutboxAway: while the store is away everything waits; what is wrong with the store is no reason to set a fact aside.
func TestOutboxAway(t *testing.T) {
	server := mariadbtest.New(t)
	check(t, server.Start())
	s := initStore(t, Options{DSN: server.DSN(server.Database(t))})
	o := openOutbox(t, state.Dir(t.TempDir()))
	check(t, o.Add(t.Context(), []Fact{report("192.0.2.1/32", "web1", 0, Forever)}, time.Time{}))
	_, err := s.db.Exec("RENAME TABLE report TO elsewhere")
	check(t, err)
	if _, err := o.Deliver(t.Context(), s, "web1"); err == nil {
		t.Error("delivered without a table")
	}
	_, err = s.db.Exec("RENAME TABLE elsewhere TO report")
	check(t, err)
	server.Kill()
	ctx, cancel := contextWithin(t, 300*time.Millisecond)
	defer cancel()
	if _, err := o.Deliver(ctx, s, "web1"); err == nil {
		t.Error("delivered to nobody")
	}
	wantState(t, o, 1, 0)
	check(t, server.Start())
	d, err := o.Deliver(t.Context(), s, "web1")
	check(t, err)
	if d.Delivered != 1 {
		t.Errorf("%+v", d)
	}
	wantBanned(t, s, "192.0.2.1/32")
}

func TestOutboxBound(t *testing.T) {
	o := openOutbox(t, state.Dir(t.TempDir()))
	_, err := o.db.Exec(`
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
INSERT INTO fact (lift, addr, len, source, reason, bantime, forced, at, made, boot, uptime, after, dated) SELECT 0, X'C0000201', 32, X'77', X'78', 1000, 0, 0, i, '', 0, 0, 0 FROM n`)
	check(t, err)
	if err := o.Add(t.Context(), []Fact{report("192.0.2.1/32", "web1", 0, Forever)}, time.Time{}); !errors.Is(err, ErrOutboxFull) {
		t.Error(err)
	}
}

// TestOutboxWrongName: where the account may not write under the name that this host is configured with, everything
// waits until that is set right; what may never be written is set aside.
func TestOutboxWrongName(t *testing.T) {
	server := mariadbtest.Shared(t)
	database := server.Database(t)
	initStore(t, Options{DSN: server.DSN(database)})
	accounts, err := NewAccounts(database, "web1")
	check(t, err)
	server.Exec(t, "DROP USER IF EXISTS web1@'%'") // another test's has another password
	server.Exec(t, strings.ReplaceAll(accounts.Server, "<password of web1>", "'x'"))
	t.Cleanup(func() { server.Exec(t, "DROP USER web1@'%'") })
	s, err := Open(t.Context(), Options{DSN: strings.Replace(server.DSN(database), "root@", "web1:x@", 1)})
	check(t, err)
	defer s.Close()
	o := openOutbox(t, state.Dir(t.TempDir()))
	forced := report("192.0.2.2/32", "", 0, Forever)
	forced.Forced = true
	check(t, o.Add(t.Context(), []Fact{report("192.0.2.1/32", "", 0, Forever), forced, report("192.0.2.3/32", "web2", 0, Forever)}, time.Time{}))
	if d, err := o.Deliver(t.Context(), s, "web1.example"); !errors.Is(err, ErrNotOwn) || d.Delivered != 0 {
		t.Errorf("under a wrong name: %+v, %v", d, err)
	}
	wantState(t, o, 3, 0)
	d, err := o.Deliver(t.Context(), s, "web1")
	check(t, err)
	if d.Delivered != 1 || len(d.Aside) != 2 {
		t.Errorf("%+v", d)
	}
	wantState(t, o, 0, 2)
	wantBanned(t, s, "192.0.2.1/32")
}
