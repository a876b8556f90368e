package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite" // registers "sqlite"
)

func openSQLite(path string) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// SQLite gives its journal the mode of the database, which is nobody else's to read.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"_txlock": {"immediate"}, // without it concurrent writers fail with SQLITE_BUSY
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"},
	}.Encode()}).String())
}

func localUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint(os.Getuid())
}

// quote makes an SQL literal of text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func openMySQL(d DSN, o Options) (*sql.DB, error) {
	m := &mysqlConnector{dsn: d}
	cfg := mysql.NewConfig()
	cfg.User, cfg.DBName = d.User, d.Database
	cfg.Passwd = d.Password
	if o.Password != "" {
		cfg.Passwd = o.Password
	}
	cfg.Loc = time.UTC
	cfg.ParseTime = true
	cfg.InterpolateParams = true // one round trip a statement
	cfg.Params = map[string]string{"time_zone": "'+00:00'", "innodb_lock_wait_timeout": "2"}
	cfg.Logger = &mysql.NopLogger{} // every error is returned; the driver's own lines would reach stderr
	if o.PasswordFile != "" && o.Password == "" {
		err := cfg.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) error {
			text, err := os.ReadFile(o.PasswordFile)
			c.Passwd = strings.TrimRight(string(text), "\r\n")
			return err
		}))
		if err != nil {
			return nil, err
		}
	}

	if d.Socket != "" {
		cfg.Net, cfg.Addr = "unix", d.Socket
		if err := m.add(cfg); err != nil {
			return nil, err
		}
	}
	for _, address := range d.Hosts {
		c := cfg.Clone()
		c.Net, c.Addr = "tcp", address
		if !d.PlainText && !local(address) {
			c.TLSConfig = "true"
		}
		if err := m.add(c); err != nil {
			return nil, err
		}
	}
	return sql.OpenDB(m), nil
}

// mysqlConnector connects to the first host of a DSN that answers.
type mysqlConnector struct {
	dsn   DSN
	hosts []driver.Connector
}

func (m *mysqlConnector) add(cfg *mysql.Config) error {
	c, err := mysql.NewConnector(cfg)
	m.hosts = append(m.hosts, c)
	return err
}

func (m *mysqlConnector) Driver() driver.Driver { return &mysql.MySQLDriver{} }

func (m *mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	var failed []error
	for i, c := range m.hosts {
		// A host that drops packets must leave time for the next one.
		hostCtx, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok && i < len(m.hosts)-1 {
			hostCtx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(m.hosts)-i))
		}
		conn, err := c.Connect(hostCtx)
		cancel()
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}
