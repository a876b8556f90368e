package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlConn is what the driver's connections can do.
type mysqlConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// hostConn is a connection that is not used again after its host said that it takes no writes or, in a Galera cluster,
// that it is cut off.
type hostConn struct {
	mysqlConn
	m        *mysqlConnector
	line     *line
	left     bool
	isSet    bool // the session is set up
	inTx     bool
	prepared map[string]driver.StmtExecContext // by their text
}

func (c *hostConn) IsValid() bool { return !c.left && c.line.ended() == nil && c.mysqlConn.IsValid() }

// Close says goodbye, but not for long.
func (c *hostConn) Close() error {
	c.line.progress = min(c.line.progress, time.Second)
	return c.mysqlConn.Close()
}

// settle makes err, or what the driver panicked with, the error that the caller is to see.
//
// In a transaction that is never ErrBadConn: a sql.Conn then waits for the end of its transaction, and so for itself.
func (c *hostConn) settle(err error, panicked any) error {
	err = c.line.cause(err, panicked)
	if c.inTx && errors.Is(err, driver.ErrBadConn) {
		err = mysql.ErrInvalidConn
	}
	c.leave(err)
	return err
}

func (c *hostConn) leave(err error) {
	if n := number(err); !c.left && (n == 1047 || readOnly(n)) {
		c.left = true
		c.m.moveOn()
	}
}

// ready sets the session up before the first statement that is not a call: for one ban that would be half of its statements.
func (c *hostConn) ready(ctx context.Context, query string) error {
	if c.isSet || strings.HasPrefix(query, "CALL ") {
		return nil
	}
	_, err := c.mysqlConn.ExecContext(ctx, c.m.session(), nil)
	if number(err) == 1193 { // unknown variable: the server was built without Galera
		c.m.noWsrep.Store(true)
		_, err = c.mysqlConn.ExecContext(ctx, c.m.session(), nil)
	}
	c.isSet = err == nil
	return err
}

func (c *hostConn) BeginTx(ctx context.Context, o driver.TxOptions) (tx driver.Tx, err error) {
	defer func() { err = c.settle(err, recover()) }()
	if err := c.ready(ctx, ""); err != nil {
		return nil, err
	}
	if tx, err = c.mysqlConn.BeginTx(ctx, o); err != nil {
		return nil, err
	}
	c.inTx = true
	return &hostTx{tx, ctx, c, context.AfterFunc(ctx, func() { c.line.end(ctx.Err()) })}, nil
}

// hostTx ends with its context, as a commit and a rollback of the driver do not: where the server says nothing they
// would wait for an answer, and whoever holds a lock with them.
type hostTx struct {
	tx   driver.Tx
	ctx  context.Context
	c    *hostConn
	stop func() bool
}

func (t *hostTx) Commit() error   { return t.over(t.tx.Commit) }
func (t *hostTx) Rollback() error { return t.over(t.tx.Rollback) }

func (t *hostTx) over(end func() error) (err error) {
	defer func() {
		if !t.stop() {
			t.c.line.end(t.ctx.Err()) // or the next user of the connection may still see it end
		}
		t.c.inTx = false
		err = t.c.settle(err, recover())
	}()
	return end()
}

func (c *hostConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (_ driver.Result, err error) {
	defer func() { err = c.settle(err, recover()) }()
	if err := c.ready(ctx, query); err != nil {
		return nil, err
	}
	return c.exec(ctx, query, args)
}

// manyKey marks the context of a write of many batches. Their statements are prepared, which spares the server a sixth
// of its time. The others are not: a prepared one takes 8 MB of the server until the connection ends, late under
// --watch.
type manyKey struct{}

func (c *hostConn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if ctx.Value(manyKey{}) == nil {
		return c.mysqlConn.ExecContext(ctx, query, args)
	}
	if c.prepared[query] == nil {
		s, err := c.mysqlConn.PrepareContext(ctx, query)
		if number(err) == 1461 { // the server holds as many prepared statements as it may
			return c.mysqlConn.ExecContext(ctx, query, args)
		}
		if err != nil {
			return nil, err
		}
		c.prepared[query] = s.(driver.StmtExecContext)
	}
	return c.prepared[query].ExecContext(ctx, args)
}

func (c *hostConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer func() { err = c.settle(err, recover()) }()
	if err := c.ready(ctx, query); err != nil {
		return nil, err
	}
	rows, err := c.mysqlConn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return hostRows{rows, c}, nil
}

type hostRows struct {
	driver.Rows
	c *hostConn
}

func (r hostRows) Next(row []driver.Value) (err error) {
	defer func() {
		if panicked := recover(); err != nil || panicked != nil { // for each of a million rows
			err = r.c.settle(err, panicked)
		}
	}()
	return r.Rows.Next(row)
}

func (r hostRows) Close() (err error) {
	defer func() { err = r.c.settle(err, recover()) }()
	return r.Rows.Close()
}
