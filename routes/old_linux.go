package routes

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// OldBlackholes returns the blackholes that the old scripts left in the main
// table, sorted by prefix: IPv4, metric 0, protocol boot as a plain "ip route
// add blackhole" makes them, or static. An admin's own look the same, so
// only those whose prefix is or was banned are the scripts'.
func (k *Netlink) OldBlackholes(ctx context.Context) ([]Route, error) {
	var old []Route
	reset := func() { old = nil }
	query := routeQuery(IPv4, unix.RT_TABLE_MAIN, unix.RTN_BLACKHOLE)
	err := dump(ctx, unix.NETLINK_ROUTE, unix.RTM_GETROUTE, query, reset, func(m netlink.Message) error {
		r, err := parseRoute(m.Data, nil)
		if isOld(r) && err == nil {
			old = append(old, r)
		}
		return err
	})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("read blackholes of the main table: %w", err)
	}
	slices.SortFunc(old, func(a, b Route) int { return Compare(a.Prefix, b.Prefix) })
	return old, nil
}

func isOld(r Route) bool {
	return r.Prefix.Addr().Is4() && r.Table == unix.RT_TABLE_MAIN && r.Type == unix.RTN_BLACKHOLE &&
		r.Metric == 0 && r.TOS == 0 && (r.Protocol == unix.RTPROT_BOOT || r.Protocol == unix.RTPROT_STATIC)
}

// DeleteOld deletes exactly these of what OldBlackholes returned. Anything
// else is refused before anything is done.
func (k *Netlink) DeleteOld(ctx context.Context, old []Route) (Result, error) {
	for _, r := range old {
		if !isOld(r) {
			return Result{}, fmt.Errorf("delete %s: not a blackhole of the old scripts", r)
		}
	}
	var r Result
	err := k.change(func() error {
		return k.delete(ctx, len(old), func(i int) Route { return old[i] }, &r)
	})
	return r, err
}
