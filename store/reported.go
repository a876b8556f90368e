package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Reported returns those of prefixes that exactly were ever reported, active or not, as far as rows are kept.
func (s *Store) Reported(ctx context.Context, prefixes []netip.Prefix) (map[netip.Prefix]bool, error) {
	reported := map[netip.Prefix]bool{}
	for batch := range slices.Chunk(prefixes, 200) {
		var where []string
		var args []any
		for _, p := range batch {
			where = append(where, "(addr = ? AND len = ?)")
			args = append(args, p.Addr().AsSlice(), int64(p.Bits()))
		}
		query := s.sane("SELECT DISTINCT addr, len FROM report WHERE " + standing + " AND (" + strings.Join(where, " OR ") + ")")
		err := retry(ctx, func(ctx context.Context) error {
			return s.query(ctx, s.db, query, args, func(scan scanner) error {
				var key rowKey
				if err := scan(&key.addr, &key.len); err != nil {
					return err
				}
				if p, err := key.prefix(); err == nil {
					reported[p] = true
				}
				return nil
			})
		})
		if err != nil {
			return nil, fmt.Errorf("read from %v: %w", s.dsn, err)
		}
	}
	return reported, nil
}
