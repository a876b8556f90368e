//go:build linux

package commands

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"f2bc/store/mariadbtest"
	"f2bc/store/threecx/postgrestest"
	"f2bc/testdata/bench"
)

// 200,000 events in the window of one run, far more than a phone system ever blacklists in 15 minutes.
func BenchmarkCompareImport3CX(b *testing.B) {
	const n = 200_000
	box := newPhone(b, postgrestest.Start(b), 1)
	box.manyEvents(n)
	db := mariadbtest.New(b)
	if err := db.Start(); err != nil {
		b.Fatal(err)
	}
	box.store(db.DSN(db.Database(b)))
	box.run(0, "init")
	config := append([]string{built(b), "--config", filepath.Join(box.dir, "f2bc.toml"), "import-3cx", "--since", "1h"}, box.flags...)
	run := newProgram(b, "f2bc import-3cx", os.DevNull, config...)
	first, again := run.Run(), run.Run()
	dry := newProgram(b, "f2bc import-3cx --dry-run", os.DevNull, append(config, "--dry-run")...).Run()
	psql := newProgram(b, "psql", os.DevNull, "psql", "-Atc", "SELECT * FROM public.eventlog ORDER BY timegenerated", strings.Join(box.flags[1:], " ")).Run()
	bench.Print("import-3cx of %d events into MariaDB: first %.1f s, again %.1f s, --dry-run %.1f s, peak memory %d MB; psql only printing them %.1f s",
		n, first.Seconds(), again.Seconds(), dry.Seconds(), run.peak>>10, psql.Seconds())
}
