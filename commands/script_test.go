package commands

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"f2bc/store"
)

// TestMain makes f2bc a command for the scripts. It runs as the user whom F2BC_TEST_ROOT says, on the directories of the
// script instead of the machine's.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"f2bc": func() {
			syslogSocket = os.Getenv("F2BC_TEST_SYSLOG")
			if soon, err := time.ParseDuration(os.Getenv("F2BC_TEST_PATIENCE")); err == nil {
				store.Patience, store.ProgressTime = soon, soon
			}
			home := os.Getenv("HOME")
			work := filepath.Dir(home)
			here = func() place {
				return place{
					root:       os.Getenv("F2BC_TEST_ROOT") != "",
					etc:        filepath.Join(work, "etc"),
					varLib:     filepath.Join(work, "var/lib"),
					configHome: xdg("XDG_CONFIG_HOME", home, ".config"),
					stateHome:  xdg("XDG_STATE_HOME", home, ".local/state"),
				}
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			code := Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
			stop()
			os.Exit(code)
		},
	})
}

// TestScripts runs testdata/*.txtar, which show how f2bc behaves, one behaviour each.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "../testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("F2BC_SOURCE", "web1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":        exits,
			"unprivileged": unprivileged,
			"netns":        netns,
		},
	})
}

// exits CODE PROGRAM ARG… runs a program that must end with the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	runFor(ts, want, args[1:])
}

func runFor(ts *testscript.TestScript, want int, args []string) {
	got := 0
	err := ts.Exec(args[0], args[1:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// unprivileged CODE PROGRAM ARG… is exits without root's right to read every file.
func unprivileged(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: unprivileged CODE PROGRAM ARG…")
	}
	args = args[1:]
	if os.Geteuid() == 0 {
		if _, err := exec.LookPath("setpriv"); err != nil {
			ts.Fatalf("setpriv is missing: install the Debian package util-linux")
		}
		args = append([]string{"setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"}, args...)
	}
	runFor(ts, want, args)
}

// netns SCRIPT runs a shell script in a fresh network namespace, as root there.
func netns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: netns SCRIPT")
	}
	unshare := []string{"unshare", "--net"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	if err := exec.Command("unshare", append(unshare[1:], "ip", "link")...).Run(); err != nil {
		if os.Getenv("CI") != "" {
			ts.Fatalf("a network namespace is needed: %v; install the Debian packages util-linux and iproute2", err)
		}
		ts.Logf("skipped, no network namespace: %v; needs the Debian packages util-linux and iproute2", err)
		return
	}
	ts.Setenv("F2BC_TEST_ROOT", "1")
	runFor(ts, 0, append(unshare, "sh", "-eu", ts.MkAbs(args[0])))
}
