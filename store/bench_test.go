package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
	"f2bc/testdata/bench"
)

// fillStore puts reports into an empty store, and an admin's unbans, which every read applies.
func fillStore(b *testing.B, s *Store, rows int) {
	b.Helper()
	bench.FillReports(b, s.db, s.dsn.Path != "", rows)
	var lifts []Fact
	for i := range 1000 {
		lifts = append(lifts, lift(fmt.Sprintf("100.%d.%d.7/32", i/250, i%250), "", "", 1_700_000_000_000_000))
	}
	check(b, s.Write(context.Background(), lifts))
}

// tunedOptions starts a MariaDB whose memory holds the tables, as a hub's should.
func tunedOptions(b testing.TB) Options {
	server := mariadbtest.New(b)
	server.Args = []string{"--innodb-buffer-pool-size=3G", "--innodb-log-file-size=1G"}
	check(b, server.Start())
	return Options{DSN: server.DSN(server.Database(b))}
}

func BenchmarkCompareRead(b *testing.B) {
	for _, c := range []struct {
		name, goal string
		options    func(testing.TB) Options
	}{{"MariaDB", "1.5", tunedOptions}, {"SQLite", "3", sqliteOptions}} {
		s := initStore(b, c.options(b))
		fillStore(b, s, 6_000_000)
		ours := bench.Timed(b, func() error {
			n := 0
			defer func() {
				if n < 900_000 {
					b.Error(n, "bans")
				}
			}()
			return s.Bans(context.Background(), Filter{}, func(netip.Prefix, bool) { n++ })
		})
		bench.Compare(b, "read and merge 1,000,000 active of 6,000,000 reports, "+c.name, 5, bench.Side{Name: "f2bc", Run: ours},
			bench.Side{Name: "bare SELECT addr, len", Run: bench.BareSelect(b, s.db, s.engine.active)}, c.goal)
	}
}

// BenchmarkCompareLifts reads the list beside as many lifts, and beside many of everything.
func BenchmarkCompareLifts(b *testing.B) {
	s := initStore(b, tunedOptions(b))
	bench.FillReports(b, s.db, false, 6_000_000)
	bans := func(want int) func() time.Duration {
		return bench.Timed(b, func() error {
			n := 0
			err := s.Bans(context.Background(), Filter{}, func(netip.Prefix, bool) { n++ })
			if n < want {
				b.Error(n, "bans")
			}
			return err
		})
	}
	for _, c := range []struct{ what, names string }{
		{"any source and reason", "'', ''"},
		{"100 sources, any reason", "CONCAT('web', seq % 100), ''"},
	} {
		_, err := s.db.Exec("TRUNCATE lift")
		check(b, err)
		_, err = s.db.Exec(`
INSERT IGNORE INTO lift (addr, len, source, reason, at)
SELECT UNHEX(LPAD(HEX(FLOOR(RAND(7) * 4294967296)), 8, '0')), 32, ` + c.names + `, 1600000000000000 + seq
FROM seq_1_to_1000000`)
		check(b, err)
		bench.Compare(b, "read 1,000,000 active reports beside 1,000,000 lifts of random addresses, "+c.what, 5,
			bench.Side{Name: "f2bc", Run: bans(900_000)},
			bench.Side{Name: "bare read of the same rows", Run: bareRows(b, s)}, "2")
	}
	_, err := s.db.Exec("TRUNCATE lift")
	check(b, err)
	_, err = s.db.Exec(`
DELETE FROM report WHERE expires <> 9223372036854775807 OR addr >= UNHEX(HEX(16777216 + 122042 * 6 * 503))`)
	check(b, err)
	alone := bans(122_042)
	_, err = s.db.Exec("ANALYZE TABLE report")
	check(b, err)
	var without []time.Duration
	for range 5 {
		without = append(without, alone())
	}
	slices.Sort(without)
	_, err = s.db.Exec(`
INSERT INTO lift (addr, len, source, reason, at)
SELECT X'00000000', 0, '', CONCAT('reason', seq), 1600000000000000 FROM seq_1_to_5000`)
	check(b, err)
	bench.Compare(b, "read 122,042 reports beside 5,000 lifts of 0.0.0.0/0 for different reasons", 5,
		bench.Side{Name: "f2bc", Run: bans(122_042)},
		bench.Side{Name: "without the lifts", Run: func() time.Duration { return without[2] }}, "2")
}

// bareRows reads addr, len and at of the active reports and all columns of the lifts, as the driver has them.
func bareRows(b *testing.B, s *Store) func() time.Duration {
	return bench.Timed(b, func() error {
		return s.snapshot(context.Background(), func(conn *sql.Conn) error {
			err := s.queryRaw(context.Background(), conn, "SELECT addr, len, at FROM report FORCE INDEX (active) "+
				"WHERE expires > 1800000000000000", nil, 3, func([]driver.Value) {})
			return errors.Join(err, s.queryRaw(context.Background(), conn, "SELECT addr, len, source, reason, at FROM lift", nil, 5,
				func([]driver.Value) {}))
		})
	})
}

func BenchmarkCompareWrite(b *testing.B) {
	facts := make([]Fact, 1_000_000)
	for i := range facts {
		x := 1<<24 + uint32(uint64(i)*2654435761%3741319168)
		a := netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
		facts[i] = Fact{Prefix: netip.PrefixFrom(a, 32), Source: fmt.Sprint("web", i%100), Reason: "sshd", At: Time(1_700_000_000_000_000 + i), Bantime: Forever}
	}
	for name, options := range map[string]func(testing.TB) Options{"MariaDB": tunedOptions, "SQLite": sqliteOptions} {
		s := initStore(b, options(b))
		bare := bench.BareInsert(b, s.db)()
		for _, what := range []string{"new", "again"} {
			start := time.Now()
			check(b, s.Write(context.Background(), facts))
			took := time.Since(start)
			bench.Print("write 1,000,000 facts, %s, %s: f2bc %.1f s, %.0f a second, bare INSERT of addr, len %.1f s, ratio %.3g (goal: 50,000 a second on MariaDB)",
				name, what, took.Seconds(), 1e6/took.Seconds(), bare.Seconds(), took.Seconds()/bare.Seconds())
		}
	}
}

// BenchmarkCompareWatch counts what a watcher receives in the minute after it has taken up a burst, 60 polls. None of
// them comes so late that it would ask for less.
func BenchmarkCompareWatch(b *testing.B) {
	server := mariadbtest.New(b)
	check(b, server.Start())
	name := server.Database(b)
	s := initStore(b, Options{DSN: server.DSN(name)})
	w := newWire(b, fmt.Sprint("127.0.0.1:", server.Port))
	check(b, s.Write(context.Background(), manyBans(50_000)))
	live := initStore(b, Options{DSN: fmt.Sprintf("mysql://root@127.0.0.1:%d/%s", w.port(), name)}).Live()
	polls := func(n int) int64 {
		before := w.answered.Load()
		for range n {
			refresh(b, live)
		}
		return w.answered.Load() - before
	}
	polls(1)
	live.moved = live.moved.Add(-time.Hour)
	idle := polls(60)
	check(b, s.Write(context.Background(), manyBans(56_000)[50_000:]))
	burst := polls(1)
	quiet := polls(60)
	bench.Print("60 polls of a watcher after a burst of 6,000 bans beside 50,000, which took %d bytes: "+
		"f2bc %d bytes, idle %d bytes, ratio %.3g (goal: 2)", burst, quiet, idle, float64(quiet)/float64(idle))
}
