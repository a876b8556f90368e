//go:build linux

package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	program := filepath.Join(box.dir, "f2bc") // TestMain goes by the name
	if err := os.Symlink(self, program); err != nil {
		b.Fatal(err)
	}
	timed := func(name string, args ...string) (time.Duration, int64) {
		b.Helper()
		cmd := exec.Command(name, args...)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%.1000s", name, err, out)
		}
		return time.Since(start).Round(10 * time.Millisecond), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
	}
	args := append([]string{"--config", filepath.Join(box.dir, "f2bc.toml"), "import-3cx", "--since", "1h"}, box.flags...)
	first, memory := timed(program, args...)
	again, _ := timed(program, args...)
	dry, _ := timed(program, append(args, "--dry-run")...)
	psql, _ := timed("psql", "-Atc", "SELECT * FROM public.eventlog ORDER BY timegenerated", strings.Join(box.flags[1:], " "))
	bench.Print("import-3cx of %d events into MariaDB: first %v, again %v, --dry-run %v, peak memory %d MB; psql only printing them %v",
		n, first, again, dry, memory, psql)
}
