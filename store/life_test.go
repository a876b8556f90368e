package store

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

// TestAdopt adopts a table of the old scripts twice, with lifts and a prune in between.
func TestAdopt(t *testing.T) {
	server := mariadbtest.Shared(t)
	database := server.Database(t)
	old := server.Open(t, database)
	_, err := old.Exec("CREATE TABLE fail2ban (`1` smallint, `2` smallint, `3` smallint, `4` smallint, stamp timestamp NULL, " +
		"source varchar(50), reason varchar(50), PRIMARY KEY (`1`, `2`, `3`, `4`))")
	check(t, err)
	for i := range 1500 {
		_, err := old.Exec("INSERT INTO fail2ban VALUES (198, 51, ?, ?, '2024-05-06 07:08:09' + INTERVAL ? SECOND, ?, ?)", 100+i/250, i%250, i,
			[]any{nil, "", "web1"}[i%3], "sshd")
		check(t, err)
	}
	for _, bad := range []string{"300, 1, 2, 3", "-1, 1, 2, 3", "10, 0, 0, 1", "192, 0, 2, 256"} {
		_, err := old.Exec("INSERT INTO fail2ban VALUES (" + bad + ", '2024-05-06 07:08:09', 'web1', 'sshd')")
		check(t, err)
	}
	_, err = old.Exec("INSERT INTO fail2ban VALUES (203, 0, 113, 77, NULL, NULL, NULL)")
	check(t, err)

	s := initStore(t, Options{DSN: server.DSN(database)})
	// One of ours is a duplicate of theirs.
	check(t, s.Write(t.Context(), []Fact{report("198.51.100.2/32", "web1", 1_720_000_000_000_000, Forever)}))
	var bad []string
	options := AdoptOptions{
		Table: "fail2ban", Bantime: Forever,
		Name: func(text string) string {
			return strings.TrimSpace(text + strings.Repeat("adopted", len("x")-min(len(text), 1)))
		},
		Refuse: func(p netip.Prefix) error {
			if p.Addr().IsPrivate() {
				return errors.New("private")
			}
			return nil
		},
		Bad: func(row string, err error) { bad = append(bad, row+": "+err.Error()) },
	}
	a, err := s.Adopt(t.Context(), options)
	check(t, err)
	slices.Sort(bad)
	want := "-1.1.2.3: not an address|10.0.0.1: private|192.0.2.256: not an address|300.1.2.3: not an address"
	if a != (Adoption{New: 1500, Known: 1, Bad: 4}) || strings.Join(bad, "|") != want {
		t.Fatalf("%+v, bad %q", a, bad)
	}
	bans, err := s.List(t.Context(), Filter{})
	check(t, err)
	if len(bans) != 1501 {
		t.Fatal(len(bans), "bans")
	}
	first := bans[0]
	if first.Prefix.String() != "198.51.100.0/32" || first.First != TimeOf(time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)) || first.Sources[0] != "adopted" {
		t.Errorf("%+v", first)
	}

	// Lift some, exactly and widely, prune, adopt again: what was lifted stays so.
	lifts := []Fact{lift("198.51.100.0/32", "adopted", "sshd", 0), lift("198.51.101.0/24", "", "", 0)}
	check(t, s.Stamp(t.Context(), lifts, time.Time{}))
	check(t, s.Write(t.Context(), lifts))
	_, err = s.Prune(t.Context())
	check(t, err)
	before := dumpRows(t, s)
	a, err = s.Adopt(t.Context(), options)
	check(t, err)
	if a != (Adoption{Known: 1501, Bad: 4}) {
		t.Errorf("adopted again: %+v", a)
	}
	if dumpRows(t, s) != before {
		t.Error("adopting again changed rows")
	}
	bans, err = s.List(t.Context(), Filter{})
	check(t, err)
	if len(bans) != 1250 {
		t.Error(len(bans), "bans after lifting 251")
	}

	// With a ban time, those that ended long ago are not brought back.
	options.Bantime = 24 * time.Hour
	a, err = s.Adopt(t.Context(), options)
	check(t, err)
	if a.New != 0 || dumpRows(t, s) != before {
		t.Errorf("adopted with a ban time that is over: %+v", a)
	}
	options.Table = "nothing"
	if _, err := s.Adopt(t.Context(), options); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Error("a table that does not exist:", err)
	}
}

