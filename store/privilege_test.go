package store

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOwnAccount: with its own account a server does all that it has to, and the rest fails clearly.
func TestOwnAccount(t *testing.T) {
	smallBatches(t)
	for _, c := range []struct {
		name, statements string
		way              way
	}{{"web1", "", byCall}, {"wéb 1.example-x", "", byCall}, {"web1", oldGrants, byViews}} {
		name := c.name
		f := newFleetWith(t, c.statements, name)
		s := f.open(t, name)
		ctx := t.Context()
		write := func(s *Store, facts ...Fact) error {
			if err := s.Stamp(ctx, facts, time.Time{}); err != nil {
				return err
			}
			return s.Write(ctx, facts)
		}
		check(t, write(s, report("203.0.113.6/32", name, 0, Forever), report("198.51.100.0/24", name, 0, time.Hour)))
		check(t, write(s, report("203.0.113.6/32", name, 0, time.Hour), report("2001:db8::1/128", name, 0, Forever)))
		writeHost(t, s, Host{Name: name, Version: "1", Mode: "enforce"})
		writeHost(t, s, Host{Name: name, Version: "2", Mode: "enforce"})
		wantBanned(t, s, "198.51.100.0/24 203.0.113.6/32 2001:db8::1/128")
		check(t, write(s, lift("198.51.100.0/23", name, "", 0), lift("203.0.113.6/32", name, "sshd", 0)))
		wantBanned(t, s, "2001:db8::1/128")
		again := []Fact{report("203.0.113.6/32", name, s.clock.now(), Forever)}
		check(t, s.Write(ctx, again))
		f.server.Exec(t, "UPDATE "+f.database+".report SET mark = '2020-01-01'; UPDATE "+f.database+".lift SET mark = '2020-01-01'")
		check(t, s.Write(ctx, append(again, lift("198.51.100.0/23", name, "", 1)))) // as an outbox may
		if w := way(s.ways.Load()); w != c.way {
			t.Errorf("wrote in the way %d, want %d", w, c.way)
		}

		for _, c := range []struct {
			err  error
			want string
		}{
			{write(s, lift("203.0.113.6/32", "", "", 0)), "can lift only its own reports"},
			{write(s, lift("203.0.113.6/32", "web2", "sshd", 0)), "can lift only its own reports"},
			{write(s, report("203.0.113.6/32", "web2", 0, Forever)), "can report only as source"},
			{write(s, Fact{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Source: name, Reason: "x", Bantime: Forever, Forced: true}), "cannot force a ban"},
			{allowError(s.AddAllow(ctx, []string{"192.0.2.1"})), "cannot change the never-ban list"},
			{hostError(s.WriteHost(ctx, Host{Name: "web2"})), "can write only as source"},
		} {
			want := "this host's account " + c.want
			if !errors.Is(c.err, ErrNotOwn) || !strings.Contains(c.err.Error(), want) || !strings.HasSuffix(c.err.Error(), "; use your admin configuration") {
				t.Errorf("%v, want %q", c.err, want)
			}
		}

		var many []Fact
		for i := range 20 {
			many = append(many, report(fmt.Sprintf("192.0.2.%d/32", 100+i), name, 0, time.Hour))
		}
		check(t, write(s, many...))
		for i := range many {
			many[i] = lift(many[i].Prefix.String(), name, "sshd", 0)
		}
		check(t, write(s, many...))
		wantBanned(t, s, "203.0.113.6/32 2001:db8::1/128")

		// What is its own is written, though another's stands beside it.
		err := write(s, report("192.0.2.1/32", "web2", 0, Forever), report("192.0.2.2/32", name, 0, Forever))
		if !errors.Is(err, ErrNotOwn) {
			t.Error("another's fact beside an own one:", err)
		}
		wantBanned(t, s, "192.0.2.2/32 203.0.113.6/32 2001:db8::1/128")

		// The admin may do all that, and everybody can read who did it.
		_, err = f.admin.AddAllow(ctx, []string{"192.0.2.1"})
		check(t, err)
		check(t, write(f.admin, lift("0.0.0.0/0", "", "", 0)))
		check(t, write(f.admin, report("192.0.2.9/32", "web2", 0, Forever)))
		wantBanned(t, s, "192.0.2.9/32 2001:db8::1/128")
		events, _, err := s.History(ctx, netip.Prefix{}, Filter{}, 100)
		check(t, err)
		who := map[string]int{}
		for _, e := range events {
			who[e.Who]++
		}
		if len(events) != 51 || who["f2bc_admin@127.0.0.1"] != 2 || who[name+"@127.0.0.1"] != 49 {
			t.Errorf("%d events by %v", len(events), who)
		}
		if _, err := f.admin.db.Exec("DELETE FROM event"); !denied(err) {
			t.Error("an admin's account may delete:", err)
		}
	}
}

