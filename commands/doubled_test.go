package commands

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/store"
	"f2bc/store/mariadbtest"
)

const (
	doublePassword = "not-for-rogues-7Qx"
	doubleRows     = 40
)

// doubled runs commands, in this process, against a real MariaDB behind a double.
type doubled struct {
	t      *testing.T
	target string // the database
	name   string
	runs   atomic.Int64
	dir    string
}

func newDoubled(t *testing.T) *doubled {
	t.Helper()
	server := mariadbtest.New(t)
	server.Args = []string{"--max-connections=2000"}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	d := &doubled{t: t, target: fmt.Sprint("127.0.0.1:", server.Port), name: server.Database(t), dir: t.TempDir()}
	server.Exec(t, "CREATE USER f2bc@'%' IDENTIFIED BY '"+doublePassword+"'; GRANT ALL ON "+d.name+".* TO f2bc@'%'")
	was, wasSyslog, wasPatience, wasProgress := here, syslogSocket, store.Patience, store.ProgressTime
	t.Cleanup(func() {
		here, syslogSocket, store.Patience, store.ProgressTime = was, wasSyslog, wasPatience, wasProgress
	})
	here = func() place { return place{etc: d.dir, varLib: d.dir, stateHome: d.dir} }
	syslogSocket = ""
	help, version := cli.HelpFlag, cli.VersionFlag
	t.Cleanup(func() { cli.HelpFlag, cli.VersionFlag = help, version })
	cli.HelpFlag, cli.VersionFlag = nil, noFlag{} // the only things that runs in one process share, and write to
	d.hasten(false)
	bans := append([]string{"ban", "--source", "web2"}, doubleBans()...)
	for _, args := range [][]string{{"init"}, bans, {"allow", "add", "192.0.2.77"}} {
		if r := d.run(t.Context(), d.target, args...); r.code != 0 {
			t.Fatalf("%v: %d, %s", args, r.code, r.stderr)
		}
	}
	return d
}

// hasten makes everything that waits for a server give up soon, or not as soon as a busy machine might need.
func (d *doubled) hasten(soon bool) {
	store.Patience, store.ProgressTime = time.Minute, time.Minute
	if soon {
		store.Patience, store.ProgressTime = 500*time.Millisecond, 300*time.Millisecond
	}
}

type noFlag struct{}

func (noFlag) String() string            { return "" }
func (noFlag) Apply(*flag.FlagSet) error { return nil }
func (noFlag) Names() []string           { return nil }
func (noFlag) IsSet() bool               { return false }

func doubleBans() (prefixes []string) {
	for i := range doubleRows {
		prefixes = append(prefixes, fmt.Sprintf("203.0.113.%d", 2*i+1))
	}
	return prefixes
}

type doubledRun struct {
	code           int
	stdout, stderr string
	file           string // of export
}

// run runs a command with a state directory of its own; FILE stands for a file in it that holds an old list.
func (d *doubled) run(ctx context.Context, addr string, args ...string) (r doubledRun) {
	dir := filepath.Join(d.dir, fmt.Sprint(d.runs.Add(1)))
	file := filepath.Join(dir, "list.txt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		d.t.Error(err)
	}
	defer os.RemoveAll(dir)
	config := fmt.Sprintf("dsn = \"mysql://f2bc:%s@%s/%s\"\nsource = \"web1\"\nstate_dir = %q\n",
		doublePassword, addr, d.name, dir)
	for name, text := range map[string]string{"f2bc.toml": config, "list.txt": "# f2bc, the old list\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			d.t.Error(err)
		}
	}
	line := []string{"f2bc", "--config", filepath.Join(dir, "f2bc.toml")}
	for _, arg := range args {
		line = append(line, strings.ReplaceAll(arg, "FILE", file))
	}
	var stdout, stderr bytes.Buffer
	done := make(chan int, 1)
	go func() { done <- Run(ctx, line, strings.NewReader(""), &stdout, &stderr) }()
	select {
	case r.code = <-done:
	case <-time.After(2 * time.Minute): // its time is a second or two, on a machine that is not busy
		text := make([]byte, 1<<20)
		panic(fmt.Sprintf("%v does not end\n%s", args, text[:runtime.Stack(text, true)]))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		d.t.Error(err)
	}
	r.stdout, r.stderr, r.file = stdout.String(), stderr.String(), string(text)
	return r
}
