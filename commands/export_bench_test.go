package commands

import (
	"bufio"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"f2bc/store"
	"f2bc/store/mariadbtest"
	"f2bc/testdata/bench"
)

// built is the f2bc that people run, not the test's own program.
func built(b *testing.B) string {
	b.Setenv("F2BC_STATE_DIR", b.TempDir()) // not the machine's own
	program := filepath.Join(b.TempDir(), "f2bc")
	cmd := exec.Command("go", "build", "-o", program, "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return program
}

// addresses writes n IPv4 addresses, one a line: anywhere, or each of them in one of n/each random /24s, as attackers sit
// in the ranges of a few hosters.
func addresses(b *testing.B, n, each int, end string) string {
	b.Helper()
	r := rand.New(rand.NewPCG(3, uint64(each)))
	f, err := os.Create(filepath.Join(b.TempDir(), "list"))
	if err != nil {
		b.Fatal(err)
	}
	nets := make([]uint32, n/each)
	for i := range nets {
		nets[i] = r.Uint32() &^ 255
	}
	w := bufio.NewWriter(f)
	for range n {
		a := nets[r.IntN(len(nets))] | r.Uint32()&255
		if each == 1 {
			a = r.Uint32()
		}
		fmt.Fprintf(w, "%d.%d.%d.%d%s\n", a>>24, a>>16&255, a>>8&255, a&255, end)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return f.Name()
}

// runner starts a program and prints how long it ran and its peak memory in KiB. A child's peak begins with that of
// the process that starts it, and a test is larger than what it measures.
const runner = `
import resource, subprocess, sys, time
output, stdin, *command = sys.argv[1:]
with open(output, "wb") as out, open(stdin, "rb") as into:
    start = time.monotonic()
    code = subprocess.run(command, stdin=into, stdout=out, stderr=subprocess.DEVNULL).returncode
    print(time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
`

// program is a whole process as one side of a comparison: from its start to its end, standard output into a file.
type program struct {
	bench.Side
	output string
	peak   int // KiB, the largest of all runs
}

func newProgram(b *testing.B, name, stdin string, command ...string) *program {
	b.Helper()
	p := &program{output: filepath.Join(b.TempDir(), "output")}
	p.Name = name
	p.Run = func() time.Duration {
		args := append([]string{"-c", runner, p.output, stdin}, command...)
		out, err := exec.Command("python3", args...).Output()
		fields := strings.Fields(string(out))
		if err != nil || len(fields) != 2 {
			b.Fatalf("%v: %v: %s", command, err, out)
		}
		seconds, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			b.Fatal(err)
		}
		peak, err := strconv.Atoi(fields[1])
		if err != nil {
			b.Fatal(err)
		}
		p.peak = max(p.peak, peak)
		return time.Duration(seconds * float64(time.Second))
	}
	return p
}

// BenchmarkCompareFrom is f2bc export --from beside the program that it replaces, as whole processes on the same file.
func BenchmarkCompareFrom(b *testing.B) {
	f2bc := built(b)
	for _, c := range []struct {
		what      string
		n, each   int
		rounds    int
		goal, mem string
	}{
		{"1,000,000 random addresses", 1_000_000, 1, 7, "0.20", "40 MB"},
		{"1,000,000 clustered addresses", 1_000_000, 50, 7, "0.20", "40 MB"},
		{"10,000,000 random addresses", 10_000_000, 1, 3, "0.20", "200 MB"},
	} {
		list := addresses(b, c.n, c.each, "")
		ours := newProgram(b, "f2bc", os.DevNull, f2bc, "export", "--from", list)
		theirs := newProgram(b, "iprange", os.DevNull, "iprange", list)
		bench.Compare(b, "export --from, "+c.what, c.rounds, ours.Side, theirs.Side, c.goal)
		bench.Print("export --from, %s: peak memory f2bc %d MB, iprange %d MB (goal: %s)", c.what, ours.peak>>10, theirs.peak>>10, c.mem)
		sameLists(b, ours.output, theirs.output)
		os.Remove(list)
	}
	list := addresses(b, 50_000, 1, "/32")
	ours := newProgram(b, "f2bc", os.DevNull, f2bc, "export", "--from", list)
	theirs := newProgram(b, "Debian's aggregate", list, "aggregate", "-q")
	bench.Compare(b, "export --from, 50,000 random addresses", 1, ours.Side, theirs.Side, "0.01")

	list = addresses(b, 100_000, 50, "")
	fit := newProgram(b, "f2bc", os.DevNull, f2bc, "export", "--from", list, "--max-entries", "3000")
	took := fit.Run()
	bench.Print("export --max-entries 3000 of 100,000 clustered addresses: %d ms, %d MB (goal: 1 s)", took.Milliseconds(), fit.peak>>10)
}

// sameLists fails if two programs that ran on the same file disagree.
func sameLists(b *testing.B, ours, theirs string) {
	b.Helper()
	text := readFile(b, ours)
	if _, list, _ := strings.Cut(text, "\n"); list != readFile(b, theirs) {
		b.Errorf("the lists in %s and %s differ", ours, theirs)
	}
}

// BenchmarkCompareExport is a whole export of a large store into a file beside a query on an open connection.
func BenchmarkCompareExport(b *testing.B) {
	f2bc := built(b)
	for _, engine := range []struct {
		name, goal, hint string
		open             func(*testing.B) (dsn string, db *sql.DB)
	}{
		{"MariaDB", "1.5", "FORCE INDEX (active)", func(b *testing.B) (string, *sql.DB) {
			server := mariadbtest.New(b)
			server.Args = []string{"--innodb-buffer-pool-size=3G", "--innodb-log-file-size=1G"}
			if err := server.Start(); err != nil {
				b.Fatal(err)
			}
			name := server.Database(b)
			return server.DSN(name), server.Open(b, name)
		}},
		{"SQLite", "3", "INDEXED BY report_active", func(b *testing.B) (string, *sql.DB) {
			path := filepath.Join(b.TempDir(), "f2bc.db")
			db, err := sql.Open("sqlite", path)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			return "sqlite://" + path, db
		}},
	} {
		dsn, db := engine.open(b)
		st, err := store.Init(b.Context(), store.Options{DSN: dsn})
		if err != nil {
			b.Fatal(err)
		}
		bench.FillReports(b, db, engine.name == "SQLite", 6_000_000)
		var lifts []store.Fact
		for i := range 1000 {
			prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i / 250), byte(i % 250), 7}), 32)
			lifts = append(lifts, store.Fact{Lift: true, Prefix: prefix, At: 1_700_000_000_000_000})
		}
		if err := st.Write(b.Context(), lifts); err != nil {
			b.Fatal(err)
		}
		st.Close()
		output, run := filepath.Join(b.TempDir(), "list.txt"), 0
		ours := newProgram(b, "f2bc", os.DevNull, f2bc, "--dsn", dsn, "export", "--output", output)
		whole := ours.Run
		ours.Run = func() time.Duration {
			if run++; run > 1 && strings.Count(readFile(b, output), "\n") < 900_000 {
				b.Error("the list is not whole")
			}
			os.Remove(output) // one that does not change would not be written
			return whole()
		}
		bench.Compare(b, "export 1,000,000 active of 6,000,000 reports to a file, "+engine.name, 5, ours.Side,
			bench.Side{Name: "bare SELECT addr, len", Run: bench.BareSelect(b, db, engine.hint)}, engine.goal)
		bench.Print("export 1,000,000 active of 6,000,000 reports to a file, %s: peak memory %d MB", engine.name, ours.peak>>10)
	}
}