func TestPrune(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		now, err := s.Now(t.Context())
		check(t, err)
		old := now.Add(-200 * 24 * time.Hour)
		check(t, s.Write(t.Context(), []Fact{
			report("192.0.2.1/32", "web1", old, time.Hour),                        // goes
			report("192.0.2.2/32", "web1", old, Forever),                          // stands
			report("192.0.2.3/32", "web1", old, 150*24*time.Hour),                 // ended 50 days ago
			report("192.0.2.4/32", "web1", old, Forever),                          // was permanent,
			report("192.0.2.4/32", "web1", old+1, time.Hour),                      // then short
			report("192.0.2.5/32", "web1", old, time.Hour),                        // was lifted
			lift("192.0.2.5/32", "web1", "sshd", old+2),                           //
			lift("192.0.2.6/32", "web1", "sshd", old),                             // a lift before its report
			report("192.0.2.7/32", "web1", old.Add(48*time.Hour), 30*time.Minute), // goes, in another slice
			lift("192.0.2.8/32", "", "", old),
		}))
		time.Sleep(2 * time.Millisecond)                                                          // SQLite's marks have milliseconds
		check(t, s.Write(t.Context(), []Fact{report("198.51.100.1/32", "web1", now, time.Hour)})) // the newest row
		p, err := s.Prune(t.Context())
		check(t, err)
		if p != (Pruned{Events: 10, Reports: 2}) {
			t.Errorf("%+v", p)
		}
		reports, lifts, err := s.About(t.Context(), netip.MustParsePrefix("192.0.2.0/24"))
		check(t, err)
		var left []string
		for _, r := range reports {
			left = append(left, r.Prefix.Addr().String()[8:])
		}
		if got := strings.Join(left, " "); got != "2 3 4 5 6" || len(lifts) != 1 {
			t.Errorf("left: %s, %d wider lifts", got, len(lifts))
		}
		if p, err = s.Prune(t.Context()); err != nil || p != (Pruned{}) {
			t.Error("pruned again:", p, err)
		}
	})
}

func TestMixedVersions(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		set := func(name, value string) {
			_, err := s.db.Exec("UPDATE meta SET value = ? WHERE name = ?", value, name)
			check(t, err)
		}
		// A newer schema only added to this one.
		set("schema", "900")
		newer, err := Open(t.Context(), o)
		check(t, err)
		if !newer.Newer() || newer.ID() != s.ID() {
			t.Error("not newer, or another store")
		}
		newer.Close()
		again := initStore(t, o)
		if !again.Newer() {
			t.Error("init took a newer schema down")
		}

		set("min_binary", "900")
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrTooOld) || !strings.Contains(err.Error(), "upgrade f2bc") {
			t.Error("a store that is too new:", err)
		}
		if _, err := Init(t.Context(), o); !errors.Is(err, ErrTooOld) {
			t.Error("init of a store that is too new:", err)
		}
	})
}

// TestUpgrade: init adds what a schema of any age lacks, and may be repeated from wherever it stopped.
func TestUpgrade(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		check(t, s.Write(t.Context(), []Fact{report("192.0.2.1/32", "web1", 1_700_000_000_000_000, Forever)}))
		id := s.ID()
		for schema := s.engine.schema() - 1; schema >= 0; schema-- {
			_, err := s.db.Exec("UPDATE meta SET value = ? WHERE name = 'schema'", fmt.Sprint(schema))
			check(t, err)
			for _, view := range []string{"event_text", "lift_text"}[:schema%3%2+1] {
				_, err := s.db.Exec("DROP VIEW IF EXISTS " + view)
				check(t, err)
			}
			again := initStore(t, o)
			if again.ID() != id || again.schema != s.engine.schema() {
				t.Errorf("from %d: id %s, schema %d", schema, again.ID(), again.schema)
			}
			wantBanned(t, again, "192.0.2.1/32")
		}
	})
}

func TestNoTables(t *testing.T) {
	server := mariadbtest.Shared(t)
	o := Options{DSN: server.DSN(server.Database(t))}
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrNoTables) || !strings.Contains(err.Error(), "f2bc init") {
		t.Error("a database without tables:", err)
	}
	server.Exec(t, "CREATE USER IF NOT EXISTS web@'%' IDENTIFIED BY 'sesame'")
	o.DSN = strings.Replace(o.DSN, "root@", "web:wrong-sesame@", 1)
	_, err := Open(t.Context(), o)
	if err == nil || strings.Contains(err.Error(), "sesame") || !strings.Contains(err.Error(), "check the user and the password") {
		t.Error("a wrong password:", err)
	}
}

