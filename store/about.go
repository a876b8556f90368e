package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// About returns what bears on p: the latest reports on prefixes that cover it or lie inside it, active or not, and the
// wider lifts that do, both sorted by prefix.
func (s *Store) About(ctx context.Context, p netip.Prefix) (found []Report, wider []Fact, err error) {
	where, args := overlapping(p)
	err = s.snapshot(ctx, func(conn *sql.Conn) error {
		names, err := s.blockedSources(ctx, conn)
		if err != nil {
			return err
		}
		query := s.sane("SELECT addr, len, source, reason, at FROM lift WHERE " + validLift + " AND " + where)
		err = s.query(ctx, conn, query, args, func(scan scanner) error {
			f, err := scanLift(scan)
			if err == nil && f.Prefix.IsValid() {
				wider = append(wider, f)
			}
			return err
		})
		if err != nil {
			return err
		}
		query = s.sane("SELECT addr, len, source, reason, at, expires, at > 0 AND forced = at, lifted FROM " + reports + " WHERE " + where)
		return s.query(ctx, conn, query, args, func(scan scanner) error {
			var key rowKey
			var r Report
			err := scan(&key.addr, &key.len, &key.source, &key.reason, &r.At, &r.Expires, &r.Forced, &r.Lifted)
			if err != nil {
				return err
			}
			if r.Prefix, err = key.prefix(); err != nil {
				return nil
			}
			r.Source, r.Reason = string(key.source), string(key.reason)
			r.Blocked = slices.Contains(names, r.Source)
			found = append(found, r)
			return nil
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read from %v: %w", s.dsn, withHint(err))
	}

	// A lift that is wider than p and covers a report inside p is among those read: it overlaps p as well.
	var all lifts
	for _, f := range wider {
		all.add(f)
	}
	for i, r := range found {
		found[i].Lifted = max(r.Lifted, all.newest(r.Prefix, r.Source, r.Reason))
	}
	slices.SortStableFunc(found, func(a, b Report) int { return a.Prefix.Compare(b.Prefix) })
	slices.SortStableFunc(wider, func(a, b Fact) int { return a.Prefix.Compare(b.Prefix) })
	return found, wider, nil
}

// overlapping returns the condition for rows whose prefix lies in p or covers it.
func overlapping(p netip.Prefix) (condition string, args []any) {
	condition, args = inside(p)
	or := []string{condition}
	for bits := range p.Bits() {
		wider, _ := p.Addr().Prefix(bits)
		or = append(or, "(addr = ? AND len = ?)")
		args = append(args, wider.Addr().AsSlice(), bits)
	}
	return "(" + strings.Join(or, " OR ") + ")", args
}

// Event is a fact as it was written, kept 90 days.
type Event struct {
	Fact
	Who      string // the database account that wrote it first, as the server saw it: user@host
	Recorded Time   // when the store took it
}

// History returns the newest events, newest first, at most limit: of all prefixes, or where p is valid of those that
// cover it or lie inside it. The filter's MinSources is not looked at. Rows that no fact makes are passed over, and counted:
// where the limit cuts the events off, as far back as they go.
func (s *Store) History(ctx context.Context, p netip.Prefix, f Filter, limit int) (events []Event, senseless int, err error) {
	where, args := "at >= ?", []any{f.Since}
	if p.IsValid() {
		overlap, a := overlapping(p)
		where, args = where+" AND "+overlap, append(args, a...)
	}
	// A lift of any source, or of any reason, concerns this one too.
	if f.Source != "" {
		where, args = where+" AND source IN (?, ?)", append(args, []byte(f.Source), []byte{})
	}
	if f.Reason != "" {
		where, args = where+" AND reason IN (?, ?)", append(args, []byte(f.Reason), []byte{})
	}
	valid := s.sane(validEvent + " AND " + s.validPrefix())
	query := "SELECT addr, len, source, reason, at, expires, forced, who, " + s.engine.recorded + " FROM event WHERE " + where +
		" AND " + valid + " ORDER BY at DESC LIMIT ?"
	err = retry(ctx, func(ctx context.Context) error {
		events = nil
		return s.query(ctx, s.db, query, append(slices.Clone(args), limit), func(scan scanner) error {
			e, err := scanEvent(scan)
			if e.Prefix.IsValid() {
				events = append(events, e)
			}
			return err
		})
	})
	if err == nil {
		oldest := f.Since
		if len(events) == limit {
			oldest = events[limit-1].At
		}
		query := "SELECT COUNT(*) FROM event WHERE " + where + " AND at >= ? AND NOT (" + valid + ")"
		args := append(slices.Clone(args), oldest)
		err = retry(ctx, func(ctx context.Context) error { return s.db.QueryRowContext(ctx, query, args...).Scan(&senseless) })
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	return events, senseless, nil
}

// scanEvent reads a row of event. Where it makes no sense, the prefix is not valid.
func scanEvent(scan scanner) (Event, error) {
	var key rowKey
	var e Event
	var expires Time
	err := scan(&key.addr, &key.len, &key.source, &key.reason, &e.At, &expires, &e.Forced, &e.Who, &e.Recorded)
	if err != nil {
		return e, err
	}
	e.Prefix, _ = key.prefix()
	e.Source, e.Reason = string(key.source), string(key.reason)
	e.Lift = expires == 0
	e.Bantime = bantime(e.At, expires)
	return e, nil
}
