//go:build linux

// Package postgrestest starts a real PostgreSQL for a test, with nothing but what Debian's package postgresql installs.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Superuser is the role that may do everything, without password over the socket.
const Superuser = "postgres"

// Server is a PostgreSQL on a socket and a loopback port of its own. Over the socket every role is let in, over the
// port only with its password.
type Server struct {
	Dir  string // of the socket
	Port int
	bin  string // of the installed version
	data string
	args []string
	attr *syscall.SysProcAttr
	proc *os.Process
	done chan error // the end of proc
}

// Start starts a server with the given settings ("timezone=Europe/Berlin") and stops it at the end of the test. Where
// PostgreSQL is not installed it skips the test, or fails it when CI is set.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("no PostgreSQL: install Debian's package postgresql")
		}
		t.Skip("no PostgreSQL: install Debian's package postgresql")
	}
	s := &Server{bin: filepath.Dir(found[len(found)-1]), attr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}}
	var err error
	// Not t.TempDir: root's is closed to the user that PostgreSQL has to run as.
	if s.Dir, err = os.MkdirTemp("", "f2bc-pg-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.Dir) })
	if os.Getuid() == 0 {
		if err := s.runAs("postgres", "nobody"); err != nil {
			t.Fatal(err)
		}
	}
	s.data = filepath.Join(s.Dir, "data")
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data, "-U", Superuser, "--no-sync", "-E", "UTF8",
		"--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256")
	initdb.SysProcAttr, initdb.Dir = s.attr, s.Dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	if s.Port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"-D", s.data, "-k", s.Dir, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "logging_collector=off"}
	for _, setting := range settings {
		s.args = append(s.args, "-c", setting)
	}
	t.Cleanup(func() { s.Stop(t) })
	s.Restart(t)
	return s
}

// runAs makes the server's processes run as the first of these users that exists: PostgreSQL refuses to run as root.
func (s *Server) runAs(names ...string) error {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return os.Chown(s.Dir, uid, gid)
	}
	return fmt.Errorf("none of the users %v exists to run PostgreSQL as", names)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Restart starts the server, after stopping it if it runs.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), s.args...)
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = s.attr, s.Dir, log, log
	started, done := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig means the death of the thread that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.proc, s.done = cmd.Process, done
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.DSN(Superuser, "postgres"))
		if err == nil {
			conn.Close(context.Background())
			return
		}
		select {
		case end := <-done:
			s.proc = nil
			err = errors.Join(end, err)
		default:
			if time.Now().Before(deadline) {
				continue
			}
		}
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("start PostgreSQL: %v\n%s", err, text)
	}
}

// Stop ends the server; one that is stopped already stays so.
func (s *Server) Stop(t testing.TB) {
	if s.proc == nil {
		return
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} { // fast, then immediate shutdown
		s.proc.Signal(sig)
		select {
		case <-s.done:
			s.proc = nil
			return
		case <-time.After(30 * time.Second):
		}
	}
	t.Errorf("PostgreSQL (process %d) did not stop", s.proc.Pid)
}

// DSN returns where to connect over the socket.
func (s *Server) DSN(role, database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s", s.Dir, s.Port, role, database)
}

// URL returns where to connect over the port, with a password.
func (s *Server) URL(role, password, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", role, password, s.Port, database)
}

// Exec runs statements as the superuser.
func (s *Server) Exec(t testing.TB, database, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.DSN(Superuser, database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Fatalf("%v in\n%s", err, sql)
	}
}
