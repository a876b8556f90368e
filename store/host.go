package store

import (
	"context"
	"fmt"
)

// Host is what one host last said of itself, and the address from which the store saw it.
type Host struct {
	Name      string // its source
	Version   string // of its f2bc
	Address   string // as the database server saw the connection: written by the server, never by the host
	At        Time
	Wanted    int // routes that should be installed
	Installed int // routes that are
	Mode      string
	Error     string // of its last sync, empty if it went well
}

// WriteHost replaces this host's row. Address and At are the server's to say: those of h are not used.
func (s *Store) WriteHost(ctx context.Context, h Host) error {
	own := s.own(Fact{Source: h.Name})
	err := s.writeAs(ctx, own, func(ctx context.Context, prefix string) error {
		query := "INSERT INTO " + prefix + "host (source, version, at, wanted, installed, mode, error, address) VALUES (?, ?, ?, ?, ?, ?, ?, " +
			s.engine.peer + ")" + s.engine.replaceHost
		_, err := s.db.ExecContext(ctx, query, []byte(h.Name), []byte(h.Version), s.clock.now(), h.Wanted, h.Installed,
			[]byte(h.Mode), []byte(h.Error[:min(len(h.Error), 255)]))
		return err
	})
	if err != nil {
		err = s.notOwn(ctx, err, fmt.Sprintf("can write only as source %q, not as %q", s.dsn.User, h.Name))
		return fmt.Errorf("write to %v: %w", s.dsn, err)
	}
	return nil
}

// Hosts returns all hosts that ever wrote their row, sorted by name.
func (s *Store) Hosts(ctx context.Context) ([]Host, error) {
	var hosts []Host
	err := retry(ctx, func(ctx context.Context) error {
		hosts = nil
		query := "SELECT source, version, address, at, wanted, installed, mode, error FROM host ORDER BY source"
		return s.query(ctx, s.db, query, nil, func(scan scanner) error {
			var h Host
			err := scan(&h.Name, &h.Version, &h.Address, &h.At, &h.Wanted, &h.Installed, &h.Mode, &h.Error)
			hosts = append(hosts, h)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	return hosts, nil
}
