package commands

import (
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"f2bc/store"
	"f2bc/testdata/bench"
)

// BenchmarkCompareBanSQLite compares f2bc ban as a whole process on an embedded store of 1,000,000 rows with the same on an
// empty one: one address, and 10,000 from standard input.
func BenchmarkCompareBanSQLite(b *testing.B) {
	f2bc := built(b)
	side := func(name string, rows int) (one, many bench.Side) {
		path := filepath.Join(b.TempDir(), "f2bc.db")
		st, err := store.Init(b.Context(), store.Options{DSN: "sqlite://" + path})
		if err != nil {
			b.Fatal(err)
		}
		st.Close()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			b.Fatal(err)
		}
		bench.FillReports(b, db, true, rows)
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		state, n := b.TempDir(), 0
		ban := func(addresses string, args ...string) func() error {
			return func() error {
				n++
				cmd := exec.Command(f2bc, append([]string{"ban", "--bantime", "600", "--reason", fmt.Sprint("jail", n)}, args...)...)
				cmd.Env = []string{"F2BC_DSN=sqlite://" + path, "F2BC_STATE_DIR=" + state, "F2BC_SOURCE=web1"}
				cmd.Stdin = strings.NewReader(addresses)
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			}
		}
		return bench.Side{Name: name, Run: bench.Timed(b, ban("", "203.0.113.6"))},
			bench.Side{Name: name, Run: bench.Timed(b, ban(manyHosts("198.18.0.0", 10_000), "--force", "-"))}
	}
	oneFull, manyFull := side("1,000,000 rows", 1_000_000)
	oneEmpty, manyEmpty := side("no rows", 0)
	bench.Compare(b, "f2bc ban as a whole process on SQLite", 41, oneFull, oneEmpty, "at most 1.2")
	bench.Compare(b, "f2bc ban - of 10,000 addresses on SQLite", 9, manyFull, manyEmpty, "at most 1.2")
}