func allowError(_ []string, err error) error { return err }

func hostError(_ string, err error) error { return err }

func writeHost(t testing.TB, s *Store, h Host) {
	t.Helper()
	_, err := s.WriteHost(t.Context(), h)
	check(t, err)
}

// TestAccounts: accounts that are not a server's own write to the tables, or say what they lack.
func TestAccounts(t *testing.T) {
	f := newFleet(t, "web1")
	fact := func(source string) []Fact {
		return []Fact{report("203.0.113.6/32", source, 1_700_000_000_000_000, Forever)}
	}

	reader := f.open(t, "f2bc_reader")
	for _, source := range []string{"f2bc_reader", "web1"} {
		err := reader.Write(t.Context(), fact(source))
		if err == nil || errors.Is(err, ErrNotOwn) || !strings.Contains(err.Error(), "lacks a privilege") {
			t.Errorf("a reader writes as %s: %v", source, err)
		}
	}

	// One account that several servers share, and one of a database without views.
	f.server.Exec(t, "CREATE USER shared@'%' IDENTIFIED BY 'sesame'; GRANT SELECT ON "+f.database+".* TO shared@'%'")
	for _, table := range []string{"report", "lift", "event", "host"} {
		f.server.Exec(t, "GRANT INSERT, UPDATE ON "+f.database+"."+table+" TO shared@'%'")
	}
	for _, source := range []string{"web7", "shared"} {
		s := f.open(t, "shared")
		check(t, s.Write(t.Context(), fact(source)))
		writeHost(t, s, Host{Name: source})
		if way(s.ways.Load()) != map[string]way{"web7": byCall, "shared": byTables}[source] {
			t.Errorf("source %s: way %d", source, s.ways.Load())
		}
	}
	f.server.Exec(t, "DROP VIEW "+f.database+".own_report")
	owner := f.open(t, "f2bc_owner")
	check(t, owner.Write(t.Context(), fact("f2bc_owner")))
	bans, err := f.admin.List(t.Context(), Filter{})
	check(t, err)
	if len(bans) != 1 || !slices.Equal(bans[0].Sources, []string{"f2bc_owner", "shared", "web7"}) {
		t.Errorf("%+v", bans)
	}
	for _, bad := range []string{"web@1", "web'1", `web\1`, "web`1", "web\n1", "web\xff", "web\U0001f600"} {
		if _, err := NewAccounts("f2bc", bad); err == nil {
			t.Errorf("an account for %q", bad)
		}
	}
}

// TestOwnerGone: procedures and views run with the rights of the account that made them. Without it a fact is not lost: it waits.
func TestOwnerGone(t *testing.T) {
	for _, grants := range []string{"", oldGrants} {
		f := newFleetWith(t, grants, "web1")
		web1 := f.open(t, "web1")
		facts := []Fact{report("203.0.113.6/32", "web1", 1_700_000_000_000_000, Forever)}
		f.server.Exec(t, "RENAME USER f2bc_owner TO somebody")
		err := web1.Write(t.Context(), facts)
		f.server.Exec(t, "RENAME USER somebody TO f2bc_owner")
		if err == nil || Rejected(err) || errors.Is(err, ErrNotOwn) {
			t.Error("without the owner's account:", err)
		}
		check(t, web1.Write(t.Context(), facts))
		same := facts[0]
		same.Reason, same.At = "forced", facts[0].At+1
		forced := same
		forced.Forced = true
		check(t, f.admin.Write(t.Context(), []Fact{forced}))
		err = web1.Write(t.Context(), []Fact{same})
		if grants == "" {
			check(t, err) // it changes nothing
		} else if !Rejected(err) || !strings.Contains(err.Error(), "none in place of a forced report") {
			t.Error("in place of a forced report:", err)
		}
		bans, err := f.admin.List(t.Context(), Filter{Reason: "forced"})
		check(t, err)
		if len(bans) != 1 || !bans[0].Forced {
			t.Errorf("%+v", bans)
		}
	}
}
