package store

import (
	"context"
	"database/sql"
	"fmt"
	"net"
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
	m := &mysqlConnector{progress: o.progress}
	if m.progress == 0 {
		m.progress = ProgressTime
	}
	if len(d.Hosts) > 1 {
		m.state = o.State
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.DBName = d.User, d.Database
	cfg.Loc = time.UTC
	cfg.ParseTime = true
	cfg.InterpolateParams = true    // one round trip a statement
	cfg.Logger = &mysql.NopLogger{} // its own writes to stderr, in the server's words
	err := cfg.Apply(mysql.BeforeConnect(func(ctx context.Context, c *mysql.Config) (err error) {
		if c.Passwd, err = password(d, o); err != nil {
			return err
		}
		if c.Net == "tcp" {
			c.TLS, err = d.tlsConfig(c.Addr)
		}
		c.Logger = lineOf(ctx)
		return err
	}))
	if err != nil {
		return nil, err
	}

	if d.Socket != "" {
		cfg.Net, cfg.Addr, cfg.DialFunc = "unix", d.Socket, dialSocket
		return sql.OpenDB(m), m.add(cfg)
	}
	if cfg.ServerPubKey, err = d.serverKey(); err != nil {
		return nil, err
	}
	for _, address := range d.Hosts {
		c := cfg.Clone()
		c.Net, c.Addr = "tcp", address
		c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialHost(ctx, o.SSH, network, address)
			if err != nil {
				return nil, err
			}
			if d.encrypted(address) {
				return lineOf(ctx).begin(conn, nil), nil
			}
			return lineOf(ctx).begin(conn, &login{pinned: d.ServerKey != ""}), nil
		}
		if err := m.add(c); err != nil {
			return nil, err
		}
	}
	return sql.OpenDB(m), nil
}

func dialHost(ctx context.Context, ssh, network, address string) (net.Conn, error) {
	if ssh != "" {
		return dialSSH(ctx, ssh, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// dialSocket connects to a socket whose owner is known. The server speaks first: nothing has been sent by then.
func dialSocket(ctx context.Context, network, path string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, path)
	if err != nil {
		return nil, err
	}
	if err := checkSocket(path); err != nil {
		conn.Close()
		return nil, err
	}
	return lineOf(ctx).begin(conn, nil), nil
}

func password(d DSN, o Options) (string, error) {
	switch {
	case o.Password != "":
		return o.Password, nil
	case o.PasswordFile != "":
		text, err := os.ReadFile(o.PasswordFile)
		return strings.TrimRight(string(text), "\r\n"), err
	}
	return d.Password, nil
}
