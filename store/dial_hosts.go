package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"f2bc/store/state"
)

// mysqlConnector connects to one of the hosts of a DSN: to the last good one, else to the first in order that answers
// and can be written to, else to one that can only be read.
type mysqlConnector struct {
	hosts []mysqlHost
	state state.Dir // remembers the last good host for the next process, which may live for one ban only; empty where there is one host

	mu    sync.Mutex
	known bool // whether the file was read
	noted int  // index of the host in the file, 0 where there is none
	first int  // index of the host to be tried first

	noWsrep atomic.Bool // the server was built without Galera

	progress time.Duration // how long a connection may make none
}

type mysqlHost struct {
	address string
	driver.Connector
}

func (m *mysqlConnector) add(cfg *mysql.Config) error {
	c, err := mysql.NewConnector(cfg)
	m.hosts = append(m.hosts, mysqlHost{cfg.Addr, c})
	return err
}

func (m *mysqlConnector) Driver() driver.Driver { return &mysql.MySQLDriver{} }

// session returns the statement that sets a connection up. The procedures do that by themselves: see hostConn.ready.
func (m *mysqlConnector) session() string {
	set := "SET time_zone = '+00:00', innodb_lock_wait_timeout = 2"
	if !m.noWsrep.Load() {
		set += causalReads
	}
	return set
}

// causalReads makes a Galera node wait before a read until it has what the other nodes wrote: otherwise an unban could
// miss the report that it is to beat, and a node that was just cut off would show old data. Only MariaDB reads the comment.
var causalReads = " /*M!100108 , wsrep_sync_wait = 1 */" // a variable for tests

// Connect connects within Patience.
func (m *mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var failed error
	var replica *hostConn // can only be read
	var replicaHost int
	hosts := m.order()
	for i, host := range hosts {
		// A host that drops packets must leave time for the next one, and for the use of what is there.
		deadline, _ := ctx.Deadline()
		share := time.Until(deadline) / time.Duration(len(hosts)-i)
		if replica != nil {
			share = min(share/2, time.Second)
		}
		hostCtx, cancel := context.WithTimeout(ctx, share)
		conn, readOnly, err := m.connect(hostCtx, m.hosts[host])
		cancel()
		switch {
		case err != nil && failed == nil:
			failed = err
		case err != nil:
			failed = fmt.Errorf("%w; %w", failed, err)
		case !readOnly:
			if replica != nil {
				replica.Close()
			}
			return m.use(host, conn), nil
		case replica == nil:
			replica, replicaHost = conn, host
		default:
			conn.Close()
		}
	}
	if replica == nil {
		return nil, failed
	}
	return m.use(replicaHost, replica), nil
}

// connect connects to one host.
func (m *mysqlConnector) connect(ctx context.Context, host mysqlHost) (conn *hostConn, readOnly bool, err error) {
	conn, readOnly, err = m.logIn(ctx, host)
	if err != nil && len(m.hosts) > 1 {
		err = fmt.Errorf("%s: %w", host.address, err)
	}
	return conn, readOnly, err
}

// logIn makes a connection. Where there are other hosts, it finds out whether this one is read-only; a Galera node that
// is cut off fails here.
func (m *mysqlConnector) logIn(ctx context.Context, host mysqlHost) (conn *hostConn, readOnly bool, err error) {
	conn = &hostConn{m: m, line: &line{progress: m.progress}, prepared: map[string]driver.StmtExecContext{}}
	defer func() {
		if err = conn.line.withLogged(conn.line.cause(err, recover())); err != nil && conn.mysqlConn != nil {
			conn.Close()
		}
	}()
	c, err := host.Connect(context.WithValue(ctx, lineKey{}, conn.line))
	if err != nil {
		return conn, false, err
	}
	conn.mysqlConn = c.(mysqlConn)
	if len(m.hosts) == 1 {
		return conn, false, nil
	}
	if err = conn.ready(ctx, ""); err == nil {
		readOnly, err = isReadOnly(ctx, conn.mysqlConn)
	}
	return conn, readOnly, err
}

func isReadOnly(ctx context.Context, conn mysqlConn) (bool, error) {
	rows, err := conn.QueryContext(ctx, "SELECT @@global.read_only, @@global.innodb_read_only", nil)
	if number(err) == 1193 { // something that speaks the protocol and has no such variables
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer rows.Close()
	row := make([]driver.Value, 2)
	if err := rows.Next(row); err != nil {
		return false, err
	}
	for _, v := range row {
		text, _ := v.([]byte) // MariaDB 12 answers in words
		if v != int64(0) && string(text) != "OFF" && string(text) != "0" {
			return true, nil
		}
	}
	return false, nil
}

const lastHostFile = "last-host"

// order returns the indexes of the hosts, the last good one first.
func (m *mysqlConnector) order() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known {
		text, _ := m.state.Read(lastHostFile) // without it the order is the DSN's
		noted := slices.IndexFunc(m.hosts, func(h mysqlHost) bool { return h.address == strings.TrimSpace(string(text)) })
		m.noted = max(noted, 0)
		m.first = m.noted
	}
	m.known = true
	order := []int{m.first}
	for i := range m.hosts {
		if i != m.first {
			order = append(order, i)
		}
	}
	return order
}

// use returns a connection to work with, and notes which host it is to.
func (m *mysqlConnector) use(host int, conn *hostConn) driver.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.first = host
	if m.noted != host {
		m.state.Note(lastHostFile, m.hosts[host].address+"\n") // it only saves time: it may be lost
	}
	m.noted = host
	return conn
}

// moveOn makes the next connection try another host first.
func (m *mysqlConnector) moveOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.first = (m.first + 1) % len(m.hosts)
}
