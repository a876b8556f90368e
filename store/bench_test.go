package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
	"f2bc/testdata/bench"
)

// fill puts rows into an empty store, a sixth of which are permanent; the others have ended, some of them were lifted.
// They come in the order of their addresses, which fills fast, and were reported in another.
func fill(b *testing.B, s *Store, rows int) {
	b.Helper()
	const step = 200_000
	for from := 0; from < rows; from += step {
		columns := `
INSERT INTO report (source, reason, len, addr, at, expires, longest, lifted)
SELECT %s, %s, 32, UNHEX(%s), 1700000000000000 + seq * 7919 %% 6000011,
       CASE WHEN seq %% 6 = 0 THEN 9223372036854775807 ELSE 1700000600000000 + seq END, 9223372036854775807,
       CASE WHEN seq %% 6 > 4 THEN 1800000000000000 ELSE 0 END
FROM %s`
		query := fmt.Sprintf(columns, "CONCAT('web', seq % 100)", "'sshd'", "LPAD(HEX(16777216 + seq * 503), 8, '0')",
			fmt.Sprintf("seq_%d_to_%d", from, from+step-1))
		if s.dsn.Path != "" {
			query = fmt.Sprintf("WITH RECURSIVE n(seq) AS (SELECT %d UNION ALL SELECT seq + 1 FROM n WHERE seq < %d)", from, from+step-1) +
				fmt.Sprintf(columns, "CAST('web' || (seq % 100) AS BLOB)", "CAST('sshd' AS BLOB)", "printf('%08X', 16777216 + seq * 503)", "n")
		}
		_, err := s.db.Exec(query)
		check(b, err)
	}
	if s.dsn.Path == "" {
		_, err := s.db.Exec("ANALYZE TABLE report")
		check(b, err)
	}
	// An admin's unbans, which every read applies.
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

// bareSelect reads address and length of the active rows, the least that any reader must do.
func bareSelect(b *testing.B, s *Store) func() time.Duration {
	return bench.Timed(b, func() error {
		n := 0
		rows, err := s.db.Query("SELECT addr, len FROM report "+s.engine.active+" WHERE expires > ?", time.Now().UnixMicro())
		if err != nil {
			return err
		}
		defer rows.Close()
		var addr sql.RawBytes
		var len int
		for rows.Next() {
			if err := rows.Scan(&addr, &len); err != nil {
				return err
			}
			n++
		}
		if n < 900_000 {
			return fmt.Errorf("%d rows", n)
		}
		return rows.Err()
	})
}

func BenchmarkCompareRead(b *testing.B) {
	for _, c := range []struct {
		name, goal string
		options    func(testing.TB) Options
	}{{"MariaDB", "1.5", tunedOptions}, {"SQLite", "3", sqliteOptions}} {
		s := initStore(b, c.options(b))
		fill(b, s, 6_000_000)
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
			bench.Side{Name: "bare SELECT addr, len", Run: bareSelect(b, s)}, c.goal)
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
		for _, what := range []string{"new", "again"} {
			start := time.Now()
			check(b, s.Write(context.Background(), facts))
			took := time.Since(start)
			bench.Print("write 1,000,000 facts, %s, %s: %.1f s, %.0f a second (goal: 50,000 on MariaDB)", name, what,
				took.Seconds(), 1e6/took.Seconds())
		}
	}
}
