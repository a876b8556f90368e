// Package store keeps the list of bans: facts in, the active list out.
//
//	ban, import-3cx ── reports ──┐            ┌── Bans   (export, sync-routes)
//	                             ├── Write ───┤
//	unban ──────────── lifts ────┘  (merge)   └── List, About, History (people)
//
// A fact is a report (this source says this prefix misbehaved, until then) or a lift (it is forgiven). The store
// remembers for each (prefix, source, reason) the latest report and the latest lift, so writing a fact twice, late or
// in another order gives the same list. Nothing here may break that: retries, the outbox and cluster fail-over rely on it.
//
// Behind the same methods stand MySQL and its kin (mysql://) and an embedded SQLite (sqlite://).
package store

import (
	"context"
	"database/sql"
	"math"
	"net/netip"
	"time"
)

// Time is a moment in microseconds since 1970-01-01 UTC, the precision of the store. Zero means not set.
type Time int64

// Permanent is the expiry of a report that never ends: a maximum value, so that it orders last.
const Permanent Time = math.MaxInt64

// Forever is the ban time of a report that never ends.
const Forever time.Duration = math.MaxInt64

// TimeOf truncates t to microseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Std returns t in UTC. It has no meaning for Permanent.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Fact is a report or a lift.
type Fact struct {
	Lift    bool
	Prefix  netip.Prefix  // masked and unmapped
	Source  string        // 1 to 64 bytes; in a lift empty means any
	Reason  string        // 1 to 64 bytes; in a lift empty means any
	At      Time          // zero until Stamp
	Bantime time.Duration // reports: from At to the expiry, whole microseconds; Forever never ends
	Forced  bool          // reports: an admin insisted on a prefix that is wide or not globally routable
}

// Expires returns when a report ends.
func (f Fact) Expires() Time { panic("") }

// Report is the latest report of one source and reason on a prefix, as the store has it.
type Report struct {
	Prefix         netip.Prefix
	Source, Reason string
	At, Expires    Time
	Forced         bool
	Lifted         Time // the latest lift that covers it, zero if none
}

// Active reports whether r bans its prefix at the time now.
func (r Report) Active(now Time) bool { return r.At > r.Lifted && r.Expires > now }

// Ban is a prefix with at least one active report.
type Ban struct {
	Prefix      netip.Prefix
	First, Last Time // times of the earliest and the latest of its active reports
	Expires     Time // the latest expiry
	Sources     []string
	Reasons     []string
	Forced      bool // at least one of its active reports is forced
}

// Event is a fact as it was written, kept 90 days.
type Event struct {
	Fact
	Who      string // the database account that wrote it, as the server saw it: user@host
	Recorded Time   // when the store took it
}

// Allow is an entry of the central never-ban list.
type Allow struct {
	Entry string // a prefix or a host name
	At    Time
	Who   string
}

// Protected is an address, prefix or host name that must never be banned, and why.
type Protected struct {
	Entry string // address, prefix or host name
	Why   string // "allowed by …", "host web1"
}

// Filter narrows what is read. Its zero value narrows nothing.
type Filter struct {
	Source, Reason string       // only reports of this source, this reason
	Since          Time         // only reports at or after
	MinSources     int          // only prefixes that at least so many sources report
	Within         netip.Prefix // only prefixes inside it, if valid
}

// Options say how to open a store.
type Options struct {
	DSN          string
	PasswordFile string // read at every connect; overrides the password in DSN
	Password     string // overrides both
	Warn         func(format string, args ...any)
}

// Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	db *sql.DB
}

// Open connects to the store.
//
// A sqlite:// store is created, or upgraded, when needed. A mysql:// store without tables is ErrNoTables (run init),
// one that wants a newer binary is ErrTooNew.
func Open(ctx context.Context, o Options) (*Store, error) { panic("") }

func (s *Store) Close() error { panic("") }

// Init creates or upgrades the tables and returns the store's id.
func Init(ctx context.Context, o Options) (id string, err error) { panic("") }

// Now returns the store's clock.
func (s *Store) Now(ctx context.Context) (Time, error) { panic("") }

// NeverBan returns what the store says must never be banned: the active allows, and the address from which the store
// saw each host connect.
func (s *Store) NeverBan(ctx context.Context) ([]Protected, error) { panic("") }

// Stamp gives every fact that has no time its time by the time rule: the later of the store's clock and the newest
// fact it is about, plus 1 µs. A local time `at` that is not zero dates them in the past instead: the store's now minus
// (local now − at), never the future. It does not write.
func (s *Store) Stamp(ctx context.Context, facts []Fact, at time.Time) error { panic("") }

// Write merges stamped facts into the store. All or a prefix of the batches are written when it fails; writing them
// again is harmless.
func (s *Store) Write(ctx context.Context, facts []Fact) error { panic("") }

// Bans calls yield for the prefix of every active report that passes the filter, in no order and with repetitions,
// read in one snapshot. On error the list is not whole and must not be used.
func (s *Store) Bans(ctx context.Context, f Filter, yield func(p netip.Prefix, forced bool)) error {
	panic("")
}

// List returns the bans that pass the filter, sorted by prefix, IPv4 first.
func (s *Store) List(ctx context.Context, f Filter) ([]Ban, error) { panic("") }

// About returns everything that bears on p: the reports on prefixes that cover it or lie inside it, active or not, and
// the lifts that cover it or lie inside it.
func (s *Store) About(ctx context.Context, p netip.Prefix) (reports []Report, lifts []Fact, err error) {
	panic("")
}

// History returns the newest events first, those on prefixes that overlap p if p is valid; at most limit.
func (s *Store) History(ctx context.Context, f Filter, limit int) ([]Event, error) { panic("") }

// Allows returns the active entries of the central never-ban list, sorted.
func (s *Store) Allows(ctx context.Context) ([]Allow, error) { panic("") }

// AddAllow adds entries; adding again one that stands changes nothing but its time.
func (s *Store) AddAllow(ctx context.Context, entries []string) error { panic("") }

// RemoveAllow withdraws entries, leaving a tombstone, and returns those that were not there.
func (s *Store) RemoveAllow(ctx context.Context, entries []string) (missing []string, err error) {
	panic("")
}

// Host is what one host last said of itself, and the address from which the store saw it.
type Host struct {
	Name      string // its source
	Version   string
	Address   string // as the database server saw the connection; written by the store, never by the host
	At        Time
	Wanted    int // routes that should be installed
	Installed int // routes that are
	Mode      string
	Error     string
}

// WriteHost writes this host's row.
func (s *Store) WriteHost(ctx context.Context, h Host) error { panic("") }

// Pruned counts what Prune deleted.
type Pruned struct{ Events, Reports int64 }

// Prune deletes events and ended reports older than 90 days, but never a lift, nor a report that was lifted or ever
// permanent: without them an old fact that comes back would revive a ban.
func (s *Store) Prune(ctx context.Context) (Pruned, error) { panic("") }

// Adoption is the outcome of Adopt.
type Adoption struct {
	Adopted int      // reports written or already there
	Bad     []string // rows that are no address or may not be banned, described
}

// Adopt turns the rows of a table of the old scripts into reports: time = stamp, ban time from the stamp. refuse
// says why a prefix may not be banned, or nil. The table is left as it is; adopting again changes nothing.
func (s *Store) Adopt(ctx context.Context, table string, bantime time.Duration, refuse func(netip.Prefix) error) (Adoption, error) {
	panic("")
}
