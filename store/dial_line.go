package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

// writePiece is what a write must get rid of within ProgressTime.
const writePiece = 64 << 10

// line is a connection below the driver, which would wait without end for a server that stopped, and tell why it gave
// up only to its logger.
//
//	driver ── line ──> login ──> TCP, socket, ssh
type line struct {
	net.Conn
	from     io.Reader // the connection, or login in front of it
	progress time.Duration

	mu     sync.Mutex
	why    error // it was ended on this side
	logged error // the first error that the driver logged
}

type lineKey struct{}

// begin puts l around a connection. With a login, what the server says before it has let us in is looked at first.
func (l *line) begin(conn net.Conn, in *login) *line {
	l.Conn, l.from = conn, readerFunc(l.read)
	if in != nil {
		in.from = l.from
		l.from = in
	}
	return l
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func (l *line) Read(b []byte) (n int, err error) {
	if n, err = l.from.Read(b); errors.Is(err, errAsksPassword) || errors.Is(err, errNonsense) {
		err = l.end(err)
	}
	return n, err
}

func (l *line) read(b []byte) (int, error) {
	begin := time.Now()
	l.SetReadDeadline(begin.Add(l.progress)) // an error shows in the read
	n, err := l.Conn.Read(b)
	return n, l.silent(err, begin)
}

func (l *line) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var written int
		begin := time.Now()
		l.SetWriteDeadline(begin.Add(l.progress))
		written, err = l.Conn.Write(b[:min(len(b), writePiece)])
		n, b, err = n+written, b[written:], l.silent(err, begin)
	}
	return n, err
}

// SyscallConn is what the driver looks at before it uses an idle connection again.
func (l *line) SyscallConn() (syscall.RawConn, error) {
	l.SetReadDeadline(time.Time{})
	if c, ok := l.Conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// silence is a server that made no progress for so long.
type silence time.Duration

func (s silence) Error() string { return fmt.Sprintf("no answer for %v", time.Duration(s)) }

func (l *line) silent(err error, since time.Time) error {
	if errors.Is(err, os.ErrDeadlineExceeded) { // of ours, or of one who has less time
		return l.end(silence(time.Since(since).Round(100 * time.Millisecond)))
	}
	return err
}

// end closes the connection for a reason, and returns the first one.
func (l *line) end(why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = why
	}
	if l.Conn != nil {
		l.Conn.Close()
	}
	return l.why
}

// ended returns why l was ended on this side, nil if it was not.
func (l *line) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// cause returns what is behind an error of the driver. It panics at an answer that makes no sense.
func (l *line) cause(err error, panicked any) error {
	if panicked != nil {
		err = l.end(fmt.Errorf("%w: %v", errNonsense, panicked))
	}
	if err == nil || err == io.EOF {
		return err
	}
	if why := l.ended(); why != nil {
		return why
	}
	return err
}

// Print takes the first error that the driver logs while it connects: in place of the network's own, or of what TLS
// says, it returns ErrInvalidConn, ErrBadConn, or where a write failed one that has no name.
func (l *line) Print(v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range v {
		if err, ok := v.(error); ok && l.logged == nil {
			l.logged = err
		}
	}
}

func (l *line) withLogged(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil || l.why != nil || l.logged == nil || errors.Is(err, l.logged) {
		return err
	}
	return fmt.Errorf("%w: %w", err, l.logged)
}

// lineOf returns the line of a connection that is made in ctx.
func lineOf(ctx context.Context) *line { return ctx.Value(lineKey{}).(*line) }

var _ mysql.Logger = (*line)(nil)