func TestAllows(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		there, err := s.AddAllow(t.Context(), []string{"192.0.2.0/24", "office.example"})
		if err != nil || len(there) != 0 {
			t.Fatal(there, err)
		}
		there, err = s.AddAllow(t.Context(), []string{"192.0.2.0/24", "198.51.100.1"})
		if err != nil || !slices.Equal(there, []string{"192.0.2.0/24"}) {
			t.Error(there, err)
		}
		missing, err := s.RemoveAllow(t.Context(), []string{"198.51.100.1", "nobody.example"})
		if err != nil || !slices.Equal(missing, []string{"nobody.example"}) {
			t.Error(missing, err)
		}
		writeHost(t, s, Host{Name: "web1", Version: "1", Mode: "enforce", Error: strings.Repeat("x", 300)})
		writeHost(t, s, Host{Name: "web1", Version: "2", Wanted: 7, Installed: 7, Mode: "enforce"})
		hosts, err := s.Hosts(t.Context())
		check(t, err)
		if len(hosts) != 1 || hosts[0].Version != "2" || hosts[0].Wanted != 7 || hosts[0].Error != "" {
			t.Errorf("%+v", hosts)
		}

		var got []string
		never, err := s.NeverBan(t.Context())
		check(t, err)
		for _, n := range never {
			got = append(got, n.Entry+": "+n.Why)
		}
		slices.Sort(got)
		want := "192.0.2.0/24: on the never-ban list|office.example: on the never-ban list"
		if s.dsn.Path == "" {
			want = "127.0.0.1: the address of host web1|" + want
		}
		if strings.Join(got, "|") != want {
			t.Errorf("never-ban: %q", got)
		}
		_, err = s.AddAllow(t.Context(), []string{"198.51.100.1"})
		check(t, err)
		allows, err := s.Allows(t.Context())
		check(t, err)
		if len(allows) != 3 || allows[1].Entry != "198.51.100.1" || allows[1].Who == "" {
			t.Errorf("%+v", allows)
		}
	})
}

func TestHistory(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		now, err := s.Now(t.Context())
		check(t, err)
		facts := []Fact{
			report("203.0.113.6/32", "web1", now-50, time.Hour),
			report("203.0.113.6/32", "web1", now-40, Forever),
			report("198.51.100.1/32", "web2", now-30, time.Hour),
			lift("203.0.113.0/24", "", "", now-20),
		}
		check(t, s.Write(t.Context(), facts))
		check(t, s.Write(t.Context(), facts)) // a replay adds nothing
		history := func(p netip.Prefix, f Filter, limit int) string {
			events, _, err := s.History(t.Context(), p, f, limit)
			check(t, err)
			var text []string
			for _, e := range events {
				if e.Who == "" || e.Recorded < now-Time(time.Minute.Microseconds()) {
					t.Errorf("who %q, recorded %v", e.Who, e.Recorded.Std())
				}
				text = append(text, fmt.Sprintf("%v %s%v%v", e.Prefix, e.Source, e.Lift, e.Bantime == Forever))
			}
			return strings.Join(text, " ")
		}
		for _, c := range []struct {
			p     netip.Prefix
			f     Filter
			limit int
			want  string
		}{
			{netip.Prefix{}, Filter{}, 2, "203.0.113.0/24 truefalse 198.51.100.1/32 web2falsefalse"},
			{netip.MustParsePrefix("203.0.113.6/32"), Filter{}, 9, "203.0.113.0/24 truefalse 203.0.113.6/32 web1falsetrue 203.0.113.6/32 web1falsefalse"},
			{netip.Prefix{}, Filter{Source: "web2"}, 9, "203.0.113.0/24 truefalse 198.51.100.1/32 web2falsefalse"},
			{netip.Prefix{}, Filter{Since: now - 25}, 9, "203.0.113.0/24 truefalse"},
		} {
			if got := history(c.p, c.f, c.limit); got != c.want {
				t.Errorf("%v %+v: %s", c.p, c.f, got)
			}
		}
	})
}

// TestStrangeRows: what somebody else wrote into the database and makes no sense is skipped and named; the rest stands.
func TestStrangeRows(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		var named []string
		o.Warn = func(format string, args ...any) { named = append(named, fmt.Sprintf(format, args...)) }
		s := initStore(t, o)
		check(t, s.Write(t.Context(), []Fact{report("192.0.2.1/32", "web1", 1_700_000_000_000_000, Forever)}))
		for _, row := range []string{"X'C0000205', 24", "X'C00002', 24", "X'C0000200', 99", "X'00000000000000000000FFFFC0000209', 128", "X'', 0"} {
			_, err := s.db.Exec("INSERT INTO report (addr, len, source, reason, at, expires, longest) VALUES (" + row + ", 'x', 'y', 1, 9223372036854775807, 9223372036854775807)")
			check(t, err)
		}
		n := 0
		check(t, s.Bans(t.Context(), Filter{}, func(netip.Prefix, bool) { n++ }))
		if n != 1 || len(named) != 5 {
			t.Errorf("%d bans, named %q", n, named)
		}
	})
}
