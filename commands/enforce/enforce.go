// Package enforce makes the list true in this host's kernel. It neither opens what it should not, nor locks the host out
// of what it needs.
//
//	Store: what is banned ────┐
//	Never: what must not be ──┼──> desired ──> brakes ──> plan ──> Kernel
//	Guard: what must stay ────┘                  ^
//	memory, last list, pause: state directory ───┘
//
// A single run is Once; Watch goes on for good. Neither prints: what people should know goes through Say.
package enforce

import (
	"context"
	"net/netip"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
	"f2bc/store/state"
)

// Store is what enforcing needs of the store. It is an interface so that the brakes and the watch loop are tested without
// a database.
type Store interface {
	ID() string
	Mark(ctx context.Context) (store.Time, error)
	Now(ctx context.Context) (store.Time, error)
	Local(t store.Time) time.Time
	Paused() store.Time
	Blocked() bool
	Bans(ctx context.Context, f store.Filter, yield func(p netip.Prefix, forced bool)) error
	NeverBan(ctx context.Context) ([]store.Protected, error)
	Reported(ctx context.Context, prefixes []netip.Prefix) (map[netip.Prefix]bool, error)
	WriteHost(ctx context.Context, h store.Host) (address string, err error)
	Close() error

	Live() Live
	Deliver(ctx context.Context) // gives the store what waits on this host
}

// Live is the list kept up to date; see store.Live.
type Live interface {
	Refresh(ctx context.Context) (changed bool, err error)
	Expire() bool
	Mark() store.Time
	Bans(yield func(p netip.Prefix, forced bool))
}

// Kernel is what enforcing needs of the kernel; the real one is routes.Netlink.
type Kernel interface {
	routes.Kernel
	Watch(ctx context.Context) (<-chan struct{}, error)
	Lookup(ctx context.Context, addr netip.Addr) (blackholed bool, err error)
	OldBlackholes(ctx context.Context) ([]routes.Route, error)
	DeleteOld(ctx context.Context, old []routes.Route) (routes.Result, error)
}

// Settings are what an admin decides.
type Settings struct {
	Source, Version string // of this host, for its row in the store
	Observe         bool   // install nothing
	IPv6Prefix      int    // what banned IPv6 hosts are widened to, 0 for nothing
	MaxRoutes       int
	MaxCoverage     float64       // percent of all IPv4 addresses
	Force           bool          // MaxRoutes and MaxCoverage do not count
	AcceptStore     bool          // follow a store that was rebuilt or restored
	Interval        time.Duration // of Watch
}

// Enforcer makes the kernel follow the list, in a single run or for good.
type Enforcer struct {
	Settings
	Kernel Kernel
	State  state.Dir
	Say    func(format string, args ...any)

	Open  func(ctx context.Context) (Store, error)          // opens the store, and delivers what waits on this host
	Guard func(ctx context.Context) ([]routes.Entry, error) // what must stay reachable; with an error some may be missing
	Never func(ctx context.Context, central []store.Protected) (*neverban.List, error)

	memory    memory
	memoryErr error         // why the memory is not known
	known     *routes.State // of the kernel as we left it; nil: read it
	watching  bool
	result    store.Host // of the last run, for the store

	listWritten time.Time
	unwritten   *aggregate.Set // applied, but not yet kept as the last list
}

func (e *Enforcer) mode() string {
	if e.Observe {
		return "observe"
	}
	return "enforce"
}
