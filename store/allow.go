package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Allow is an entry of the central never-ban list.
type Allow struct {
	Entry string // a prefix or a host name
	At    Time
	Who   string // the database account that added it
}

// Allows returns the entries that stand, sorted as text.
func (s *Store) Allows(ctx context.Context) ([]Allow, error) {
	var allows []Allow
	err := retry(ctx, func(ctx context.Context) error {
		allows = nil
		query := "SELECT entry, at, who FROM allow WHERE at > removed ORDER BY entry"
		return s.query(ctx, s.db, query, nil, func(scan scanner) error {
			var a Allow
			err := scan(&a.Entry, &a.At, &a.Who)
			allows = append(allows, a)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	return allows, nil
}

// AddAllow adds entries, and returns those that stood already.
func (s *Store) AddAllow(ctx context.Context, entries []string) (there []string, err error) {
	return s.setAllow(ctx, entries, "at", false)
}

// RemoveAllow withdraws entries, and returns those that did not stand. A tombstone stays, so that an addition that
// arrives late does not bring an entry back.
func (s *Store) RemoveAllow(ctx context.Context, entries []string) (missing []string, err error) {
	return s.setAllow(ctx, entries, "removed", true)
}

// setAllow moves column, at or removed, past the other one, for entries that stand or do not.
func (s *Store) setAllow(ctx context.Context, entries []string, column string, stands bool) (others []string, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		others = nil
		return s.transact(ctx, nil, func(tx *sql.Tx) error {
			for _, entry := range entries {
				var at, removed Time
				row := tx.QueryRowContext(ctx, "SELECT at, removed FROM allow WHERE entry = ?", []byte(entry))
				if err := row.Scan(&at, &removed); err != nil && err != sql.ErrNoRows {
					return err
				}
				if (at > removed) != stands {
					others = append(others, entry)
					continue
				}
				time := max(s.clock.now(), max(at, removed)+1)
				query := "INSERT INTO allow (entry, " + column + ", who) VALUES (?, ?, " + s.engine.who + ")" + s.engine.mergeAllow
				if _, err := tx.ExecContext(ctx, query, []byte(entry), time); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("write to %v: %w", s.dsn, s.notOwn(ctx, err, "cannot change the never-ban list"))
	}
	return others, nil
}

// Protected is what the store says must never be banned, and why.
type Protected struct {
	Entry string // address, prefix or host name
	Why   string
}

// protected is an entry of the never-ban list, or where host is not empty the address of that host.
func protected(entry, host string) Protected {
	if host != "" {
		return Protected{entry, "the address of host " + host}
	}
	return Protected{entry, "on the never-ban list"}
}

// NeverBan returns the allows that stand, and the addresses of the hosts, as the store saw each connect, that were seen within
// ShieldedFor. A host's name shields nothing, since whoever rules its domain could name any address, nor does a host that is
// blocked. On the machine of the store itself every address stays, so that a host that was away for long can come back.
//
// It also learns whether this host is blocked: see Blocked.
func (s *Store) NeverBan(ctx context.Context) ([]Protected, error) {
	since := s.clock.now().Add(-ShieldedFor)
	if s.atStore() {
		since = 0
	}
	query := `
SELECT entry, '' FROM allow WHERE at > removed
UNION ALL
SELECT address, source FROM host WHERE LENGTH(address) > 0 AND ` + s.engine.recorded + fmt.Sprintf(" BETWEEN %d AND ", since) + `{ahead}` + `
UNION ALL
SELECT '', name FROM source WHERE blocked > released`
	if s.schema < s.engine.since {
		query, _, _ = strings.Cut(query, "\nUNION ALL\nSELECT '', name")
	}
	var entries [][2]string
	err := retry(ctx, func(ctx context.Context) error {
		entries = nil
		return s.query(ctx, s.db, s.sane(query), nil, func(scan scanner) error {
			var entry [2]string
			err := scan(&entry[0], &entry[1])
			entries = append(entries, entry)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	blocked := map[string]bool{}
	for _, e := range entries {
		blocked[e[1]] = blocked[e[1]] || e[0] == ""
	}
	s.blocked.Store(blocked[s.source])
	var list []Protected
	for _, e := range entries {
		if e[1] == "" || !blocked[e[1]] && isAddress(e[0]) {
			list = append(list, protected(e[0], e[1]))
		}
	}
	return list, nil
}
