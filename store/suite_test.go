package store

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	mariadbtest.StopShared()
	os.Exit(code)
}

// onEngines runs a test on an empty store of each engine: SQLite, MariaDB, and the database that F2BC_TEST_MYSQL names,
// whose f2bc tables it drops.
func onEngines(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteOptions(t)) })
	t.Run("mariadb", func(t *testing.T) { test(t, mariadbOptions(t)) })
	if dsn := os.Getenv("F2BC_TEST_MYSQL"); dsn != "" {
		t.Run("F2BC_TEST_MYSQL", func(t *testing.T) {
			o := Options{DSN: dsn, Warn: t.Logf}
			s, err := dial(o)
			check(t, err)
			defer s.Close()
			for _, drop := range strings.Split("VIEW report_text,VIEW lift_text,VIEW event_text,TABLE meta,TABLE report,TABLE lift,TABLE event,TABLE allow,TABLE host", ",") {
				kind, name, _ := strings.Cut(drop, " ")
				_, err := s.db.Exec("DROP " + kind + " IF EXISTS " + name)
				check(t, err)
			}
			test(t, o)
		})
	}
}

func sqliteOptions(t testing.TB) Options {
	return Options{DSN: "sqlite://" + filepath.Join(t.TempDir(), "f2bc.db"), Warn: t.Logf}
}

func mariadbOptions(t testing.TB) Options {
	server := mariadbtest.Shared(t)
	return Options{DSN: server.DSN(server.Database(t)), Warn: t.Logf}
}

func initStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Init(t.Context(), o)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func report(prefix, source string, at Time, bantime time.Duration) Fact {
	return Fact{Prefix: netip.MustParsePrefix(prefix), Source: source, Reason: "sshd", At: at, Bantime: bantime}
}

func lift(prefix, source, reason string, at Time) Fact {
	return Fact{Lift: true, Prefix: netip.MustParsePrefix(prefix), Source: source, Reason: reason, At: at}
}

// banned returns the prefixes of the active list, as Bans gives them and as List does, which must agree.
func banned(t testing.TB, s *Store, f Filter) string {
	t.Helper()
	seen := map[netip.Prefix]bool{}
	check(t, s.Bans(t.Context(), f, func(p netip.Prefix, _ bool) { seen[p] = true }))
	bans, err := s.List(t.Context(), f)
	check(t, err)
	var text []string
	for _, b := range bans {
		if text = append(text, b.Prefix.String()); !seen[b.Prefix] {
			t.Errorf("List has %v, Bans has not", b.Prefix)
		}
	}
	if len(seen) != len(bans) {
		t.Errorf("Bans has %d prefixes, List %d", len(seen), len(bans))
	}
	return strings.Join(text, " ")
}

func wantBanned(t testing.TB, s *Store, want string) {
	t.Helper()
	if got := banned(t, s, Filter{}); got != want {
		t.Errorf("banned: %q, want %q", got, want)
	}
}

// smallBatches makes a few facts as many batches as a million are, until the test ends.
func smallBatches(t *testing.T) {
	was := batchSize
	batchSize = 3
	t.Cleanup(func() { batchSize = was })
}

func TestBanAndLift(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		ctx := t.Context()
		facts := []Fact{
			report("203.0.113.6/32", "web1", 0, Forever),
			report("203.0.113.6/32", "web2", 0, time.Hour),
			report("2001:db8::1/128", "web1", 0, time.Hour),
			report("198.51.100.0/24", "web1", 0, Forever),
			report("192.0.2.1/32", "web1", 0, time.Microsecond),
		}
		check(t, s.Stamp(ctx, facts, time.Time{}))
		check(t, s.Write(ctx, facts))
		wantBanned(t, s, "198.51.100.0/24 203.0.113.6/32 2001:db8::1/128")
		if got := banned(t, s, Filter{Source: "web2"}); got != "203.0.113.6/32" {
			t.Error("source web2:", got)
		}
		if got := banned(t, s, Filter{MinSources: 2}); got != "203.0.113.6/32" {
			t.Error("two sources:", got)
		}
		if got := banned(t, s, Filter{Reason: "nothing"}); got != "" {
			t.Error("reason nothing:", got)
		}

		own := []Fact{lift("203.0.113.6/32", "web1", "sshd", 0)}
		check(t, s.Stamp(ctx, own, time.Time{}))
		check(t, s.Write(ctx, own))
		if got := banned(t, s, Filter{Source: "web1"}); got != "198.51.100.0/24 2001:db8::1/128" {
			t.Error("after web1 lifted its own:", got)
		}
		wantBanned(t, s, "198.51.100.0/24 203.0.113.6/32 2001:db8::1/128")

		all := []Fact{lift("203.0.113.0/24", "", "", 0), lift("198.51.100.0/23", "", "", 0), lift("2001:db8::/32", "", "sshd", 0)}
		check(t, s.Stamp(ctx, all, time.Time{}))
		check(t, s.Write(ctx, all))
		wantBanned(t, s, "")
	})
}

// TestKeys: names that differ in case, accents or trailing blanks are different, and bytes are kept as they are.
func TestKeys(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		names := []string{"web1", "WEB1", "wéb1", "web1 ", "\xff\xfe", "a'b\\c\"d?", strings.Repeat("x", 64)}
		var facts []Fact
		for _, name := range names {
			facts = append(facts, report("203.0.113.6/32", name, 1_000_000, Forever))
		}
		check(t, s.Write(t.Context(), facts))
		for _, name := range names {
			bans, err := s.List(t.Context(), Filter{Source: name})
			check(t, err)
			if len(bans) != 1 || len(bans[0].Sources) != 1 || bans[0].Sources[0] != name {
				t.Errorf("source %q: %+v", name, bans)
			}
		}
	})
}

