package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Host is what one host last said of itself, and the address from which the store saw it.
type Host struct {
	Name      string // its source
	Version   string // of its f2bc
	Address   string // as the database server saw the connection: written by the server, never by the host
	At        Time   // of its last sync
	Seen      Time   // when it last reached the store, with any command
	Wanted    int    // routes that should be installed
	Installed int    // routes that are
	Mode      string
	Error     string // of its last sync, empty if it went well
	Blocked   bool   // nothing of it counts
}

// ShieldedFor is how long the address of a host is kept from being banned after it was last seen.
const ShieldedFor = 30 * 24 * time.Hour

// Shields reports until when the host's address is kept from being banned: zero if it is not, for it is no address, the host
// was not seen for long, or it is blocked.
func (h Host) Shields(now Time) (until Time) {
	until = h.Seen.Add(ShieldedFor)
	if !isAddress(h.Address) || h.Blocked || h.Seen > now.Add(maxAhead) || until <= now {
		return 0
	}
	return until
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// atStore reports whether this host is the machine of the store.
func (s *Store) atStore() bool {
	return s.ssh == "" && (s.dsn.Hosts == nil || local(s.dsn.Hosts[0]))
}

// WriteHost replaces this host's row, and returns the address from which the store sees this host, empty for an embedded one.
// Address, At and Seen are the store's to say: those of h are not used.
func (s *Store) WriteHost(ctx context.Context, h Host) (address string, err error) {
	message := h.Error[:min(len(h.Error), 255)]
	err = s.writeAs(ctx, s.own(Fact{Source: h.Name}), func(ctx context.Context, w way) error {
		if w == byCall {
			return s.db.QueryRowContext(ctx, "CALL write_host(?, ?, ?, ?, ?)", []byte(h.Version), h.Wanted, h.Installed,
				[]byte(h.Mode), []byte(message)).Scan(&address)
		}
		query := "INSERT INTO " + w.prefix() + "host (source, version, at, wanted, installed, mode, error, address)\n" +
			"VALUES (?, ?, ?, ?, ?, ?, ?, " + s.engine.peer + ")" + s.replaceHost(w)
		_, err := s.db.ExecContext(ctx, query, []byte(h.Name), []byte(h.Version), s.clock.now(), h.Wanted, h.Installed,
			[]byte(h.Mode), []byte(message))
		if err == nil {
			err = s.db.QueryRowContext(ctx, "SELECT "+s.engine.peer).Scan(&address)
		}
		return err
	})
	if err != nil {
		err = s.notOwn(ctx, err, fmt.Sprintf("can write only as source %q, not as %q", s.dsn.User, h.Name))
		return "", fmt.Errorf("write to %v: %w", s.dsn, err)
	}
	return address, nil
}

// replaceHost is the engine's, and notes in MySQL when the address became another one, as the procedure does.
func (s *Store) replaceHost(w way) string {
	if w == byViews || s.Embedded() || s.schema < s.engine.since {
		return s.engine.replaceHost
	}
	const update = "ON DUPLICATE KEY UPDATE"
	return strings.Replace(s.engine.replaceHost, update, update+" moved = IF(address = VALUES(address), moved, CURRENT_TIMESTAMP(6)),", 1)
}

// touchAfter is how long a command leaves a host's row alone.
const touchAfter = time.Hour

// Touch lets the store know that this host was seen, once an hour and if it ever wrote its row: a host that does not sync, but
// lists or exports, must not lose the shield of its address. What a reader's account may not do is left undone.
func (s *Store) Touch(ctx context.Context) error {
	if s.Embedded() {
		return nil
	}
	var seen Time
	err := retry(ctx, func(ctx context.Context) error {
		query := "SELECT COALESCE(MAX(" + s.engine.recorded + "), 0) FROM host WHERE source = ?"
		return s.db.QueryRowContext(ctx, query, []byte(s.source)).Scan(&seen)
	})
	if now := s.clock.now(); err != nil || seen == 0 || seen.Add(touchAfter) > now && seen <= now.Add(maxAhead) {
		return err
	}
	touch, args := "UPDATE host SET mark = CURRENT_TIMESTAMP(6), address = "+s.engine.peer+" WHERE source = ?", []any{[]byte(s.source)}
	if s.hasProcedures && s.IsOwnAccount() {
		touch, args = "CALL touch_host()", nil
	}
	_, err = s.db.ExecContext(ctx, touch, args...) // once: a replica takes no writes, and there will be another command
	if denied(err) || readOnly(number(err)) || number(err) == 1370 {
		return nil
	}
	return err
}

// Hosts returns all hosts that ever wrote their row, or that are blocked, sorted by name.
func (s *Store) Hosts(ctx context.Context) ([]Host, error) {
	query := `
SELECT host.source, version, address, at, ` + s.engine.recorded + `, wanted, installed, mode, error, FALSE FROM host
ORDER BY 1`
	if s.schema >= s.engine.since {
		query = `
SELECT host.source, version, address, at, ` + s.engine.recordedOf("host") + `, wanted, installed, mode, error,
  COALESCE(blocked > released, FALSE)
FROM host LEFT JOIN source ON name = host.source
UNION ALL
SELECT name, '', '', 0, 0, 0, 0, '', '', TRUE FROM source WHERE blocked > released AND name NOT IN (SELECT source FROM host)
ORDER BY 1`
	}
	var hosts []Host
	err := retry(ctx, func(ctx context.Context) error {
		hosts = nil
		return s.query(ctx, s.db, query, nil, func(scan scanner) error {
			var h Host
			err := scan(&h.Name, &h.Version, &h.Address, &h.At, &h.Seen, &h.Wanted, &h.Installed, &h.Mode, &h.Error, &h.Blocked)
			hosts = append(hosts, h)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	return hosts, nil
}

// ResolvesNames reports whether the database server asks the DNS who connects: then an account's address may be a name, which
// shields nothing.
func (s *Store) ResolvesNames(ctx context.Context) (bool, error) {
	if s.Embedded() {
		return false, nil
	}
	var skips sql.NullBool
	err := retry(ctx, func(ctx context.Context) error {
		return s.db.QueryRowContext(ctx, "SELECT @@skip_name_resolve").Scan(&skips)
	})
	if number(err) == 1193 { // TiDB
		return false, nil
	}
	return !skips.Bool, err
}
