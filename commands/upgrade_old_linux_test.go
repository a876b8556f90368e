package commands

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"f2bc/commands/lab"
	"f2bc/store/mariadbtest"
)

// oldCommit is the last one without procedures: its programs write through views.
const oldCommit = "bb4f74959f22463ebf03104b950125827aee11c1"

// oldProgram builds f2bc as it was then, from this repository's own history, once.
func oldProgram(t *testing.T) string {
	t.Helper()
	git := []string{"git", "-c", "safe.directory=*"} // in a container the checkout belongs to somebody else
	if err := runIn("..", append(git, "cat-file", "-e", oldCommit+"^{commit}")...); err != nil {
		mariadbtest.Unavailable(t, fmt.Errorf("the older f2bc is built from the history: "+
			"git fetch --unshallow, or fetch-depth: 0 in CI: %w", err))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(self), "f2bc-old")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	dir := t.TempDir()
	err = errors.Join(
		runIn("..", append(git, "archive", "--format=tar", "--output="+filepath.Join(dir, "old.tar"), oldCommit)...),
		runIn(dir, "tar", "xf", "old.tar"),
		runIn(dir, "go", "build", "-buildvcs=false", "-o", program, "."))
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func runIn(dir string, command ...string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", command, err, out)
	}
	return nil
}

// oldREADME is what the README of then said to run for each server.
const oldREADME = `CREATE USER {account}@'%' IDENTIFIED BY 'sesame';
GRANT SELECT ON {db}.* TO {account}@'%';
GRANT INSERT, UPDATE ON {db}.own_report TO {account}@'%';
GRANT INSERT, UPDATE ON {db}.own_lift TO {account}@'%';
GRANT INSERT, UPDATE ON {db}.own_host TO {account}@'%';
GRANT INSERT ON {db}.own_event TO {account}@'%';`

// member is a host with one of the programs that it may run.
type member struct {
	*lab.Host
	t       *testing.T
	program string
}

func (m member) try(stdin string, args ...string) (stdout, stderr string, code int) {
	cmd := m.Command(m.program, append([]string{"--config", m.Path("f2bc.toml")}, args...)...)
	var out, errs strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	m.Start(cmd)
	cmd.Wait() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// usual are notes that have nothing to do with what is tested here.
var usual = []string{"was made by a newer f2bc", "a blackhole route stops the answers only",
	"only the newest 1000 events are shown",
	`not shielded: the database knows this host as "localhost"`}

// run wants an exit code of 0, and that nothing else is said.
func (m member) run(args ...string) string {
	m.t.Helper()
	stdout, stderr, code := m.try("", args...)
	for line := range strings.Lines(stderr) {
		if slices.ContainsFunc(usual, func(note string) bool { return strings.Contains(line, note) }) {
			stderr = strings.Replace(stderr, line, "", 1)
		}
	}
	if code != 0 || stderr != "" {
		m.t.Errorf("%s %s: exit code %d: %s", filepath.Base(m.program), strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// look is all that is to be seen of a store.
func (m member) look() string {
	m.t.Helper()
	return m.run("list", "--format", "json") + m.run("export") +
		m.run("list", "--history", "--format", "csv") + m.run("allow", "list")
}