// TestTimeRule: a fact made now beats what it is about, whatever the clocks say.
func TestTimeRule(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		ctx := t.Context()
		now, err := s.Now(ctx)
		check(t, err)
		ahead := now.Add(30 * time.Second)

		// An unban beats a report dated 30 s ahead, also on a prefix inside its own.
		check(t, s.Write(ctx, []Fact{report("203.0.113.6/32", "web1", ahead, Forever), report("2001:db8::1/128", "web1", ahead, Forever)}))
		lifts := []Fact{lift("203.0.113.6/32", "", "", 0), lift("2001:db8::/64", "web1", "sshd", 0)}
		check(t, s.Stamp(ctx, lifts, time.Time{}))
		check(t, s.Write(ctx, lifts))
		wantBanned(t, s, "")

		// A ban made now beats that lift in turn, and one made an hour ago does not.
		bans := []Fact{report("203.0.113.6/32", "web2", 0, Forever), report("2001:db8::1/128", "web1", 0, Forever)}
		late := []Fact{report("203.0.113.7/32", "web2", 0, Forever)}
		check(t, s.Stamp(ctx, bans, time.Time{}))
		check(t, s.Stamp(ctx, late, time.Now().Add(-time.Hour)))
		if d := now - late[0].At; d < Time(59*time.Minute/time.Microsecond) || d > Time(61*time.Minute/time.Microsecond) {
			t.Errorf("an hour ago became %d µs ago", d)
		}
		check(t, s.Write(ctx, []Fact{lift("203.0.113.7/32", "", "", now)}))
		check(t, s.Write(ctx, append(bans, late...)))
		wantBanned(t, s, "203.0.113.6/32 2001:db8::1/128")

		// A shorter ban made now replaces the longer one that is dated ahead.
		check(t, s.Write(ctx, []Fact{report("192.0.2.1/32", "web1", ahead, Forever)}))
		short := []Fact{report("192.0.2.1/32", "web1", 0, time.Hour)}
		check(t, s.Stamp(ctx, short, time.Time{}))
		check(t, s.Write(ctx, short))
		list, err := s.List(ctx, Filter{})
		check(t, err)
		if list[0].Expires == Permanent {
			t.Error("the later, shorter ban did not replace the permanent one")
		}

		// What was never in the past of the store's clock by more than a minute is refused.
		err = s.Write(ctx, []Fact{report("192.0.2.9/32", "web1", now.Add(2*time.Minute), Forever)})
		if err == nil || !strings.Contains(err.Error(), "ahead of the store's clock") {
			t.Error("a report two minutes ahead:", err)
		}

		// A write that is repeated after a lost answer carries its time: an unban made in between stands.
		first := []Fact{report("192.0.2.5/32", "web1", 0, Forever)}
		check(t, s.Stamp(ctx, first, time.Time{}))
		check(t, s.Write(ctx, first))
		unban := []Fact{lift("192.0.2.5/32", "", "", 0)}
		check(t, s.Stamp(ctx, unban, time.Time{}))
		check(t, s.Write(ctx, unban))
		check(t, s.Write(ctx, first))
		wantBanned(t, s, "192.0.2.1/32 203.0.113.6/32 2001:db8::1/128")
	})
}

// TestReadable: the views show text to a human.
func TestReadable(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		at := Time(1_700_000_000_123_456)
		check(t, s.Write(t.Context(), []Fact{
			report("203.0.113.6/32", "web1", at, Forever), report("2001:db8::/48", "web1", at, time.Hour), lift("203.0.113.0/24", "", "", at)}))
		for _, c := range []struct{ query, want string }{
			{"SELECT CONCAT(prefix, ' ', source, ' ', reason, ' ', reported, ' ', expires) FROM report_text ORDER BY prefix DESC", "203.0.113.6/32 web1 sshd 2023-11-14 22:13:20"},
			{"SELECT CONCAT(prefix, ' ', source, ' ', lifted) FROM lift_text", "203.0.113.0/24 (any) 2023-11-14 22:13:20"},
			{"SELECT CONCAT(fact, ' ', prefix) FROM event_text ORDER BY prefix, fact", "report 2001:"},
		} {
			if s.dsn.Path != "" {
				c.query = strings.NewReplacer("CONCAT(", "(", ", ' ',", "|| ' ' ||").Replace(c.query)
			}
			var got string
			check(t, s.db.QueryRow(c.query).Scan(&got))
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: %q, want %q", c.query, got, c.want)
			}
		}
	})
}

// TestInitTogether: ten hosts that start the first init at once make one store.
func TestInitTogether(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		ids := make([]string, 10)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				s, err := Init(context.Background(), o)
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = s.ID()
				s.Close()
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatal("ids differ:", ids)
			}
		}
	})
}

func ExampleParseDSN() {
	d, err := ParseDSN("mysql://f2bc:p%40ss@db1.example,db2.example:3307,[2001:db8::1]/f2bc")
	fmt.Println(d.Hosts, d.Password, err)
	fmt.Println(d)
	_, err = ParseDSN("mysql://f2bc:secret@db1:port/f2bc")
	fmt.Println(err)
	// Output:
	// [db1.example:3306 db2.example:3307 [2001:db8::1]:3306] p@ss <nil>
	// mysql://f2bc@db1.example:3306,db2.example:3307,[2001:db8::1]:3306/f2bc
	// parse dsn "mysql://f2bc:***@db1:port/f2bc": host "db1:port": want host or host:port
}

func prefix4(a [4]byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4(a), 32) }

func contextWithin(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
