package store

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

// TestNamesShieldNothing: where the database asks the DNS who connects, the address of a host is a name, and whoever rules
// its domain could name any address.
func TestNamesShieldNothing(t *testing.T) {
	server := resolving(t)
	for _, grants := range []string{"", oldGrants} {
		f := newFleetOn(t, server, grants, "web1", "web2")
		web1 := f.open(t, "web1")
		address, err := web1.WriteHost(t.Context(), Host{Name: "web1"})
		check(t, err)
		if isAddress(address) {
			mariadbtest.Unavailable(t, errors.New("127.0.0.1 has no name here"))
		}
		if resolves, err := f.admin.ResolvesNames(t.Context()); !resolves || err != nil {
			t.Error("it resolves names:", resolves, err)
		}
		f.server.Exec(t,
			"INSERT INTO "+f.database+".host (source, version, address, at, wanted, installed, mode, error) VALUES "+
				"('web7', '', 'dns.google', 5, 0, 0, '', ''), ('web8', '', '203.0.113.8.example', 5, 0, 0, '', ''), ('web9', '', '203.0.113.9', 5, 0, 0, '', '')")
		never, err := f.admin.NeverBan(t.Context())
		check(t, err)
		if len(never) != 1 || never[0].Entry != "203.0.113.9" {
			t.Errorf("shielded: %v", never)
		}
		hosts, err := f.admin.Hosts(t.Context())
		check(t, err)
		for _, h := range hosts {
			if (h.Shields(f.admin.clock.now()) != 0) != (h.Name == "web9") {
				t.Errorf("%+v", h)
			}
		}
		facts := []Fact{report("127.0.0.1/32", "web1", 0, time.Hour)}
		given, err := web1.Give(t.Context(), facts, time.Time{}, &Check{Facts: func(p []Protected) ([]Fact, error) {
			if len(p) != 1 || grants == "" { // the procedure asks only where something bears on the fact
				t.Errorf("protected: %v", p)
			}
			return facts, nil
		}})
		if err != nil || len(given) != 1 {
			t.Error(given, err)
		}
	}
}

// TestNamesOfAccounts: a name that is like another's does not open its account, and whoever has none is nobody.
func TestNamesOfAccounts(t *testing.T) {
	f := newFleet(t, "web1")
	for _, name := range []string{"WEB1", "wéb1", "web1 ", "web1\x00", ""} {
		if err := f.raw(t, name).Ping(); err == nil {
			t.Errorf("logged in as %q", name)
		}
	}
}

// TestOpenTransactions: an account that may read may also lock what it reads, for as long as it likes. Then others cannot
// write there, and their facts wait; but they read, and nothing that the account leaves open is seen, or stays.
func TestOpenTransactions(t *testing.T) {
	s := newSiege(t, besieged(t, mariadbtest.Shared(t), ""))
	ctx := t.Context()
	var open []*sql.Conn
	for _, statements := range []string{
		"START TRANSACTION; SELECT * FROM report LOCK IN SHARE MODE", "SET autocommit = 0; CALL touch_host()",
		"SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION; SELECT * FROM lift",
	} {
		conn, err := s.thief.Conn(ctx)
		check(t, err)
		defer conn.Close()
		rows, err := conn.QueryContext(ctx, statements)
		check(t, err)
		for rows.NextResultSet() {
		}
		rows.Close()
		open = append(open, conn)
	}
	others, own, _ := s.look(t)
	wantBanned(t, s.other, "198.18.0.0/16 203.0.113.1/32 203.0.113.6/32 203.0.113.7/32 203.0.113.9/32 2001:db8::1/128")

	facts := []Fact{report("203.0.113.6/32", "web2", s.other.clock.now(), Forever), lift("198.51.100.0/24", "web2",
		"", s.other.clock.now())}
	short, cancel := contextWithin(t, 5*time.Second)
	defer cancel()
	if err := s.other.Write(short, facts); err == nil || Rejected(err) {
		t.Error("under a lock:", err) // so that it waits in the outbox
	}
	if o, w, _ := s.look(t); o != others || len(w) != len(own) {
		t.Error("a write under a lock left something: " + difference(o, others))
	}
	for _, conn := range open {
		_, err := conn.ExecContext(ctx, "ROLLBACK")
		check(t, err)
	}
	check(t, s.other.Write(ctx, facts))
	events, _, err := s.other.History(ctx, facts[0].Prefix, Filter{Source: "web2"}, 10)
	check(t, err)
	if len(events) != 2 || events[0].Fact != facts[0] || strings.HasPrefix(events[0].Who, "web1") {
		t.Errorf("%+v", events)
	}
}

// TestCutShort: a call that ends in the middle, by a limit that the session set or with its connection, leaves nothing: no
// report without an event.
func TestCutShort(t *testing.T) {
	s := newSiege(t, besieged(t, mariadbtest.Shared(t), ""))
	ctx := t.Context()
	holder, err := s.thief.Conn(ctx)
	check(t, err)
	defer holder.Close()
	for _, statement := range []string{"START TRANSACTION", "SELECT * FROM event LOCK IN SHARE MODE"} {
		_, err := holder.ExecContext(ctx, statement)
		check(t, err)
	}
	for _, call := range calling[:5] {
		for _, end := range []string{"COMMIT", "START TRANSACTION", "SET autocommit = 1"} {
			conn, err := s.thief.Conn(ctx)
			check(t, err)
			_, err = conn.ExecContext(ctx, "SET max_statement_time = 0.1; "+call)
			if err == nil {
				t.Error("it did not wait:", call)
			}
			_, err = conn.ExecContext(ctx, end)
			check(t, err)
			check(t, conn.Close())
		}
	}
	_, err = holder.ExecContext(ctx, "ROLLBACK")
	check(t, err)
	others, own, events := s.look(t)
	for key, row := range s.own {
		if key.source != "host" && own[key] != row {
			t.Errorf("%+v to %+v", row, own[key])
		}
	}
	if others != s.others || len(own) != len(s.own) || len(events) != len(s.events) {
		t.Errorf("%d rows and %d events to %d and %d", len(s.own), len(s.events), len(own), len(events))
	}
}
