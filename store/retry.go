package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Variables for tests.
var (
	// Patience bounds an operation, connecting included: writes are short, so what takes longer is stuck.
	Patience = 10 * time.Second

	// ProgressTime is how long a server may say nothing in the middle of an answer, and take nothing of what it is told.
	ProgressTime = 15 * time.Second
)

// initTime bounds a step of init, which may go through a large table.
const initTime = 12 * time.Hour

type patienceKey struct{}

// WithPatience lets each operation in ctx take so long, instead of Patience.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

func patienceOf(ctx context.Context) time.Duration {
	if d, ok := ctx.Value(patienceKey{}).(time.Duration); ok {
		return d
	}
	return Patience
}

// withHint adds what to do about an error that an admin can cure.
func withHint(err error) error {
	var m *mysql.MySQLError
	var name *net.DNSError
	hint := ""
	switch {
	case err == nil:
	case errors.As(err, &m) && m.Number == 1045:
		hint = "check the user and the password (dsn, password_file or F2BC_PASSWORD); an account that requires a client certificate needs tls-cert in the dsn"
	case errors.As(err, &m) && m.Number == 1049, errors.As(err, &m) && m.Number == 1044:
		hint = "create the database, or grant this account access to it"
	case errors.As(err, &m) && (m.Number == 1142 || m.Number == 1143):
		hint = "this account lacks a privilege, use another one"
	case number(err) == 1369:
		hint = "the database takes from this host's account only its own facts, none dated ahead and none in place of a forced report"
	case readOnly(number(err)):
		hint = "name the server that takes writes in the dsn"
	case errors.Is(err, errAsksPassword):
		hint = "an account of MySQL 8 (caching_sha2_password) needs TLS, the server's socket, " +
			"or its public key in a file that the dsn names with server-key"
	case errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrOldPassword),
		errors.Is(err, mysql.ErrUnknownPlugin):
		hint = "f2bc answers mysql_native_password, client_ed25519 and caching_sha2_password: give this account one of them"
	case slices.Contains([]uint16{1040, 1203, 1226}, number(err)):
		hint = "all connections are taken, maybe by one account: f2bc setup mysql prints accounts with a limit"
	case number(err) == 1205:
		hint = "another connection holds a lock: as root find it with SHOW PROCESSLIST, end it with KILL, and drop a thief's account"
	case errors.Is(err, mysql.ErrNoTLS):
		hint = "the server has no TLS: set it up there, or add ?tls=false to the dsn where the network is trusted"
	case errors.As(err, &name):
		hint = "check the host name in the dsn"
	default:
		hint = tlsHint(err)
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, hint)
}

// retry runs f until it succeeds, fails for good or the time is up. f must be safe to repeat after a lost answer, as
// merging is.
func retry(whole context.Context, f func(context.Context) error) error {
	longest := patienceOf(whole)
	ctx, cancel := context.WithTimeout(whole, longest)
	defer cancel()
	var last error
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		err := f(ctx)
		if err == nil {
			return nil
		}
		// The error before the deadline says more than the deadline.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if whole.Err() == nil && last == context.DeadlineExceeded { // bare: what is wrapped says where
			last = silence(longest)
		}
		if ctx.Err() != nil || !transient(err) {
			return withHint(last)
		}
		select {
		case <-ctx.Done():
			return withHint(last)
		case <-time.After(wait + time.Duration(time.Now().UnixNano()%int64(wait))): // jitter: equal waits collide again
		}
	}
}

// transient reports whether an operation that failed with err may succeed when it is repeated.
func transient(err error) bool {
	if n := number(err); n != 0 {
		switch n {
		case 1213, // deadlock
			1205,       // lock wait timeout
			1020,       // Galera: record changed
			1047,       // Galera: node not ready, for instance cut off
			1180,       // Galera: node cut off while it committed
			3100, 3101, // Group Replication: cannot commit, or another member's commit came first
			1040,       // too many connections
			1203, 1226, // the account has too many connections
			1053, 1927, 1317, 2013, 1158, // server shutdown, connection killed, query interrupted, connection lost
			8002, 8022, 9007: // TiDB: write conflict
			return true
		}
		return readOnly(n) // another host may be the primary, or behind the same address a new one
	}
	var busy interface{ Code() int }
	if errors.As(err, &busy) {
		return busy.Code()&0xff == 5 || busy.Code()&0xff == 6 // SQLITE_BUSY, SQLITE_LOCKED
	}
	var netError *net.OpError
	if isAlert(err) {
		return false
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &netError) && netError.Op != "dial"
}

// number returns the server's error number, 0 if err is none of the server's.
func number(err error) uint16 {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		return m.Number
	}
	return 0
}

// readOnly reports whether an error says that the server takes no writes: --read-only or super_read_only, transactions
// that are read-only by default, InnoDB read-only.
func readOnly(number uint16) bool { return number == 1290 || number == 1792 || number == 1836 }
