package store

import (
	"context"
	"fmt"
	"net/netip"
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
