// Package mariadbtest starts a real MariaDB for tests, from Debian's mariadb-server.
package mariadbtest

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

// Server is a MariaDB that listens on 127.0.0.1 and on a socket. Its root has no password.
type Server struct {
	Dir    string // its data, socket and log
	Port   int
	Bind   string
	User   string   // the system's account that root runs it as; empty: root
	Args   []string // added to its command line at the next Start
	cmd    *exec.Cmd
	exited chan struct{}
	dbs    atomic.Int64
}

// New prepares a server with fresh data; Start starts it. It is stopped when the test ends.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := create(t.TempDir())
	if err != nil {
		unusable(t, err)
	}
	t.Cleanup(s.Kill)
	return s
}

// unusable fails a test, but skips it where there is no MariaDB and CI is not set.
func unusable(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) {
		Unavailable(t, err)
	}
	t.Fatal(err)
}

// Unavailable fails a test where CI is set, and otherwise skips it.
func Unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func create(dir string) (*Server, error) {
	if _, err := exec.LookPath("mariadbd"); err != nil {
		return nil, fmt.Errorf("no mariadbd: install Debian's mariadb-server: %w", err)
	}
	install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--user="+username())
	install.Env = append(os.Environ(), "TMPDIR="+dir) // in /tmp servers mistake each other's temporary tables for theirs
	out, err := install.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return &Server{Dir: dir, Bind: "127.0.0.1"}, nil
}

func username() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}

// Socket returns the path of the server's socket.
func (s *Server) Socket() string { return filepath.Join(s.Dir, "s") }

// Start starts the server and waits until it answers. The port stays the same over restarts.
func (s *Server) Start() (err error) {
	if s.Port != 0 {
		return s.start()
	}
	for range 3 { // somebody else may take the port that was free a moment ago
		s.Port = 0
		if err = s.start(); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) start() error {
	if s.Port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Port = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command("mariadbd", append([]string{"--no-defaults", "--datadir=" + filepath.Join(s.Dir, "data"),
		"--user=" + cmp.Or(s.User, username()), "--socket=" + s.Socket(), "--pid-file=" + filepath.Join(s.Dir, "pid"),
		"--bind-address=" + s.Bind, fmt.Sprint("--port=", s.Port), "--skip-name-resolve"}, s.Args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(s.Dir, "data"))
	if err := s.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(cmd *exec.Cmd) { cmd.Wait(); close(exited) }(s.cmd)
	db := s.root("")
	defer db.Close()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = db.Ping(); err == nil {
			return nil
		}
		select {
		case <-exited:
			err = fmt.Errorf("mariadbd ended")
		default:
			if time.Now().Before(deadline) {
				continue
			}
		}
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("start mariadbd: %w\n%s", err, text)
	}
}

// Stop ends the server cleanly, Kill with SIGKILL; both wait for its end.
func (s *Server) Stop() { s.signal(syscall.SIGTERM) }
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

func (s *Server) signal(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGCONT)
	s.cmd.Process.Signal(sig)
	<-s.exited
	s.cmd = nil
}

// Process returns the running server's process, to be stopped and continued.
func (s *Server) Process() *os.Process { return s.cmd.Process }

func (s *Server) root(database string) *sql.DB {
	db, err := sql.Open("mysql", fmt.Sprintf("root@unix(%s)/%s?multiStatements=true&parseTime=true&time_zone=%%27%%2B00:00%%27", s.Socket(), database))
	if err != nil {
		panic(err) // the DSN is ours
	}
	return db
}

// Exec runs statements as root.
func (s *Server) Exec(t testing.TB, statements string, args ...any) {
	t.Helper()
	db := s.root("")
	defer db.Close()
	if _, err := db.Exec(statements, args...); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// Database creates an empty database and returns its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprint("f2bc", s.dbs.Add(1))
	s.Exec(t, "CREATE DATABASE "+name)
	return name
}

// Open opens a database as root.
func (s *Server) Open(t testing.TB, database string) *sql.DB {
	db := s.root(database)
	t.Cleanup(func() { db.Close() })
	return db
}

// DSN returns the f2bc DSN of a database for root over TCP.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("mysql://root@127.0.0.1:%d/%s", s.Port, database)
}

var shared struct {
	once sync.Once
	dir  string
	*Server
	err error
}

// Shared returns a server that all tests of a package use, started at first need. The package's TestMain calls
// StopShared at its end.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "f2bc-mariadb"); shared.err != nil {
			return
		}
		if shared.Server, shared.err = create(shared.dir); shared.err == nil {
			shared.err = shared.Start()
		}
	})
	if shared.err != nil {
		unusable(t, shared.err)
	}
	return shared.Server
}

// StopShared stops the shared server and removes its data.
func StopShared() {
	if shared.Server != nil {
		shared.Kill()
	}
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
}
